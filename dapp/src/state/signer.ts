// Who signs. A key is kept in this browser only for a localnet on this machine; a wallet is asked anew at every start.
import { kept as storage } from "../browser/storage";
import { chainOf, findWallets, walletAccount, walletChain, type Provider } from "../chain/injected";

export type Signer =
  | { kind: "none" }
  | { kind: "key"; address: string; key: string }
  /** ``chainId``: 0 as long as the wallet has not said it. */
  | { kind: "wallet"; address: string; name: string; chainId: number; provider: Provider };

type KeptSigner = { kind: "key"; address: string; key: string } | { kind: "wallet"; id: string };

const NONE: Signer = { kind: "none" };

export class SignerStore {
  private signer: Signer = NONE;
  private url = "";
  private readonly listeners = new Set<() => void>();
  private stopWatching: () => void = () => undefined;

  get = (): Signer => this.signer;

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Another node: whoever signed there before is found again. Keys come back only where they are allowed. */
  async open(url: string, allowKeys: boolean): Promise<void> {
    if (url === this.url) return;
    this.url = url;
    this.set(NONE);
    const kept = this.kept();
    if (kept?.kind === "key" && allowKeys) this.set({ kind: "key", address: kept.address, key: kept.key });
    if (kept?.kind === "wallet") {
      const wallet = findWallets().find((each) => each.id === kept.id);
      if (wallet) await this.useWallet(wallet, false).catch(() => undefined);
    }
  }

  /** The throw-away key of this node, where one was made before. */
  keptKey(): { address: string; key: string } | null {
    const kept = this.load(`${this.url}#key`) ?? this.kept();
    return kept?.kind === "key" ? kept : null;
  }

  useKey(address: string, key: string): void {
    const kept: KeptSigner = { kind: "key", address, key };
    this.keep(kept);
    this.save(`${this.url}#key`, kept);
    this.set({ kind: "key", address, key });
  }

  async useWallet(wallet: { id: string; name: string; provider: Provider }, ask = true): Promise<string> {
    const { provider, name } = wallet;
    const url = this.url;
    const address = await walletAccount(provider, ask);
    const chainId = address ? await walletChain(provider) : 0;
    if (url !== this.url) return ""; // another node was chosen meanwhile
    if (!address) {
      if (ask) throw new Error("The wallet shows no account.");
      return "";
    }
    this.keep({ kind: "wallet", id: wallet.id });
    this.set({ kind: "wallet", address, name, provider, chainId });
    this.watch(provider);
    return address;
  }

  /** Which chain the wallet is on now: not every one tells of a change by itself. */
  async recheckChain(): Promise<void> {
    if (this.signer.kind !== "wallet") return;
    const { provider } = this.signer;
    const chainId = await walletChain(provider);
    if (this.signer.kind === "wallet" && this.signer.provider === provider) this.publish({ ...this.signer, chainId });
  }

  leave(): void {
    storage.remove(this.name(this.url));
    this.set(NONE);
  }

  private watch(provider: Provider): void {
    const onAccounts = (accounts: readonly string[]): void => {
      const address = accounts[0]?.toLowerCase();
      if (this.signer.kind !== "wallet") return;
      this.publish(address ? { ...this.signer, address } : NONE);
    };
    const onChain = (chain: string): void => {
      if (this.signer.kind === "wallet") this.publish({ ...this.signer, chainId: chainOf(chain) });
    };
    provider.on?.("accountsChanged", onAccounts);
    provider.on?.("chainChanged", onChain);
    this.stopWatching = () => {
      provider.removeListener?.("accountsChanged", onAccounts);
      provider.removeListener?.("chainChanged", onChain);
    };
  }

  private set(signer: Signer): void {
    this.stopWatching();
    this.stopWatching = () => undefined;
    this.publish(signer);
  }

  private publish(signer: Signer): void {
    this.signer = signer;
    for (const listener of this.listeners) listener();
  }

  private name = (url: string): string => `api-billing:signer:${url}`;
  private kept = (): KeptSigner | null => this.load(this.url);
  private keep = (signer: KeptSigner): void => this.save(this.url, signer);

  private load(url: string): KeptSigner | null {
    try {
      return JSON.parse(storage.get(this.name(url)) ?? "null") as KeptSigner | null;
    } catch {
      return null;
    }
  }

  private save(url: string, signer: KeptSigner): void {
    storage.set(this.name(url), JSON.stringify(signer));
  }
}
