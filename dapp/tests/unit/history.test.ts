import { describe, expect, it } from "vitest";
import { combine } from "../../src/domain/history";
import { line, report } from "./samples";

const today = report().dayId;

describe("the chart's days", () => {
  it("sum the APIs, with today from the report", () => {
    const lines = [line({ callsToday: 2n, spendTodayWei: 20n }), line({ apiName: "maps", callsToday: 1n, spendTodayWei: 10n })];
    const history = [
      [{ dayId: today - 1, calls: 5n, spendWei: 50n }, { dayId: today, calls: 1n, spendWei: 1n }],
      [{ dayId: today - 1, calls: 1n, spendWei: 2n }],
    ];
    const { days } = combine(history, lines, today);
    expect([...days]).toEqual([[today - 1, { calls: 6n, spendWei: 52n }], [today, { calls: 3n, spendWei: 30n }]]);
  });
  it("say how many APIs are still to be read", () => {
    expect(combine([[], undefined], [line(), line({ apiName: "maps" })], today)).toMatchObject({ loaded: 1, total: 2 });
  });
});
