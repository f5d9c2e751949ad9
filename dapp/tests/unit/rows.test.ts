import { describe, expect, it } from "vitest";
import { GEN } from "../../src/domain/amounts";
import { rowsCsv, rowsOf } from "../../src/pages/usage/rows";
import { line, NOW, OTHER, OWN, report } from "./samples";

describe("what is left of a session", () => {
  const left = (signer: string, change = {}) => {
    const [row] = rowsOf(report({ apis: [line({ signer, holdWei: GEN / 2n, holdExpiresAt: NOW + 1, ...change })] }), NOW, new Map([["weather", GEN / 10n]]));
    return [row?.calls, row?.limit];
  };
  it("is the least of what is signed by hand, hold, plan and cap", () => {
    expect(left(OWN)).toEqual([10n, "what is signed"]);
    expect(left(OTHER)).toEqual([50n, "its hold"]);
    expect(left(OWN, { callsToday: 95n })).toEqual([5n, "today's plan"]);
    expect(left(OWN, { active: false })).toEqual([0n, ""]);
  });
});

describe("the file of the subscriptions", () => {
  it("has what the table shows, exactly", () => {
    const lines = [line({ spendMonthWei: 10n ** 18n + 1n }), line({ apiName: "maps", subscribed: false })];
    const [heading, ...rows] = rowsCsv(rowsOf(report({ apis: lines }), NOW)).split("\r\n");
    expect(heading).toBe("api,plan,calls_today,spend_today_wei,calls_month,spend_month_wei,spend_month GEN,calls_left,state");
    expect(rows).toEqual([
      "weather,standard,5,50000000000000000,50,1000000000000000001,1.000000000000000001,95,Active",
      "maps,standard,5,50000000000000000,50,500000000000000000,0.5,0,Ended",
      "",
    ]);
  });
});
