// What the contracts' views take and answer. Generated from src/api_billing by tools/dapp_answers.py; do not edit.
import { anything, big, flag, jsonOf, listOf, nullable, number, record, text, view, type AnswerOf } from "./reading";

export const readApiUsage = record("ApiUsage", {
  api_name: text,
  calls_today: big,
  spend_today_wei: big,
  cost_per_call_wei: big,
  api_daily_limit_calls: big,
  consumer_max_daily_spend_wei: big,
  plan_name: text,
  accepted_price_wei: big,
  calls_month: big,
  spend_month_wei: big,
  api_monthly_limit_calls: big,
  calls_left_today: nullable(big),
  spend_left_today_wei: big,
  hold_wei: big,
  hold_expires_at: number,
  active: flag,
  subscribed: flag,
  settlements: number,
  signer: text,
});
/**
 * A consumer's line for one API in the usage report. Limits of 0 are none, as is `calls_left_today` None.
 *
 * `settlements` is the sequence of the API's last one: whoever settles knows by it what the rest includes.
 * `signer` is the key whose vouchers bill the consumer, empty where it is billed without.
 */
export interface ApiUsage extends AnswerOf<typeof readApiUsage> {}

export const readUsageReport = record("UsageReport", {
  consumer: text,
  day_id: number,
  credit_balance_wei: big,
  held_wei: big,
  low_credit: flag,
  notices: number,
  resets_at: number,
  month_resets_at: number,
  total: number,
  apis: listOf(readApiUsage),
});
/** Everything a dashboard shows of a consumer. `notices` counts all there ever were, `total` all `apis`. */
export interface UsageReport extends AnswerOf<typeof readUsageReport> {}

export const readPlan = record("Plan", {
  plan_name: text,
  cost_per_call_wei: big,
  daily_limit_calls: big,
  monthly_limit_calls: big,
});
/** A tier of an API. A limit of 0 is none. */
export interface Plan extends AnswerOf<typeof readPlan> {}

export const readPromiseHead = record("PromiseHead", {
  court: text,
  payout_days: number,
  max_refund_percent: number,
  terms_sha256: text,
  from_day: number,
});
/** What is in force of a promise; `terms_sha256` stands for its text, `from_day` is its first day. */
export interface PromiseHead extends AnswerOf<typeof readPromiseHead> {}

export const readApiDetails = record("ApiDetails", {
  api_name: text,
  operator: text,
  proposed_operator: text,
  active: flag,
  plans: listOf(readPlan),
  meters: listOf(text),
  next_sequence: big,
  chain_id: number,
  asset: text,
  voucher_domain: anything,
  promise: nullable(readPromiseHead),
});
/** An API with its promise in force, and what its vouchers are made of: `asset` stands for it as a token would. */
export interface ApiDetails extends AnswerOf<typeof readApiDetails> {}

export const readApi = record("Api", {
  api_name: text,
  operator: text,
  proposed_operator: text,
  active: flag,
  plans: listOf(readPlan),
  meters: listOf(text),
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
  consumer: text,
  credit_wei: big,
  held_wei: big,
  topped_up_wei: big,
  alert_percent: number,
  low_credit: flag,
  subscriptions: listOf(text),
});
/** A consumer's money: free credit, what holds keep, and both as they were after the last top-up. */
export interface Account extends AnswerOf<typeof readAccount> {}

export const readDayUsage = record("DayUsage", {
  api_name: text,
  day_id: number,
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
  consumer: text,
  api_name: text,
  signer: text,
  hold_wei: big,
  hold_expires_at: number,
  hold_from_day: number,
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
  api_name: text,
  consumer: text,
  day_id: number,
  call_no: number,
});
/** Whether the contract billed the call of this receipt; `remembered` where it still knows its request. */
export interface ReceiptCheck extends AnswerOf<typeof readReceiptCheck> {}

export const readWaitingEarnings = record("WaitingEarnings", {
  api_name: text,
  pending_wei: big,
  frozen_wei: big,
});
/** Of one API: what waits under a promise, and what a court has frozen. */
export interface WaitingEarnings extends AnswerOf<typeof readWaitingEarnings> {}

export const readEarnings = record("Earnings", {
  operator: text,
  earnings_wei: big,
  withdrawn_wei: big,
  refunded_wei: big,
  apis: listOf(readWaitingEarnings),
});
/** What an operator can withdraw, has withdrawn and refunded; `apis` has those that ever had a promise. */
export interface Earnings extends AnswerOf<typeof readEarnings> {}

export const readApiDay = record("ApiDay", {
  day_id: number,
  calls: big,
  earned_wei: big,
  payout_days: number,
});
/** A day of an API. Refunded and frozen is not earned; `payout_days` is 0 where the earnings do not wait. */
export interface ApiDay extends AnswerOf<typeof readApiDay> {}

export const readSubscriber = record("Subscriber", {
  consumer: text,
  plan_name: text,
  active: flag,
  calls_today: big,
  spend_today_wei: big,
  calls_month: big,
  spend_month_wei: big,
  hold_wei: big,
  hold_expires_at: number,
  signer: text,
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
  api_name: text,
  day_id: number,
  court: text,
  payout_days: number,
  max_refund_percent: number,
  terms: text,
  status_url: text,
  terms_sha256: text,
  from_day: number,
  next_from_day: number,
});
/** What an API promises for a day: nothing where `court` is empty. `next_from_day` is 0 with no change ahead. */
export interface Promise extends AnswerOf<typeof readPromise> {}

export const readPaidDay = record("PaidDay", {
  api_name: text,
  consumer: text,
  day_id: number,
  calls: big,
  paid_wei: big,
  refunded_wei: big,
  frozen_wei: big,
  frozen_at: number,
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
  consumer: text,
  day_id: number,
  calls: big,
  spend_wei: big,
  billed_calls: big,
  billed_wei: big,
  code: text,
});
/** What became of an entry; `code` tells what stopped the rest, empty where all was billed. */
export interface SettledEntry extends AnswerOf<typeof readSettledEntry> {}

export const readSettlement = record("Settlement", {
  api_name: text,
  sequence: big,
  usage_root: text,
  billed_calls: big,
  billed_wei: big,
  refused_entries: number,
  settled_at: number,
  entries: listOf(readSettledEntry),
});
/** The outcome of a settlement. */
export interface Settlement extends AnswerOf<typeof readSettlement> {}

export const readSettlementState = record("SettlementState", {
  api_name: text,
  next_sequence: big,
  settlement: nullable(readSettlement),
});
/** The next sequence of an API and one settlement, None when there was none yet. */
export interface SettlementState extends AnswerOf<typeof readSettlementState> {}

export const readSettlementHead = record("SettlementHead", {
  api_name: text,
  sequence: big,
  usage_root: text,
  billed_calls: big,
  billed_wei: big,
  refused_entries: number,
  settled_at: number,
});
/** The outcome of a settlement without its entries; `refused_entries` counts those that a code stopped. */
export interface SettlementHead extends AnswerOf<typeof readSettlementHead> {}

export const readNotice = record("Notice", {
  number: number,
  at: number,
  kind: text,
  api_name: text,
  code: text,
  calls: big,
  amount_wei: big,
});
/** Something a consumer should know; `kind` is one of `contract_api.NoticeKind`. */
export interface Notice extends AnswerOf<typeof readNotice> {}

export const readSolvency = record("Solvency", {
  balance_wei: big,
  owed_wei: big,
  surplus_wei: big,
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
  api_name: text,
  consumer: text,
  day_id: number,
  status: text,
  calls: big,
  paid_wei: big,
  bond_wei: big,
  opened_at: number,
  ended_at: number,
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
  api_name: text,
  consumer: text,
  day_id: number,
  status: text,
  calls: big,
  paid_wei: big,
  bond_wei: big,
  opened_at: number,
  ended_at: number,
  refund_percent: number,
  refund_wei: big,
});
/** A dispute without its texts. `status` is open, judged or closed; `ended_at` is 0 while it is open. */
export interface DisputeHead extends AnswerOf<typeof readDisputeHead> {}

export const readCourt = record("Court", {
  billing: text,
  min_bond_wei: big,
  disputes: number,
});
/** Of which billing contract a court judges, the least bond, and how many disputes there were. */
export interface Court extends AnswerOf<typeof readCourt> {}

export const readCourtSolvency = record("CourtSolvency", {
  balance_wei: big,
  owed_wei: big,
  surplus_wei: big,
  received_wei: big,
  sent_wei: big,
});
/** What a court holds, and owes: the bonds of open disputes. */
export interface CourtSolvency extends AnswerOf<typeof readCourtSolvency> {}

export const VIEWS = {
  get_usage_report: view<[consumer: string, offset?: number | bigint, limit?: number | bigint]>()(jsonOf(readUsageReport)),
  get_api: view<[apiName: string]>()(readApiDetails),
  list_apis: view<[offset?: number | bigint, limit?: number | bigint]>()(readApiPage),
  get_account: view<[consumer: string]>()(readAccount),
  get_usage_history: view<[consumer: string, apiName: string, fromDay: number | bigint, toDay: number | bigint, offset?: number | bigint]>()(listOf(readDayUsage)),
  get_session: view<[consumer: string, apiName: string, channelId?: string]>()(readSession),
  quote_call: view<[apiName: string, consumer: string, calls?: number | bigint]>()(readQuote),
  get_receipt: view<[receiptId: string]>()(readReceiptCheck),
  get_earnings: view<[operator: string, offset?: number | bigint]>()(readEarnings),
  get_api_days: view<[apiName: string]>()(listOf(readApiDay)),
  list_subscribers: view<[apiName: string, offset?: number | bigint, limit?: number | bigint]>()(readSubscriberPage),
  get_promise: view<[apiName: string, dayId?: number | bigint]>()(readPromise),
  get_paid_day: view<[apiName: string, consumer: string, dayId: number | bigint]>()(readPaidDay),
  get_settlement: view<[apiName: string, sequence?: number | bigint]>()(readSettlementState),
  list_settlements: view<[apiName: string, after?: number | bigint, limit?: number | bigint]>()(listOf(readSettlementHead)),
  list_notices: view<[consumer: string, after?: number | bigint, limit?: number | bigint]>()(listOf(readNotice)),
  get_solvency: view<[]>()(readSolvency),
};

export const COURT_VIEWS = {
  get_dispute: view<[disputeId: number | bigint]>()(readDispute),
  list_disputes: view<[apiName: string, after?: number | bigint, limit?: number | bigint]>()(listOf(readDisputeHead)),
  get_court: view<[]>()(readCourt),
  get_solvency: view<[]>()(readCourtSolvency),
};
