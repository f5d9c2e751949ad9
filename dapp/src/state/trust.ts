// Which nodes and contracts a person has agreed to. A link may name any; what it names is not read before.
import { kept, type Kept } from "../browser/storage";

const PREFIX = "api-billing:trusted:";

export class TrustStore {
  private readonly listeners = new Set<() => void>();
  private changes = 0;

  constructor(private readonly storage: Kept = kept) {}

  /** Another number after each change. */
  version = (): number => this.changes;

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Whether this node was agreed to; with a contract: whether that was, on this node. */
  has = (url: string, contract = ""): boolean => this.storage.get(nameOf(url, contract)) !== null;

  add(url: string, contract = ""): void {
    for (const each of new Set(["", contract])) this.storage.set(nameOf(url, each), "1");
    this.changes += 1;
    for (const listener of this.listeners) listener();
  }
}

export const trust = new TrustStore();

const nameOf = (url: string, contract: string): string => `${PREFIX}${url}${contract && `|${contract}`}`;

export const hostOf = (url: string): string => {
  try {
    return new URL(url).host;
  } catch {
    return "";
  }
};
