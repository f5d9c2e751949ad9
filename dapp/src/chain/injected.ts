// Wallets of the browser: EIP-1193 providers, found by EIP-6963 or as window.ethereum.

export interface Provider {
  request(call: { method: string; params?: readonly unknown[] }): Promise<unknown>;
  on?(event: string, listener: (value: never) => void): void;
  removeListener?(event: string, listener: (value: never) => void): void;
}

export interface FoundWallet {
  id: string;
  name: string;
  provider: Provider;
}

interface Announcement {
  info: { rdns: string; name: string };
  provider: Provider;
}

declare global {
  interface Window {
    ethereum?: Provider;
  }
}

/** Wallets answer the question at once; those that are installed later are found the next time. */
export function findWallets(): FoundWallet[] {
  const found: FoundWallet[] = [];
  const onAnnounce = (event: Event): void => {
    const { info, provider } = (event as CustomEvent<Announcement>).detail;
    if (!found.some((wallet) => wallet.id === info.rdns)) found.push({ id: info.rdns, name: info.name, provider });
  };
  window.addEventListener("eip6963:announceProvider", onAnnounce);
  window.dispatchEvent(new Event("eip6963:requestProvider"));
  window.removeEventListener("eip6963:announceProvider", onAnnounce);
  if (found.length === 0 && window.ethereum) found.push({ id: "window.ethereum", name: "Browser wallet", provider: window.ethereum });
  return found;
}

/** The first account; `ask` opens the wallet, without it only what was allowed before is seen. */
export async function walletAccount(provider: Provider, ask: boolean): Promise<string> {
  const accounts = await provider.request({ method: ask ? "eth_requestAccounts" : "eth_accounts" });
  const first: unknown = Array.isArray(accounts) ? accounts[0] : undefined;
  return typeof first === "string" ? first.toLowerCase() : "";
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
