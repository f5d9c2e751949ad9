import { describe, expect, it } from "vitest";
import { dayOfIso, monthName } from "../../src/domain/history";
import { monthShown, monthsOf, refusalsOf } from "../../src/pages/statement";

describe("the months of statements", () => {
  const today = dayOfIso("2026-03-20");

  it("are those that the contract has days of, the newest first", () => {
    const { months, oldest } = monthsOf(today);
    expect([months.length, monthName(months[0] as never), monthName(months.at(-1) as never)]).toEqual([14, "2026-03", "2025-02"]);
    expect(oldest).toBe(dayOfIso("2025-02-14"));
  });
  const used = (day: string) => [{ apiName: "a", dayId: dayOfIso(day), calls: 1n, spendWei: 0n }];
  it.each([
    ["the wanted one", "2026-01", "2026-02-28", false, "2026-01"], ["the wanted one, though it is not over", "2026-03", "2026-02-28", false, "2026-03"],
    ["the last that is over", "", "2026-02-28", false, "2026-02"], ["for one that is not kept, too", "2024-01", "2026-02-01", false, "2026-02"],
    ["the present one where the last has nothing", "", "2026-03-01", false, "2026-03"], ["the last, as long as it is not read", "", "2026-03-01", true, "2026-02"],
  ] as const)("is %s", (_, wanted, day, isReading, month) => {
    expect(monthName(monthShown(monthsOf(today).months, wanted, used(day), isReading))).toBe(month);
  });
  it("begin with the days that are counted", () => {
    expect(monthsOf(3).months).toEqual([{ first: 0, last: 30 }]);
  });
});

describe("refused calls", () => {
  it("are summed by API and reason, the most first; what refuses no call is none", () => {
    const notice = (apiName: string, code: string, calls: bigint) => ({ number: 1, at: 0, kind: "limit", apiName, code, calls, amountWei: 0n });
    expect(refusalsOf([notice("a", "x", 1n), notice("a", "y", 3n), notice("b", "x", 1n), notice("a", "x", 4n), notice("", "low_credit", 0n)])).toEqual([
      { apiName: "a", code: "x", calls: 5n }, { apiName: "a", code: "y", calls: 3n }, { apiName: "b", code: "x", calls: 1n },
    ]);
  });
});
