import { describe, expect, it } from "vitest";
import { collectEarnings, refund, refundableWei, withdrawEarnings } from "../../src/actions/earnings";
import { endPromise, setPromise } from "../../src/actions/promise";
import type { Action } from "../../src/actions/action";
import { BillingContract } from "../../src/chain/contract";
import { GEN } from "../../src/domain/amounts";
import type { PaidDay, SettledEntry, SettlementHead } from "../../src/domain/answers";
import {
  consumersOf, consumerState, earnedIn, handOverHindrance, pendingOf, percentText, refusedIn, refusedOf, settledOf, waits,
} from "../../src/domain/operating";
import { inOrder, type Column } from "../../src/ui/records";
import { api, apiDay, NOW, OTHER, OWN, promise, subscriber } from "./samples";

const TODAY = Math.floor(NOW / 86_400); // 2026-01-01
const COURT = `0x${"c0".repeat(20)}`;
const fill = (action: Action, values: Record<string, string> = {}) =>
  action.check({ ...Object.fromEntries(action.fields.map((field) => [field.name, field.initial])), ...values });
const effects = (action: Action, values?: Record<string, string>): string => fill(action, values).effects.join(" ");

describe("what was earned", () => {
  const days = [apiDay(TODAY - 30), apiDay(TODAY - 29), apiDay(TODAY - 7), apiDay(TODAY - 6), apiDay(TODAY, { earnedWei: 3n })];
  it("counts the day itself and those before it", () => {
    expect([earnedIn(days, TODAY), earnedIn(days, TODAY, 7), earnedIn(days, TODAY, 30)]).toEqual([3n, GEN + 3n, 3n * GEN + 3n]);
  });
  it("on a day that has just begun is nothing", () => expect(earnedIn(days, TODAY + 1)).toBe(0n));
});

describe("what waits", () => {
  const days = [apiDay(TODAY - 9, { payoutDays: 0 }), apiDay(TODAY - 8, { payoutDays: 7 }), apiDay(TODAY - 7, { payoutDays: 7, earnedWei: 5n }), apiDay(TODAY, { payoutDays: 7 })];
  it("can be collected when more than its days have passed, as in the contract", () => {
    expect(pendingOf(days, 2n * GEN + 5n, TODAY)).toEqual({ collectableWei: GEN, waitingWei: GEN + 5n, nextDay: TODAY + 1, nextWei: 5n, lastDay: TODAY + 8 });
    expect(pendingOf(days, 2n * GEN + 5n, TODAY + 1)).toEqual({ collectableWei: GEN + 5n, waitingWei: GEN, nextDay: TODAY + 8, nextWei: GEN, lastDay: TODAY + 8 });
  });
  it("can all be collected where no day waits on, also that of days which the contract lists no more", () => {
    expect(pendingOf([apiDay(TODAY)], 7n, TODAY)).toEqual({ collectableWei: 7n, waitingWei: 0n, nextDay: 0, nextWei: 0n, lastDay: 0 });
  });
  it("is never more than the contract says", () => expect(pendingOf(days, 3n, TODAY)).toMatchObject({ collectableWei: 3n, waitingWei: 0n }));
  it("is nothing where nothing was promised", () => expect(pendingOf([apiDay(TODAY - 20)], 0n, TODAY)).toEqual({ collectableWei: 0n, waitingWei: 0n, nextDay: 0, nextWei: 0n, lastDay: 0 }));
  it("is known by day", () => expect([waits(days, TODAY - 9), waits(days, TODAY - 7), waits(days, TODAY - 3)]).toEqual([false, true, false]));
});

describe("what more than 100 APIs have pending", () => {
  it("is read of all of them", async () => {
    const pages: number[] = [];
    const read = (_: string, [, offset = 0]: readonly [string, number?]) => {
      pages.push(offset);
      return Promise.resolve({ operator: OWN, earningsWei: 1n, withdrawnWei: 0n, refundedWei: 0n, apis: [{ apiName: `api-${offset}`, pendingWei: 1n, frozenWei: 0n }] });
    };
    const { apis } = await Object.assign(new BillingContract("http://127.0.0.1:1", OWN), { read }).earnings(OWN, 201);
    expect([pages, apis.length]).toEqual([[0, 100, 200], 3]);
  });
});

describe("the state of a consumer", () => {
  const label = (change: Parameters<typeof subscriber>[0], of = api(), refused = "") => consumerState(subscriber(change), of, NOW, refused).label;
  it.each([
    ["Active", {}], ["Ended", { active: false }], ["No hold", { signer: OTHER }], ["No hold", { signer: OTHER, holdWei: 1n, holdExpiresAt: NOW }],
    ["Active", { signer: OTHER, holdWei: 1n, holdExpiresAt: NOW + 1 }], ["Used up today", { callsToday: 100n }], ["Used up", { planName: "pro", callsMonth: 10_000n }],
  ])("is %s", (expected, change) => expect(label(change)).toBe(expected));
  it("tells that the API is paused", () => expect(label({}, api({ active: false }))).toBe("Paused"));
  it.each([
    ["from its hold, also one that has ended since", 1n, "can be settled until the day after, from its hold"], ["not without one, as in the contract", 0n, "Nothing more can be settled."],
  ])("says of one that ended what can be settled: %s", (_, holdWei, text) => {
    expect(consumerState(subscriber({ active: false, holdWei, holdExpiresAt: NOW }), api(), NOW).text).toContain(text);
  });
  it("tells what the last settlement refused", () => {
    const { label: found, text } = consumerState(subscriber(), api(), NOW, "daily_spend_exceeded", (code) => `why: ${code}`);
    expect([found, text]).toEqual(["Refused", "In the last settlement: why: daily_spend_exceeded."]);
  });
});

describe("all consumers", () => {
  it("count once, whatever APIs they use; the one that spends most is named", () => {
    const found = consumersOf([
      [subscriber({ spendMonthWei: 2n, active: false }), subscriber({ consumer: OTHER, spendMonthWei: 3n, holdWei: 4n, holdExpiresAt: NOW + 1 })],
      [subscriber({ spendMonthWei: 2n, holdWei: 9n, holdExpiresAt: NOW })],
    ], NOW);
    expect(found).toEqual({ count: 2, active: 2, held: 1, heldWei: 4n, first: OWN, firstWei: 4n });
  });
  it("that spent nothing name nobody", () => expect(consumersOf([[subscriber({ spendMonthWei: 0n })]], NOW).first).toBe(""));
});

describe("settlements", () => {
  const head = (change: Partial<SettlementHead>): SettlementHead => ({
    apiName: "weather", sequence: 1n, usageRoot: "", billedCalls: 1n, billedWei: 1n, refusedEntries: 0, settledAt: NOW, ...change,
  });
  const entry = (change: Partial<SettledEntry>): SettledEntry => ({ consumer: OWN, dayId: TODAY, calls: 10n, spendWei: 100n, billedCalls: 10n, billedWei: 100n, code: "", ...change });
  it("of all APIs have one that is the last", () => {
    const found = settledOf([[head({}), head({ sequence: 2n, settledAt: NOW + 5 })], [head({ apiName: "maps", settledAt: NOW + 2, refusedEntries: 2 })]]);
    expect([found.count, found.withRefused, found.last?.sequence, found.lastRefusing?.apiName]).toEqual([3, 1, 2n, "maps"]);
  });
  it("tell what was refused, and of whom", () => {
    const entries = [entry({}), entry({ consumer: OTHER, billedCalls: 4n, billedWei: 40n, code: "insufficient_credit" })];
    expect(refusedOf(entries)).toEqual({ calls: 6n, ofCalls: 20n, spendWei: 60n });
    expect([...refusedIn({ ...head({}), entries })]).toEqual([[OTHER, "insufficient_credit"]]);
  });
  it("tell of several entries of a consumer what the notice to it says: the first", () => {
    const entries = [entry({}), entry({ code: "insufficient_credit" }), entry({ code: "day_closed" })];
    expect(refusedIn({ ...head({}), entries }).get(OWN)).toBe("insufficient_credit");
  });
  it.each([[0n, 10n, "0 %"], [1n, 1_000n, "under 1 %"], [6n, 20n, "30 %"], [0n, 0n, "0 %"]])("%s of %s calls are %s", (part, whole, text) => expect(percentText(part, whole)).toBe(text));
});

describe("withdrawing earnings", () => {
  it("goes to the operator, to the last wei and not more", () => {
    expect(fill(withdrawEarnings(GEN + 1n)).call?.args).toEqual([GEN + 1n]);
    expect(fill(withdrawEarnings(GEN), { amount: "2" }).errors["amount"]).toBe("Only 1 GEN can be withdrawn.");
  });
  it("goes to another account that is named", () => {
    expect(fill(withdrawEarnings(GEN), { to: OTHER }).call?.args).toEqual([GEN, OTHER]);
    expect(fill(withdrawEarnings(GEN), { to: "0x1" }).call).toBeNull();
  });
  it("needs what has matured to be collected first", () => expect(fill(collectEarnings("weather", GEN)).call).toMatchObject({ method: "collect_earnings", args: ["weather"], valueWei: 0n }));
});

describe("a refund", () => {
  const paid = (change: Partial<PaidDay> = {}): PaidDay => ({
    apiName: "weather", consumer: OTHER, dayId: TODAY - 1, calls: 9n, paidWei: 3n * GEN, refundedWei: GEN, frozenWei: 0n, frozenAt: 0, pending: true, ...change,
  });
  it("comes from what can be withdrawn, without a day", () => {
    expect(fill(refund("weather", OTHER, { withdrawableWei: GEN }), { amount: "1", reason: "an outage" }).call?.args).toEqual(["weather", OTHER, GEN, "an outage"]);
    expect(fill(refund("weather", OTHER, { withdrawableWei: GEN }), { amount: "1.1" }).errors["amount"]).toBe("Only 1 GEN can be withdrawn.");
  });
  it("of a day is bounded by what was paid and not given back", () => {
    const action = refund("weather", OTHER, { day: paid() });
    expect(fill(action, { amount: "2" }).call?.args).toEqual(["weather", OTHER, 2n * GEN, "", TODAY - 1]);
    expect(fill(action, { amount: "2.1" }).errors["amount"]).toContain("At most 2 GEN");
    expect(effects(action, { amount: "2" })).toContain("what waits of 31 Dec; what you can withdraw stays as it is");
  });
  it("of a day that a court froze is none", () => expect(refundableWei({ day: paid({ frozenAt: NOW }) })).toBe(0n));
  it.each([["a\nb", "Write it on one line."], ["a\u00a0b", "Write it on one line."], ["x".repeat(201), "These are 201 characters; 200 are the most."]])("with the reason %j is not sent", (reason, error) => {
    expect(fill(refund("weather", OTHER, { withdrawableWei: GEN }), { amount: "1", reason }).errors["reason"]).toBe(error);
  });
  it.each(["x".repeat(200), "Störung, 12 min 🙂"])("with the reason %j is sent", (reason) => {
    expect(fill(refund("weather", OTHER, { withdrawableWei: GEN }), { amount: "1", reason }).call?.args[3]).toBe(reason);
  });
});

describe("a promise", () => {
  const values = { court: COURT, days: "7", percent: "50", terms: "Answers within 250 ms.", status: "https://status.example" };
  const inForce = promise({ court: COURT, payoutDays: 7, maxRefundPercent: 50, terms: "Answers.", statusUrl: "", fromDay: TODAY - 1 });
  it("begins tomorrow, and says when its first day can be collected", () => {
    const action = setPromise("weather", promise(), TODAY, COURT);
    expect(fill(action, values).call).toMatchObject({ method: "set_promise", args: ["weather", COURT, 7, 50, "Answers within 250 ms.", "https://status.example"] });
    expect(effects(action, values)).toContain("From 2 Jan on: earnings of a day wait 7 days");
    expect(effects(action, values)).toContain("What is earned on 2 Jan can be collected from 10 Jan on");
  });
  it("knows the court of the site", () => expect(setPromise("weather", promise(), TODAY, COURT).fields[0]?.initial).toBe(COURT));
  it("changes after the days of the one in force, which is said", () => {
    const text = effects(setPromise("weather", inForce, TODAY, ""), { ...values, days: "3" });
    expect(text).toMatch(/Until 8 Jan, as now: earnings of a day wait 7 days.*From 9 Jan on: earnings of a day wait 3 days/);
    expect(text).toContain("with 4 days' notice");
  });
  it("that stays as it is is not sent", () => expect(fill(setPromise("weather", inForce, TODAY, "")).errors["court"]).toBe("Nothing would change."));
  it("ends after the days of the one in force", () => {
    const action = endPromise("weather", inForce, TODAY);
    expect(fill(action).call?.args).toEqual(["weather", "", 0, 0, "", ""]);
    expect(effects(action)).toContain("From 9 Jan on nothing is promised");
  });
  it.each([
    ["days", "2"], ["days", "15"], ["percent", "0"], ["percent", "101"], ["terms", ""], ["terms", "x".repeat(2_001)], ["status", "http://status.example"], ["court", "0x1"],
  ])("with %s %j is not sent", (name, value) => {
    expect(fill(setPromise("weather", promise(), TODAY, COURT), { ...values, [name]: value }).errors[name]).toBeTruthy();
  });
  it("is in the way of handing over", () => {
    const waiting = { apiName: "weather", pendingWei: 0n, frozenWei: 0n };
    expect(handOverHindrance(inForce, null, waiting)).toContain("End it first");
    expect(handOverHindrance(inForce, promise({ fromDay: TODAY + 8 }), waiting)).toContain("in force until 8 Jan");
    expect(handOverHindrance(promise(), { ...inForce, fromDay: TODAY + 1 }, waiting)).toBe("a promise begins on 2 Jan.");
    expect(handOverHindrance(promise(), null, { ...waiting, frozenWei: 1n })).toContain("frozen");
    expect(handOverHindrance(promise(), null, { ...waiting, pendingWei: 1n })).toContain("collected first");
    expect(handOverHindrance(promise(), null, waiting)).toBe("");
    const ended = { dayId: TODAY, fromDay: TODAY };
    expect(handOverHindrance(promise(ended), null, waiting)).toContain("accepted from 2 Jan on");
    expect(handOverHindrance(promise({ ...ended, dayId: TODAY + 1 }), null, waiting)).toBe("");
  });
});

describe("the order of a table", () => {
  const columns: Column<{ wei: bigint }>[] = [{ id: "wei", title: "Wei", by: ({ wei }) => wei, show: () => null }];
  const rows = [2n, 10n ** 27n, 1n].map((wei) => ({ wei }));
  const ordered = (order: string) => inOrder(rows, columns, order).map(({ wei }) => wei);
  it("is by numbers of any size, from the least or the most", () => expect([ordered("wei"), ordered("-wei")]).toEqual([[1n, 2n, 10n ** 27n], [10n ** 27n, 2n, 1n]]));
  it("is the given one else", () => expect(ordered("")).toEqual(rows.map(({ wei }) => wei)));
});
