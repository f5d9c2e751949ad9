import { describe, expect, it } from "vitest";
import { rowsCsv, rowsOf } from "../../src/pages/usage/rows";
import { line, NOW, report } from "./samples";

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
