// What a consumer should know now, and what to do about it: from one report, without asking the node anything more.
import { exactGen, shortGen } from "./amounts";
import type { ApiUsage, DisputeHead, Notice, PaidDay, UsageReport } from "./answers";
import { nextOf } from "./dispute";
import { isCapBelowCall, isPaidBySession, leftOf, meteredOf, QUOTE_CODES, reportAt, type QuoteCode } from "./left";
import { endsOfToday, isNear, isSignedByHand, type EndOfToday, type LastDays, type SessionEnd, type Unbilled } from "./outlook";
import { clockText, DAY_SECONDS, duration, momentText } from "./time";

/** ``subscribe``: anew, at another price; ``plan``: to another one, where there is one; ``session``: more of it; ``sign``: a voucher; ``dispute``: on its page. */
export type Remedy = "top_up" | "subscribe" | "cap" | "plan" | "release_hold" | "session" | "sign" | "dispute";

export interface Advice {
  /** The same as long as the situation is the same. */
  key: string;
  severity: "stop" | "warn" | "info";
  title: string;
  text: string;
  /** Which ones "3 APIs" are; empty where the title names it. */
  which: string;
  /** Whom it is about; the remedy, where it is one API's, is that of the first. Empty: the credit of all. */
  apiNames: readonly string[];
  remedy: Remedy | null;
  /** What the button says. */
  button: string;
  /** Of the remedy ``dispute``. */
  disputeId?: number;
  /** When it stops calls, where that is known. */
  at?: number;
}

/** With what is known of its day: that says what can be done. */
export interface OpenDispute {
  dispute: DisputeHead;
  day: PaidDay;
}

const ORDER = { stop: 0, warn: 1, info: 2 };
const NAMED = 3;
const FAR = Number.MAX_SAFE_INTEGER;
const SOON_SECONDS = 7 * DAY_SECONDS;
/** A session is made longer in a minute, and is often for a few days only. */
const SESSION_SECONDS = 2 * DAY_SECONDS;
const gen = (wei: bigint): string => `${shortGen(wei)} GEN`;
/** In full where they look alike else. */
const genOf = (a: bigint, b: bigint): ((wei: bigint) => string) => (shortGen(a) === shortGen(b) ? (wei) => `${exactGen(wei)} GEN` : gen);

/** One for each remedy, the most urgent first, of these what is soonest, then what is about most. `now` is the chain's time. */
export function adviceFor(report: UsageReport, now: number, rate: LastDays | null = null, unbilled: Unbilled = new Map(), disputes: readonly OpenDispute[] = []): Advice[] {
  const stopped = new Map<Stop, ApiUsage[]>();
  const near = new Map<QuoteCode, ApiUsage[]>();
  const today = endsOfToday(report, now);
  for (const line of report.apis.filter((each) => each.subscribed)) {
    const left = leftOf(line, report.creditBalanceWei);
    const end = today.find(({ apiName }) => apiName === line.apiName);
    if (isPaidBySession(left, meteredOf(line, now))) continue;
    if (left.calls === 0n) add(stopped, left.code === "daily_spend_exceeded" && isCapBelowCall(line) ? "cap_below_call" : left.code, line);
    else if (end) add(near, end.what === "cap" ? "daily_spend_exceeded" : "daily_limit_exceeded", line);
    else if (line.apiMonthlyLimitCalls > 0n && isNear(line.callsMonth, line.apiMonthlyLimitCalls - line.callsMonth)) add(near, "monthly_limit_exceeded", line);
  }
  const ended = report.apis.filter((line) => meteredOf(line, now)?.kind === "ended");
  return [
    ...[...stopped].map(([code, lines]) => ofStopped(code, lines, report, now)),
    ...[...near].map(([code, lines]) => ofNear(code, lines, report, today)),
    ...ofSessions(report, now, rate?.sessions ?? [], unbilled),
    ...(stopped.has("insufficient_credit") ? [] : ofCredit(report, now, rate, today)),
    ...(ended.length ? [ofEnded(ended)] : []),
    ...ofDisputes(disputes, now),
  ].sort((a, b) => ORDER[a.severity] - ORDER[b.severity] || (a.at ?? FAR) - (b.at ?? FAR) || reach(b) - reach(a));
}

type Stop = QuoteCode | "cap_below_call";

const add = <K>(groups: Map<K, ApiUsage[]>, key: K, line: ApiUsage): void => void groups.set(key, [...(groups.get(key) ?? []), line]);

/** How many APIs it is about. */
const reach = ({ apiNames }: Advice): number => apiNames.length || Infinity;

/** "weather", "3 APIs" */
const those = (lines: readonly ApiUsage[]): string => (lines.length === 1 ? (lines[0]?.apiName ?? "") : `${lines.length} APIs`);

function listed(lines: readonly ApiUsage[]): string {
  if (lines.length === 1) return "";
  const names = lines.slice(0, NAMED).map(({ apiName }) => apiName).join(", ");
  return `${names}${lines.length > NAMED ? ` and ${lines.length - NAMED} more` : ""}.`;
}

/** When all of them can be called again if nobody does anything; or why they cannot. */
function again(lines: readonly ApiUsage[], report: UsageReport, now: number): string {
  const tomorrow = (report.dayId + 1) * DAY_SECONDS;
  const stoppedAt = (at: number): QuoteCode[] =>
    reportAt(report, at).apis.filter(({ apiName }) => lines.some((line) => line.apiName === apiName))
      .map((line) => leftOf(line, report.creditBalanceWei)).filter(({ calls }) => calls === 0n).map(({ code }) => code);
  if (stoppedAt(tomorrow).length === 0) return `Calls are possible again in ${duration(report.resetsAt - now)}, at midnight UTC.`;
  const codes = stoppedAt(report.monthResetsAt);
  if (codes.length === 0) return `Calls are possible again on ${momentText(report.monthResetsAt)}, with a new month.`;
  return `Waiting does not help${lines.length === 1 ? "" : " all of them"}: ${codes.includes("daily_spend_exceeded") ? "the daily cap is below a call's price" : "credit does not cover a call"}.`;
}

function ofStopped(code: Stop, lines: readonly ApiUsage[], report: UsageReport, now: number): Advice {
  const [first] = lines as [ApiUsage];
  const one = lines.length === 1;
  const say = (title: string, text: string, button: string, remedy: Remedy | null = "subscribe", severity: Advice["severity"] = "stop"): Advice => ({
    key: `${code}:${lines.map(({ apiName }) => apiName).join()}`, severity, title, text, which: listed(lines), remedy,
    apiNames: lines.map(({ apiName }) => apiName), button: one || remedy === "top_up" || remedy === null ? button : `${button}: ${first.apiName}`,
  });
  const price = genOf(first.acceptedPriceWei, first.costPerCallWei);
  const toCap = genOf(first.costPerCallWei, first.consumerMaxDailySpendWei);
  switch (code) {
    case "api_paused":
      return say(one ? `${first.apiName} is paused` : `${lines.length} APIs are paused`, "The operator has paused it. No call is billed until it is resumed.", "", null, "info");
    case "price_changed":
      return say(`The price of ${those(lines)} rose`,
        one
          ? `${price(first.acceptedPriceWei)} a call were accepted; it costs ${price(first.costPerCallWei)} now. Calls are refused until the new price is accepted.`
          : "Calls are refused until the new prices are accepted.",
        "Accept the new price");
    case "daily_limit_exceeded":
      return say(`All calls of ${those(lines)} are used up`, `The plan allows no more today. ${again(lines, report, now)}`, "Choose another plan", "plan");
    case "monthly_limit_exceeded":
      return say(`This month's calls of ${those(lines)} are used up`,
        `The plan allows no more this month. ${again(lines, report, now)}`, "Choose another plan", "plan");
    case "daily_spend_exceeded":
      return say(`The daily cap for ${those(lines)} is reached`,
        `${one ? `${gen(first.spendLeftTodayWei)} are left of ${gen(first.consumerMaxDailySpendWei)}, less than one call costs. ` : ""}${again(lines, report, now)}`,
        "Raise the cap", "cap");
    case "cap_below_call":
      return say(`The daily cap for ${those(lines)} is below a call's price`,
        one ? `A call costs ${toCap(first.costPerCallWei)}, and ${toCap(first.consumerMaxDailySpendWei)} may be spent a day: no call is possible until the cap is raised.`
          : "No call is possible until the caps are raised.",
        "Raise the cap", "cap");
    default: return ofUnpaid(lines, report, now, say);
  }
}

function ofNear(code: QuoteCode, lines: readonly ApiUsage[], report: UsageReport, today: readonly EndOfToday[]): Advice {
  const [first] = lines as [ApiUsage];
  const one = lines.length === 1;
  const { calls } = leftOf(first, report.creditBalanceWei);
  const isCap = code === "daily_spend_exceeded";
  const limit = isCap ? "daily cap" : `plan's limit for a ${code === "daily_limit_exceeded" ? "day" : "month"}`;
  const button = isCap ? "Raise the cap" : "Choose another plan";
  const end = today.find(({ apiName, endsAt }) => lines.some((line) => line.apiName === apiName) && endsAt < Infinity);
  const when = end ? `At today's rate ${one ? `its ${limit} is reached` : `${end.apiName} reaches it`} at ${clockText(end.endsAt)}` : one ? `Then its ${limit} is reached` : "";
  return {
    key: `near_${code}:${lines.map(({ apiName }) => apiName).join()}`, severity: "warn", apiNames: lines.map(({ apiName }) => apiName), which: listed(lines),
    title: one ? `${calls} ${calls === 1n ? "call" : "calls"} of ${first.apiName} ${calls === 1n ? "is" : "are"} left` : `${lines.length} APIs are near their ${limit}`,
    text: when ? `${when}, and calls are refused.` : "When it is reached, calls are refused.",
    remedy: isCap ? "cap" : "plan", button: one ? button : `${button}: ${first.apiName}`, ...(end ? { at: end.endsAt } : {}),
  };
}

/** Of those with the same remedy the first that ends. */
function ofSessions(report: UsageReport, now: number, ends: readonly SessionEnd[], unbilled: Unbilled): Advice[] {
  const inForce = report.apis.filter((line) => meteredOf(line, now)?.kind === "session");
  const say = (what: string, apiName: string, severity: Advice["severity"], title: string, text: string): Advice =>
    ({ key: `session_${what}:${apiName}`, severity, title, text, which: "", apiNames: [apiName], ...(what === "signed" ? { remedy: "sign", button: "Sign a voucher" } : { remedy: "session", button: "Add or prolong" }) });
  const soon = ends.filter(({ endsAt }) => endsAt - now < SESSION_SECONDS).flatMap(({ apiName, endsAt, what }) => inForce.filter((line) => line.apiName === apiName).map((line) => {
    const until = `At the rate of the last days that lasts until ${momentText(endsAt)}; then`;
    switch (what) {
      case "signed": return say(what, apiName, "warn", `${gen(unbilled.get(apiName) ?? 0n)} signed for ${apiName} are left`, `${until} ${apiName} can bill nothing until more is signed.`);
      case "hold": return say(what, apiName, "warn", `${gen(line.holdWei)} are left in the session of ${apiName}`, `${until} nothing pays its calls.`);
      default: return say(what, apiName, "warn", `The session of ${apiName} ends on ${momentText(endsAt)}`, `${gen(line.holdWei)} of it are left. Prolong it to go on.`);
    }
  }).map((each) => ({ ...each, at: endsAt })));
  const unsigned = inForce.filter((line) => isSignedByHand(line, report) && unbilled.get(line.apiName) === 0n)
    .map(({ apiName }) => say("signed", apiName, "info", `Nothing is signed for ${apiName} that is not billed`, "It can bill no more until a voucher is signed, here or by the program that pays."));
  return [...soon, ...unsigned].filter(({ button }, i, all) => all.findIndex((each) => each.button === button) === i);
}

type Say = (title: string, text: string, button: string, remedy: Remedy, severity: Advice["severity"]) => Advice;

function ofUnpaid(lines: readonly ApiUsage[], report: UsageReport, now: number, say: Say): Advice {
  const prices = lines.map(({ costPerCallWei }) => costPerCallWei).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const [least, most] = [prices[0] ?? 0n, prices.at(-1) ?? 0n];
  const one = lines.length === 1;
  const held = lines.filter((line) => (meteredOf(line, now)?.calls ?? 0n) > 0n).length;
  const paid = one ? "What is metered is still paid from its hold." : `What is metered of ${held === lines.length ? "them" : held} is still paid from ${held === 1 ? "a hold" : "holds"}.`;
  return say(
    one ? `Credit does not cover a call of ${those(lines)}` : `${lines.length} APIs cannot be called: credit is below a call's price`,
    `A call costs ${least === most ? gen(least) : `from ${gen(least)} to ${gen(most)}`}; ${gen(report.creditBalanceWei)} are free.${held ? ` ${paid}` : ""}`,
    "Top up", "top_up", held === lines.length ? "warn" : "stop",
  );
}

function ofCredit(report: UsageReport, now: number, rate: LastDays | null, today: readonly EndOfToday[]): Advice[] {
  const say = (key: string, title: string, text: string, at = FAR): Advice[] => [{ at, key, severity: "warn", title, text, which: "", apiNames: [], remedy: "top_up", button: "Top up" }];
  const end = today.find(({ what }) => what === "credit")?.endsAt ?? Infinity;
  const endsAt = typeof rate?.endsAt === "number" ? Math.min(end, rate.endsAt) : end;
  if (endsAt - now < SOON_SECONDS) {
    const at = endsAt === end ? "At today's rate" : `At the rate of the last ${rate?.days === 1 ? "day" : `${rate?.days} days`}`;
    return say("soon", `Credit lasts until ${momentText(endsAt)}`, `${at}: ${gen(report.creditBalanceWei)} are free.`, endsAt);
  }
  if (!report.lowCredit) return [];
  return say("low_credit", "Credit is low", `${gen(report.creditBalanceWei)} are free and ${gen(report.heldWei)} on hold: the alert level is reached.`);
}

function ofEnded(lines: readonly ApiUsage[]): Advice {
  const wei = lines.reduce((total, line) => total + line.holdWei, 0n);
  const [first] = lines as [ApiUsage];
  return {
    key: `hold_ended:${lines.map(({ apiName }) => apiName).join()}`, severity: "info", apiNames: lines.map(({ apiName }) => apiName),
    title: `The hold for ${those(lines)} has ended`,
    which: listed(lines), text: `${gen(wei)} are still set aside. Release them to use or withdraw them.`,
    remedy: "release_hold", button: lines.length === 1 ? "Release hold" : `Release hold: ${first.apiName}`,
  };
}

/** The first about which something can be done, else one that waits. */
function ofDisputes(disputes: readonly OpenDispute[], now: number): Advice[] {
  const all = disputes.map(({ dispute, day }) => ({ ...dispute, ...nextOf(dispute, day, now) }));
  const found = all.find(({ can }) => can) ?? all[0];
  if (!found) return [];
  const { disputeId, apiName, can, text } = found;
  const [what, button] = can === "judge" ? ["can be judged", "Have it judged"] : can === "close" ? ["can be closed", "Close it"] : ["waits", "See the dispute"];
  return [{ key: `dispute_${can}:${disputeId}`, severity: "info", title: `Dispute ${disputeId} about ${apiName} ${what}`, text, which: "", apiNames: [apiName], remedy: "dispute", button, disputeId }];
}

/** Whether what a notice told is still so: only then it says what to do. What only a settlement tells is so for a day. */
export function stillHolds(notice: Notice, report: UsageReport, now: number): boolean {
  if (notice.kind === "low_credit") return report.lowCredit;
  if (notice.kind === "refund") return false;
  if (!QUOTE_CODES.some((code) => code === notice.code)) return now - notice.at < DAY_SECONDS;
  const line = report.apis.find((each) => each.apiName === notice.apiName);
  if (!line) return notice.code === "not_subscribed";
  if (notice.code === "insufficient_credit" && line.signer) return now >= line.holdExpiresAt;
  const { calls, code } = leftOf(line, report.creditBalanceWei);
  return calls === 0n && code === notice.code;
}
