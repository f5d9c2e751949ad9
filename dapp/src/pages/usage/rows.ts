// What the table of subscriptions shows, and in which order they come.
import { editableGen } from "../../domain/amounts";
import type { ApiUsage, UsageReport } from "../../domain/answers";
import { csv } from "../../domain/csv";
import { isSignedByHand, type Unbilled } from "../../domain/outlook";
import { isCapBelowCall, isPaidBySession, leftOf, meteredOf, type Left, type Metered, type QuoteCode } from "../../domain/left";
import { compare } from "../../ui/records";

export interface Row {
  line: ApiUsage;
  left: Left;
  metered: Metered | null;
  /** That are left, of the session or else one by one. */
  calls: bigint;
  /** The session pays them, and free credit none. */
  isOfSession: boolean;
  /** Why there are no more. */
  limit: string;
  state: { label: string; tone: "good" | "bad" | "neutral" | "warn"; rank: number };
}

/** What limits it: why there is no more left. */
const REASONS: Readonly<Record<Metered["binds"], string>> = {
  api_paused: "", not_subscribed: "", price_changed: "price rose", daily_limit_exceeded: "today's plan", monthly_limit_exceeded: "the month's plan",
  daily_spend_exceeded: "today's cap", insufficient_credit: "credit",
  hold: "its hold", signed: "what is signed",
};

const STOPPED: Readonly<Record<QuoteCode, Row["state"]>> = {
  price_changed: { label: "New price", tone: "bad", rank: 0 },
  insufficient_credit: { label: "No credit", tone: "bad", rank: 1 },
  daily_spend_exceeded: { label: "Cap reached", tone: "bad", rank: 2 },
  daily_limit_exceeded: { label: "Used up today", tone: "bad", rank: 3 },
  monthly_limit_exceeded: { label: "Used up", tone: "bad", rank: 4 },
  api_paused: { label: "Paused", tone: "warn", rank: 6 },
  not_subscribed: { label: "Ended", tone: "neutral", rank: 8 },
};

function stateOf(line: ApiUsage, left: Left, metered: Metered | null): Row["state"] {
  if (!line.subscribed) return STOPPED.not_subscribed;
  if (left.calls > 0n || isPaidBySession(left, metered)) return { label: "Active", tone: "good", rank: 7 };
  if (left.code === "daily_spend_exceeded" && isCapBelowCall(line)) return { ...STOPPED[left.code], label: "Cap too low" };
  return left.code === "insufficient_credit" && metered && metered.calls > 0n ? { label: "Metered only", tone: "warn", rank: 5 } : STOPPED[left.code];
}

/** What needs something first, then what costs most. */
export const rowsOf = (report: UsageReport, now: number, unbilled: Unbilled = new Map()): Row[] =>
  report.apis.map((line) => {
    const left = leftOf(line, report.creditBalanceWei);
    const metered = meteredOf(line, now, isSignedByHand(line, report) ? unbilled.get(line.apiName) : undefined);
    const isOfSession = metered?.kind === "session" && (left.calls > 0n || isPaidBySession(left, metered));
    return { line, left, metered, calls: isOfSession ? metered.calls : left.calls, isOfSession, limit: REASONS[isOfSession ? metered.binds : left.code], state: stateOf(line, left, metered) };
  }).sort((a, b) => a.state.rank - b.state.rank || compare(b.line.spendMonthWei, a.line.spendMonthWei) || compare(a.line.apiName, b.line.apiName));

/** Amounts and counts as reports of `api-billing` call them. */
export const rowsCsv = (rows: readonly Row[]): string =>
  csv(
    ["api", "plan", "calls_today", "spend_today_wei", "calls_month", "spend_month_wei", "spend_month GEN", "calls_left", "state"],
    rows.map(({ line, calls, state }) => [
      line.apiName, line.planName, line.callsToday, line.spendTodayWei, line.callsMonth, line.spendMonthWei, editableGen(line.spendMonthWei), calls, state.label,
    ]),
  );
