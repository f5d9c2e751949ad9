// What an operator promises: how long earnings wait, and what a court can give back of them.
import type { Promise as ApiPromise } from "../domain/answers";
import { shortAddress } from "../domain/names";
import { isPromised, promiseFrom } from "../domain/operating";
import { dayText } from "../domain/time";
import { FormReader, number, type Action } from "./action";

const MAX_TERMS = 2_000;
const [LEAST_DAYS, MOST_DAYS] = [3, 14];
const NO_HAND_OVER = "While a promise is or will be in force, or anything waits, the API cannot be handed over.";

const inWords = (court: string, days: number | bigint, percent: number | bigint): string =>
  `earnings of a day wait ${days} days, in which the court ${shortAddress(court)} can give back up to ${percent} % of what a consumer paid`;

/** ``inForce``: what is promised for today. With a change ahead there is nothing to set. */
export function setPromise(apiName: string, inForce: ApiPromise, today: number, court: string): Action {
  const isChange = isPromised(inForce);
  const from = promiseFrom(inForce, today);
  return {
    title: isChange ? `Change the promise of ${apiName}` : `Promise something for ${apiName}`,
    intro: isChange
      ? `What holds today holds until ${dayText(from - 1)}: what was earned under it must be able to mature first.`
      : "Consumers can rely on it: for days that it covers, a court decides in a dispute.",
    submit: isChange ? "Change the promise" : "Promise",
    isDangerous: true,
    fields: [
      { name: "court", label: "Court", kind: "address", initial: inForce.court || court, hint: "A contract that judges disputes. It may give back all that you allow below." },
      { name: "days", label: "Days that earnings wait", kind: "count", initial: String(inForce.payoutDays || 7), hint: `${LEAST_DAYS} to ${MOST_DAYS}. A day can be disputed from two days after it.` },
      { name: "percent", label: "Percent that can be given back", kind: "count", initial: String(inForce.maxRefundPercent || 100), hint: "1 to 100, of what one consumer paid on one day." },
      { name: "terms", label: "Terms", kind: "text", initial: inForce.terms, maxLength: MAX_TERMS, hint: "What you promise, in plain words: judges read it." },
      { name: "status", label: "Status page", kind: "url", initial: inForce.statusUrl, hint: "Read as evidence in a dispute; may be empty." },
    ],
    check(values) {
      const form = new FormReader(values);
      const address = form.address("court");
      const days = form.count("days", BigInt(LEAST_DAYS), `At least ${LEAST_DAYS} days.`);
      const percent = form.count("percent", 1n, "At least 1 percent.");
      const terms = form.words("terms", MAX_TERMS, "Say what you promise.");
      const status = form.page("status");
      if (days > BigInt(MOST_DAYS)) form.fail("days", `At most ${MOST_DAYS} days.`);
      if (percent > 100n) form.fail("percent", "At most 100 percent.");
      const isSame = address === inForce.court && Number(days) === inForce.payoutDays && Number(percent) === inForce.maxRefundPercent
        && terms === inForce.terms && status === inForce.statusUrl;
      if (isSame) form.fail("court", "Nothing would change.");
      return form.result(() => ({
        effects: [
          ...(isChange ? [`Until ${dayText(from - 1)}, as now: ${inWords(inForce.court, inForce.payoutDays, inForce.maxRefundPercent)}.`] : []),
          `From ${dayText(from)} on: ${inWords(address, days, percent)}. What is earned on ${dayText(from)} can be collected from ${dayText(from + Number(days) + 1)} on.`,
          ...(isChange ? [] : ["What was earned before is not touched."]),
          `Until ${dayText(from)} it cannot be changed or ended, and later only with ${number(days + 1n)} days' notice. ${NO_HAND_OVER}`,
        ],
        call: { method: "set_promise", args: [apiName, address, Number(days), Number(percent), terms, status], valueWei: 0n, title: `${isChange ? "Change" : "Set"} the promise of ${apiName}` },
      }));
    },
  };
}

export function endPromise(apiName: string, inForce: ApiPromise, today: number): Action {
  const from = promiseFrom(inForce, today);
  return {
    title: `End the promise of ${apiName}`,
    intro: `It stays in force until ${dayText(from - 1)}.`,
    submit: "End the promise",
    isDangerous: true,
    fields: [],
    check: () => ({
      errors: {},
      effects: [
        `Until ${dayText(from - 1)}, as now: ${inWords(inForce.court, inForce.payoutDays, inForce.maxRefundPercent)}.`,
        `From ${dayText(from)} on nothing is promised, and what is earned can be withdrawn at once. What waits until then matures as promised.`,
      ],
      call: { method: "set_promise", args: [apiName, "", 0, 0, "", ""], valueWei: 0n, title: `End the promise of ${apiName}` },
    }),
  };
}
