// What can be done at a court: open a dispute, have it judged, close it.
import type { Court, Dispute, DisputeHead, PaidDay, Promise } from "../domain/answers";
import { editableGen } from "../domain/amounts";
import { MAX_CLAIM, refundAtMost } from "../domain/dispute";
import { dateOfDay } from "../domain/time";
import { FormReader, gen, lengthOf, number, type Action } from "./action";

const callsText = (calls: bigint): string => `${number(calls)} ${calls === 1n ? "call" : "calls"}`;

/** `isKnown`: this site names the court; any contract may be another's. `line`: a usage line that was proven; it is written below the claim. */
export function openDispute(day: PaidDay, promise: Promise, court: Court, isKnown: boolean, line = ""): Action {
  const { apiName, dayId, calls, paidWei, refundedWei } = day;
  const under = line && `\n\n${line}`;
  const most = MAX_CLAIM - lengthOf(under);
  const least = court.minBondWei;
  return {
    title: `Dispute ${dateOfDay(dayId)} of ${apiName}`,
    intro: isKnown ? "A court of language models reads your claim, your evidence and the API's status page, and decides how much of what you paid for that day comes back."
      : `${apiName} calls ${promise.court} its court, and this site does not know it: nobody here can say what that does with a claim, or with a bond.`,
    submit: "Open dispute", isDangerous: !isKnown,
    fields: [
      { name: "claim", label: "What was not as promised", kind: "text", initial: "", maxLength: most, hint: "With times in UTC. Everybody can read it." },
      { name: "evidence", label: "Page that shows it", kind: "url", initial: "", hint: "Optional, https. Each judge opens it for itself: it has to be public, and text." },
      { name: "bond", label: "Bond", kind: "gen", initial: isKnown ? editableGen(least) : "", hint: `At least ${gen(least)}.` },
    ],
    check(values) {
      const form = new FormReader(values);
      const claim = form.words("claim", most, "Say what was not as promised.");
      const evidence = form.page("evidence");
      const bond = form.gen("bond", least, `The court wants ${gen(least)} at least.`, least === 0n ? 0n : undefined);
      const refund = refundAtMost(paidWei, refundedWei, promise);
      return form.result(() => ({
        effects: [
          `What you paid on that day, ${gen(paidWei - refundedWei)} for ${callsText(calls)}, is frozen: the operator cannot have it before the dispute has ended.`,
          `At most ${gen(refund)} come back, ${promise.maxRefundPercent} % as promised for that day. A refund becomes your credit.`,
          ...(bond > 0n ? [isKnown ? `${gen(bond)} leave your account as a bond. They become your credit if anything is refunded; if nothing is, they go to the operator.`
            : `${gen(bond)} leave your account and go to ${promise.court}, which ${apiName} calls its court and this site does not know: it may keep them.`] : []),
          ...(line ? ["The usage line that you proved is written below your claim."] : []),
          "When this is final, anyone can have it judged. A day can be disputed once.",
        ],
        call: {
          to: promise.court, method: "open_dispute", args: [apiName, dayId, claim + under, evidence], valueWei: bond,
          title: `Dispute ${dateOfDay(dayId)} of ${apiName}`,
        },
      }));
    },
  };
}

export function judgeDispute(dispute: Dispute, day: PaidDay, promise: Promise, court: string): Action {
  const { disputeId, apiName, bondWei, evidenceUrl, paidWei } = dispute;
  const pages = [...(evidenceUrl ? ["the evidence"] : []), ...(promise.statusUrl ? ["the status page"] : [])];
  return {
    title: `Have dispute ${disputeId} judged`,
    intro: `About ${dateOfDay(dispute.dayId)} of ${apiName}. Anyone may ask for the verdict; who asks decides nothing.`,
    submit: "Have it judged",
    fields: [],
    check: () => ({
      errors: {},
      effects: [
        `The leader and each validator ${pages.length ? `open ${pages.join(" and ")} and ask` : "ask"} a language model, each its own. It takes longer than other transactions.`,
        `They agree on 0, 25, 50, 75 or 100 % of ${gen(paidWei)}; at most ${gen(refundAtMost(paidWei, day.refundedWei, promise))} are refunded, to the consumer's credit. The rest goes to the operator.`,
        ...(bondWei > 0n ? [`The bond of ${gen(bondWei)} goes to the consumer if anything is refunded, else to the operator.`] : []),
        "Money moves when the verdict is final. Without a verdict nothing changes, and it can be asked for again.",
      ],
      call: { to: court, method: "judge", args: [disputeId], valueWei: 0n, title: `Judge dispute ${disputeId} of ${apiName}` },
    }),
  };
}

export function closeDispute({ disputeId, apiName, bondWei, dayId }: DisputeHead, court: string): Action {
  return {
    title: `Close dispute ${disputeId}`,
    intro: `About ${dateOfDay(dayId)} of ${apiName}. It ends without a verdict.`,
    submit: "Close dispute",
    fields: [],
    check: () => ({
      errors: {},
      effects: [
        ...(bondWei > 0n ? [`The bond of ${gen(bondWei)} goes back to the consumer, as credit.`] : []),
        "What is frozen of that day goes to the operator; nothing is refunded.",
      ],
      call: { to: court, method: "close_dispute", args: [disputeId], valueWei: 0n, title: `Close dispute ${disputeId} of ${apiName}` },
    }),
  };
}
