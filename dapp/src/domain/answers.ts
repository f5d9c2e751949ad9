// What the contracts' views take and answer. Generated from src/api_billing by tools/dapp_answers.py; do not edit.
import {
  address, anything, big, day, flag, instant, jsonOf, listOf, name, nullable, number, record, signed, text, view,
  type AnswerOf,
} from "./reading";

export const readApiUsage = record("ApiUsage", {
  api_name: name,
  calls_today: big,
  spend_today_wei: big,
  cost_per_call_wei: big,
  api_daily_limit_calls: big,
  consumer_max_daily_spend_wei: big,
  plan_name: name,
  accepted_price_wei: big,
  calls_month: big,
  spend_month_wei: big,
  api_monthly_limit_calls: big,
  calls_left_today: nullable(big),
  spend_left_today_wei: big,
  hold_wei: big,
  hold_expires_at: instant,
  active: flag,
  subscribed: flag,
  settlements: number,
  signer: address,
});
/**
 * A consumer's line for one API in the usage report. Limits of 0 are none, as is `calls_left_today` None.
 *
 * `settlements` is the sequence of the API's last one: whoever settles knows by it what the rest includes.
 * `signer` is the key whose vouchers bill the consumer, empty where it is billed without.
 */
export interface ApiUsage extends AnswerOf<typeof readApiUsage> {}

export const readUsageReport = record("UsageReport", {
  consumer: address,
  day_id: day,
  credit_balance_wei: big,
  held_wei: big,
  low_credit: flag,
  notices: number,
  resets_at: instant,
  month_resets_at: instant,
  total: number,
  apis: listOf(readApiUsage),
});
/** Everything a dashboard shows of a consumer. `notices` counts all there ever were, `total` all `apis`. */
export interface UsageReport extends AnswerOf<typeof readUsageReport> {}

export const readPlan = record("Plan", {
  plan_name: name,
  cost_per_call_wei: big,
  daily_limit_calls: big,
  monthly_limit_calls: big,
});
/** A tier of an API. A limit of 0 is none. */
export interface Plan extends AnswerOf<typeof readPlan> {}

export const readPromiseHead = record("PromiseHead", {
  court: address,
  payout_days: number,
  max_refund_percent: number,
  terms_sha256: text,
  from_day: day,
});
/** What is in force of a promise; `terms_sha256` stands for its text, `from_day` is its first day. */
export interface PromiseHead extends AnswerOf<typeof readPromiseHead> {}

export const readApiDetails = record("ApiDetails", {
  api_name: name,
  operator: address,
  proposed_operator: address,
  active: flag,
  plans: listOf(readPlan),
  meters: listOf(address),
  next_sequence: big,
  chain_id: number,
  asset: address,
  voucher_domain: anything,
  promise: nullable(readPromiseHead),
});
/** An API with its promise in force, and what its vouchers are made of: `asset` stands for it as a token would. */
export interface ApiDetails extends AnswerOf<typeof readApiDetails> {}

export const readApi = record("Api", {
  api_name: name,
  operator: address,
  proposed_operator: address,
  active: flag,
  plans: listOf(readPlan),
  meters: listOf(address),
  next_sequence: big,
});
/** An API with its plans. `proposed_operator` is empty where none is proposed. */
export interface Api extends AnswerOf<typeof readApi> {}

export const readApiPage = record("ApiPage", {
  total: number,
  apis: listOf(readApi),
});
/** A page of the list of all APIs; `total` counts all. */
export interface ApiPage extends AnswerOf<typeof readApiPage> {}

export const readAccount = record("Account", {
  consumer: address,
  credit_wei: big,
  held_wei: big,
  topped_up_wei: big,
  alert_percent: number,
  low_credit: flag,
  subscriptions: listOf(name),
});
/** A consumer's money: free credit, what holds keep, and both as they were after the last top-up. */
export interface Account extends AnswerOf<typeof readAccount> {}

export const readDayUsage = record("DayUsage", {
  api_name: name,
  day_id: day,
  calls: big,
  spend_wei: big,
});
/** What a consumer used of an API on one day, `day_id` days after 1970-01-01. */
export interface DayUsage extends AnswerOf<typeof readDayUsage> {}

export const readChannelState = record("ChannelState", {
  channel_id: text,
  signed_wei: big,
  billed_wei: big,
});
/** What the highest voucher of a channel says, and what of that was billed. */
export interface ChannelState extends AnswerOf<typeof readChannelState> {}

export const readSession = record("Session", {
  consumer: address,
  api_name: name,
  signer: address,
  hold_wei: big,
  hold_expires_at: instant,
  hold_from_day: day,
  in_force: flag,
  channels: listOf(readChannelState),
});
/** A consumer's hold for an API, which pays for days from `hold_from_day`; a session where `signer` is set. */
export interface Session extends AnswerOf<typeof readSession> {}

export const readQuote = record("Quote", {
  allowed: flag,
  code: text,
  cost_wei: big,
  credit_wei: big,
});
/** What `consume_credit` would do now; `code` is empty when it is allowed. */
export interface Quote extends AnswerOf<typeof readQuote> {}

export const readReceiptCheck = record("ReceiptCheck", {
  receipt_id: text,
  valid: flag,
  remembered: flag,
  api_name: name,
  consumer: address,
  day_id: day,
  call_no: number,
});
/** Whether the contract billed the call of this receipt; `remembered` where it still knows its request. */
export interface ReceiptCheck extends AnswerOf<typeof readReceiptCheck> {}

export const readWaitingEarnings = record("WaitingEarnings", {
  api_name: name,
  pending_wei: big,
  frozen_wei: big,
});
/** Of one API: what waits under a promise, and what a court has frozen. */
export interface WaitingEarnings extends AnswerOf<typeof readWaitingEarnings> {}

export const readEarnings = record("Earnings", {
  operator: address,
  earnings_wei: big,
  withdrawn_wei: big,
  refunded_wei: big,
  apis: listOf(readWaitingEarnings),
});
/** What an operator can withdraw, has withdrawn and refunded; `apis` has those that ever had a promise. */
export interface Earnings extends AnswerOf<typeof readEarnings> {}

export const readApiDay = record("ApiDay", {
  day_id: day,
  calls: big,
  earned_wei: big,
  payout_days: number,
});
/** A day of an API. Refunded and frozen is not earned; `payout_days` is 0 where the earnings do not wait. */
export interface ApiDay extends AnswerOf<typeof readApiDay> {}

export const readSubscriber = record("Subscriber", {
  consumer: address,
  plan_name: name,
  active: flag,
  calls_today: big,
  spend_today_wei: big,
  calls_month: big,
  spend_month_wei: big,
  hold_wei: big,
  hold_expires_at: instant,
  signer: address,
});
/** A consumer of an API as its operator sees it. */
export interface Subscriber extends AnswerOf<typeof readSubscriber> {}

export const readSubscriberPage = record("SubscriberPage", {
  total: number,
  subscribers: listOf(readSubscriber),
});
/** A page of those who ever subscribed to an API; `total` counts all. */
export interface SubscriberPage extends AnswerOf<typeof readSubscriberPage> {}

export const readPromise = record("Promise", {
  api_name: name,
  day_id: day,
  court: address,
  payout_days: number,
  max_refund_percent: number,
  terms: text,
  status_url: text,
  terms_sha256: text,
  from_day: day,
  next_from_day: day,
});
/** What an API promises for a day: nothing where `court` is empty. `next_from_day` is 0 with no change ahead. */
export interface Promise extends AnswerOf<typeof readPromise> {}

export const readPaidDay = record("PaidDay", {
  api_name: name,
  consumer: address,
  day_id: day,
  calls: big,
  paid_wei: big,
  refunded_wei: big,
  frozen_wei: big,
  frozen_at: instant,
  pending: flag,
});
/**
 * What a consumer paid an API on a day, and what became of it.
 *
 * `pending`: the earnings still wait, and can be frozen. `frozen_at` 0: they never were; with nothing frozen any
 * more, that has come to its end.
 */
export interface PaidDay extends AnswerOf<typeof readPaidDay> {}

export const readSettledEntry = record("SettledEntry", {
  consumer: address,
  day_id: day,
  calls: big,
  spend_wei: big,
  billed_calls: big,
  billed_wei: big,
  code: text,
});
/** What became of an entry; `code` tells what stopped the rest, empty where all was billed. */
export interface SettledEntry extends AnswerOf<typeof readSettledEntry> {}

export const readSettlement = record("Settlement", {
  api_name: name,
  sequence: big,
  usage_root: text,
  billed_calls: big,
  billed_wei: big,
  refused_entries: number,
  settled_at: instant,
  entries: listOf(readSettledEntry),
});
/** The outcome of a settlement. */
export interface Settlement extends AnswerOf<typeof readSettlement> {}

export const readSettlementState = record("SettlementState", {
  api_name: name,
  next_sequence: big,
  settlement: nullable(readSettlement),
});
/** The next sequence of an API and one settlement, None when there was none yet. */
export interface SettlementState extends AnswerOf<typeof readSettlementState> {}

export const readSettlementHead = record("SettlementHead", {
  api_name: name,
  sequence: big,
  usage_root: text,
  billed_calls: big,
  billed_wei: big,
  refused_entries: number,
  settled_at: instant,
});
/** The outcome of a settlement without its entries; `refused_entries` counts those that a code stopped. */
export interface SettlementHead extends AnswerOf<typeof readSettlementHead> {}

export const readNotice = record("Notice", {
  number: number,
  at: instant,
  kind: text,
  api_name: name,
  code: text,
  calls: big,
  amount_wei: big,
});
/** Something a consumer should know; `kind` is one of `contract_api.NoticeKind`. */
export interface Notice extends AnswerOf<typeof readNotice> {}

export const readSolvency = record("Solvency", {
  balance_wei: big,
  owed_wei: big,
  surplus_wei: signed,
  credit_wei: big,
  held_wei: big,
  earnings_wei: big,
  deposited_wei: big,
  withdrawn_wei: big,
  refunded_wei: big,
});
/** What the contract holds and owes. `earnings_wei` is all operators', also what waits or is frozen. */
export interface Solvency extends AnswerOf<typeof readSolvency> {}

export const readDispute = record("Dispute", {
  dispute_id: number,
  api_name: name,
  consumer: address,
  day_id: day,
  status: text,
  calls: big,
  paid_wei: big,
  bond_wei: big,
  opened_at: instant,
  ended_at: instant,
  refund_percent: number,
  refund_wei: big,
  claim: text,
  evidence_url: text,
  reason: text,
});
/** A dispute with what the consumer claims, and why it was judged so. */
export interface Dispute extends AnswerOf<typeof readDispute> {}

export const readDisputeHead = record("DisputeHead", {
  dispute_id: number,
  api_name: name,
  consumer: address,
  day_id: day,
  status: text,
  calls: big,
  paid_wei: big,
  bond_wei: big,
  opened_at: instant,
  ended_at: instant,
  refund_percent: number,
  refund_wei: big,
});
/** A dispute without its texts. `status` is open, judged or closed; `ended_at` is 0 while it is open. */
export interface DisputeHead extends AnswerOf<typeof readDisputeHead> {}

export const readCourt = record("Court", {
  billing: address,
  min_bond_wei: big,
  disputes: number,
});
/** Of which billing contract a court judges, the least bond, and how many disputes there were. */
export interface Court extends AnswerOf<typeof readCourt> {}

export const readCourtSolvency = record("CourtSolvency", {
  balance_wei: big,
  owed_wei: big,
  surplus_wei: signed,
  received_wei: big,
  sent_wei: big,
});
/** What a court holds, and owes: the bonds of open disputes. */
export interface CourtSolvency extends AnswerOf<typeof readCourtSolvency> {}

export const VIEWS = {
  get_usage_report: view<[consumer: string, offset?: number | bigint, limit?: number | bigint]>("consumer", "offset", "limit")(jsonOf(readUsageReport)),
  get_api: view<[apiName: string]>("apiName")(readApiDetails),
  list_apis: view<[offset?: number | bigint, limit?: number | bigint]>("offset", "limit")(readApiPage),
  get_account: view<[consumer: string]>("consumer")(readAccount),
  get_usage_history: view<[consumer: string, apiName: string, fromDay: number | bigint, toDay: number | bigint, offset?: number | bigint]>("consumer", "apiName", "fromDay", "toDay", "offset")(listOf(readDayUsage)),
  get_session: view<[consumer: string, apiName: string, channelId?: string]>("consumer", "apiName", "channelId")(readSession),
  quote_call: view<[apiName: string, consumer: string, calls?: number | bigint]>("apiName", "consumer", "calls")(readQuote),
  get_receipt: view<[receiptId: string]>("receiptId")(readReceiptCheck),
  get_earnings: view<[operator: string, offset?: number | bigint]>("operator", "offset")(readEarnings),
  get_api_days: view<[apiName: string]>("apiName")(listOf(readApiDay)),
  list_subscribers: view<[apiName: string, offset?: number | bigint, limit?: number | bigint]>("apiName", "offset", "limit")(readSubscriberPage),
  get_promise: view<[apiName: string, dayId?: number | bigint]>("apiName", "dayId")(readPromise),
  get_paid_day: view<[apiName: string, consumer: string, dayId: number | bigint]>("apiName", "consumer", "dayId")(readPaidDay),
  get_settlement: view<[apiName: string, sequence?: number | bigint]>("apiName", "sequence")(readSettlementState),
  list_settlements: view<[apiName: string, after?: number | bigint, limit?: number | bigint]>("apiName", "after", "limit")(listOf(readSettlementHead)),
  list_notices: view<[consumer: string, after?: number | bigint, limit?: number | bigint]>("consumer", "after", "limit")(listOf(readNotice)),
  get_solvency: view<[]>()(readSolvency),
};

export const COURT_VIEWS = {
  get_dispute: view<[disputeId: number | bigint]>("disputeId")(readDispute),
  list_disputes: view<[apiName: string, after?: number | bigint, limit?: number | bigint]>("apiName", "after", "limit")(listOf(readDisputeHead)),
  list_disputes_of: view<[consumer: string, after?: number | bigint, limit?: number | bigint]>("consumer", "after", "limit")(listOf(readDisputeHead)),
  get_court: view<[]>()(readCourt),
  get_solvency: view<[]>()(readCourtSolvency),
};
