// A transaction in words.
import { exactGen } from "../domain/amounts";
import { explain } from "../domain/refusals";
import { isOpen, type Child, type TxRecord } from "./store";

export type Tone = "busy" | "good" | "bad" | "neutral";

export interface Words {
  label: string;
  tone: Tone;
  /** What is the case, and what to do; empty where the label says all. */
  text: string;
  announcement: string;
}

const LABELS = { signing: "Signing", sent: "Sent", accepted: "Accepted", finalized: "Finalized", ended: "Ended" } as const;

function labelOf(record: TxRecord): { label: string; tone: Tone } {
  switch (record.verdict) {
    case "refused": return { label: "Refused", tone: "bad" };
    case "kept": return { label: "Refused, money kept as credit", tone: "bad" };
    case "failed": return { label: "Failed", tone: "bad" };
    case "declined": return { label: "Declined", tone: "neutral" };
    case "lost": return { label: "Lost", tone: "bad" };
    case "unsent": return { label: "Not sent", tone: "bad" };
    case "unknown": return { label: "Unknown", tone: "bad" };
    default: return { label: LABELS[record.phase], tone: record.phase === "finalized" ? "good" : "busy" };
  }
}

/** It was never run: all of its fee came back. */
const isUntouched = ({ depositWei, returnedWei }: TxRecord): boolean => depositWei !== undefined && depositWei === returnedWei;
const UNTOUCHED = "What was sent and the fee came back. Send it again: its fee is estimated anew, at the network's present prices.";

function textOf(record: TxRecord): string {
  const { verdict, code, message, method, phase } = record;
  if (verdict === "refused" || verdict === "kept") {
    const { meaning, nextStep } = explain(code);
    const became = method === "open_dispute" && phase !== "finalized" ? "become your credit when this is final" : "became your credit";
    const kept = verdict === "kept" ? ` The ${exactGen(BigInt(record.keptWei))} GEN sent with it ${became}.` : " Nothing was changed.";
    return `${meaning}.${kept} ${nextStep}`.trim();
  }
  switch (verdict) {
    case "failed": return `It did not execute: ${message}. ${isUntouched(record) ? UNTOUCHED : "GEN that were sent with it may have stayed with the contract."}`;
    case "lost": return "The node does not know it (any more). It never arrived, or the network was restarted without its state.";
    case "unknown": return message || "The page was closed while the wallet was asked. If you confirmed it there, it is among the wallet's activities.";
    case "declined":
    case "unsent": return message;
    default:
  }
  if (record.phase === "accepted") return "The validators agreed. It becomes final when nobody can appeal any more.";
  return "";
}

export function describe(record: TxRecord): Words {
  const { label, tone } = labelOf(record);
  const text = textOf(record);
  const isBad = tone === "bad" || tone === "neutral";
  return { label, tone, text, announcement: `${record.title}: ${label}${isBad && text ? `. ${text}` : ""}` };
}

/** What the messages of the billing contract and its court do. */
const MESSAGES: Readonly<Record<string, string>> = {
  freeze_by_court: "Keeps back what was earned on the disputed day, until the verdict",
  refund_by_court: "Refunds what the verdict says; the rest is the operator's",
};

/** What a contract's message does, as far as its method and its form tell. */
export function describeChild(child: Child): { label: string; tone: Tone; text: string } {
  const { method = "", valueWei } = child;
  const amount = `${exactGen(BigInt(valueWei))} GEN`;
  const pays = method === "top_up_for" ? `Pays ${amount}, as credit,` : `Pays ${amount}`;
  const text = BigInt(valueWei) > 0n ? pays : MESSAGES[method] ?? (method ? `Calls ${method}` : "Message of the contract");
  if (child.verdict === "refused") return { label: "Refused", tone: "bad", text: `${text}: ${explain(child.code).meaning}` };
  if (child.verdict === "failed") return { label: "Failed", tone: "bad", text: `${text}: ${child.message}` };
  return { label: LABELS[child.phase], tone: child.phase === "finalized" ? "good" : "busy", text };
}

export const openCount = (records: readonly TxRecord[], url: string): number =>
  records.filter((record) => record.url === url && isOpen(record)).length;
