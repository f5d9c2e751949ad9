import { describe, expect, it } from "vitest";
import { dayOfIso, isoDay, lastDays, monthName, monthOf, revisionOf, stackOf, sumOf, sumsBy, usageOf, windowsOf, within } from "../../src/domain/history";
import { line, report } from "./samples";

const today = report().dayId; // 2026-01-01
const used = (apiName: string, dayId: number, calls: bigint, spendWei = calls * 10n) => ({ apiName, dayId, calls, spendWei });

describe("what was used", () => {
  const now = report({ apis: [line({ callsToday: 2n, spendTodayWei: 20n }), line({ apiName: "maps", callsToday: 0n })] });
  const usage = usageOf([[used("weather", today - 1, 5n), used("weather", today, 1n), used("maps", today - 1, 1n)], [used("maps", today - 40, 7n)]], now);

  it("is in the order of days, with today from the report", () => {
    expect(usage).toEqual([used("maps", today - 40, 7n), used("maps", today - 1, 1n), used("weather", today - 1, 5n), used("weather", today, 2n)]);
  });
  it("comes to sums of days and of APIs", () => {
    const lately = within(usage, lastDays(today, 7));
    expect(sumOf(lately)).toEqual({ calls: 8n, spendWei: 80n });
    expect(sumsBy(lately, "dayId").get(today - 1)).toEqual({ calls: 6n, spendWei: 60n });
    expect([...sumsBy(usage, "apiName")]).toEqual([["maps", { calls: 8n, spendWei: 80n }], ["weather", { calls: 7n, spendWei: 70n }]]);
  });
});

describe("reads of the past", () => {
  it("are one for a month, and thirteen for all that is kept", () => {
    expect(windowsOf(lastDays(today, 30), today)).toEqual([{ first: today - 30, last: today }]);
    const all = windowsOf(lastDays(today, 400), today);
    expect(all).toHaveLength(13);
    expect(all.at(-1)?.first).toBe(today - 399);
    expect(all.every(({ first, last }, i) => last - first < 31 && (i === 0 || last + 1 === all[i - 1]?.first))).toBe(true);
  });
  it("leave out what is newer than what is asked for", () => {
    expect(windowsOf({ first: today - 100, last: today - 70 }, today).map(({ last }) => last)).toEqual([today - 62, today - 93]);
  });
  it("reach no further than the contract remembers", () => {
    expect(windowsOf({ first: today - 900, last: today - 800 }, today)).toEqual([]);
    expect(windowsOf(lastDays(3, 30), 3)).toEqual([{ first: 0, last: 3 }]);
  });
});

describe("the revision of the past", () => {
  const of = (dayId: number, change: object) => revisionOf(report({ dayId, apis: [line({ callsToday: 1n, callsMonth: 9n, ...change })] }));

  it("is the same while only today's usage grows", () => {
    expect(of(today + 9, { callsToday: 3n, callsMonth: 11n })).toBe(of(today + 9, {}));
  });
  it("changes when yesterday is settled late", () => {
    expect(of(today + 9, { callsMonth: 10n })).not.toBe(of(today + 9, {}));
  });
  it("on the first of a month follows the settlements, as yesterday is in no figure of the report", () => {
    expect(of(today, { settlements: 8 })).not.toBe(of(today, { settlements: 7 }));
    expect(of(today + 9, { settlements: 8 })).toBe(of(today + 9, { settlements: 7 }));
  });
});

describe("a stack", () => {
  const names = (count: number) => Array.from({ length: count }, (_, i) => used(`api-${i}`, today, BigInt(i + 1), BigInt(100 - i)));

  it("has the five largest and the rest", () => {
    const stack = stackOf(names(9), "calls");
    expect(stack.map(({ name }) => name)).toEqual(["api-8", "api-7", "api-6", "api-5", "api-4", "4 others"]);
    expect(stack.at(-1)).toMatchObject({ isRest: true, values: new Map([[today, 10n]]) });
    expect(stackOf(names(9), "GEN")[0]?.name).toBe("api-0");
  });
  it("names a rest of one", () => {
    expect(stackOf(names(6), "calls").map(({ name }) => name)).toEqual(["api-5", "api-4", "api-3", "api-2", "api-1", "api-0"]);
  });
  it("has nothing of what was free", () => {
    expect(stackOf([used("free", today, 3n, 0n)], "GEN")).toEqual([]);
  });
});

describe("days and months", () => {
  it("are UTC", () => {
    expect([isoDay(today), dayOfIso("2026-01-01"), dayOfIso("soon")]).toEqual(["2026-01-01", today, NaN]);
    expect([monthOf(today), monthOf(today, 1), monthOf(dayOfIso("2024-02-29"))].map(({ first, last }) => [isoDay(first), isoDay(last)])).toEqual([
      ["2026-01-01", "2026-01-31"], ["2025-12-01", "2025-12-31"], ["2024-02-01", "2024-02-29"],
    ]);
    expect(monthName(monthOf(today, 2))).toBe("2025-11");
  });
});
