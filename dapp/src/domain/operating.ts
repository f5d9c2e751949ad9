// What an operator earned, what of it waits, who its consumers are, and what its promise will be: from the views' answers.
import type { Api, ApiDay, Promise as ApiPromise, SettledEntry, Settlement, SettlementHead, Subscriber, WaitingEarnings } from "./answers";
import { dayText } from "./time";

/** A UTC day and so many before it, the day included. */
export const earnedIn = (days: readonly ApiDay[], today: number, count = 1): bigint =>
  days.reduce((sum, { dayId, earnedWei }) => (dayId <= today && dayId > today - count ? sum + earnedWei : sum), 0n);

export interface Pending {
  /** What `collect_earnings` would move to what can be withdrawn. */
  collectableWei: bigint;
  /** What waits on. */
  waitingWei: bigint;
  /** The day from which more can be collected, and how much; 0: none. */
  nextDay: number;
  nextWei: bigint;
  /** From which all that waits now can be; 0: nothing waits. */
  lastDay: number;
}

/** Of the contract's `pending_wei` of an API: what has waited as long as was promised, and what waits on. */
export function pendingOf(days: readonly ApiDay[], pendingWei: bigint, today: number): Pending {
  const collectableFrom = ({ dayId, payoutDays }: ApiDay): number => dayId + payoutDays + 1;
  const waiting = days.filter(({ payoutDays, earnedWei }) => payoutDays > 0 && earnedWei > 0n);
  const later = waiting.filter((day) => collectableFrom(day) > today);
  const sum = (some: readonly ApiDay[]): bigint => some.reduce((total, { earnedWei }) => total + earnedWei, 0n);
  const matured = sum(waiting) - sum(later);
  const from = later.map(collectableFrom);
  const [nextDay, lastDay] = later.length === 0 ? [0, 0] : [Math.min(...from), Math.max(...from)];
  // Where no day waits on, all that is pending has matured: also that of days before the 64 that the contract lists.
  const collectableWei = later.length === 0 || matured > pendingWei ? pendingWei : matured;
  return { collectableWei, waitingWei: pendingWei - collectableWei, nextDay, nextWei: sum(later.filter((day) => collectableFrom(day) === nextDay)), lastDay };
}

export const waits = (days: readonly ApiDay[], dayId: number): boolean => days.some((day) => day.dayId === dayId && day.payoutDays > 0);

// ---- consumers ----

export const isHeld = ({ holdWei, holdExpiresAt }: Subscriber, now: number): boolean => holdWei > 0n && now < holdExpiresAt;

export interface ConsumerState {
  label: string;
  tone: "good" | "bad" | "neutral" | "warn";
  /** What needs somebody first has the lowest. */
  rank: number;
  /** Why nothing can be billed, or what was refused; empty where all is well. */
  text: string;
}

/**
 * As far as the list of consumers tells: a price that was not accepted, a cap and what credit covers are asked for one by one.
 * `refused`: the code that stopped an entry of the last settlement.
 */
export function consumerState(consumer: Subscriber, api: Api, now: number, refused = "", explain: (code: string) => string = String): ConsumerState {
  const plan = api.plans.find(({ planName }) => planName === consumer.planName);
  const isUsedUp = (calls: bigint, limit = 0n): boolean => limit > 0n && calls >= limit;
  const held = isHeld(consumer, now);
  if (!consumer.active) {
    return { label: "Ended", tone: "neutral", rank: 9, text: consumer.holdWei > 0n ? "What was used until its last day can be settled until the day after, from its hold." : "Nothing more can be settled." };
  }
  if (consumer.signer && !held) return { label: "No hold", tone: "bad", rank: 0, text: "It is billed by vouchers, from a hold only, and none is in force." };
  if (isUsedUp(consumer.callsMonth, plan?.monthlyLimitCalls)) return { label: "Used up", tone: "warn", rank: 2, text: "All calls of its plan this month are used up." };
  if (isUsedUp(consumer.callsToday, plan?.dailyLimitCalls)) return { label: "Used up today", tone: "warn", rank: 3, text: "All calls of its plan today are used up." };
  if (refused) return { label: "Refused", tone: "bad", rank: 1, text: `In the last settlement: ${explain(refused)}.` };
  if (!api.active) return { label: "Paused", tone: "warn", rank: 5, text: "The API is paused: past usage can be settled, no call is billed." };
  return { label: "Active", tone: "good", rank: 6, text: "" };
}

/** By consumer the code that first stopped an entry of a settlement, which is what its notice says. */
export const refusedIn = (settlement: Pick<Settlement, "entries"> | null | undefined): ReadonlyMap<string, string> =>
  new Map((settlement?.entries ?? []).filter(({ code }) => code !== "").reverse().map(({ consumer, code }) => [consumer, code]));

export interface Consumers {
  /** How many there are, of whom so many have a subscription. */
  count: number;
  active: number;
  heldWei: bigint;
  held: number;
  /** Who spent most this month; empty where nobody spent. */
  first: string;
  firstWei: bigint;
}

/** Of several APIs together: each consumer counts once. */
export function consumersOf(lists: readonly (readonly Subscriber[])[], now: number): Consumers {
  const spend = new Map<string, bigint>();
  const active = new Set<string>();
  const held = new Set<string>();
  let heldWei = 0n;
  for (const each of lists.flat()) {
    spend.set(each.consumer, (spend.get(each.consumer) ?? 0n) + each.spendMonthWei);
    if (each.active) active.add(each.consumer);
    if (isHeld(each, now)) {
      held.add(each.consumer);
      heldWei += each.holdWei;
    }
  }
  const [first, firstWei] = [...spend].reduce((most, each) => (each[1] > most[1] ? each : most), ["", 0n]);
  return { count: spend.size, active: active.size, heldWei, held: held.size, first, firstWei };
}

// ---- settlements ----

export interface Settled {
  /** Of the settlements that are kept, so many had refused entries. */
  count: number;
  withRefused: number;
  /** The APIs of these, the latest first. */
  refusing: string[];
  last: SettlementHead | undefined;
  lastRefusing: SettlementHead | undefined;
}

export function settledOf(lists: readonly (readonly SettlementHead[])[]): Settled {
  const heads = lists.flat().sort((a, b) => b.settledAt - a.settledAt || Number(b.sequence - a.sequence));
  const refused = heads.filter(({ refusedEntries }) => refusedEntries > 0);
  return { count: heads.length, withRefused: refused.length, refusing: [...new Set(refused.map(({ apiName }) => apiName))], last: heads[0], lastRefusing: refused[0] };
}

export interface Refused {
  calls: bigint;
  ofCalls: bigint;
  spendWei: bigint;
}

export const refusedOf = (entries: readonly SettledEntry[]): Refused =>
  entries.reduce((sum, each) => ({
    calls: sum.calls + each.calls - each.billedCalls, ofCalls: sum.ofCalls + each.calls, spendWei: sum.spendWei + each.spendWei - each.billedWei,
  }), { calls: 0n, ofCalls: 0n, spendWei: 0n });

/** `12 %`; what is less than a percent but not nothing is said so. */
export function percentText(part: bigint, whole: bigint): string {
  if (part === 0n || whole === 0n) return "0 %";
  const percent = (part * 100n) / whole;
  return percent === 0n ? "under 1 %" : `${percent} %`;
}

// ---- promise ----

export const isPromised = (promise: Pick<ApiPromise, "court">): boolean => promise.court !== "";

/** From which day on a promise that is set today is in force. */
export const promiseFrom = (inForce: Pick<ApiPromise, "payoutDays">, today: number): number => today + 1 + inForce.payoutDays;

/** Why an API cannot be handed over now; empty where nothing is in the way, as far as the chain tells. */
export function handOverHindrance(inForce: ApiPromise | undefined, next: ApiPromise | null | undefined, waiting: WaitingEarnings | undefined): string {
  if (inForce && isPromised(inForce)) {
    return next && !isPromised(next) ? `its promise is in force until ${dayText(next.fromDay - 1)}, and earnings wait after that.` : "its promise is in force. End it first.";
  }
  // Yesterday's usage can still be settled, and waits.
  if (inForce && inForce.fromDay > 0 && inForce.fromDay === inForce.dayId) return `its promise held until yesterday. It can be accepted from ${dayText(inForce.dayId + 1)} on.`;
  if (next && isPromised(next)) return `a promise begins on ${dayText(next.fromDay)}.`;
  if (waiting?.frozenWei) return "earnings are frozen by a dispute.";
  return waiting?.pendingWei ? "earnings wait under a promise. They have to be collected first." : "";
}
