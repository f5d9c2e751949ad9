// Transactions that were sent from this browser. Each is an entry of localStorage of its own, so that tabs do not overwrite
// each other's; what one tab learns the others see. Amounts are decimal text here: JSON has no bigint.
import type { Kept } from "../browser/storage";
import type { Verdict } from "./outcome";

export type Phase =
  | "signing" // not sent yet: the wallet is asked
  | "sent"
  | "accepted" // decided; could still be appealed
  | "finalized"
  | "ended"; // nothing more will come: declined, lost, not taken

export interface Child {
  hash: string;
  phase: "sent" | "accepted" | "finalized";
  verdict: Verdict;
  code: string;
  message: string;
  to: string;
  /** What it calls there; older records do not say it. */
  method?: string;
  valueWei: string;
}

export interface TxRecord {
  id: string;
  /** ms since 1970, of this machine. */
  createdAt: number;
  url: string;
  contract: string;
  account: string;
  method: string;
  /** What it does, for a person. */
  title: string;
  valueWei: string;
  hash: string;
  phase: Phase;
  verdict: Verdict | "declined" | "lost" | "unsent" | "unknown";
  code: string;
  message: string;
  keptWei: string;
  /** Deposited for the network's fee; records of networks without fees have none. */
  depositWei?: string;
  /** What of it came back; from when it is final. */
  returnedWei?: string;
  children: Child[];
}

export const PREFIX = "api-billing:tx:";
const KEPT = 200;

/** Others write into what a browser keeps, too. */
function isRecord(found: unknown): found is TxRecord {
  const { children, ...rest } = Object(found) as Partial<TxRecord>;
  const texts = [rest.id, rest.url, rest.account, rest.title, rest.hash, rest.phase, rest.verdict, rest.code, rest.message];
  return texts.every((each) => typeof each === "string") && [rest.valueWei, rest.keptWei].every((each) => /^\d+$/.test(String(each))) && Array.isArray(children);
}

export const isOpen = (record: TxRecord): boolean => record.phase !== "finalized" && record.phase !== "ended";

/** Something of it still has to happen: the transaction itself, or what it triggered. */
export const isFollowed = (record: TxRecord): boolean =>
  record.hash !== "" && record.phase !== "ended" &&
  (isOpen(record) || record.children.some((child) => child.phase !== "finalized"));

export class TxStore {
  private records: readonly TxRecord[] = [];
  private readonly listeners = new Set<() => void>();
  /** In this tab, right now: signing that a reload would interrupt. */
  private readonly mine = new Set<string>();

  constructor(private readonly storage: Kept) {
    this.reload();
    globalThis.addEventListener?.("storage", (event: StorageEvent) => {
      if (event.key === null || event.key.startsWith(PREFIX)) this.reload();
    });
  }

  /** Newest first. The same array until something changes. */
  all = (): readonly TxRecord[] => this.records;

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  add(record: Omit<TxRecord, "id" | "createdAt" | "hash" | "phase" | "verdict" | "code" | "message" | "keptWei" | "children">): TxRecord {
    const full: TxRecord = {
      ...record,
      id: `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}`,
      createdAt: Date.now(),
      hash: "", phase: "signing", verdict: "pending", code: "", message: "", keptWei: "0", children: [],
    };
    this.mine.add(full.id);
    this.save(full);
    this.prune();
    return full;
  }

  update(id: string, change: Partial<TxRecord>): void {
    const known = this.load(id);
    if (!known) return;
    if (change.phase && change.phase !== "signing") this.mine.delete(id);
    this.save({ ...known, ...change });
  }

  remove(id: string): void {
    this.storage.remove(PREFIX + id);
    this.reload();
  }

  private load(id: string): TxRecord | null {
    try {
      const found: unknown = JSON.parse(this.storage.get(PREFIX + id) ?? "null");
      return isRecord(found) ? found : null;
    } catch {
      return null;
    }
  }

  private save(record: TxRecord): void {
    this.storage.set(PREFIX + record.id, JSON.stringify(record));
    this.reload();
  }

  private reload(): void {
    const found: TxRecord[] = [];
    for (const name of this.storage.names(PREFIX)) {
      const record = this.load(name.slice(PREFIX.length));
      if (record) found.push(record);
    }
    this.records = found.sort((a, b) => b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1));
    for (const listener of this.listeners) listener();
  }

  /** Whether it is being signed in this tab; after a reload nobody knows what the wallet answered. */
  isSigningHere = (record: TxRecord): boolean => this.mine.has(record.id);

  private prune(): void {
    const ended = this.records.filter((record) => !isFollowed(record) && record.phase !== "signing");
    for (const record of ended.slice(KEPT)) this.storage.remove(PREFIX + record.id);
    if (ended.length > KEPT) this.reload();
  }
}
