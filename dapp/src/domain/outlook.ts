// When it runs out: at the rate of the last seven days, or still today at today's.
import type { ApiUsage, DayUsage, UsageReport } from "./answers";
import { leftOf, meteredOf } from "./left";
import { DAY_SECONDS } from "./time";

export const RATE_DAYS = 7;
/** Beyond ten years nobody counts. */
const FAR = 3_650 * DAY_SECONDS;

/** Calls that the free credit pays as today's are made up, or this month's where there were none today, but those of sessions; and what one costs. */
export function callsAtMix({ apis: all, creditBalanceWei }: UsageReport, now: number): { calls: bigint; callWei: bigint; of: "today" | "month" } | null {
  const apis = all.filter((line) => meteredOf(line, now)?.kind !== "session");
  const today = [sum(apis, "callsToday"), sum(apis, "spendTodayWei"), "today"] as const;
  const month = [sum(apis, "callsMonth"), sum(apis, "spendMonthWei"), "month"] as const;
  const found = [today, month].find(([calls, spend]) => calls > 0n && spend > 0n);
  return found ? { calls: (creditBalanceWei * found[0]) / found[1], callWei: found[1] / found[0], of: found[2] } : null;
}

export interface LastDays {
  /** What was spent in so many full days before today, 0 to 7. */
  days: number;
  spentWei: bigint;
  /** When the free credit is used up at this rate; `never` within ten years. null: nothing says so. */
  endsAt: number | "never" | null;
  /** Those sessions that are used, the first to end before the others. */
  sessions: readonly SessionEnd[];
}

export interface SessionEnd {
  apiName: string;
  endsAt: number;
  /** What ends it: what is signed, the hold, or its time. */
  what: "signed" | "hold" | "time";
}

/** Of sessions by their APIs: what is signed and not billed yet. */
export type Unbilled = ReadonlyMap<string, bigint>;

/** Holds pay first what is used of their APIs, and sessions all of it. */
export function atLastDays(report: UsageReport, history: readonly Omit<DayUsage, "calls">[], now: number, unbilled: Unbilled = new Map()): LastDays {
  const past = history.filter(({ dayId }) => dayId < report.dayId);
  const days = Math.min(RATE_DAYS, report.dayId - Math.min(report.dayId, ...past.map(({ dayId }) => dayId)));
  const recent = past.filter(({ dayId }) => dayId >= report.dayId - days);
  const spentWei = recent.reduce((total, { spendWei }) => total + spendWei, 0n);
  const lines = report.apis.filter((line) => line.active && line.subscribed).map((line) => ({
    apiName: line.apiName, metered: meteredOf(line, now), signedWei: isSignedByHand(line, report) ? unbilled.get(line.apiName) : undefined,
    spent: recent.filter(({ apiName }) => apiName === line.apiName).reduce((total, { spendWei }) => total + spendWei, 0n),
  }));
  const span = BigInt(days * DAY_SECONDS);
  const sessions = lines.flatMap(({ apiName, metered, spent, signedWei }): SessionEnd[] => {
    if (metered?.kind !== "session" || spent === 0n) return [];
    const usedUp = (wei: bigint): number => now + Number((wei * span) / spent);
    const ends: SessionEnd[] = [{ apiName, endsAt: metered.until, what: "time" }, { apiName, endsAt: usedUp(metered.wei), what: "hold" }];
    return [(signedWei ? [...ends, { apiName, endsAt: usedUp(signedWei), what: "signed" as const }] : ends).reduce(earlier)];
  }).sort((a, b) => a.endsAt - b.endsAt);
  const about = { days, spentWei, sessions };
  const draws = lines.flatMap(({ metered, spent }) => (metered?.kind === "session" ? [] : [{ spent, held: metered?.kind === "hold" ? metered.wei : 0n }]));
  const isPaid = (seconds: number): boolean => {
    const due = draws.map(({ spent, held }) => (spent * BigInt(seconds)) / span - held);
    return due.reduce((total, wei) => (wei > 0n ? total + wei : total), 0n) <= report.creditBalanceWei;
  };
  if (isOut(report, now)) return { ...about, endsAt: now };
  if (days === 0 || draws.every(({ spent }) => spent === 0n)) return { ...about, endsAt: null };
  if (isPaid(FAR)) return { ...about, endsAt: "never" };
  let [low, high] = [0, FAR];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (isPaid(middle)) low = middle;
    else high = middle;
  }
  return { ...about, endsAt: now + low };
}

/** Whether credit pays no call of any API, and nothing else does. */
function isOut(report: UsageReport, now: number): boolean {
  const unheld = report.apis.filter((line) => line.active && line.subscribed && !meteredOf(line, now)?.calls);
  const left = unheld.map((line) => leftOf(line, report.creditBalanceWei));
  return left.length > 0 && left.every(({ calls, code }) => calls === 0n && code === "insufficient_credit");
}

/** Else it may be a program that signs, which does so with each request: then that little is signed ahead means nothing. */
export const isSignedByHand = ({ signer }: ApiUsage, { consumer }: UsageReport): boolean => signer === consumer;

const earlier = <E extends { endsAt: number }>(a: E, b: E): E => (b.endsAt < a.endsAt ? b : a);

export interface EndOfToday {
  /** After midnight, where the day's rate leaves something and it is near all the same: then Infinity. */
  endsAt: number;
  what: "credit" | "cap" | "plan";
  /** Empty where it is the credit of all. */
  apiName: string;
}

/** A burst in the first minutes of a day counts as if it had taken so long. */
const LEAST_OF_DAY = DAY_SECONDS / 8;
const FEW = 3n;

/** Nine tenths are used, or half and a few calls are left: whatever the hour is. */
export const isNear = (used: bigint, left: bigint, ofCall = 1n): boolean => left * 9n <= used || (left <= used && left < (FEW + 1n) * ofCall);

/** What ends before midnight UTC if the day goes on as it began, of what is used up by half at least, the first before the others; then what is near. */
export function endsOfToday(report: UsageReport, now: number): EndOfToday[] {
  const elapsed = BigInt(Math.max(now - (report.resetsAt - DAY_SECONDS), LEAST_OF_DAY));
  const ends: EndOfToday[] = [];
  const add = (what: EndOfToday["what"], apiName: string, used: bigint, left: bigint, near: boolean): void => {
    if (used === 0n || left <= 0n || used < left) return;
    const endsAt = now + Number((elapsed * left) / used);
    if (endsAt < report.resetsAt) ends.push({ endsAt, what, apiName });
    else if (near) ends.push({ endsAt: Infinity, what, apiName });
  };
  const open = report.apis.filter((line) => leftOf(line, report.creditBalanceWei).calls > 0n);
  for (const line of open) {
    const [spendLeft, callsLeft] = [line.consumerMaxDailySpendWei - line.spendTodayWei, line.apiDailyLimitCalls - line.callsToday];
    add("cap", line.apiName, line.spendTodayWei, spendLeft, isNear(line.spendTodayWei, spendLeft, line.costPerCallWei));
    add("plan", line.apiName, line.callsToday, callsLeft, isNear(line.callsToday, callsLeft));
  }
  add("credit", "", sum(open.filter((line) => line.holdWei === 0n || now >= line.holdExpiresAt), "spendTodayWei"), report.creditBalanceWei, false);
  return ends.sort((a, b) => (a.endsAt === b.endsAt ? 0 : a.endsAt - b.endsAt));
}

export interface FirstEnd {
  /** null: nothing says so; `never` within ten years. */
  endsAt: number | "never" | null;
  what: EndOfToday["what"] | SessionEnd["what"];
  apiName: string;
  /** Else that of the last days. */
  isTodaysRate: boolean;
}

/** What runs out first of all, at the faster of both rates. */
export function firstEnd(report: UsageReport, now: number, rate: LastDays | null): FirstEnd {
  const today: FirstEnd[] = endsOfToday(report, now).filter(({ endsAt }) => endsAt < Infinity).map((end) => ({ ...end, isTodaysRate: true }));
  const sessions: FirstEnd[] = (rate?.sessions ?? []).map((end) => ({ ...end, isTodaysRate: false }));
  const when = ({ endsAt }: FirstEnd): number => (typeof endsAt === "number" ? endsAt : Infinity);
  return [...today, ...sessions].reduce<FirstEnd>((a, b) => (when(b) < when(a) ? b : a), { endsAt: rate?.endsAt ?? null, what: "credit", apiName: "", isTodaysRate: false });
}

export const sum = (lines: readonly ApiUsage[], of: "callsToday" | "spendTodayWei" | "callsMonth" | "spendMonthWei"): bigint =>
  lines.reduce((total, line) => total + line[of], 0n);
