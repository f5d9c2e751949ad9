// What an operator can do.
import { shortAddress } from "../domain/names";
import type { Api, Plan, Subscriber } from "../domain/answers";
import { editableGen } from "../domain/amounts";
import { momentText } from "../domain/time";
import { FormReader, gen, limitText, number, type Action, type Field } from "./action";

const MAX_PER_API = 64;
const LIMIT_HINT = "0: no limit";

const limitFields = (plan: Plan | null, dailyHint: string): Field[] => [
  { name: "price", label: "Price of a call", kind: "gen", initial: plan ? editableGen(plan.costPerCallWei) : "" },
  { name: "daily", label: "Calls a day", kind: "count", initial: plan ? plan.dailyLimitCalls.toString() : "", hint: dailyHint },
  { name: "monthly", label: "Calls a month", kind: "count", initial: plan ? plan.monthlyLimitCalls.toString() : "0", hint: LIMIT_HINT },
];

export function registerApi(known: readonly Api[]): Action {
  return {
    title: "Register an API",
    intro: "You become its operator and earn what is billed for it. Its first plan is called standard.",
    submit: "Register API",
    fields: [
      { name: "api", label: "Name", kind: "name", initial: "", hint: "Consumers subscribe to this name; it cannot change." },
      ...limitFields(null, "For each consumer; at least 1 in the standard plan."),
    ],
    check(values) {
      const form = new FormReader(values);
      const api = form.name("api");
      const price = form.gen("price", 1n, "The standard plan needs a price. Free plans are further plans.");
      const daily = form.count("daily", 1n, "Allow at least 1 call a day.");
      const monthly = form.count("monthly", 0n, "");
      if (known.some((each) => each.apiName === api)) form.fail("api", "This name is taken.");
      return form.result(() => ({
        effects: [
          `Anybody can subscribe to ${api} for ${gen(price)} a call, ${limitText(daily, "day")}, ${limitText(monthly, "month")}.`,
          "You can add plans, pause it, and hand it over later.",
        ],
        call: { method: "register_api", args: [api, price, daily, monthly], valueWei: 0n, title: `Register ${api}` },
      }));
    },
  };
}

export function setPlan(api: Api, plan: Plan | null): Action {
  return {
    title: plan ? `Change plan ${plan.planName} of ${api.apiName}` : `Add a plan to ${api.apiName}`,
    intro: plan ? "The change holds for everybody on this plan, in the way that is said below." : "A further tier. A free plan needs a limit.",
    submit: plan ? "Change plan" : "Add plan",
    fields: [
      ...(plan ? [] : [{ name: "plan", label: "Name of the plan", kind: "name" as const, initial: "" }]),
      ...limitFields(plan, LIMIT_HINT),
    ],
    check(values) {
      const form = new FormReader(values);
      const planName = plan ? plan.planName : form.name("plan");
      const price = form.gen("price", 0n, "");
      const daily = form.count("daily", 0n, "");
      const monthly = form.count("monthly", 0n, "");
      const next: Plan = { planName, costPerCallWei: price, dailyLimitCalls: daily, monthlyLimitCalls: monthly };
      if (!form.errors["price"] && price === 0n && daily === 0n && monthly === 0n) form.fail("daily", "A free plan needs a limit.");
      if (!plan && api.plans.some((each) => each.planName === planName)) form.fail("plan", "There is such a plan: change that one.");
      if (!plan && api.plans.length >= MAX_PER_API) form.fail("plan", `An API has at most ${MAX_PER_API} plans.`);
      if (plan && samePlan(plan, next)) form.fail("price", "Nothing would change.");
      return form.result(() => ({
        effects: plan ? planEffects(plan, next) : ["Nobody is on this plan yet: nobody is affected."],
        call: {
          method: "set_plan", args: [api.apiName, planName, price, daily, monthly], valueWei: 0n,
          title: `${plan ? "Change" : "Add"} plan ${planName} of ${api.apiName}`,
        },
      }));
    },
  };
}

const samePlan = (a: Plan, b: Plan): boolean =>
  a.costPerCallWei === b.costPerCallWei && a.dailyLimitCalls === b.dailyLimitCalls && a.monthlyLimitCalls === b.monthlyLimitCalls;

/** What a change means to those who are on the plan now. */
export function planEffects(before: Plan, after: Plan): string[] {
  const effects: string[] = [];
  const [was, will] = [before.costPerCallWei, after.costPerCallWei];
  if (will > was) {
    effects.push(
      `The price rises from ${gen(was)} to ${gen(will)} a call. Subscribers who accepted less are not charged more: each of their ` +
        "calls is refused with “price changed” until they subscribe again.",
      "What your meter settles is still billed at the price they accepted, at most.",
    );
  }
  if (will < was) {
    effects.push(
      `The price falls from ${gen(was)} to ${gen(will)} a call, for all subscribers from the next call on. Nobody has to accept it.`,
      "What your meter settles may still cost up to the price that was accepted: charge the lower one there yourself.",
    );
  }
  for (const [period, old, fresh] of [
    ["day", before.dailyLimitCalls, after.dailyLimitCalls],
    ["month", before.monthlyLimitCalls, after.monthlyLimitCalls],
  ] as const) {
    if (old === fresh) continue;
    const isTighter = fresh !== 0n && (old === 0n || fresh < old);
    effects.push(
      `The limit changes from ${limitText(old, period)} to ${limitText(fresh, period)}, at once and for this ${period} too.` +
        (isTighter ? ` Who has made ${number(fresh)} calls or more this ${period} gets no further one.` : ""),
    );
  }
  return effects;
}

export function setActive(api: Api): Action {
  const { apiName } = api;
  return api.active
    ? {
        title: `Pause ${apiName}`,
        intro: "For maintenance, or before it ends.",
        submit: "Pause API",
        isDangerous: true,
        fields: [],
        check: () => ({
          errors: {},
          effects: [
            "Every call is refused with “API paused” until you resume it.",
            "Past usage can be settled all the same. Credit, holds and subscriptions stay as they are.",
          ],
          call: { method: "set_api_active", args: [apiName, false], valueWei: 0n, title: `Pause ${apiName}` },
        }),
      }
    : {
        title: `Resume ${apiName}`,
        intro: "Calls are billed again.",
        submit: "Resume API",
        fields: [],
        check: () => ({
          errors: {},
          effects: ["Subscribers can make calls again at once."],
          call: { method: "set_api_active", args: [apiName, true], valueWei: 0n, title: `Resume ${apiName}` },
        }),
      };
}

export function allowMeter(api: Api): Action {
  return {
    title: `Allow a meter for ${api.apiName}`,
    intro: "A meter is an address that may report usage of this API.",
    submit: "Allow meter",
    fields: [{ name: "meter", label: "Address of the meter", kind: "address", initial: "" }],
    check(values) {
      const form = new FormReader(values);
      const meter = form.address("meter");
      if (api.meters.includes(meter)) form.fail("meter", "This meter is allowed already.");
      if (api.meters.length >= MAX_PER_API) form.fail("meter", "64 meters are the most: forbid one first.");
      return form.result(() => ({
        effects: [
          `${shortAddress(meter)} can bill subscribers of ${api.apiName}, within what they accepted, and post settlements.`,
          "It cannot move your earnings.",
        ],
        call: { method: "set_meter", args: [api.apiName, meter, true], valueWei: 0n, title: `Allow meter ${shortAddress(meter)} for ${api.apiName}` },
      }));
    },
  };
}

export function forbidMeter(api: Api, meter: string): Action {
  return {
    title: `Forbid a meter of ${api.apiName}`,
    intro: meter,
    submit: "Forbid meter",
    isDangerous: true,
    fields: [],
    check: () => ({
      errors: {},
      effects: ["It can report no more usage. What it has not settled yet, another meter or you can."],
      call: { method: "set_meter", args: [api.apiName, meter, false], valueWei: 0n, title: `Forbid meter ${shortAddress(meter)} of ${api.apiName}` },
    }),
  };
}

/** ``inTheWay``: why nobody could accept it now; empty where nothing is. */
export function handOver(api: Api, own: string, inTheWay = ""): Action {
  return {
    title: `Hand over ${api.apiName}`,
    intro: "In two steps: you propose somebody, and that account accepts.",
    submit: "Propose operator",
    isDangerous: true,
    fields: [{ name: "operator", label: "New operator", kind: "address", initial: "" }],
    check(values) {
      const form = new FormReader(values);
      const operator = form.address("operator");
      if (operator === own) form.fail("operator", "You are its operator already.");
      return form.result(() => ({
        effects: [
          ...(inTheWay ? [`It cannot be accepted yet: ${inTheWay}`] : []),
          `Nothing changes until ${shortAddress(operator)} accepts. A later proposal replaces this one.`,
          "Then all that is earned from there on is theirs, they set plans, and your meters end. What you earned before stays yours.",
        ],
        call: { method: "propose_operator", args: [api.apiName, operator], valueWei: 0n, title: `Propose ${shortAddress(operator)} as operator of ${api.apiName}` },
      }));
    },
  };
}

export function acceptApi(api: Api): Action {
  return {
    title: `Take over ${api.apiName}`,
    intro: `${shortAddress(api.operator)} offers it to you.`,
    submit: "Take over",
    fields: [],
    check: () => ({
      errors: {},
      effects: [
        "You become its operator: you set plans, and earn what is billed from then on.",
        "Its meters end: allow your own. Earlier earnings stay with the former operator.",
      ],
      call: { method: "accept_operator", args: [api.apiName], valueWei: 0n, title: `Take over ${api.apiName}` },
    }),
  };
}

/** Of one consumer; its hold is what secures usage that is not settled yet. `signedWei`: known to be signed in its session, and not billed. */
export function releaseHoldOf(apiName: string, consumer: Subscriber, now: number, signedWei = 0n): Action {
  const { holdWei, holdExpiresAt, signer } = consumer;
  return {
    title: `Release the hold of ${shortAddress(consumer.consumer)}`,
    intro: now < holdExpiresAt ? `${gen(holdWei)} for ${apiName}, in force until ${momentText(holdExpiresAt)}.` : `${gen(holdWei)} for ${apiName}; it ended ${momentText(holdExpiresAt)}.`,
    submit: "Release hold",
    isDangerous: true,
    fields: [],
    check: () => ({
      errors: {},
      effects: [
        `${gen(holdWei)} become free credit of the consumer.`,
        ...(now < holdExpiresAt ? [`Nothing secures what is not settled yet. Settle it first${signer ? ": vouchers of a session are paid from its hold only" : ""}.`] : []),
        ...(signedWei > 0n ? [`${gen(signedWei)} are signed and not billed yet, as far as they were settled.`] : []),
      ],
      call: { method: "release_hold", args: [apiName, consumer.consumer], valueWei: 0n, title: `Release the hold of ${shortAddress(consumer.consumer)} on ${apiName}` },
    }),
  };
}
