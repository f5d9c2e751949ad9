// What is left of a subscription: the contract's own rule for a call (`quote_call`), and what a hold pays besides.
import type { ApiUsage, UsageReport } from "./answers";
import { monthOf } from "./history";
import { dayOf, DAY_SECONDS } from "./time";

/** The codes of `quote_call`, in the order in which the contract asks. */
export const QUOTE_CODES = [
  "api_paused", "not_subscribed", "price_changed", "daily_limit_exceeded", "monthly_limit_exceeded", "daily_spend_exceeded", "insufficient_credit",
] as const;
export type QuoteCode = (typeof QUOTE_CODES)[number];

export interface Left {
  /** So many calls can be billed from free credit; none while `stops`. */
  calls: bigint;
  /** What these cost. */
  wei: bigint;
  /** What refuses the next one. */
  code: QuoteCode;
}

/** What a day counts at most, where the plan has no limit. */
const MAX_CALLS = 2n ** 48n - 1n;
const payable = (wei: bigint, price: bigint): bigint => (price > 0n ? wei / price : MAX_CALLS);
const atLeast0 = (count: bigint): bigint => (count > 0n ? count : 0n);

/** How many calls plan and cap leave, each with the code that comes after. */
function bounds(line: ApiUsage, price: bigint): [bigint, QuoteCode][] {
  const { consumerMaxDailySpendWei: cap, spendTodayWei: spent } = line;
  return [
    [(line.apiDailyLimitCalls || MAX_CALLS) - line.callsToday, "daily_limit_exceeded"],
    [(line.apiMonthlyLimitCalls || MAX_CALLS) - line.callsMonth, "monthly_limit_exceeded"],
    [spent > cap ? 0n : payable(cap - spent, price), "daily_spend_exceeded"],
  ];
}

/** The least of the bounds, the first of those that are equal: what the contract would name. */
function least(price: bigint, all: readonly [bigint, QuoteCode][]): Left {
  const [calls, code] = all.map(([bound, of]) => [atLeast0(bound), of] as const).reduce((found, each) => (each[0] < found[0] ? each : found));
  return { calls, wei: calls * price, code };
}

/** Calls that the consumer can make now, paid from free credit. A hold pays none of them. */
export function leftOf(line: ApiUsage, creditWei: bigint): Left {
  const none = (code: QuoteCode): Left => ({ calls: 0n, wei: 0n, code });
  if (!line.active) return none("api_paused");
  if (!line.subscribed) return none("not_subscribed");
  if (line.costPerCallWei > line.acceptedPriceWei) return none("price_changed");
  const price = line.costPerCallWei;
  return least(price, [...bounds(line, price), [payable(creditWei, price), "insufficient_credit"]]);
}

/** Then waiting for midnight does not help. */
export const isCapBelowCall = (line: ApiUsage): boolean => line.costPerCallWei > line.consumerMaxDailySpendWei;

/** Metered use that is settled later: what pays it, and for how many calls. */
export interface Metered {
  /** A session is a hold with a signer; what has ended is still to be released. */
  kind: "hold" | "session" | "ended";
  wei: bigint;
  until: number;
  /** What the hold alone pays, of what is signed where that is known, within plan and cap. */
  calls: bigint;
  /** What allows no more of them. */
  binds: QuoteCode | "hold" | "signed";
}

/** ``signedWei``: what is signed and not billed yet, where that binds. */
export function meteredOf(line: ApiUsage, now: number, signedWei = line.holdWei): Metered | null {
  if (line.holdWei === 0n) return null;
  const about = { wei: line.holdWei, until: line.holdExpiresAt };
  if (now >= line.holdExpiresAt) return { ...about, kind: "ended", calls: 0n, binds: "hold" };
  const price = line.costPerCallWei < line.acceptedPriceWei ? line.costPerCallWei : line.acceptedPriceWei;
  const isSignedLess = signedWei < line.holdWei;
  const { calls, code } = least(price, [...bounds(line, price), [payable(isSignedLess ? signedWei : line.holdWei, price), "insufficient_credit"]]);
  return { ...about, kind: line.signer ? "session" : "hold", calls, binds: code !== "insufficient_credit" ? code : isSignedLess ? "signed" : "hold" };
}

/** Then the session bills the calls: that no credit is free stops none. */
export const isPaidBySession = ({ calls, code }: Left, metered: Metered | null): boolean =>
  calls === 0n && code === "insufficient_credit" && metered?.kind === "session" && metered.calls > 0n;

/** The report as it has to be read at another time: after midnight a day has begun of which it knows nothing. */
export function reportAt(report: UsageReport, now: number): UsageReport {
  const today = dayOf(now);
  if (today <= report.dayId) return report;
  const isNewMonth = now >= report.monthResetsAt;
  return {
    ...report, dayId: today, resetsAt: (today + 1) * DAY_SECONDS,
    monthResetsAt: isNewMonth ? (monthOf(today).last + 1) * DAY_SECONDS : report.monthResetsAt,
    apis: report.apis.map((line) => {
      const callsMonth = isNewMonth ? 0n : line.callsMonth;
      const left = [[line.apiDailyLimitCalls, 0n] as const, [line.apiMonthlyLimitCalls, callsMonth] as const]
        .flatMap(([limit, used]) => (limit > 0n ? [atLeast0(limit - used)] : []));
      return {
        ...line, callsToday: 0n, spendTodayWei: 0n, callsMonth, spendMonthWei: isNewMonth ? 0n : line.spendMonthWei,
        spendLeftTodayWei: line.consumerMaxDailySpendWei,
        callsLeftToday: left.length ? left.reduce((a, b) => (b < a ? b : a)) : null,
      };
    }),
  };
}
