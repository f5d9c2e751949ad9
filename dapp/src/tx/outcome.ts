// What a node says of a transaction, read the same way for Studio, the localnet and testnets. That validators agreed is not
// that the contract did what it was asked: only its execution result tells.
import { decode, errorText, fromBase64, type Decoded } from "../chain/calldata";
import { splitRefusal } from "../domain/refusals";

export type Verdict = "pending" | "done" | "refused" | "kept" | "failed";

export interface Outcome {
  status: string;
  isDecided: boolean;
  isFinal: boolean;
  verdict: Verdict;
  /** The contract's code where it refused. */
  code: string;
  message: string;
  /** What became credit although the rest was refused. */
  keptWei: bigint;
  children: string[];
  to: string;
  /** What it calls there; empty where that is not told. */
  method: string;
  valueWei: bigint;
  /** Null where the network takes none. */
  fee: Fee | null;
}

/** What was deposited for it, and what of that came back: null before it is final. */
export interface Fee {
  depositWei: bigint;
  returnedWei: bigint | null;
  /** Why it was cancelled: the network's word. */
  refused: string;
}

export interface Raw {
  status?: unknown;
  type?: unknown;
  to_address?: unknown;
  value?: unknown;
  consensus_data?: { leader_receipt?: unknown } | null;
  triggered_transactions?: unknown;
  data?: unknown;
  fee_accounting?: unknown;
}

const NO_RESULT = new Set(["UNDETERMINED", "LEADER_TIMEOUT", "VALIDATORS_TIMEOUT", "CANCELED"]);
const DECIDED = new Set([...NO_RESULT, "ACCEPTED", "FINALIZED", "READY_TO_FINALIZE"]);

interface Ended {
  verdict: Verdict;
  code?: string;
  message?: string;
  keptWei?: bigint;
}

export function refusedWith(message: string): Ended {
  const refusal = splitRefusal(message);
  return refusal ? { verdict: "refused", code: refusal.code, message: refusal.text } : { verdict: "failed", message };
}

/** A payable call that is refused does not fail: it answers what became of the money. */
export function answered(value: Decoded): Ended {
  if (value === null || typeof value !== "object" || Array.isArray(value) || value["ok"] !== false) return { verdict: "done" };
  const { code, message, credited_wei: credited, returned_wei: returned } = value; // a court returns, to the credit
  const kept = credited ?? returned;
  return {
    verdict: "kept",
    code: typeof code === "string" ? code : "",
    message: splitRefusal(typeof message === "string" ? message : "")?.text ?? "",
    keptWei: typeof kept === "bigint" ? kept : 0n,
  };
}

function readReceipt(receipt: { result?: unknown; execution_result?: unknown }): Ended {
  const { result, execution_result: execution } = receipt;
  if (typeof result !== "string" || result === "") {
    return execution === "SUCCESS" ? { verdict: "done" } : { verdict: "failed", message: "the node gives no reason" };
  }
  const bytes = fromBase64(result);
  const payload = bytes.slice(1);
  if (bytes[0] === 0) return answered(decode(payload));
  return refusedWith(bytes[0] === 1 ? errorText(payload) : new TextDecoder().decode(payload));
}

/** As none where it has another form: nothing depends on it. */
function feeOf(accounting: unknown, isFinal: boolean): Fee | null {
  const { paid_fee_value: paid, refunded_fee_value: told, total_refunded: total, error } = Object(accounting) as Readonly<Record<string, unknown>>;
  const refunded = told ?? (isFinal ? total : null);
  try {
    const depositWei = BigInt(String(paid ?? 0));
    const returnedWei = refunded === undefined || refunded === null ? null : BigInt(String(refunded));
    return depositWei > 0n ? { depositWei, returnedWei, refused: String(error ?? "") } : null;
  } catch {
    return null;
  }
}

function ended(raw: Raw, status: string, fee: Fee | null): Ended {
  if (status === "CANCELED" && fee) return { verdict: "failed", message: `it was cancelled${fee.refused && ` (${fee.refused})`}` };
  if (NO_RESULT.has(status)) {
    return { verdict: "failed", message: `the validators ended with ${status.toLowerCase().replaceAll("_", " ")}` };
  }
  if (!DECIDED.has(status)) return { verdict: "pending" };
  const receipts = raw.consensus_data?.leader_receipt;
  const first: unknown = Array.isArray(receipts) ? receipts[0] : receipts;
  if (first && typeof first === "object") return readReceipt(first);
  return Number(raw.type ?? -1) === 0 ? { verdict: "done" } : { verdict: "failed", message: "the node tells no result" };
}

/** The line v0.3 has the name of a method under the empty key. */
function methodOf(data: unknown): string {
  const { calldata } = Object(data) as { calldata?: unknown };
  try {
    const { method, "": named } = Object(decode(fromBase64(String(calldata ?? "")))) as Record<string, unknown>;
    const name = method ?? named;
    return typeof name === "string" ? name : "";
  } catch {
    return "";
  }
}

export function outcomeOf(raw: Raw): Outcome {
  const status = String(raw.status ?? "PENDING");
  const isFinal = status === "FINALIZED" || NO_RESULT.has(status);
  const fee = feeOf(raw.fee_accounting, isFinal);
  const { verdict, code = "", message = "", keptWei = 0n } = ended(raw, status, fee);
  const children = Array.isArray(raw.triggered_transactions) ? raw.triggered_transactions.map(String) : [];
  return {
    status,
    isDecided: DECIDED.has(status),
    isFinal,
    verdict,
    code,
    message,
    keptWei,
    children,
    to: String(raw.to_address ?? "").toLowerCase(),
    method: methodOf(raw.data),
    valueWei: BigInt((raw.value as bigint | number | string | null | undefined) ?? 0),
    fee,
  };
}
