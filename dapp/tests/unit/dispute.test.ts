import { describe, expect, it } from "vitest";
import { closeDispute, judgeDispute, openDispute } from "../../src/actions/dispute";
import type { Action } from "../../src/actions/action";
import { BillingContract } from "../../src/chain/contract";
import { promisesBack } from "../../src/chain/court";
import type { Dispute, PaidDay } from "../../src/domain/answers";
import { GEN } from "../../src/domain/amounts";
import { inOrderFor, nextOf, refundAtMost, standingOf } from "../../src/domain/dispute";
import { DAY_SECONDS } from "../../src/domain/time";
import { NOW, OTHER, OWN, promise } from "./samples";

const DAY = NOW / DAY_SECONDS - 3;
const PROMISE = promise({ court: OTHER, payoutDays: 7, maxRefundPercent: 50 });
const COURT = { billing: OTHER, minBondWei: GEN / 10n, disputes: 0 };
const day = (change: Partial<PaidDay> = {}): PaidDay => ({
  apiName: "weather", consumer: OWN, dayId: DAY, calls: 4n, paidWei: GEN, refundedWei: 0n, frozenWei: 0n, frozenAt: 0, pending: true, ...change,
});
const dispute = (change: Partial<Dispute> = {}): Dispute => ({
  disputeId: 1, apiName: "weather", consumer: OWN, dayId: DAY, status: "open", calls: 4n, paidWei: GEN, bondWei: GEN / 10n, openedAt: NOW, endedAt: 0,
  refundPercent: 0, refundWei: 0n, claim: "", evidenceUrl: "", reason: "", ...change,
});
const frozen = day({ frozenWei: GEN, frozenAt: NOW });
const fill = (action: Action, values: Record<string, string> = {}) =>
  action.check({ ...Object.fromEntries(action.fields.map((field) => [field.name, field.initial])), ...values });
const effects = (action: Action, values?: Record<string, string>): string => fill(action, values).effects.join(" ");

describe("the refund at most", () => {
  it("is the promised part of what was paid", () => expect(refundAtMost(GEN, 0n, PROMISE)).toBe(GEN / 2n));
  it("is less what was refunded, and never below nothing", () => {
    expect(refundAtMost(GEN, GEN / 4n, PROMISE)).toBe(GEN / 4n);
    expect(refundAtMost(GEN, GEN, PROMISE)).toBe(0n);
  });
});

describe("an open dispute", () => {
  it.each([
    ["is not frozen yet: it waits", day(), NOW, null], ["is frozen: it can be judged", frozen, NOW, "judge"], ["is frozen, a second before 28 days", frozen, NOW + 28 * DAY_SECONDS - 1, "judge"],
    ["is 28 days old: too late, too early", frozen, NOW + 28 * DAY_SECONDS, null], ["is a second before 30 days", frozen, NOW + 30 * DAY_SECONDS - 1, null],
    ["is 30 days old: it can be closed", frozen, NOW + 30 * DAY_SECONDS, "close"], ["came too late to freeze: it can be closed", day({ pending: false }), NOW, "close"],
    ["was never frozen, after 30 days", day(), NOW + 30 * DAY_SECONDS, "close"],
  ] as const)("%s", (_what, paid, now, can) => expect(nextOf(dispute(), paid, now).can).toBe(can));
  it("says of the days between judging and closing that nothing can be done", () => {
    expect(nextOf(dispute(), frozen, NOW).text).toContain("If nobody does, nothing can be done for 2 days; from ");
    for (const paid of [frozen, day()]) expect(nextOf(dispute(), paid, NOW + 29 * DAY_SECONDS).text).toContain("It was not judged in 28 days, and cannot be any more. From ");
  });
});

describe("a list of disputes", () => {
  it("has the account's own first, and open ones before ended ones", () => {
    const list = [dispute({ disputeId: 4, consumer: OTHER, status: "judged" }), dispute({ disputeId: 3, consumer: OTHER }), dispute({ disputeId: 2, status: "judged" }), dispute({ disputeId: 1 })];
    expect(inOrderFor(OWN, list).map(({ disputeId }) => disputeId)).toEqual([1, 2, 3, 4]);
  });
  it.each([
    [{}, "Open"], [{ status: "judged", refundPercent: 25 }, "Refund of 25 %"], [{ status: "judged" }, "No refund"], [{ status: "closed" }, "Closed without a verdict"],
  ])("says of %j: %s", (change, label) => expect(standingOf(dispute(change)).label).toBe(label));
});

describe("opening a dispute", () => {
  const given = { claim: "It was down.", evidence: "https://a.example/log" };
  it("sends claim, evidence and the bond to the court", () => {
    expect(fill(openDispute(day(), PROMISE, COURT, true), given).call).toMatchObject({ to: OTHER, method: "open_dispute", args: ["weather", DAY, given.claim, given.evidence], valueWei: GEN / 10n });
  });
  it("writes a proven line below the claim, which is shorter for that", () => {
    const action = openDispute(day(), PROMISE, COURT, true, "Proven.");
    expect(fill(action, given).call?.args[2]).toBe("It was down.\n\nProven.");
    expect(fill(action, { ...given, claim: "x".repeat(1_991) }).call?.args[2]).toHaveLength(2_000);
    expect(fill(action, { ...given, claim: "x".repeat(1_992) }).call).toBeNull();
  });
  it.each([["claim", " "], ["evidence", "http://a.example"], ["bond", "0.09"]])("with a wrong %s %j is not sent", (name, value) => {
    const { call, errors } = fill(openDispute(day(), PROMISE, COURT, true), { ...given, [name]: value });
    expect(call).toBeNull();
    expect(errors[name]).toBeTruthy();
  });
  it("at a court that only the operator has chosen says where the bond goes, and has it typed", () => {
    const action = openDispute(day(), PROMISE, COURT, false);
    expect([action.isDangerous, action.intro]).toEqual([true, expect.stringContaining(`calls ${OTHER} its court`)]);
    expect(fill(action, given).errors["bond"]).toBeTruthy();
    expect(effects(action, { ...given, bond: "0.1" })).toContain(`0.1 GEN leave your account and go to ${OTHER}, which weather calls its court and this site does not know: it may keep them.`);
    expect(effects(openDispute(day(), PROMISE, COURT, true), given)).not.toContain("may keep");
  });
  it("at a court without a bond costs none", () => {
    const { call, effects } = fill(openDispute(day(), PROMISE, { ...COURT, minBondWei: 0n }, true), given);
    expect(call?.valueWei).toBe(0n);
    expect(effects.join(" ")).not.toContain("bond");
  });
});

describe("ending a dispute", () => {
  it("by a verdict says what is read, and what comes back at most", () => {
    const { call, effects } = fill(judgeDispute(dispute({ evidenceUrl: "https://a.example" }), day({ ...frozen, refundedWei: GEN / 4n }), PROMISE, OTHER));
    expect(call).toMatchObject({ to: OTHER, method: "judge", args: [1], valueWei: 0n });
    expect(effects.join(" ")).toMatch(/open the evidence and ask.*at most 0\.25 GEN are refunded/);
  });
  it("without one gives the bond back", () => {
    const { call, effects } = fill(closeDispute(dispute(), OTHER));
    expect(call).toMatchObject({ to: OTHER, method: "close_dispute", args: [1] });
    expect(effects[0]).toContain("0.1 GEN goes back to the consumer");
  });
});

describe("the courts of an API", () => {
  it("are those of all its promises, as many as the contract lets it have", async () => {
    const read = (_: string, [, at]: readonly [string, number]) => Promise.resolve(promise({ court: OTHER, fromDay: Math.max(at - 3, 0) }));
    const contract = Object.assign(new BillingContract("http://127.0.0.1:1", OWN), { read });
    expect(await promisesBack(contract, "weather", 4 * 64, 0)).toHaveLength(64);
  });
});
