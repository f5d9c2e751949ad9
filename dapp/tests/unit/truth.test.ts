// What the page makes of a contract's answers, against what was used in truth. tests/dapp/test_truth.py makes both.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { VIEWS, type ApiDay, type DayUsage, type UsageReport } from "../../src/domain/answers";
import { lastDays, monthOf, revisionOf, stackOf, sumOf, sumsBy, usageOf, windowsOf, within } from "../../src/domain/history";
import { parseJson } from "../../src/domain/json";
import { reportAt } from "../../src/domain/left";
import { earnedIn, pendingOf } from "../../src/domain/operating";
import { sum } from "../../src/domain/outlook";

type Told = Record<"report" | "windows" | "api_days" | "pending" | "matured" | "used" | "later", unknown>;
type Used = [apiName: string, day: bigint, calls: bigint, wei: bigint, refundedWei: bigint];
interface Look {
  report: UsageReport;
  windows: { first: number; last: number; history: DayUsage[] }[];
  days: Map<string, ApiDay[]>;
  pending: bigint;
  /** What `collect_earnings` gave then. */
  matured: bigint;
  used: DayUsage[];
  refunded: DayUsage[];
  later: { at: number; report: UsageReport }[];
}

const TRUTH = process.env["TRUTH"];
const looks = TRUTH ? (parseJson(readFileSync(TRUTH, "utf-8")) as Told[]).map(lookOf) : [];

function lookOf(told: Told): Look {
  return {
    report: VIEWS.get_usage_report.read(told.report),
    windows: (told.windows as [bigint, bigint, unknown][]).map(([first, last, history]) => ({ first: Number(first), last: Number(last), history: VIEWS.get_usage_history.read(history) })),
    days: new Map(Object.entries(told.api_days as object).map(([name, days]) => [name, VIEWS.get_api_days.read(days)])),
    pending: told.pending as bigint,
    matured: told.matured as bigint,
    used: (told.used as Used[]).map(([apiName, day, calls, spendWei]) => ({ apiName, dayId: Number(day), calls, spendWei })),
    refunded: (told.used as Used[]).map(([apiName, day, , , spendWei]) => ({ apiName, dayId: Number(day), calls: 0n, spendWei })),
    later: (told.later as [bigint, unknown][]).map(([at, report]) => ({ at: Number(at), report: VIEWS.get_usage_report.read(report) })),
  };
}

const inOrder = (usage: readonly DayUsage[]): DayUsage[] => [...usage].sort((a, b) => a.dayId - b.dayId || (a.apiName < b.apiName ? -1 : 1));
/** As the page puts it together. */
const usage = ({ windows, report }: Look): DayUsage[] => usageOf(windows.map(({ history }) => history), report);

describe.skipIf(!TRUTH)("of months of use, the page", () => {
  it("has looks at each end of a month and of a leap day", () => expect(looks.length).toBeGreaterThan(6));
  it.each(looks)("reads all there is, and knows what was used by day and API", (look) => {
    const read = windowsOf(lastDays(look.report.dayId, 400), look.report.dayId);
    for (const { first, last } of look.windows) expect(read).toContainEqual({ first, last });
    expect(usage(look)).toEqual(inOrder(look.used));
  });
  it.each(looks)("counts months as the contract does", (look) => {
    const month = within(usage(look), monthOf(look.report.dayId));
    const of = sumsBy(month, "apiName");
    for (const line of look.report.apis) expect(of.get(line.apiName) ?? { calls: 0n, spendWei: 0n }).toEqual({ calls: line.callsMonth, spendWei: line.spendMonthWei });
    expect(sumOf(month)).toEqual({ calls: sum(look.report.apis, "callsMonth"), spendWei: sum(look.report.apis, "spendMonthWei") });
    const before = monthOf(look.report.dayId, 1);
    expect(sumOf(within(usage(look), before))).toEqual(sumOf(look.used.filter(({ dayId }) => dayId >= before.first && dayId <= before.last)));
  });
  it.each(looks)("stacks in a chart all that was used, and no more", (look) => {
    for (const count of [7, 30, 90, 400]) {
      const shown = within(usage(look), lastDays(look.report.dayId, count));
      const stacked = stackOf(shown, "GEN", 2).flatMap(({ values }) => [...values.values()]).reduce((total, wei) => total + wei, 0n);
      expect(stacked).toBe(sumOf(shown).spendWei);
    }
  });
  it.each(looks)("knows before it is read what a report of later says", ({ report, later }) => {
    for (const { at, report: then } of later) expect(reportAt(report, at)).toEqual(then);
  });
  it.each(looks)("knows what each API earned today, and in 7 and 30 days, and what has matured", ({ report: { dayId: today }, days, pending, matured, used, refunded }) => {
    for (const [name, each] of days) {
      for (const count of [1, 7, 30]) {
        const of = (all: readonly DayUsage[]): bigint => sumOf(all.filter(({ apiName, dayId }) => apiName === name && dayId > today - count)).spendWei;
        expect(earnedIn(each, today, count)).toBe(of(used) - of(refunded));
      }
    }
    expect(pendingOf(days.get("waits") ?? [], pending, today).collectableWei).toBe(matured);
  });
  it("reads the past anew when a day of it has changed", () => {
    const past = (look: Look): string => usage(look).filter(({ dayId }) => dayId < look.report.dayId).map((each) => Object.values(each).join()).join(";");
    for (const [i, look] of looks.entries()) {
      for (const other of looks.slice(i + 1).filter(({ report }) => report.dayId === look.report.dayId)) {
        if (past(look) !== past(other)) expect(revisionOf(look.report)).not.toBe(revisionOf(other.report));
      }
    }
  });
});
