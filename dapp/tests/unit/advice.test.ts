import { describe, expect, it } from "vitest";
import { GEN } from "../../src/domain/amounts";
import { adviceFor } from "../../src/domain/advice";
import type { ApiUsage, UsageReport } from "../../src/domain/answers";
import { line, NOW, report } from "./samples";

const of = (change: Partial<ApiUsage>, whole: Partial<UsageReport> = {}) => adviceFor(report({ apis: [line(change)], ...whole }), NOW);

describe("advice", () => {
  it("is none when all is well", () => expect(of({})).toEqual([]));
  it("accepts a price that rose", () => {
    expect(of({ costPerCallWei: GEN / 50n })[0]).toMatchObject({ severity: "stop", remedy: "subscribe", button: "Accept the new price" });
  });
  it("takes a lower price for granted", () => expect(of({ costPerCallWei: GEN / 500n })).toEqual([]));
  it("says when calls are possible again", () => expect(of({ callsLeftToday: 0n, callsToday: 100n })[0]?.text).toContain("1 h 00 min"));
  it("knows a month that is used up from a day", () => {
    expect(of({ callsLeftToday: 0n, apiMonthlyLimitCalls: 50n })[0]?.text).toContain("no more this month");
  });
  it("raises a cap that one more call would break", () => {
    expect(of({ spendLeftTodayWei: GEN / 100n })).toEqual([]);
    expect(of({ spendLeftTodayWei: GEN / 100n - 1n })[0]).toMatchObject({ remedy: "subscribe", button: "Raise the cap" });
  });
  it("tops up credit that does not cover a call", () => {
    expect(of({}, { creditBalanceWei: GEN / 100n })).toEqual([]);
    expect(of({}, { creditBalanceWei: GEN / 100n - 1n })[0]).toMatchObject({ severity: "stop", remedy: "top_up" });
  });
  it("counts the hold of the API as cover", () => {
    expect(of({ holdWei: GEN, holdExpiresAt: NOW + 1 }, { creditBalanceWei: 0n, heldWei: GEN })).toEqual([]);
  });
  it("releases a hold from the moment it ends", () => {
    expect(of({ holdWei: 1n, holdExpiresAt: NOW + 1 })).toEqual([]);
    expect(of({ holdWei: 1n, holdExpiresAt: NOW })[0]).toMatchObject({ remedy: "release_hold" });
  });
  it("says nothing about calls of an API that is not subscribed", () => expect(of({ subscribed: false, callsLeftToday: 0n })).toEqual([]));
  it("has one reason for an API, the one the contract would give", () => {
    expect(of({ active: false, costPerCallWei: GEN, callsLeftToday: 0n }).map((each) => each.key)).toEqual(["paused:weather"]);
  });
  it("begins with what stops calls", () => {
    expect(of({ costPerCallWei: GEN }, { lowCredit: true }).map((each) => each.severity)).toEqual(["stop", "warn"]);
  });
});
