// What a consumer used, by API and day: which reads of the contract have it, and what it comes to.
import type { ApiUsage, DayUsage, UsageReport } from "./answers";
import type { ChartUnit, Period, Series } from "./bars";
import { DAY_SECONDS } from "./time";

/** The contract keeps so many days, and answers so many at once of all APIs. */
export const HISTORY_DAYS = 400;
const WINDOW_DAYS = 31;
/** Chosen in the chart: the last so many days. */
export const RANGES = [7, 30, 90, 400] as const;

export const lastDays = (today: number, count: number): Period => ({ first: Math.max(today - count + 1, 0), last: today });

/** Of all days from the first one that is kept, in the order in which somebody wants to see them. All pages share these reads. */
export function windowsOf({ first, last }: Period, today: number): Period[] {
  const oldest = Math.max(first, today - HISTORY_DAYS + 1, 0);
  const found: Period[] = [];
  for (let end = today; end >= oldest; end -= WINDOW_DAYS) {
    const start = Math.max(end - WINDOW_DAYS + 1, today - HISTORY_DAYS + 1, 0);
    if (start <= last) found.push({ first: start, last: end });
  }
  return found;
}

/**
 * What tells that past days have changed: usage of yesterday can be settled until midnight, and is then in the month's
 * figures. On the first of a month it is in those of the month before, which the report does not have: there the number
 * of settlements tells.
 */
export function revisionOf(report: UsageReport): string {
  const sum = (of: (line: ApiUsage) => bigint): bigint => report.apis.reduce((total, line) => total + of(line), 0n);
  const past = [sum((line) => line.callsMonth - line.callsToday), sum((line) => line.spendMonthWei - line.spendTodayWei)];
  if (monthOf(report.dayId).first === report.dayId) past.push(sum((line) => BigInt(line.settlements)));
  return past.join();
}

/** Past days as they were read, and today from the report, which is newer; the oldest first. */
export function usageOf(histories: readonly (readonly DayUsage[])[], report: UsageReport): DayUsage[] {
  const past = histories.flat().filter(({ dayId }) => dayId < report.dayId);
  const today = report.apis.filter(({ callsToday }) => callsToday > 0n)
    .map(({ apiName, callsToday, spendTodayWei }) => ({ apiName, dayId: report.dayId, calls: callsToday, spendWei: spendTodayWei }));
  return [...past, ...today].sort((a, b) => a.dayId - b.dayId || (a.apiName < b.apiName ? -1 : 1));
}

export const within = (usage: readonly DayUsage[], { first, last }: Period): DayUsage[] => usage.filter(({ dayId }) => dayId >= first && dayId <= last);

export interface Sum {
  calls: bigint;
  spendWei: bigint;
}

export const sumOf = (usage: readonly DayUsage[]): Sum =>
  usage.reduce((sum, { calls, spendWei }) => ({ calls: sum.calls + calls, spendWei: sum.spendWei + spendWei }), { calls: 0n, spendWei: 0n });

export function sumsBy<K extends "apiName" | "dayId">(usage: readonly DayUsage[], key: K): Map<DayUsage[K], Sum> {
  const sums = new Map<DayUsage[K], Sum>();
  for (const { [key]: of, calls, spendWei } of usage) {
    const sum = sums.get(of) ?? { calls: 0n, spendWei: 0n };
    sums.set(of, { calls: sum.calls + calls, spendWei: sum.spendWei + spendWei });
  }
  return sums;
}

/** The APIs with the most, the largest first, and the rest as one; for a chart. */
export function stackOf(usage: readonly DayUsage[], unit: ChartUnit, most = 5): Series[] {
  const valueOf = ({ calls, spendWei }: Sum): bigint => (unit === "GEN" ? spendWei : calls);
  const ranked = [...sumsBy(usage, "apiName")].map(([name, sum]) => ({ name, value: valueOf(sum) })).filter(({ value }) => value > 0n)
    .sort((a, b) => (a.value < b.value ? 1 : a.value > b.value ? -1 : a.name < b.name ? -1 : 1)).map(({ name }) => name);
  // A rest of one API may as well be named.
  const named = ranked.length > most + 1 ? ranked.slice(0, most) : ranked;
  const series = (name: string, of: readonly DayUsage[], isRest = false): Series => ({
    name, isRest, values: new Map([...sumsBy(of, "dayId")].map(([day, sum]) => [day, valueOf(sum)])),
  });
  const stack = named.map((name) => series(name, usage.filter(({ apiName }) => apiName === name)));
  const others = ranked.length - named.length;
  return others ? [...stack, series(`${others} others`, usage.filter(({ apiName }) => !named.includes(apiName)), true)] : stack;
}

const dayOfDate = (year: number, month: number): number => Date.UTC(year, month, 1) / 1000 / DAY_SECONDS;

/** The days of the month that a day is in. */
export function monthOf(day: number, before = 0): Period {
  const at = new Date(day * DAY_SECONDS * 1000);
  const [year, month] = [at.getUTCFullYear(), at.getUTCMonth() - before];
  return { first: dayOfDate(year, month), last: dayOfDate(year, month + 1) - 1 };
}

/** `2026-11` */
export const monthName = ({ first }: Period): string => new Date(first * DAY_SECONDS * 1000).toISOString().slice(0, 7);
const MONTH = new Intl.DateTimeFormat("en-GB", { month: "long", year: "numeric", timeZone: "UTC" });
/** `November 2026` */
export const monthTitle = ({ first }: Period): string => MONTH.format(first * DAY_SECONDS * 1000);
/** `2026-11-30`, as files and date fields have it. */
export const isoDay = (day: number): string => new Date(day * DAY_SECONDS * 1000).toISOString().slice(0, 10);
/** The day of such a text; NaN when it is none. */
export const dayOfIso = (text: string): number => Date.parse(`${text}T00:00:00Z`) / 1000 / DAY_SECONDS;
