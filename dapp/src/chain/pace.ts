// How fast one contract may be read: hosted nodes allow 20 reads in 10 seconds for each contract, whoever reads. All tabs
// share one log of reads in localStorage, and one pause after a refusal.
import { alone } from "../browser/alone";
import { kept } from "../browser/storage";

export const READS = 16;
export const WINDOW_MS = 10_000;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;

export type Trouble = "busy" | "unreachable";

export interface PaceState {
  /** When reads of the window were made, oldest first, ms since 1970. */
  reads: number[];
  failures: number;
  trouble: Trouble | null;
  /** No reads before this moment. */
  pausedUntil: number;
}

export interface Surroundings {
  now(): number;
  random(): number;
  /** Runs alone, also among tabs. */
  alone(name: string, work: () => void): Promise<void>;
  load(name: string): string | null;
  save(name: string, value: string): void;
}

const FRESH: PaceState = { reads: [], failures: 0, trouble: null, pausedUntil: 0 };

export const browser: Surroundings = {
  now: () => Date.now(),
  random: () => Math.random(),
  // Where there are no locks two tabs may rarely take one read too many, which the distance between 16 and 20 covers.
  alone: (name, work) => alone(name, work, { limitMs: 2_000 }),
  load: (name) => kept.get(name),
  save: (name, value) => kept.set(name, value),
};

export const pauseMs = (failures: number, random: number): number =>
  Math.min(FIRST_PAUSE_MS * 2 ** (failures - 1), LONGEST_PAUSE_MS) * (0.75 + random / 4);

export class Pace {
  private readonly name: string;
  private readonly listeners = new Set<() => void>();
  private wakers = new Set<() => void>();
  private snapshot: PaceState = FRESH;
  private queue: Promise<unknown> = Promise.resolve();
  private waitingUrgent = 0;

  constructor(url: string, contract: string, private readonly world: Surroundings = browser) {
    this.name = `api-billing:pace:${url}|${contract.toLowerCase()}`;
    this.snapshot = this.read();
  }

  /** What is known of the node, for display. */
  get state(): PaceState {
    return this.snapshot;
  }

  subscribe = (listener: () => void): (() => void) => {
    const onStorage = (event: StorageEvent): void => {
      if (event.key === this.name) this.changed(this.read());
    };
    this.listeners.add(listener);
    globalThis.addEventListener?.("storage", onStorage);
    return () => {
      this.listeners.delete(listener);
      globalThis.removeEventListener?.("storage", onStorage);
    };
  };

  /**
   * Waits until a read is allowed, and counts it. Reads that are not urgent leave the way to those that are, and the
   * last quarter of the window too.
   */
  async take(urgent: boolean, signal?: AbortSignal): Promise<void> {
    if (urgent) this.waitingUrgent++;
    try {
      for (;;) {
        signal?.throwIfAborted();
        const waitMs = !urgent && this.waitingUrgent ? 200 : await this.attempt(urgent);
        if (waitMs <= 0) return;
        await this.sleep(waitMs, signal);
      }
    } finally {
      if (urgent) this.waitingUrgent--;
    }
  }

  succeeded(): void {
    if (this.snapshot.failures) void this.update((state) => ({ ...state, failures: 0, trouble: null, pausedUntil: 0 }));
  }

  failed(trouble: Trouble): void {
    void this.update((state) => {
      const now = this.world.now();
      if (state.pausedUntil > now) return { ...state, trouble }; // several reads failed together: that counts once
      const failures = state.failures + 1;
      return { ...state, failures, trouble, pausedUntil: now + pauseMs(failures, this.world.random()) };
    });
  }

  /** A person wants to try now. */
  resume(): void {
    void this.update((state) => ({ ...state, pausedUntil: 0 }));
  }

  private attempt(urgent: boolean): Promise<number> {
    let waitMs = 0;
    return this.update((state) => {
      const now = this.world.now();
      if (state.pausedUntil > now) {
        waitMs = Math.min(state.pausedUntil - now, LONGEST_PAUSE_MS);
        return state;
      }
      const allowed = urgent ? READS : (READS * 3) / 4;
      if (state.reads.length < allowed) return { ...state, reads: [...state.reads, now] };
      waitMs = Math.max((state.reads[state.reads.length - allowed] ?? now) + WINDOW_MS - now, 1);
      return state;
    }).then(() => waitMs);
  }

  private update(change: (state: PaceState) => PaceState): Promise<void> {
    const work = this.queue.then(() =>
      this.world.alone(this.name, () => {
        const before = this.read();
        const after = change(before);
        if (after !== before) {
          this.world.save(this.name, JSON.stringify(after));
          this.changed(after);
        }
      }),
    );
    this.queue = work.catch(() => undefined);
    return work;
  }

  private read(): PaceState {
    const now = this.world.now();
    try {
      const state = { ...FRESH, ...(JSON.parse(this.world.load(this.name) ?? "{}") as Partial<PaceState>) };
      // A moment in the future comes from a clock that was set back: it does not count.
      const pausedUntil = state.pausedUntil <= now + LONGEST_PAUSE_MS ? state.pausedUntil : 0;
      return { ...state, pausedUntil, reads: state.reads.filter((at) => at > now - WINDOW_MS && at <= now) };
    } catch {
      return FRESH;
    }
  }

  private changed(state: PaceState): void {
    const wake = state.pausedUntil < this.snapshot.pausedUntil;
    this.snapshot = state;
    for (const listener of this.listeners) listener();
    if (wake) for (const waker of this.wakers) waker();
  }

  private sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (): void => {
        clearTimeout(timer);
        this.wakers.delete(done);
        signal?.removeEventListener("abort", aborted);
        resolve();
      };
      const aborted = (): void => {
        clearTimeout(timer);
        this.wakers.delete(done);
        reject(signal?.reason as Error);
      };
      const timer = setTimeout(done, ms);
      this.wakers.add(done);
      signal?.addEventListener("abort", aborted, { once: true });
    });
  }
}

const paces = new Map<string, Pace>();

/** The one of this contract in this tab. */
export function paceOf(url: string, contract: string): Pace {
  const key = `${url}|${contract.toLowerCase()}`;
  let pace = paces.get(key);
  if (!pace) paces.set(key, (pace = new Pace(url, contract)));
  return pace;
}
