// What is read of the promise of an API, its court and its disputes, where that takes several reads.
import type { DisputeHead, PaidDay, Promise as ApiPromise } from "../domain/answers";
import { SETTLED_DAYS } from "../domain/dispute";
import type { BillingContract, CourtContract, ReadOptions } from "./contract";
import { NodeError } from "./rpc";

const PAGE = 64;
/** One a day and API; of more, the oldest are told. */
const MOST_OF_CONSUMER = 1_024;
/** An API can promise something 64 times; the last can be ended, and before the first is nothing. */
const MOST_PROMISES = 66;
/** So long earnings wait at most. */
const MOST_PAYOUT_DAYS = 14;

/** From the one of `day` back, the latest first, until the one of `oldest`; those that ended a promise have no court. */
export async function promisesBack(contract: BillingContract, apiName: string, day: number, oldest: number, options?: ReadOptions): Promise<ApiPromise[]> {
  const found: ApiPromise[] = [];
  for (let at = day; found.length < MOST_PROMISES; ) {
    const promise = await contract.read("get_promise", [apiName, at], options);
    found.push(promise);
    at = promise.fromDay - 1;
    if (at < Math.max(oldest, 1)) break;
  }
  return found;
}

export interface DisputableDays {
  /** That can be disputed now, with what was promised for them; the latest first. */
  now: { day: PaidDay; promise: ApiPromise }[];
  /** Days with usage that can still be settled. */
  later: { dayId: number; promise: ApiPromise }[];
}

/** Of what a consumer paid an API: the days whose earnings wait under a promise. */
export async function disputableDays(contract: BillingContract, apiName: string, consumer: string, today: number, options?: ReadOptions): Promise<DisputableDays> {
  const first = today - MOST_PAYOUT_DAYS;
  const promises = await promisesBack(contract, apiName, today, first, options);
  const found: DisputableDays = { now: [], later: [] };
  if (promises.every(({ court }) => court === "")) return found;
  const history = await contract.read("get_usage_history", [consumer, apiName, first, today], options);
  for (const { dayId, spendWei } of [...history].sort((a, b) => b.dayId - a.dayId)) {
    const promise = promises.find(({ fromDay }) => fromDay <= dayId);
    if (!promise?.court || spendWei === 0n || today - dayId > promise.payoutDays) continue;
    if (today - dayId < SETTLED_DAYS) {
      found.later.push({ dayId, promise });
      continue;
    }
    const day = await contract.read("get_paid_day", [apiName, consumer, dayId], options);
    if (day.pending && day.paidWei > day.refundedWei) found.now.push({ day, promise });
  }
  return found;
}

export interface Disputes {
  /** The latest first. */
  list: DisputeHead[];
  /** Whether the court has older ones, of whichever API. */
  hasMore: boolean;
}

/** Of an API, those among the last `most` of a court, in few reads. Throws where it judges another contract than ``billing``. */
export async function disputesOf(court: CourtContract, billing: string, apiName: string, most: number, options?: ReadOptions): Promise<Disputes> {
  const about = await court.read("get_court", [], options);
  if (about.billing !== billing) throw new NodeError("wrong_contract", "it judges another contract");
  const first = Math.max(0, about.disputes - most);
  const list = await latestFirst((after) => court.read("list_disputes", [apiName, after, PAGE], options), first, most);
  return { list, hasMore: first > 0 };
}

/** Those of a consumer, the latest first. */
export const disputesOfConsumer = (court: CourtContract, consumer: string, options?: ReadOptions): Promise<DisputeHead[]> =>
  latestFirst((after) => court.read("list_disputes_of", [consumer, after, PAGE], options), 0, MOST_OF_CONSUMER);

async function latestFirst(page: (after: number) => Promise<DisputeHead[]>, after: number, most: number): Promise<DisputeHead[]> {
  const found: DisputeHead[] = [];
  for (let pages = 0; pages < most / PAGE; pages += 1) {
    const heads = await page(found.at(-1)?.disputeId ?? after);
    found.push(...heads);
    if (heads.length < PAGE) break;
  }
  return found.reverse();
}
