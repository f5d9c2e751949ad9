import { describe, expect, it } from "vitest";
import { GEN } from "../../src/domain/amounts";
import { adviceFor, stillHolds } from "../../src/domain/advice";
import type { ApiUsage, DisputeHead, Notice, PaidDay, UsageReport } from "../../src/domain/answers";
import { line, NOW, OTHER, OWN, report } from "./samples";

const of = (change: Partial<ApiUsage>, whole: Partial<UsageReport> = {}) => adviceFor(report({ apis: [line(change)], ...whole }), NOW);

describe("advice", () => {
  it("is none when all is well", () => expect(of({})).toEqual([]));
  it("accepts a price that rose", () => {
    expect(of({ costPerCallWei: GEN / 50n })[0]).toMatchObject({ severity: "stop", remedy: "subscribe", button: "Accept the new price" });
  });
  it("writes prices out where they look alike else", () => {
    expect(of({ costPerCallWei: GEN / 100n + 1n })[0]?.text).toContain("0.01 GEN a call were accepted; it costs 0.010000000000000001 GEN now");
  });
  it("takes a lower price for granted", () => expect(of({ costPerCallWei: GEN / 500n })).toEqual([]));
  it("says when calls are possible again", () => expect(of({ callsToday: 100n })[0]?.text).toContain("1 h 00 min"));
  it("knows a month that is used up from a day", () => {
    expect(of({ apiMonthlyLimitCalls: 50n })[0]?.text).toContain("no more this month");
  });
  it("raises a cap that one more call would break", () => {
    expect(of({ callsToday: 8n, spendTodayWei: (GEN * 99n) / 100n })).toMatchObject([{ key: "near_daily_spend_exceeded:weather" }]);
    expect(of({ spendTodayWei: (GEN * 99n) / 100n + 1n })[0]).toMatchObject({ remedy: "cap", button: "Raise the cap" });
  });
  it("promises calls by waiting only where waiting helps", () => {
    const stopped = (change: Partial<ApiUsage>, whole: Partial<UsageReport> = {}) => of(change, whole)[0];
    const NEVER = "Waiting does not help: the daily cap is below a call's price.";
    expect(stopped({ callsToday: 100n, consumerMaxDailySpendWei: GEN / 200n })?.text).toContain(NEVER);
    expect(stopped({ apiMonthlyLimitCalls: 50n, consumerMaxDailySpendWei: GEN / 200n })?.text).toContain(NEVER);
    expect(stopped({ callsToday: 100n }, { creditBalanceWei: 0n })?.text).toContain("Waiting does not help: credit does not cover a call.");
    expect(stopped({ callsToday: 100n, apiMonthlyLimitCalls: 50n })?.text).toContain("again on 21 Jan 2026, 00:00 UTC, with a new month.");
    const both = [line({ apiName: "a", callsToday: 100n }), line({ apiName: "b", callsToday: 100n, consumerMaxDailySpendWei: 1n })];
    expect(adviceFor(report({ apis: both }), NOW)[0]?.text).toContain("Waiting does not help all of them");
  });
  it("tells a cap below a call's price from one that is reached", () => {
    expect(of({ costPerCallWei: 2n * GEN, acceptedPriceWei: 2n * GEN })).toMatchObject([{
      title: "The daily cap for weather is below a call's price", button: "Raise the cap", remedy: "cap",
      text: "A call costs 2 GEN, and 1 GEN may be spent a day: no call is possible until the cap is raised.",
    }]);
    const apis = [line({ apiName: "a", consumerMaxDailySpendWei: 1n }), line({ apiName: "b", spendTodayWei: GEN })];
    expect(adviceFor(report({ apis }), NOW).map(({ title }) => title)).toEqual([
      "The daily cap for a is below a call's price", "The daily cap for b is reached",
    ]);
  });
  it("tops up credit that does not cover a call", () => {
    expect(of({}, { creditBalanceWei: GEN / 100n })).toEqual([]);
    expect(of({}, { creditBalanceWei: GEN / 100n - 1n })[0]).toMatchObject({ severity: "stop", remedy: "top_up" });
  });
  it("takes no hold for credit, and says what it still pays", () => {
    const [item] = of({ holdWei: GEN, holdExpiresAt: NOW + 1 }, { creditBalanceWei: 0n, heldWei: GEN });
    expect(item).toMatchObject({ severity: "warn", remedy: "top_up" });
    expect(item?.text).toContain("What is metered is still paid from its hold.");
  });
  it("is one for each remedy, whatever the number of APIs", () => {
    const apis = ["a", "b", "c", "d", "e"].map((apiName) => line({ apiName }));
    const [item, ...more] = adviceFor(report({ apis, creditBalanceWei: 0n, lowCredit: true }), NOW);
    expect(item).toMatchObject({ title: "5 APIs cannot be called: credit is below a call's price", button: "Top up", remedy: "top_up" });
    expect(item?.which).toBe("a, b, c and 2 more.");
    expect(more).toEqual([]);
  });
  it("begins with the first where each API has a remedy of its own", () => {
    const apis = ["a", "b"].map((apiName) => line({ apiName, costPerCallWei: GEN }));
    expect(adviceFor(report({ apis }), NOW)).toMatchObject([{ title: "The price of 2 APIs rose", button: "Accept the new price: a", apiNames: ["a", "b"] }]);
  });
  it("warns of a limit of which nine tenths are used", () => {
    expect(of({ callsToday: 89n })).toEqual([]);
    expect(of({ callsToday: 90n })).toMatchObject([{ severity: "warn", title: "10 calls of weather are left", button: "Choose another plan" }]);
    expect(of({ callsToday: 9n, spendTodayWei: (GEN * 99n) / 100n })).toMatchObject([{ title: "1 call of weather is left", button: "Raise the cap" }]);
    const apis = ["a", "b"].map((apiName) => line({ apiName, apiMonthlyLimitCalls: 55n }));
    expect(adviceFor(report({ apis }), NOW)).toMatchObject([{ title: "2 APIs are near their plan's limit for a month", button: "Choose another plan: a" }]);
  });
  it("warns of credit that lasts less than a week", () => {
    const lasting = (days: number) => adviceFor(report(), NOW, { days: 7, spentWei: GEN, endsAt: NOW + days * 86_400, sessions: [] });
    expect(lasting(8)).toEqual([]);
    expect(lasting(3)).toMatchObject([{ title: "Credit lasts until 4 Jan 2026, 00:00 UTC", remedy: "top_up" }]);
  });
  it("tells of what runs out today, at the time at which it does", () => {
    const noon = report().resetsAt - 43_200;
    const at = (change: Partial<ApiUsage>, creditBalanceWei = 4n * GEN, ...apis: ApiUsage[]) => adviceFor(report({ apis: [line(change), ...apis], creditBalanceWei }), noon);
    expect(at({ callsToday: 80n })).toMatchObject([{
      title: "20 calls of weather are left", text: "At today's rate its plan's limit for a day is reached at 16:00 UTC, and calls are refused.", remedy: "plan",
    }]);
    expect(at({ spendTodayWei: (GEN * 3n) / 4n })).toMatchObject([{ title: "25 calls of weather are left", remedy: "cap" }]);
    expect(at({ callsToday: 80n }, 4n * GEN, line({ apiName: "maps", callsToday: 60n }))).toMatchObject([{ text: "At today's rate weather reaches it at 16:00 UTC, and calls are refused." }]);
    expect(at({ spendTodayWei: GEN / 4n }, GEN / 5n)).toMatchObject([{ title: "Credit lasts until 31 Dec 2025, 22:36 UTC", text: "At today's rate: 0.2 GEN are free.", remedy: "top_up" }]);
  });
  const inSession = { signer: OWN, holdWei: 2n * GEN, holdExpiresAt: NOW + 86_400 * 9 };
  const ending = (what: "signed" | "hold" | "time", hours: number, unbilled = new Map<string, bigint>()) =>
    adviceFor(report({ apis: [line(inSession)] }), NOW, { days: 7, spentWei: GEN, endsAt: "never", sessions: [{ apiName: "weather", endsAt: NOW + hours * 3_600, what }] }, unbilled);
  it("signs more when little of what is signed is left", () => {
    expect(ending("signed", 49)).toEqual([]);
    expect(ending("signed", 47, new Map([["weather", GEN / 5n]]))).toMatchObject([{
      severity: "warn", title: "0.2 GEN signed for weather are left", remedy: "sign", button: "Sign a voucher",
      text: "At the rate of the last days that lasts until 2 Jan 2026, 23:00 UTC; then weather can bill nothing until more is signed.",
    }]);
  });
  it("adds to a session, or prolongs it, when its hold or time ends", () => {
    expect(ending("hold", 3)).toMatchObject([{ title: "2 GEN are left in the session of weather", remedy: "session", button: "Add or prolong" }]);
    expect(ending("time", 3)).toMatchObject([{ title: "The session of weather ends on 1 Jan 2026, 03:00 UTC", remedy: "session" }]);
  });
  it("says that nothing is signed, unless another key does that", () => {
    const none = (signer: string) => adviceFor(report({ apis: [line({ ...inSession, signer })] }), NOW, null, new Map([["weather", 0n]]));
    expect(none(OWN)).toMatchObject([{ severity: "info", remedy: "sign", title: "Nothing is signed for weather that is not billed" }]);
    expect(none(OTHER)).toEqual([]);
  });
  it("misses no free credit where a session pays", () => {
    expect(of(inSession, { creditBalanceWei: 0n })).toEqual([]);
    expect(of({ ...inSession, holdWei: 1n }, { creditBalanceWei: 0n })).toMatchObject([{ severity: "stop", remedy: "top_up" }]);
  });
  it("releases a hold from the moment it ends", () => {
    expect(of({ holdWei: 1n, holdExpiresAt: NOW + 1 })).toEqual([]);
    expect(of({ holdWei: 1n, holdExpiresAt: NOW })[0]).toMatchObject({ remedy: "release_hold" });
  });
  it("has an open dispute judged, or says for what it waits", () => {
    const open = (disputeId: number, change: Partial<PaidDay>) => ({ dispute: { disputeId, apiName: "weather", openedAt: NOW - 86_400 } as DisputeHead, day: change as PaidDay });
    const ofDispute = (...days: Partial<PaidDay>[]) => adviceFor(report(), NOW, null, new Map(), days.map((change, i) => open(i + 1, change)));
    expect(ofDispute({ frozenWei: 0n, pending: true }, { frozenWei: GEN })).toMatchObject([{
      severity: "info", title: "Dispute 2 about weather can be judged", remedy: "dispute", button: "Have it judged", disputeId: 2, text: expect.stringMatching(/^Anyone can have it judged until 28 Jan 2026/) as string,
    }]);
    expect(ofDispute({ frozenWei: 0n, pending: true })).toMatchObject([{ title: "Dispute 1 about weather waits", button: "See the dispute" }]);
    expect(ofDispute({ frozenWei: 0n, pending: false })).toMatchObject([{ title: "Dispute 1 about weather can be closed", button: "Close it" }]);
    expect(adviceFor(report({ lowCredit: true }), NOW, null, new Map(), [open(1, { frozenWei: GEN })]).map(({ severity }) => severity)).toEqual(["warn", "info"]);
  });
  it("says nothing about calls of an API that is not subscribed", () => expect(of({ subscribed: false, callsToday: 100n })).toEqual([]));
  it("has one reason for an API, the one the contract would give", () => {
    expect(of({ active: false, costPerCallWei: GEN, callsToday: 100n }).map((each) => each.key)).toEqual(["api_paused:weather"]);
  });
  it("speaks to whoever looks", () => {
    const told = [ending("signed", 3), ending("hold", 3), ending("time", 3), adviceFor(report({ apis: [line(inSession)] }), NOW, null, new Map([["weather", 0n]]))].flat();
    expect(told.map(({ title, text }) => title + text).filter((text) => /\byou/.test(text))).toEqual([]);
  });
  it("begins with what stops calls", () => {
    expect(of({ costPerCallWei: GEN }, { lowCredit: true }).map((each) => each.severity)).toEqual(["stop", "warn"]);
  });
});

describe("a notice", () => {
  const notice = (change: Partial<Notice>): Notice => ({ number: 1, at: NOW, kind: "limit", apiName: "weather", code: "daily_spend_exceeded", calls: 1n, amountWei: 0n, ...change });
  const capped = report({ apis: [line({ spendTodayWei: GEN })] });
  it("gives advice as long as what it told is so", () => {
    expect(stillHolds(notice({}), capped, NOW)).toBe(true);
    expect(stillHolds(notice({}), report(), NOW)).toBe(false);
    expect(stillHolds(notice({ code: "price_changed", kind: "price" }), capped, NOW)).toBe(false);
  });
  it("of low credit is old when that was topped up", () => {
    expect(stillHolds(notice({ kind: "low_credit", code: "low_credit" }), report(), NOW)).toBe(false);
    expect(stillHolds(notice({ kind: "low_credit", code: "low_credit" }), report({ lowCredit: true }), NOW)).toBe(true);
  });
  it("of a settlement gives advice for a day", () => {
    expect(stillHolds(notice({ code: "voucher_exceeded" }), report(), NOW + 86_399)).toBe(true);
    expect(stillHolds(notice({ code: "voucher_exceeded" }), report(), NOW + 86_400)).toBe(false);
  });
  it("of a session without a hold is old when there is one", () => {
    const session = (holdExpiresAt: number) => report({ apis: [line({ signer: `0x${"aa".repeat(20)}`, holdWei: 1n, holdExpiresAt })] });
    expect(stillHolds(notice({ code: "insufficient_credit" }), session(NOW), NOW)).toBe(true);
    expect(stillHolds(notice({ code: "insufficient_credit" }), session(NOW + 1), NOW)).toBe(false);
  });
});
