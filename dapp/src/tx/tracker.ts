// Follows sent transactions until they, and what they triggered, are final.
import { unlessAnother } from "../browser/alone";
import { NodeError } from "../chain/rpc";
import { isFollowed, type Child, type TxRecord, type TxStore } from "./store";
import type { Outcome } from "./outcome";

export type LookUp = (hash: string) => Promise<Outcome>;

export interface TrackerOptions {
  store: TxStore;
  url: string;
  pollMs: number;
  lookUp: LookUp;
  now?: () => number;
}

/** The longest pause: so many first pauses, and never more than this. */
const SLOWEST_POLLS = 12;
const SLOWEST_MS = 15_000;
/** A node that has been asked for a transaction for so long and does not know it never will. */
export const LOST_MS = 60_000;
/** A wallet may be asked in another tab; after this nobody waits for it any more. */
const SIGNING_MS = 15 * 60_000;

export class Tracker {
  private readonly waits = new Map<string, { dueAt: number; pauseMs: number }>();
  /** When what a node does not know was first asked for: a wallet may have been asked long before. */
  private readonly missedSince = new Map<string, number>();
  private readonly now: () => number;

  constructor(private readonly options: TrackerOptions) {
    this.now = options.now ?? Date.now;
  }

  /** Until the signal. Hidden tabs, whose timers browsers slow down, leave it to those that are seen. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (document.visibilityState !== "hidden") {
        // While one tab looks, another need not; what it finds is stored for all.
        await unlessAnother(`api-billing:tracker:${this.options.url}`, () => this.step());
      }
      await pause(Math.min(this.options.pollMs, 1_000), signal);
    }
  }

  /** Looks once at everything whose time has come. */
  async step(): Promise<void> {
    for (const record of this.options.store.all()) {
      if (record.url !== this.options.url) continue;
      if (record.phase === "signing") this.forgetInterrupted(record);
      else if (isFollowed(record) && this.isDue(record)) await this.look(record);
    }
  }

  private forgetInterrupted(record: TxRecord): void {
    const { store } = this.options;
    if (store.isSigningHere(record) || this.now() - record.createdAt < SIGNING_MS) return;
    store.update(record.id, { phase: "ended", verdict: "unknown" });
  }

  private isDue(record: TxRecord): boolean {
    const { dueAt, pauseMs } = this.waits.get(record.id) ?? { dueAt: 0, pauseMs: 0 };
    return dueAt <= this.now() || dueAt > this.now() + pauseMs; // the clock was set back
  }

  private async look(record: TxRecord): Promise<void> {
    try {
      const outcome = await this.options.lookUp(record.hash);
      const children = await this.lookAtChildren(record.children, outcome.children);
      this.note(record, {
        phase: outcome.isFinal ? "finalized" : outcome.isDecided ? "accepted" : "sent",
        verdict: outcome.verdict,
        code: outcome.code,
        message: outcome.message,
        keptWei: outcome.keptWei.toString(),
        ...(outcome.fee && { depositWei: outcome.fee.depositWei.toString() }),
        ...(outcome.fee?.returnedWei != null && { returnedWei: outcome.fee.returnedWei.toString() }),
        children,
      });
    } catch (error) {
      if (error instanceof NodeError && error.failure === "not_found") this.miss(record);
      else this.later(record, false);
    }
  }

  private note(record: TxRecord, change: Partial<TxRecord>): void {
    const progressed = JSON.stringify({ ...record, ...change }) !== JSON.stringify(record);
    if (progressed) this.options.store.update(record.id, change);
    this.missedSince.delete(record.id);
    this.later(record, progressed);
  }

  private miss(record: TxRecord): void {
    const since = this.missedSince.get(record.id) ?? this.now();
    this.missedSince.set(record.id, since);
    if (this.now() - since < LOST_MS) return this.later(record, false);
    this.options.store.update(record.id, { phase: "ended", verdict: "lost" });
  }

  private later(record: TxRecord, progressed: boolean): void {
    const { pollMs } = this.options;
    const before = this.waits.get(record.id)?.pauseMs ?? pollMs / 1.5;
    const pauseMs = progressed ? pollMs : Math.min(before * 1.5, SLOWEST_POLLS * pollMs, SLOWEST_MS);
    this.waits.set(record.id, { dueAt: this.now() + pauseMs, pauseMs });
  }

  private async lookAtChildren(known: readonly Child[], hashes: readonly string[]): Promise<Child[]> {
    const children: Child[] = [];
    for (const hash of hashes) {
      const before = known.find((child) => child.hash === hash);
      children.push(before?.phase === "finalized" ? before : await this.lookAtChild(hash, before));
    }
    return children;
  }

  private async lookAtChild(hash: string, before: Child | undefined): Promise<Child> {
    try {
      const outcome = await this.options.lookUp(hash);
      return {
        hash,
        phase: outcome.isFinal ? "finalized" : outcome.isDecided ? "accepted" : "sent",
        verdict: outcome.verdict,
        code: outcome.code,
        message: outcome.message,
        to: outcome.to,
        method: outcome.method,
        valueWei: outcome.valueWei.toString(),
      };
    } catch (error) {
      if (error instanceof NodeError && error.failure === "not_found") {
        return before ?? { hash, phase: "sent", verdict: "pending", code: "", message: "", to: "", valueWei: "0" };
      }
      throw error;
    }
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
