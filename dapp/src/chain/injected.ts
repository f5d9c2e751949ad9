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

export const walletChain = async (provider: Provider): Promise<number> =>
  Number(await provider.request({ method: "eth_chainId" }));

/** Ask the wallet to use the chain, and tell it of the chain where it does not know it. */
export async function switchChain(provider: Provider, chainId: number, name: string, url: string): Promise<void> {
  const hex = `0x${chainId.toString(16)}`;
  try {
    await provider.request({ method: "wallet_switchEthereumChain", params: [{ chainId: hex }] });
  } catch (error) {
    if ((error as { code?: unknown }).code !== 4902) throw error;
    const currency = { name: "GEN", symbol: "GEN", decimals: 18 };
    const chain = { chainId: hex, chainName: name, rpcUrls: [url], nativeCurrency: currency };
    await provider.request({ method: "wallet_addEthereumChain", params: [chain] });
  }
}
