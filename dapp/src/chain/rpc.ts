// JSON-RPC over fetch, and what its failures mean to a person.
import { textOf, TooLarge } from "../browser/answers";
import { splitRefusal } from "../domain/refusals";
import { errorText, fromBase64 } from "./calldata";
import { parseJson, toJson } from "../domain/json";

export type Failure =
  | "unreachable" // nothing answers, or the node is broken: it may come back
  | "busy" // the node limits how often it is asked
  | "not_a_node" // something answers that is no GenLayer node
  | "no_contract"
  | "not_found" // a transaction the node does not know
  | "wrong_contract" // a contract that does not answer as the billing contract does
  | "refused" // the contract's own refusal
  | "rejected"; // the node does not take the request

const BUSY_CODES = new Set([-32005, -32006, -32029, -32030]);
const TIMEOUT_MS = 20_000;
/** Some nodes answer when they have run it; so do all for its fee, and a court asks a language model. */
const RUNNING_TIMEOUT_MS = 120_000;
const RUN = new Set(["eth_sendRawTransaction", "sim_estimateTransactionFees"]);
/** Of a node's message so much is told. */
const MOST_TOLD = 1_000;

export class NodeError extends Error {
  constructor(readonly failure: Failure, message: string, readonly code = 0, readonly refusalCode = "") {
    super(message.length > MOST_TOLD ? `${message.slice(0, MOST_TOLD)}…` : message);
  }

  /** Whether it is worth trying again by itself. */
  get isTransient(): boolean {
    return this.failure === "unreachable" || this.failure === "busy";
  }
}

/** What the contract said, by the receipt that Studio and localnets give with an error. */
function textOfReceipt(data: unknown): string {
  const { result } = ((data as { receipt?: unknown } | null)?.receipt ?? {}) as { result?: unknown };
  try {
    return typeof result === "string" ? errorText(fromBase64(result).slice(1)) : "";
  } catch {
    return "";
  }
}

function failureOf(code: number, message: string, data: unknown): NodeError {
  if (BUSY_CODES.has(code)) return new NodeError("busy", message, code);
  if (code === -32601) return new NodeError("not_a_node", message, code);
  if (code === -32001) return new NodeError("not_found", message, code);
  const refusal = splitRefusal(textOfReceipt(data)) ?? splitRefusal(message);
  if (refusal) return new NodeError("refused", refusal.text, code, refusal.code);
  return new NodeError("rejected", message, code);
}

/** The text of its answer. A node may hang, or go away, also after it has begun. */
async function post(url: string, body: string, timeoutMs: number, signal?: AbortSignal): Promise<string> {
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
    if (response.status === 429) throw new NodeError("busy", "the node limits how often it is asked", 429);
    if (response.status >= 500) throw new NodeError("unreachable", `the node answers with status ${response.status}`);
    return await textOf(response);
  } catch (error) {
    if (signal?.aborted || error instanceof NodeError) throw error;
    if (error instanceof TooLarge) throw notANode(url);
    throw new NodeError("unreachable", timeout.aborted ? "the node did not answer in time" : "the node cannot be reached");
  }
}

const notANode = (url: string): NodeError => new NodeError("not_a_node", `${url} does not answer as a GenLayer node does`);

/** From the time on, like the ids of GenLayer's clients: to whom counts from 1, a localnet answers as Ethereum does. */
let lastId = Date.now();

/** One call; integers of the result are bigints. Throws NodeError. */
export async function rpc(url: string, method: string, params: readonly unknown[], signal?: AbortSignal): Promise<unknown> {
  const timeoutMs = RUN.has(method) ? RUNNING_TIMEOUT_MS : TIMEOUT_MS;
  const asked = ++lastId;
  const text = await post(url, toJson({ jsonrpc: "2.0", id: asked, method, params }), timeoutMs, signal);
  let answer: Answer;
  try {
    answer = Object(parseRpc(text)) as Answer;
  } catch {
    throw notANode(url);
  }
  const { error, result, id = asked } = answer;
  if (error) throw failureOf(Number(error.code ?? 0), String(error.message ?? "the node gives no reason"), error.data);
  // What is between may mix answers up, or keep old ones.
  if (!("result" in answer) || Number(id) !== asked) throw notANode(url);
  return result;
}

interface Answer {
  id?: unknown;
  error?: { code?: unknown; message?: unknown; data?: unknown };
  result?: unknown;
}

/** Answers may have fractions where we do not look (statistics, models): those that have are read the ordinary way. */
function parseRpc(body: string): unknown {
  try {
    return parseJson(body);
  } catch {
    return JSON.parse(body) as unknown;
  }
}
