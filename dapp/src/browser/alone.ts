// One at a time under a name: in all tabs where the browser has locks, else in this one. Locks are there in secure contexts
// only (https, localhost), and are refused where the browser keeps nothing (blocked storage, a sandbox).

export type Locks = Pick<LockManager, "request"> | null;

export interface Waiting {
  signal?: AbortSignal;
  /** Then it is done in any case: the tab whose turn it is may be stopped. */
  limitMs?: number;
}

export const browserLocks = (): Locks => (globalThis.navigator as { locks?: LockManager | null } | undefined)?.locks ?? null;

const last = new Map<string, Promise<unknown>>();

function inThisTab<T>(name: string, work: () => T | Promise<T>): Promise<T> {
  const done = (last.get(name) ?? Promise.resolve()).then(work);
  last.set(name, done.catch(() => undefined));
  return done;
}

async function locked<T>(locks: Locks, name: string, options: LockOptions, work: (isMine: boolean) => T | Promise<T>, signal?: AbortSignal): Promise<T> {
  let hasBegun = false;
  const turn = (lock: Lock | null): T | Promise<T> => {
    hasBegun = true;
    return work(lock !== null);
  };
  try {
    if (locks) return await locks.request(name, options, turn);
  } catch (error) {
    if (hasBegun || signal?.aborted) throw error;
  }
  return inThisTab(name, () => work(true));
}

export function alone<T>(name: string, work: () => T | Promise<T>, { signal, limitMs }: Waiting = {}, locks = browserLocks()): Promise<T> {
  const limit = new AbortController();
  const timer = limitMs === undefined ? undefined : setTimeout(() => limit.abort(), limitMs);
  const turn = (): T | Promise<T> => {
    clearTimeout(timer);
    return work();
  };
  return locked(locks, name, { signal: signal ? AbortSignal.any([signal, limit.signal]) : limit.signal }, turn, signal).finally(() => clearTimeout(timer));
}

/** Not at all while another tab does the same. */
export const unlessAnother = (name: string, work: () => Promise<void>, locks = browserLocks()): Promise<void> =>
  locked(locks, name, { ifAvailable: true }, (isMine) => (isMine ? work() : undefined));
