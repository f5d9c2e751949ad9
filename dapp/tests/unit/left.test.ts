import { describe, expect, it } from "vitest";
import { GEN } from "../../src/domain/amounts";
import type { ApiUsage } from "../../src/domain/answers";
import { leftOf, meteredOf, reportAt } from "../../src/domain/left";
import { line, NOW, report } from "./samples";

/** The contract's rule (`_quote`), written down from it: the code of what stops so many calls, or none. */
function quote(sub: ApiUsage, credit: bigint, calls: bigint): string {
  if (!sub.active) return "api_paused";
  if (!sub.subscribed) return "not_subscribed";
  const cost = sub.costPerCallWei * calls;
  if (cost > sub.acceptedPriceWei * calls) return "price_changed";
  if (sub.apiDailyLimitCalls > 0n && sub.callsToday + calls > sub.apiDailyLimitCalls) return "daily_limit_exceeded";
  if (sub.apiMonthlyLimitCalls > 0n && sub.callsMonth + calls > sub.apiMonthlyLimitCalls) return "monthly_limit_exceeded";
  if (sub.spendTodayWei + cost > sub.consumerMaxDailySpendWei) return "daily_spend_exceeded";
  return cost > credit ? "insufficient_credit" : "";
}

/** Always the same numbers: 0 to `below`. */
function numbers(seed: number): (below: number) => bigint {
  let state = seed;
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return BigInt(Math.floor((state / 2_147_483_648) * below));
  };
}

describe("what is left", () => {
  it("is what the contract would bill, and not one call more", () => {
    const next = numbers(7);
    const codes = new Map<string, number>();
    for (let i = 0; i < 4_000; i++) {
      const price = next(4);
      const sub = line({
        active: next(20) > 0n, subscribed: next(20) > 0n, costPerCallWei: price, acceptedPriceWei: price + next(12) - 1n,
        callsToday: next(40), callsMonth: next(90), spendTodayWei: next(60), consumerMaxDailySpendWei: 1n + next(90),
        apiDailyLimitCalls: next(50) + (price ? 0n : 1n), apiMonthlyLimitCalls: next(120), holdWei: next(99), holdExpiresAt: NOW + 9,
      });
      const credit = next(80);
      const left = leftOf(sub, credit);
      if (left.calls > 0n) expect(quote(sub, credit, left.calls)).toBe("");
      expect(quote(sub, credit, left.calls + 1n)).toBe(left.code);
      expect(left.wei).toBe(left.calls * price);
      codes.set(left.code, (codes.get(left.code) ?? 0) + 1);
    }
    expect([...codes.values()].filter((times) => times > 40)).toHaveLength(7); // each reason is among them
  });
  it("is what credit covers, where that is less than the cap", () => {
    expect(leftOf(line({ spendLeftTodayWei: GEN }), (GEN * 43n) / 100n)).toMatchObject({ calls: 43n, code: "insufficient_credit" });
  });
  it("takes no hold for credit", () => {
    expect(leftOf(line({ holdWei: GEN, holdExpiresAt: NOW + 9 }), 0n)).toMatchObject({ calls: 0n, code: "insufficient_credit" });
  });
});

describe("metered use", () => {
  const held = (change: Partial<ApiUsage> = {}) => line({ holdWei: GEN / 2n, holdExpiresAt: NOW + 9, ...change });
  it("is paid from a hold until that ends", () => {
    expect(meteredOf(held(), NOW)).toMatchObject({ kind: "hold", wei: GEN / 2n, calls: 50n });
    expect(meteredOf(held(), NOW + 9)).toMatchObject({ kind: "ended", calls: 0n });
    expect(meteredOf(line(), NOW)).toBeNull();
  });
  it("is a session where it has a signer", () => expect(meteredOf(held({ signer: `0x${"aa".repeat(20)}` }), NOW)?.kind).toBe("session"));
  it("keeps to plan and cap too", () => {
    expect(meteredOf(held({ callsToday: 70n }), NOW)?.calls).toBe(30n);
    expect(meteredOf(held({ spendTodayWei: (GEN * 99n) / 100n }), NOW)?.calls).toBe(1n);
  });
  it("goes on at the price that was accepted", () => expect(meteredOf(held({ costPerCallWei: GEN }), NOW)?.calls).toBe(50n));
});

describe("a report after midnight", () => {
  const before = report({ apis: [line({ apiDailyLimitCalls: 100n, apiMonthlyLimitCalls: 60n, callsLeftToday: 10n })] });
  it("is as it is until then", () => expect(reportAt(before, NOW + 60)).toBe(before));
  it("begins the day at zero and keeps the month", () => {
    const after = reportAt(before, NOW + 86_400);
    expect(after).toMatchObject({ dayId: before.dayId + 1, resetsAt: NOW + 2 * 86_400, monthResetsAt: before.monthResetsAt });
    expect(after.apis[0]).toMatchObject({ callsToday: 0n, spendTodayWei: 0n, spendLeftTodayWei: GEN, callsMonth: 50n, callsLeftToday: 10n });
  });
  it("begins the month at zero too", () => {
    const after = reportAt({ ...before, monthResetsAt: NOW + 86_400 }, NOW + 86_400);
    expect(after.monthResetsAt).toBe(Date.UTC(2026, 1) / 1000);
    expect(after.apis[0]).toMatchObject({ callsMonth: 0n, spendMonthWei: 0n, callsLeftToday: 60n });
  });
});
