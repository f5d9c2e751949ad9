import { describe, expect, it } from "vitest";
import { csv, usageCsv } from "../../src/domain/csv";
import { dayOfIso } from "../../src/domain/history";
import { OWN } from "./samples";

describe("a file for spreadsheets", () => {
  it("has every wei, and lines as RFC 4180 has them", () => {
    const usage = [{ apiName: "weather", dayId: dayOfIso("2026-03-20"), calls: 1_200n, spendWei: 10n ** 27n + 1n }];
    expect(usageCsv(OWN, usage)).toBe(
      `day,consumer,api,calls,spend_wei,spend GEN\r\n2026-03-20,${OWN},weather,1200,1000000000000000000000000001,1000000000.000000000000000001\r\n`,
    );
  });
  it("quotes what would end a field", () => {
    expect(csv(["a"], [['x,"y"'], ["two\nlines"]])).toBe('a\r\n"x,""y"""\r\n"two\nlines"\r\n');
  });
  it("runs no formula", () => {
    expect(csv([], [["=1+1", "+1", "-1", "@a", "\tx", -1]])).toBe("\r\n'=1+1,'+1,'-1,'@a,'\tx,-1\r\n");
  });
});
