// Answers as the contract gives them, for tests.
import type { Api, ApiDay, ApiDetails, ApiUsage, Promise as ApiPromise, Session, Subscriber, UsageReport } from "../../src/domain/answers";
import { GEN } from "../../src/domain/amounts";

export const NOW = 1_767_225_600; // 2026-01-01T00:00:00Z
export const OWN = `0x${"11".repeat(20)}`;
export const OTHER = `0x${"22".repeat(20)}`;

export const line = (change: Partial<ApiUsage> = {}): ApiUsage => ({
  apiName: "weather", planName: "standard", callsToday: 5n, spendTodayWei: GEN / 20n, callsMonth: 50n, spendMonthWei: GEN / 2n,
  costPerCallWei: GEN / 100n, acceptedPriceWei: GEN / 100n, apiDailyLimitCalls: 100n, apiMonthlyLimitCalls: 0n, consumerMaxDailySpendWei: GEN,
  callsLeftToday: 95n, spendLeftTodayWei: (GEN * 19n) / 20n, holdWei: 0n, holdExpiresAt: 0, active: true, subscribed: true, settlements: 0, signer: "", ...change,
});

export const report = (change: Partial<UsageReport> = {}): UsageReport => ({
  consumer: OWN, dayId: Math.floor(NOW / 86_400), creditBalanceWei: 4n * GEN, heldWei: 0n, lowCredit: false, notices: 0,
  resetsAt: NOW + 3_600, monthResetsAt: NOW + 86_400 * 20, total: 1, apis: [line()], ...change,
});

export const api = (change: Partial<Api> = {}): Api => ({
  apiName: "weather", operator: OTHER, proposedOperator: "", active: true, meters: [], nextSequence: 1n,
  plans: [
    { planName: "standard", costPerCallWei: GEN / 100n, dailyLimitCalls: 100n, monthlyLimitCalls: 0n },
    { planName: "pro", costPerCallWei: GEN / 200n, dailyLimitCalls: 0n, monthlyLimitCalls: 10_000n },
  ],
  ...change,
});

export const apiDetails = (change: Partial<ApiDetails> = {}): ApiDetails => ({
  ...api(), chainId: 61_999, asset: `0x${"33".repeat(20)}`, promise: null,
  voucherDomain: { name: "x402 Batch Settlement", version: "1", chainId: 61_999n, verifyingContract: "0x4020074e9df2ce1dee5a9c1b5c3f541d02a10003" }, ...change,
});

export const session = (change: Partial<Session> = {}): Session => ({
  consumer: OWN, apiName: "weather", signer: OWN, holdWei: GEN, holdExpiresAt: NOW + 86_400, holdFromDay: Math.floor(NOW / 86_400), inForce: true, channels: [], ...change,
});

export const subscriber = (change: Partial<Subscriber> = {}): Subscriber => ({
  consumer: OWN, planName: "standard", active: true, callsToday: 5n, spendTodayWei: GEN / 20n, callsMonth: 50n, spendMonthWei: GEN / 2n,
  holdWei: 0n, holdExpiresAt: 0, signer: "", ...change,
});

export const apiDay = (dayId: number, change: Partial<ApiDay> = {}): ApiDay => ({ dayId, calls: 1n, earnedWei: GEN, payoutDays: 0, ...change });

/** Without a court: that nothing is promised. */
export const promise = (change: Partial<ApiPromise> = {}): ApiPromise => ({
  apiName: "weather", dayId: Math.floor(NOW / 86_400), court: "", payoutDays: 0, maxRefundPercent: 0, terms: "", statusUrl: "", termsSha256: "", fromDay: 0, nextFromDay: 0, ...change,
});
