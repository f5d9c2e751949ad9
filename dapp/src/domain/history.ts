// Usage by day, of several APIs together.
import type { ApiUsage, DayUsage } from "./answers";

export const CHART_DAYS = 30;

export interface History {
  days: Map<number, { calls: bigint; spendWei: bigint }>;
  /** Of how many APIs the past is known already. */
  loaded: number;
  total: number;
}

/** Past days from the histories, today from the report, which is newer. */
export function combine(histories: readonly (readonly Omit<DayUsage, "apiName">[] | undefined)[], lines: readonly ApiUsage[], today: number): History {
  const days: History["days"] = new Map();
  const add = (dayId: number, calls: bigint, spendWei: bigint): void => {
    const sum = days.get(dayId) ?? { calls: 0n, spendWei: 0n };
    days.set(dayId, { calls: sum.calls + calls, spendWei: sum.spendWei + spendWei });
  };
  for (const history of histories) for (const day of history ?? []) if (day.dayId !== today) add(day.dayId, day.calls, day.spendWei);
  for (const line of lines) if (line.callsToday > 0n) add(today, line.callsToday, line.spendTodayWei);
  return { days, loaded: histories.filter((each) => each !== undefined).length, total: lines.length };
}
