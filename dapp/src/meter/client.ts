// Reads the HTTP meter of an operator with its admin token, which goes to that address alone.
import { textOf, TooLarge } from "../browser/answers";
import { nullable, listOf, number, flag, big, day, record, signed, text, within, UnexpectedAnswer, type AnswerOf, type Reader } from "../domain/reading";
import { LAST_INSTANT } from "../domain/time";

export type MeterFailure =
  | "silent" // nothing answers there, or not in time
  | "closed" // something answers, but not to this page
  | "wrong_token"
  | "not_a_meter"
  | "unavailable" // its store, or the meter, does not work at the moment
  | "refused"; // it says why

export class MeterError extends Error {
  constructor(readonly failure: MeterFailure, message = "") {
    super(message);
  }
}

export interface MeterPlace {
  /** Without a slash at its end. */
  url: string;
  token: string;
}

const TIMEOUT_MS = 15_000;
/** It reads the chain for each consumer. */
const RECONCILING_MS = 180_000;
const RECORDS = 25;
const CONSUMERS = 1_000;

const instantMs = within(0n, LAST_INSTANT * 1000, Number);

/** In smallest units. */
const amount: Reader<bigint> = (value) => {
  const digits = text(value);
  if (!/^-?\d{1,78}$/.test(digits)) throw new UnexpectedAnswer("an amount was expected");
  return BigInt(digits);
};
/** Counts by their names. */
const counts: Reader<[name: string, count: bigint][]> = (value) => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new UnexpectedAnswer("counts were expected");
  return Object.entries(value).map(([name, count]) => [name, big(count)]);
};

const sums = record("Sums", { calls: big, charged_wei: amount });
const currency = { currency: text, currency_decimals: within(0n, 77, Number) };

export const readSummary = record("Summary", {
  at_ms: instantMs,
  contract: nullable(text),
  network: nullable(text),
  ...currency,
  today: sums,
  month: sums,
  apis: listOf(record("ApiSummary", { api: text, today: sums, month: sums })),
  refusals: record("Refusals", { by_code: counts, is_complete: flag }),
  reserved: record("Reserved", { requests: big, wei: amount, is_complete: flag }),
  unsettled: listOf(record("Unsettled", { api: text, batches: big, amount_wei: amount, requests: big, requests_wei: amount, is_complete: flag })),
});
export interface Summary extends AnswerOf<typeof readSummary> {}

export const readStatus = record("Status", {
  version: text, store: text, ok: flag, wrong: listOf(record("Wrong", { part: text, detail: text, stops: flag })),
});
export interface Status extends AnswerOf<typeof readStatus> {}

export const readConsumers = record("Consumers", { consumers: listOf(record("Consumer", { consumer: text, disabled: flag })), next: nullable(text) });

const readRecord = record("Record", {
  id: text, at_ms: instantMs, state: text, method: text, route: text, estimate_wei: amount, charged_wei: amount, uncollected_wei: amount,
  code: text, reason: text, status: number, duration_ms: number,
});
export interface Entry extends AnswerOf<typeof readRecord> {}
export const readRecords = record("Records", { ...currency, records: listOf(readRecord), next: nullable(text) });

const readLine = record("Comparison", {
  consumer: text, day, metered_calls: big, metered_wei: amount, chain_calls: big, chain_wei: amount, receipt_calls: big,
  difference_wei: amount, unexplained_wei: amount, why: listOf(record("Why", { reason: text, calls: signed, amount_wei: amount })),
});
export interface Comparison extends AnswerOf<typeof readLine> {}
export const readReconciliation = record("Reconciliation", { at_ms: instantMs, zero: flag, closed: flag, unknown_settlements: big, lines: listOf(readLine) });
export interface Reconciliation extends AnswerOf<typeof readReconciliation> {}

/** Whole numbers become bigints, which the readers expect; amounts are texts, so that none is rounded. */
const parse = (body: string): unknown =>
  JSON.parse(body, (_name, value: unknown) => (Number.isSafeInteger(value) ? BigInt(value as number) : value));

/** What is the matter where no answer can be read: asked without the token, which is not to be sent to whatever is there. */
async function failureAt(url: string): Promise<MeterFailure> {
  for (const [mode, failure] of [["cors", "unavailable"], ["no-cors", "closed"]] as const) {
    try {
      await fetch(`${url}/healthz`, { mode, credentials: "omit", referrerPolicy: "no-referrer", signal: AbortSignal.timeout(TIMEOUT_MS) });
      return failure;
    } catch {
      // not to this page, or nobody at all
    }
  }
  return "silent";
}

let made = 0;

export class MeterClient {
  /** In keys of what is read, in the place of the token. */
  readonly number = ++made;

  constructor(readonly place: MeterPlace) {}

  summary = (signal?: AbortSignal): Promise<Summary> => this.ask("summary", {}, readSummary, signal);
  status = (signal?: AbortSignal): Promise<Status> => this.ask("status", {}, readStatus, signal);
  reconciliation = (api: string, signal?: AbortSignal): Promise<Reconciliation> => this.ask("reconciliation", { api }, readReconciliation, signal, RECONCILING_MS);

  /** In the order of their names; `after`: what the page before has as `next`. */
  consumers = (after: string, signal?: AbortSignal) => this.ask("consumers", { after, limit: String(CONSUMERS) }, readConsumers, signal);

  /** The newest first. */
  records = (consumer: string, api: string, after: string, signal?: AbortSignal) =>
    this.ask("records", { consumer, api, newest_first: "true", limit: String(RECORDS), ...(after && { after }) }, readRecords, signal);

  private async ask<T>(what: string, query: Readonly<Record<string, string>>, read: Reader<T>, signal?: AbortSignal, timeoutMs = TIMEOUT_MS): Promise<T> {
    const { url, token } = this.place;
    const timeout = AbortSignal.timeout(timeoutMs);
    let response: Response;
    let body: string;
    try {
      response = await fetch(`${url}/v1/${what}?${new URLSearchParams(query)}`, {
        headers: { authorization: `Bearer ${token}` },
        credentials: "omit", referrerPolicy: "no-referrer", redirect: "error", cache: "no-store",
        signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      });
      body = await textOf(response);
    } catch (error) {
      if (signal?.aborted) throw error;
      if (error instanceof TooLarge) throw new MeterError("not_a_meter");
      throw new MeterError(timeout.aborted ? "silent" : await failureAt(url));
    }
    return answerOf(response.status, body, read);
  }
}

/** What is in an answer. Throws MeterError. */
export function answerOf<T>(status: number, body: string, read: Reader<T>): T {
  if (status === 401 || status === 403) throw new MeterError("wrong_token");
  const isBusy = status === 429 || status >= 500;
  let answer: unknown;
  try {
    answer = parse(body);
  } catch {
    throw new MeterError(isBusy ? "unavailable" : "not_a_meter");
  }
  if (status !== 200) {
    const { detail, code } = Object(answer) as Record<string, unknown>;
    if (isBusy) throw new MeterError("unavailable", typeof detail === "string" ? detail : "");
    if (typeof detail !== "string" || typeof code !== "string" || code === "not_found") throw new MeterError("not_a_meter");
    throw new MeterError("refused", detail);
  }
  try {
    return read(answer);
  } catch (error) {
    throw error instanceof UnexpectedAnswer ? new MeterError("not_a_meter", error.message) : error;
  }
}
