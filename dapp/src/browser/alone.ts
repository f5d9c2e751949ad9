// One at a time under a name: in all tabs where the browser has locks (in secure contexts only), else in this one.
const last = new Map<string, Promise<unknown>>();

export function alone<T>(name: string, work: () => Promise<T>): Promise<T> {
  const locks = (globalThis.navigator as { locks?: LockManager | null } | undefined)?.locks;
  if (locks) return locks.request(name, work) as Promise<T>;
  const done = (last.get(name) ?? Promise.resolve()).then(work);
  last.set(name, done.catch(() => undefined));
  return done;
}
