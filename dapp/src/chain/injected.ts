// Wallets of the browser: EIP-1193 providers, found by EIP-6963 or as window.ethereum.
import { isAddress } from "../domain/names";

export interface Provider {
  request(call: { method: string; params?: readonly unknown[] }): Promise<unknown>;
  on?(event: string, listener: (value: never) => void): void;
  removeListener?(event: string, listener: (value: never) => void): void;
}

export interface FoundWallet {
  /** Its name in reverse DNS, which stays the same. */
  id: string;
  name: string;
  /** A data: URL of an image, or empty. */
  icon: string;
  provider: Provider;
}

const MAX_NAME = 40;
const MAX_ICON = 100_000;

/** What a wallet says of itself; null where that is none. It is another's text: an icon is only ever shown as an image. */
function announced(event: Event): FoundWallet | null {
  const { info, provider } = Object((event as CustomEvent<unknown>).detail) as { info?: unknown; provider?: Provider };
  const { rdns, name, icon } = Object(info) as Readonly<Record<string, unknown>>;
  if (typeof rdns !== "string" || typeof name !== "string" || !rdns || typeof provider?.request !== "function") return null;
  const isImage = typeof icon === "string" && /^data:image\//i.test(icon) && icon.length <= MAX_ICON;
  return { id: rdns, name: name.slice(0, MAX_NAME) || rdns.slice(0, MAX_NAME), icon: isImage ? icon : "", provider };
}

/** The wallets of this browser. Some announce themselves late, so it listens as long as the page is open. */
export class WalletList {
  private found: readonly FoundWallet[] = [];
  private readonly listeners = new Set<() => void>();

  constructor() {
    globalThis.addEventListener?.("eip6963:announceProvider", (event) => this.add(announced(event)));
    globalThis.addEventListener?.("ethereum#initialized", () => this.addUnannounced());
    this.ask();
  }

  /** The same array until another one comes. */
  all = (): readonly FoundWallet[] => this.found;

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Have all announce themselves: those that were put into the page after it was opened, too. */
  ask(): void {
    globalThis.dispatchEvent?.(new Event("eip6963:requestProvider"));
    this.addUnannounced();
  }

  private add(wallet: FoundWallet | null): void {
    if (!wallet || this.found.some(({ id }) => id === wallet.id)) return;
    this.found = [...this.found.filter(({ id }) => id !== UNANNOUNCED), wallet];
    for (const listener of this.listeners) listener();
  }

  /** An old one, which only sets a global. Those that announce themselves set it as well. */
  private addUnannounced(): void {
    const provider = (globalThis as { ethereum?: Provider }).ethereum;
    if (this.found.length === 0 && typeof provider?.request === "function") this.add({ id: UNANNOUNCED, name: "Browser wallet", icon: "", provider });
  }
}

const UNANNOUNCED = "window.ethereum";

/** The first account; `ask` opens the wallet, without it only what was allowed before is seen. */
export async function walletAccount(provider: Provider, ask: boolean): Promise<string> {
  return accountOf(await provider.request({ method: ask ? "eth_requestAccounts" : "eth_accounts" }));
}

/** The first of a wallet's accounts; empty where it shows none. */
export function accountOf(accounts: unknown): string {
  const first: unknown = Array.isArray(accounts) ? accounts[0] : undefined;
  return typeof first === "string" && isAddress(first) ? first.toLowerCase() : "";
}

/** 0 where it does not say. */
export async function walletChain(provider: Provider): Promise<number> {
  try {
    return chainOf(await provider.request({ method: "eth_chainId" }));
  } catch {
    return 0;
  }
}

/** A chain id as wallets and nodes tell it; 0 where it is none. */
export function chainOf(told: unknown): number {
  const id = typeof told === "string" || typeof told === "number" || typeof told === "bigint" ? Number(told) : 0;
  return Number.isSafeInteger(id) && id > 0 ? id : 0;
}

/** Asked right before something is signed: what was heard of the wallet may be old. Throws where it is on another chain. */
export async function confirmChain(provider: Provider, chainId: number): Promise<void> {
  const own = await walletChain(provider);
  if (own === 0) throw new Error("The wallet does not say which network it is on. Nothing was sent.");
  if (own !== chainId) throw new Error(`The wallet is on chain ${own}, not on chain ${chainId}. Nothing was sent.`);
}

/** Ask the wallet to use the chain, and tell it of the chain where it does not know it. */
export async function switchChain(provider: Provider, chainId: number, name: string, url: string): Promise<void> {
  if (chainOf(chainId) === 0) throw new Error("The node has not said which chain it is.");
  const hex = `0x${chainId.toString(16)}`;
  try {
    await provider.request({ method: "wallet_switchEthereumChain", params: [{ chainId: hex }] });
  } catch (error) {
    if (!isUnknownChain(error)) throw error;
    const currency = { name: "GEN", symbol: "GEN", decimals: 18 };
    const chain = { chainId: hex, chainName: name, rpcUrls: [url], nativeCurrency: currency };
    await provider.request({ method: "wallet_addEthereumChain", params: [chain] });
  }
}

/** Wallets on phones put what they mean into another error. */
const isUnknownChain = (error: unknown): boolean => {
  const { code, data } = Object(error) as { code?: unknown; data?: { originalError?: { code?: unknown } } };
  return code === 4902 || data?.originalError?.code === 4902;
};
