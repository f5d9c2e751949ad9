// What a consumer can do.
import { shortAddress } from "../domain/names";
import type { Api, Plan, ApiUsage, UsageReport } from "../domain/answers";
import { editableGen, shortGen } from "../domain/amounts";
import { DAY_SECONDS, momentText, toFieldValue } from "../domain/time";
import { FormReader, gen, limitText, type Action } from "./action";

const MAX_HOLD_SECONDS = 366 * DAY_SECONDS;
const ENTER_MORE = "Enter more than 0.";

export const isHoldInForce = (line: ApiUsage | undefined, now: number): boolean =>
  line !== undefined && line.holdWei > 0n && now < line.holdExpiresAt;

/** What the consumer's calls cost: each, and in a month at the present rate; 0 where nothing says so. */
export interface Costs {
  callWei: bigint;
  monthWei: bigint;
}

/** Anyone may top up anyone; what arrives belongs to the consumer. */
export function topUp(own: string, consumer: string, costs: Costs = { callWei: 0n, monthWei: 0n }): Action {
  return {
    title: "Top up credit",
    intro: "Anybody can top up anybody. The GEN leave your account and become credit of the consumer.",
    submit: "Top up",
    fields: [
      {
        name: "amount", label: "Amount", kind: "gen", initial: "", max: "balance", priceWei: costs.callWei, priceName: "the present mix",
        ...(costs.monthWei > 0n ? { hint: `30 days cost about ${shortGen(costs.monthWei)} GEN at the present rate.` } : {}),
      },
      { name: "consumer", label: "Consumer", kind: "address", initial: consumer },
    ],
    check(values) {
      const form = new FormReader(values);
      const to = form.address("consumer");
      const amount = form.gen("amount", 1n, ENTER_MORE);
      const isOwn = to === own;
      return form.result(() => ({
        effects: [
          `${gen(amount)} leave your account and become ${isOwn ? "your credit" : `credit of ${shortAddress(to)}`}.`,
          isOwn
            ? "Free credit can be withdrawn at any time."
            : "Only the consumer can withdraw it: you cannot take it back.",
          `The low-credit alert counts from the new total${isOwn ? "" : ", if that is more than it counted from"}.`,
        ],
        call: isOwn
          ? { method: "top_up_credit", args: [amount], valueWei: amount, title: `Top up ${gen(amount)}` }
          : { method: "top_up_for", args: [to, amount], valueWei: amount, title: `Top up ${gen(amount)} for ${shortAddress(to)}` },
      }));
    },
  };
}

export function withdraw(creditWei: bigint): Action {
  return {
    title: "Withdraw credit",
    intro: `${gen(creditWei)} are free. What is on hold cannot be withdrawn.`,
    submit: "Withdraw",
    fields: [{ name: "amount", label: "Amount", kind: "gen", initial: "", max: creditWei }],
    check(values) {
      const form = new FormReader(values);
      const amount = form.gen("amount", 1n, ENTER_MORE);
      if (amount > creditWei) form.fail("amount", `Only ${gen(creditWei)} are free.`);
      return form.result(() => ({
        effects: [
          `${gen(amount)} leave your credit at once, and arrive in your account when the transaction is final.`,
          `${gen(creditWei - amount)} of free credit remain.`,
        ],
        call: { method: "withdraw_credit", args: [amount], valueWei: 0n, title: `Withdraw ${gen(amount)}` },
      }));
    },
  };
}

export function alertLevel(percent: number, toppedUpWei: bigint): Action {
  return {
    title: "Low-credit alert",
    intro: "You are told once when credit and holds fall to this share of what they were after the last top-up.",
    submit: "Set alert level",
    fields: [{ name: "percent", label: "Percent", kind: "count", initial: String(percent), hint: "0 turns the alert off." }],
    check(values) {
      const form = new FormReader(values);
      const chosen = form.count("percent", 0n, "");
      if (chosen > 100n) form.fail("percent", "Choose 0 to 100.");
      return form.result(() => ({
        effects: [
          chosen === 0n
            ? "There will be no alert."
            : `The alert comes at ${gen((toppedUpWei * chosen) / 100n)} or less, counted from ${gen(toppedUpWei)} after the last top-up.`,
        ],
        call: { method: "set_low_credit_alert", args: [chosen], valueWei: 0n, title: `Low-credit alert at ${chosen} %` },
      }));
    },
  };
}

export const planText = ({ planName, costPerCallWei, dailyLimitCalls, monthlyLimitCalls }: Plan): string =>
  [
    `${planName}: ${costPerCallWei ? `${gen(costPerCallWei)} a call` : "free"}`,
    ...(dailyLimitCalls ? [limitText(dailyLimitCalls, "day")] : []),
    ...(monthlyLimitCalls ? [limitText(monthlyLimitCalls, "month")] : []),
  ].join(", ");

/** Subscribe, change plan or cap, or accept a new price: for the contract they are the same. */
export function subscribe(api: Api, report: UsageReport | undefined, now: number, chosen?: string): Action {
  const line = report?.apis.find((each) => each.apiName === api.apiName);
  const isSubscribed = line?.subscribed === true;
  const isHeld = isHoldInForce(line, now);
  const plan = api.plans.find((each) => each.planName === (chosen ?? line?.planName)) ?? api.plans[0];
  const cap = line && line.consumerMaxDailySpendWei > 0n ? line.consumerMaxDailySpendWei : (plan?.costPerCallWei ?? 0n) * 100n;
  return {
    title: isSubscribed ? `Change subscription to ${api.apiName}` : `Subscribe to ${api.apiName}`,
    intro: isSubscribed
      ? "Choose plan and daily cap again. Doing so accepts the plan's price of now."
      : "You accept the price of one plan, and set what may be spent a day. You can change or end it at any time.",
    submit: isSubscribed ? "Change subscription" : "Subscribe",
    views: ["list_apis"],
    fields: [
      {
        name: "plan", label: "Plan", kind: "choice", initial: plan?.planName ?? "",
        choices: api.plans.map((each) => ({ value: each.planName, label: planText(each) })),
        ...(isHeld ? { hint: `A hold is in force until ${momentText(line?.holdExpiresAt ?? 0)}: the plan stays until then.` } : {}),
      },
      {
        name: "cap", label: "Daily cap", kind: "gen", initial: cap > 0n ? editableGen(cap) : "",
        hint: "Calls beyond it are refused, whatever the plan allows.",
      },
      { name: "deposit", label: "Deposit with it", kind: "gen", initial: "", hint: "Optional. It becomes credit for all your APIs." },
    ],
    check(values) {
      const form = new FormReader(values);
      const wanted = api.plans.find((each) => each.planName === form.text("plan"));
      const max = form.gen("cap", 1n, ENTER_MORE);
      const deposit = form.gen("deposit", 0n, "", 0n);
      if (!wanted) form.fail("plan", "Choose a plan.");
      if (isHeld && line) {
        if (wanted?.planName !== line.planName) form.fail("plan", "The plan cannot change while a hold is in force.");
        if (max < line.consumerMaxDailySpendWei) form.fail("cap", "The cap cannot be lowered while a hold is in force.");
      }
      return form.result(() => ({
        effects: subscribeEffects(api, wanted as Plan, max, deposit, report, line, isHeld),
        call: {
          method: "subscribe", valueWei: deposit,
          args: [api.apiName, max, deposit, (wanted as Plan).planName, priceBound(wanted as Plan)],
          title: `${isSubscribed ? "Change subscription to" : "Subscribe to"} ${api.apiName} (${(wanted as Plan).planName})`,
        },
      }));
    },
  };
}

/** The same call: the plan stays, and the cap alone is asked for. */
export function changeCap(api: Api, report: UsageReport, line: ApiUsage, now: number): Action {
  const whole = subscribe(api, report, now);
  return {
    ...whole,
    title: `Daily cap for ${api.apiName}`,
    intro: `${gen(line.consumerMaxDailySpendWei)} may be spent a day; ${gen(line.spendTodayWei)} are spent today. The plan stays ${line.planName}.`,
    submit: "Set cap",
    fields: whole.fields.filter(({ name }) => name === "cap"),
    check: ({ cap = "" }) => whole.check({ plan: line.planName, cap }),
  };
}

/** The price that was shown, should it have risen meanwhile. 0 would be no bound at all: of a free plan the least there is. */
export const priceBound = (plan: Plan): bigint => (plan.costPerCallWei > 0n ? plan.costPerCallWei : 1n);

function subscribeEffects(
  api: Api, plan: Plan, cap: bigint, deposit: bigint, report: UsageReport | undefined, line: ApiUsage | undefined, isHeld: boolean,
): string[] {
  const price = plan.costPerCallWei;
  const accepted = isHeld && line && line.acceptedPriceWei > price ? line.acceptedPriceWei : price;
  const credit = report && report.creditBalanceWei + deposit;
  return [
    price === 0n ? "You accept that calls are free." : `You accept ${gen(accepted)} a call. If the price rises, calls are refused until you accept it.`,
    ...(isHeld && accepted > price ? ["While your hold is in force, what you accepted for it stays accepted."] : []),
    `At most ${gen(cap)} a day are spent on ${api.apiName}.`,
    ...(price > cap ? ["The cap is below the price of one call: every call would be refused."] : []),
    ...(deposit > 0n ? [`${gen(deposit)} leave your account and become credit.`] : []),
    ...(credit !== undefined && credit < price ? [`Your credit of ${gen(credit)} does not cover one call yet: top up too.`] : []),
    ...(api.active ? [] : ["The operator has paused this API: no call is billed until it is resumed."]),
  ];
}

export function unsubscribe(line: ApiUsage, now: number): Action {
  const hold = line.holdWei === 0n ? [] : isHoldInForce(line, now)
    ? [`${gen(line.holdWei)} stay on hold until ${momentText(line.holdExpiresAt)}, for usage that is still to be settled.`]
    : [`${gen(line.holdWei)} on hold become free credit again.`];
  return {
    title: `End subscription to ${line.apiName}`,
    intro: "Your credit and what you used so far stay as they are.",
    submit: "End subscription",
    isDangerous: true,
    fields: [],
    check: () => ({
      errors: {},
      effects: ["No more calls are billed from your free credit.", ...hold],
      call: { method: "unsubscribe", args: [line.apiName], valueWei: 0n, title: `End subscription to ${line.apiName}` },
    }),
  };
}

export function placeHold(line: ApiUsage, creditWei: bigint, now: number): Action {
  const isMore = isHoldInForce(line, now);
  // One that has ended is released first, into free credit, and a new one begins.
  const heldWei = isMore ? line.holdWei : 0n;
  const freeWei = creditWei + line.holdWei - heldWei;
  const earliest = isMore ? line.holdExpiresAt : 0;
  const suggested = earliest || (Math.floor(now / DAY_SECONDS) + 30) * DAY_SECONDS;
  return {
    title: isMore ? `Raise or prolong the hold for ${line.apiName}` : `Place a hold for ${line.apiName}`,
    intro: "A hold sets credit aside for what this API settles in batches. It cannot be taken back before it ends.",
    submit: isMore ? "Change hold" : "Place hold",
    fields: [
      {
        name: "amount", label: isMore ? "Add to the hold" : "Amount", kind: "gen", initial: "",
        hint: isMore ? `${gen(heldWei)} are on hold already; leave empty to prolong only.` : `${gen(freeWei)} are free.`,
        max: freeWei, priceWei: line.costPerCallWei, priceName: line.apiName,
      },
      { name: "until", label: "Ends (UTC)", kind: "moment", initial: toFieldValue(suggested) },
    ],
    check(values) {
      const form = new FormReader(values);
      const amount = form.gen("amount", isMore ? 0n : 1n, ENTER_MORE, isMore ? 0n : undefined);
      const end = holdEnd(form, now, earliest);
      if (isMore && amount === 0n && end === earliest) form.fail("amount", "Enter an amount, or a later end.");
      if (amount > freeWei) form.fail("amount", `Only ${gen(freeWei)} are free.`);
      return form.result(() => ({
        effects: [
          ...(amount > 0n ? [`${gen(amount)} of your free credit are set aside: ${gen(heldWei + amount)} on hold for ${line.apiName}.`] : []),
          `Until ${momentText(end)} you cannot withdraw it, change the plan or lower the cap. The operator can release it earlier.`,
        ],
        call: { method: "place_hold", args: [line.apiName, amount, end], valueWei: 0n, title: `Hold ${gen(heldWei + amount)} for ${line.apiName}` },
      }));
    },
  };
}

/** What the field `until` says. ``earliest``: when a hold that is in force ends, 0 for none. */
export function holdEnd(form: FormReader, now: number, earliest: number): number {
  const until = form.moment("until", now, now + MAX_HOLD_SECONDS, "A hold lasts 366 days at most.");
  // The field knows minutes only; a hold that ends within one of them is not cut short by the rest.
  const end = until < earliest && earliest - until < 60 ? earliest : until;
  if (end < earliest) form.fail("until", `The hold cannot end before ${momentText(earliest)}.`);
  return end;
}

export function releaseHold(line: ApiUsage): Action {
  return {
    title: `Release the hold for ${line.apiName}`,
    intro: "The hold has ended.",
    submit: "Release hold",
    fields: [],
    check: () => ({
      errors: {},
      effects: [`${gen(line.holdWei)} become free credit again.`],
      call: { method: "release_hold", args: [line.apiName, ""], valueWei: 0n, title: `Release the hold for ${line.apiName}` },
    }),
  };
}
