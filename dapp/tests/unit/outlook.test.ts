import { describe, expect, it } from "vitest";
import { GEN } from "../../src/domain/amounts";
import { adviceFor } from "../../src/domain/advice";
import type { ApiUsage } from "../../src/domain/answers";
import { atLastDays, callsAtMix, endsOfToday, firstEnd } from "../../src/domain/outlook";
import { line, NOW, OTHER, OWN, report } from "./samples";

const DAY = 86_400;
const whole = report({ resetsAt: NOW + DAY }); // at midnight, 4 GEN are free
const spent = (daysAgo: number, gen: bigint, apiName = "weather") => ({ apiName, dayId: whole.dayId - daysAgo, spendWei: gen * GEN });

describe("calls at the mix", () => {
  it("are those of today's spend per call", () => {
    const apis = [line({ callsToday: 30n, spendTodayWei: GEN }), line({ apiName: "maps", callsToday: 10n, spendTodayWei: GEN })];
    expect(callsAtMix(report({ apis }), NOW)).toEqual({ calls: 80n, callWei: GEN / 20n, of: "today" });
  });
  it("are those of the month where nothing was spent today", () => {
    expect(callsAtMix(report({ apis: [line({ callsToday: 0n, spendTodayWei: 0n })] }), NOW)).toEqual({ calls: 400n, callWei: GEN / 100n, of: "month" });
    expect(callsAtMix(report({ apis: [] }), NOW)).toBeNull();
    expect(callsAtMix(report({ apis: [line({ signer: OWN, holdWei: 1n, holdExpiresAt: NOW + 1 })] }), NOW)).toBeNull();
  });
});

describe("the rate of the last seven days", () => {
  it("leaves out today and what is older", () => {
    expect(atLastDays(whole, [spent(0, 50n), spent(1, 3n), spent(7, 4n), spent(8, 90n)], NOW)).toMatchObject({ days: 7, spentWei: 7n * GEN, endsAt: NOW + 4 * DAY });
  });
  it("counts from the first day of use", () => {
    expect(atLastDays(whole, [spent(2, 1n), spent(1, 1n)], NOW)).toMatchObject({ days: 2, endsAt: NOW + 4 * DAY });
  });
  it("says nothing of what never was used, nor of what was only before", () => {
    expect(atLastDays(whole, [], NOW).endsAt).toBeNull();
    expect(atLastDays(whole, [spent(20, 1n)], NOW)).toMatchObject({ days: 7, spentWei: 0n, endsAt: null });
  });
  it("has ended where credit pays no call, whatever was used, unless a hold does", () => {
    const poor = (change: Partial<ApiUsage>) => atLastDays({ ...whole, creditBalanceWei: 1n, apis: [line(change)] }, [], NOW).endsAt;
    expect(poor({})).toBe(NOW);
    expect([poor({ holdWei: GEN, holdExpiresAt: NOW + 1 }), poor({ subscribed: false }), poor({ spendTodayWei: GEN })]).toEqual([null, null, null]);
  });
  it("has an end within ten years, or none", () => {
    expect(atLastDays({ ...whole, creditBalanceWei: 10n ** 9n * GEN }, [spent(1, 1n)], NOW).endsAt).toBe("never");
    expect(atLastDays({ ...whole, creditBalanceWei: 0n }, [spent(1, 1n)], NOW).endsAt).toBe(NOW);
  });
  const held = (change: Partial<ApiUsage>) => ({ ...whole, apis: [line({ holdWei: 2n * GEN, holdExpiresAt: NOW + 90 * DAY, ...change }), line({ apiName: "maps" })] });
  it("draws on a hold first, and of a session on nothing else", () => {
    const history = [spent(1, 1n), spent(1, 1n, "maps")];
    expect(atLastDays(held({}), history, NOW).endsAt).toBe(NOW + 3 * DAY); // 2 of the hold and 4 free, at 2 a day
    const signer = `0x${"aa".repeat(20)}`;
    expect(atLastDays(held({ signer }), history, NOW)).toMatchObject({ endsAt: NOW + 4 * DAY, sessions: [{ apiName: "weather", endsAt: NOW + 2 * DAY, what: "hold" }] });
    expect(atLastDays(held({ signer, holdExpiresAt: NOW + 60 }), history, NOW).sessions).toEqual([{ apiName: "weather", endsAt: NOW + 60, what: "time" }]);
    expect(atLastDays(held({ holdExpiresAt: NOW }), history, NOW).endsAt).toBe(NOW + 2 * DAY);
  });
  it("ends a session with what is signed, where no program signs", () => {
    const ends = (signer: string, signedWei: bigint) => atLastDays(held({ signer }), [spent(1, 1n)], NOW, new Map([["weather", signedWei]])).sessions;
    expect(ends(OWN, GEN / 2n)).toEqual([{ apiName: "weather", endsAt: NOW + DAY / 2, what: "signed" }]);
    expect([ends(OTHER, GEN / 2n), ends(OWN, 3n * GEN), ends(OWN, 0n)].map(([end]) => end?.what)).toEqual(["hold", "hold", "hold"]);
  });
});

describe("the end of today", () => {
  const noon = NOW + DAY / 2;
  const of = (change: Partial<ApiUsage>, credit = 100n * GEN) => endsOfToday({ ...whole, creditBalanceWei: credit, apis: [line(change)] }, noon)[0];
  it("is when the cap is reached as the day went on", () => {
    expect(of({ spendTodayWei: (GEN * 3n) / 4n })).toEqual({ endsAt: noon + DAY / 6, what: "cap", apiName: "weather" });
  });
  it("is when the plan's calls are used up", () => expect(of({ callsToday: 80n })).toMatchObject({ endsAt: noon + DAY / 8, what: "plan" }));
  it("is when the credit is used up", () => {
    const of2 = { spendTodayWei: 3n * GEN, consumerMaxDailySpendWei: 100n * GEN };
    expect(of(of2, 2n * GEN)).toEqual({ endsAt: noon + DAY / 3, what: "credit", apiName: "" });
    expect(of({ ...of2, holdWei: 1n, holdExpiresAt: noon + 1 }, 2n * GEN)).toBeUndefined();
  });
  it("is not told of what is used by less than half, or comes after midnight", () => {
    expect(of({ spendTodayWei: GEN / 3n })).toBeUndefined();
    expect(endsOfToday({ ...whole, apis: [line({ callsToday: 60n })] }, NOW + DAY - 60)).toEqual([]);
  });
  it("takes a burst of the first minutes for one of three hours", () => {
    const early = { ...whole, creditBalanceWei: 100n * GEN, apis: [line({ spendTodayWei: (GEN * 3n) / 4n })] };
    expect(endsOfToday(early, NOW + 20 * 60)).toMatchObject([{ what: "cap", endsAt: NOW + 20 * 60 + 3_600 }]);
    expect(endsOfToday(early, NOW + DAY / 8)).toMatchObject([{ endsAt: NOW + DAY / 6 }]);
  });
  it("is told of what is near, though its rate leaves something", () => {
    const late = (change: Partial<ApiUsage>) => endsOfToday({ ...whole, apis: [line(change)] }, NOW + DAY - 60).map(({ what, endsAt }) => [what, endsAt]);
    expect(late({ spendTodayWei: (GEN * 9n) / 10n })).toEqual([["cap", Infinity]]);
    expect(late({ spendTodayWei: GEN / 10n, consumerMaxDailySpendWei: (GEN * 139n) / 1_000n })).toEqual([["cap", Infinity]]);
    expect(late({ spendTodayWei: GEN / 10n, consumerMaxDailySpendWei: (GEN * 14n) / 100n })).toEqual([]);
  });
  it("is not told of what is stopped already", () => expect(of({ spendTodayWei: GEN - 1n })).toBeUndefined());
});

describe("what runs out first", () => {
  it("is said at the faster rate, and which that is", () => {
    const carl = { ...whole, creditBalanceWei: GEN / 4n, apis: [line({ spendTodayWei: (GEN * 36n) / 100n, consumerMaxDailySpendWei: 9n * GEN })] };
    const now = NOW + 10_600; // at 02:56
    const first = (endsAt: number) => firstEnd(carl, now, { days: 7, spentWei: GEN, endsAt, sessions: [] });
    expect(first(NOW + 66_180)).toEqual({ what: "credit", apiName: "", isTodaysRate: true, endsAt: now + 7_500 });
    expect(first(now + 60)).toMatchObject({ isTodaysRate: false, endsAt: now + 60 });
    const session = { apiName: "maps", endsAt: now + 30, what: "hold" as const };
    expect(firstEnd(carl, now, { days: 7, spentWei: GEN, endsAt: "never", sessions: [session] })).toEqual({ ...session, isTodaysRate: false });
  });
  it("agrees with the first thing to do at each hour of the day", () => {
    const cases: [Partial<ApiUsage>, bigint][] = [
      [{ spendTodayWei: GEN / 10n, consumerMaxDailySpendWei: (GEN * 13n) / 100n }, 90n * GEN], [{ spendTodayWei: (GEN * 95n) / 100n }, 90n * GEN],
      [{ callsToday: 90n }, 90n * GEN], [{ callsToday: 60n, spendTodayWei: GEN / 2n }, GEN / 4n], [{ spendTodayWei: (GEN * 6n) / 10n, callsToday: 70n }, GEN / 2n],
    ];
    for (const [change, creditBalanceWei] of cases) for (let minute = 5; minute < 1_440; minute += 15) {
      const [now, told] = [NOW + minute * 60, { ...whole, creditBalanceWei, apis: [line(change), line({ apiName: "maps" })] }];
      const first = firstEnd(told, now, { days: 7, spentWei: GEN, endsAt: NOW + 122 * DAY, sessions: [] });
      const [advice] = adviceFor(told, now);
      expect(first.isTodaysRate ? [first.endsAt, first.what] : [undefined, ...endsOfToday(told, now).map(({ what }) => what)]).toEqual([advice?.at, ...(advice ? [WHAT[advice.remedy ?? ""]] : [])]);
      if (creditBalanceWei > GEN) expect(advice).toMatchObject({ severity: "warn" });
    }
  });
});
const WHAT: Readonly<Record<string, string>> = { cap: "cap", plan: "plan", top_up: "credit" };
