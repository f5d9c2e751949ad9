// Where the meter of an operator is, and its token: in this browser only, for each operator of a contract.
import { kept, type Kept } from "../browser/storage";
import type { MeterPlace } from "./client";

/** Whose: the node, the contract and the operator. */
export const nameOf = (...whose: readonly string[]): string => `api-billing:meter:${whose.join("|")}`;

/** An address as it is typed, without a slash at its end; empty when it is none to ask. */
export function meterUrl(typed: string): string {
  try {
    const { protocol, username, password, search, hash, origin, pathname } = new URL(typed.trim());
    if (!["http:", "https:"].includes(protocol) || username || password || search || hash) return "";
    return `${origin}${pathname}`.replace(/\/+$/, "");
  } catch {
    return "";
  }
}

/** Whether somebody between here and there can read the token. */
export function isReadableOnTheWay(url: string): boolean {
  if (!url.startsWith("http:")) return false;
  const { hostname } = new URL(url);
  return !/^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
}

/** What a header field can carry. */
export const isToken = (text: string): boolean => /^[!-~]{16,4000}$/.test(text);

export class KnownMeters {
  private readonly listeners = new Set<() => void>();

  constructor(private readonly storage: Kept = kept) {}

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    window.addEventListener("storage", listener); // another tab forgets it, too
    return () => {
      this.listeners.delete(listener);
      window.removeEventListener("storage", listener);
    };
  };

  /** As it is kept: the same text as long as nothing changes. */
  text = (name: string): string => this.storage.get(name) ?? "";

  set(name: string, place: MeterPlace): void {
    this.storage.set(name, JSON.stringify(place));
    this.tell();
  }

  forget(name: string): void {
    this.storage.remove(name);
    this.tell();
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }
}

export function placeOf(text: string): MeterPlace | null {
  try {
    const { url, token } = JSON.parse(text) as Partial<Record<string, unknown>>;
    return typeof url === "string" && typeof token === "string" && meterUrl(url) === url && isToken(token) ? { url, token } : null;
  } catch {
    return null;
  }
}

export const meters = new KnownMeters();
