// A dispute: where it stands, and what can be done about it when, as contracts/usage_court.py has it.
import type { DisputeHead, PaidDay, Promise } from "./answers";
import { DAY_SECONDS, momentText } from "./time";

/** So old is a day that can no longer be settled. */
export const SETTLED_DAYS = 2;
export const MAX_CLAIM = 2_000;
const JUDGE_SECONDS = 28 * DAY_SECONDS;
const CLOSE_SECONDS = 30 * DAY_SECONDS;

/** The most that a court can give back for a day that this was paid for. */
export const refundAtMost = (paidWei: bigint, refundedWei: bigint, { maxRefundPercent }: Promise): bigint => {
  const granted = (paidWei * BigInt(maxRefundPercent)) / 100n;
  return granted > refundedWei ? granted - refundedWei : 0n;
};

export interface Standing {
  tone: "busy" | "good" | "neutral";
  label: string;
}

export const standingOf = ({ status, refundPercent }: DisputeHead): Standing => {
  if (status === "open") return { tone: "busy", label: "Open" };
  if (status !== "judged") return { tone: "neutral", label: "Closed without a verdict" };
  return refundPercent > 0 ? { tone: "good", label: `Refund of ${refundPercent} %` } : { tone: "neutral", label: "No refund" };
};

/** The account's own before the others', open ones before those that ended. */
export const inOrderFor = (account: string, disputes: readonly DisputeHead[]): DisputeHead[] => {
  const rank = ({ consumer, status }: DisputeHead): number => (consumer === account ? 0 : 2) + (status === "open" ? 0 : 1);
  return [...disputes].sort((a, b) => rank(a) - rank(b));
};

export interface Next {
  can: "judge" | "close" | null;
  text: string;
}

/** What anybody can do now about an open dispute, or when. `now` is the chain's time. */
export function nextOf({ openedAt }: DisputeHead, day: PaidDay, now: number): Next {
  const isFrozen = day.frozenWei > 0n;
  const closes = momentText(openedAt + CLOSE_SECONDS);
  if (!isFrozen && !day.pending) {
    return { can: "close", text: "Nothing could be frozen: the earnings of that day had been paid out before the opening was final. Anyone can close it; the bond goes back." };
  }
  if (now >= openedAt + CLOSE_SECONDS) return { can: "close", text: "Nobody has had it judged in time. Anyone can close it; the bond goes back." };
  if (now >= openedAt + JUDGE_SECONDS) return { can: null, text: `It was not judged in 28 days, and cannot be any more. From ${closes} on anyone can close it, and the bond goes back.` };
  if (!isFrozen) return { can: null, text: "It can be judged as soon as the opening is final and the earnings of that day are frozen." };
  return { can: "judge", text: `Anyone can have it judged until ${momentText(openedAt + JUDGE_SECONDS)}. If nobody does, nothing can be done for 2 days; from ${closes} on anyone can close it, and the bond goes back.` };
}
