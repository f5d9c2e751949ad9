// What an operator does with what it earned: withdraw, collect what has matured, give back.
import { editableGen } from "../domain/amounts";
import type { PaidDay } from "../domain/answers";
import { isAddress, shortAddress } from "../domain/names";
import { dayText } from "../domain/time";
import { FormReader, gen, type Action } from "./action";

const ENTER_MORE = "Enter more than 0.";
const MAX_REASON = 200;
/** As Python has it: a space is the one separator that is printed. */
const UNPRINTABLE = /(?! )[\p{C}\p{Z}]/u;

export function withdrawEarnings(earningsWei: bigint): Action {
  return {
    title: "Withdraw earnings",
    intro: `${gen(earningsWei)} can be withdrawn.`,
    submit: "Withdraw",
    fields: [
      { name: "amount", label: "Amount", kind: "gen", initial: editableGen(earningsWei), max: earningsWei },
      { name: "to", label: "To another account", kind: "address", initial: "", hint: "Empty: to the operator's own. A contract cannot be paid this way: what is sent to one is lost." },
    ],
    check(values) {
      const form = new FormReader(values);
      const amount = form.gen("amount", 1n, ENTER_MORE);
      const to = form.text("to") && form.address("to");
      if (amount > earningsWei) form.fail("amount", `Only ${gen(earningsWei)} can be withdrawn.`);
      return form.result(() => ({
        effects: [`${gen(amount)} leave your earnings at once, and arrive in ${to ? shortAddress(to) : "your account"} when the transaction is final.`],
        call: { method: "withdraw_earnings", args: isAddress(to) ? [amount, to] : [amount], valueWei: 0n, title: `Withdraw ${gen(amount)} of earnings` },
      }));
    },
  };
}

export function collectEarnings(apiName: string, maturedWei: bigint): Action {
  return {
    title: `Collect what ${apiName} earned`,
    intro: "These earnings have waited as long as was promised.",
    submit: "Collect",
    fields: [],
    check: () => ({
      errors: {},
      effects: [`${gen(maturedWei)} can be withdrawn from then on, and no court can give them back any more.`],
      call: { method: "collect_earnings", args: [apiName], valueWei: 0n, title: `Collect ${gen(maturedWei)} of ${apiName}` },
    }),
  };
}

/** From where a refund comes: what can be withdrawn, or what a consumer paid on a day whose earnings still wait. */
export type RefundSource = { withdrawableWei: bigint } | { day: PaidDay };

export const refundableWei = (source: RefundSource): bigint =>
  "day" in source ? (source.day.frozenAt ? 0n : source.day.paidWei - source.day.refundedWei) : source.withdrawableWei;

export function refund(apiName: string, consumer: string, source: RefundSource): Action {
  const most = refundableWei(source);
  const day = "day" in source ? source.day : null;
  return {
    title: `Refund ${shortAddress(consumer)}`,
    intro: day
      ? `${gen(day.paidWei)} were paid for ${apiName} on ${dayText(day.dayId)}${day.refundedWei ? `, ${gen(day.refundedWei)} of them refunded` : ""}. These earnings still wait.`
      : `For ${apiName}, from the ${gen(most)} that you can withdraw.`,
    submit: "Refund",
    isDangerous: true,
    views: ["get_earnings", "get_paid_day"],
    fields: [
      { name: "amount", label: "Amount", kind: "gen", initial: "", max: most },
      { name: "reason", label: "Reason", kind: "text", initial: "", maxLength: MAX_REASON, hint: "One line; may be empty. It is public for ever, in this transaction; the consumer's notice has only the amount." },
    ],
    check(values) {
      const form = new FormReader(values);
      const amount = form.gen("amount", 1n, ENTER_MORE);
      const reason = form.words("reason", MAX_REASON);
      if (amount > most) form.fail("amount", day ? `At most ${gen(most)}: what was paid that day and is not given back.` : `Only ${gen(most)} can be withdrawn.`);
      if (UNPRINTABLE.test(reason)) form.fail("reason", "Write it on one line.");
      return form.result(() => ({
        effects: [
          `${gen(amount)} become free credit of ${shortAddress(consumer)}, which can be used or withdrawn at once. You cannot take them back.`,
          day
            ? `They come from what waits of ${dayText(day.dayId)}; what you can withdraw stays as it is.`
            : `They come from what you can withdraw: ${gen(most - amount)} remain.`,
          "The consumer gets a notice. Counted calls, caps and limits stay as they are.",
        ],
        call: { method: "refund", args: [apiName, consumer, amount, reason, ...(day ? [day.dayId] : [])], valueWei: 0n, title: `Refund ${gen(amount)} to ${shortAddress(consumer)}` },
      }));
    },
  };
}
