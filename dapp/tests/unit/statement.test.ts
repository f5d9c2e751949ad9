import { describe, expect, it } from "vitest";
import { dayOfIso, monthName } from "../../src/domain/history";
import { monthsOf, refusalsOf } from "../../src/pages/statement";

describe("the months of statements", () => {
  const today = dayOfIso("2026-03-20");

  it("are those that the contract has days of, the newest first", () => {
    const { months, oldest } = monthsOf(today, "");
    expect([months.length, monthName(months[0] as never), monthName(months.at(-1) as never)]).toEqual([14, "2026-03", "2025-02"]);
    expect(oldest).toBe(dayOfIso("2025-02-14"));
  });
  it("is the wanted one, or the present one where there is none", () => {
    const chosen = ["2026-02", "", "2026-04", "2024-01"].map((wanted) => monthName(monthsOf(today, wanted).month));
    expect(chosen).toEqual(["2026-02", "2026-03", "2026-03", "2026-03"]);
  });
  it("begin with the days that are counted", () => {
    expect(monthsOf(3, "").months).toEqual([{ first: 0, last: 30 }]);
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
