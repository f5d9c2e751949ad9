// Who signs. Keys are kept in this browser only for a localnet on this machine; a wallet is asked anew at every start.
import { alone } from "../browser/alone";
import { kept, keptInTab, type Kept } from "../browser/storage";
import { isAddress } from "../domain/names";
import { accountOf, chainOf, walletAccount, walletChain, type FoundWallet, type Provider, type WalletList } from "../chain/injected";

export type Signer =
  | { kind: "none" }
  | { kind: "key"; address: string; key: string }
  /** ``chainId``: 0 as long as the wallet has not said it. */
  | { kind: "wallet"; address: string; name: string; chainId: number; provider: Provider };

type KeptSigner = { kind: "none" } | { kind: "key"; address: string; key: string } | { kind: "wallet"; id: string };

/** A throw-away key that was made or brought here, for one node. */
export interface KeptKey {
  address: string;
  key: string;
  /** ms since 1970. */
  madeAt: number;
}

/** How long a tab may take to see what another has kept. */
const SEEN_MS = 300;
const NONE: Signer = { kind: "none" };

export class SignerStore {
  private signer: Signer = NONE;
  private url = "";
  private keyList: readonly KeptKey[] = [];
  private readonly listeners = new Set<() => void>();
  private stopWatching: () => void = () => undefined;
  /** How often somebody was chosen: a wallet that answers later is not the last choice any more. */
  private choices = 0;
  /** The wallet that signed here before, which has not been heard of since. */
  private awaited = "";

  constructor(private readonly wallets: WalletList, private readonly storage: Kept = kept, private readonly tab: Kept = keptInTab) {
    wallets.subscribe(() => void this.reconnect());
    globalThis.addEventListener?.("storage", (event: StorageEvent) => {
      if (event.key === null || event.key.startsWith(KEY_PREFIX)) this.readKeys();
    });
  }

  get = (): Signer => this.signer;

  /** All keys that were made here for this node, oldest first; none is ever overwritten. The same array until one comes. */
  keys = (): readonly KeptKey[] => this.keyList;

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Another node: whoever signed there before is found again, first in this tab. Keys come back only where they are allowed. */
  async open(url: string, allowKeys: boolean): Promise<void> {
    if (url === this.url) return;
    this.url = url;
    this.awaited = "";
    this.set(NONE);
    this.adoptFormerKey();
    this.readKeys();
    const before = this.load(this.tab) ?? this.load(this.storage);
    if (before?.kind === "key" && allowKeys) this.set(before);
    if (before?.kind === "wallet") {
      this.awaited = before.id;
      await this.reconnect();
    }
  }

  /**
   * One more key than the ``known`` that are shown. Two tabs that make one at the same moment make one: it is the second tab's too.
   */
  async makeKey(known: number, make: () => Omit<KeptKey, "madeAt">): Promise<{ key: KeptKey; isNew: boolean }> {
    const url = this.url;
    return alone(`${KEY_PREFIX}${url}`, async () => {
      this.readKeys();
      const last = this.keyList.at(-1);
      if (last && this.keyList.length > known) return { key: last, isNew: false };
      const key = this.keepKey(url, make());
      // What is written reaches other tabs a moment later: the next one has to see it.
      await new Promise((resolve) => setTimeout(resolve, SEEN_MS));
      return { key, isNew: true };
    });
  }

  /** Keeps a key that was made elsewhere. */
  importKey = (made: Omit<KeptKey, "madeAt">): KeptKey => this.keepKey(this.url, made);

  /** Has a key sign: one of those kept here, or of an account that the deployment tells. */
  useKey(address: string, key: string): void {
    const signer = { kind: "key", address, key } as const;
    this.remember(signer);
    this.set(signer);
  }

  async useWallet(wallet: Pick<FoundWallet, "id" | "name" | "provider">, ask = true): Promise<string> {
    const { provider, name } = wallet;
    if (ask) this.choices += 1;
    const mine = this.choices;
    const address = await walletAccount(provider, ask);
    const chainId = address ? await walletChain(provider) : 0;
    if (mine !== this.choices) return ""; // another node, or somebody else, was chosen meanwhile
    if (!address && ask) throw new Error("The wallet shows no account.");
    if (ask) this.remember({ kind: "wallet", id: wallet.id });
    this.set(address ? { kind: "wallet", address, name, provider, chainId } : NONE);
    this.watch(provider, name);
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
    this.remember({ kind: "none" });
    this.set(NONE);
  }

  /** Connects with the wallet that signed here before, as soon as it is there. It is not opened for that. */
  private async reconnect(): Promise<void> {
    const wallet = this.wallets.all().find(({ id }) => id === this.awaited);
    if (!wallet) return;
    this.awaited = "";
    await this.useWallet(wallet, false).catch(() => undefined);
  }

  /** A locked wallet shows no account until it is unlocked. */
  private watch(provider: Provider, name: string): void {
    const onAccounts = (accounts: unknown): void => {
      const address = accountOf(accounts);
      if (!address) return this.publish(NONE);
      const chainId = this.signer.kind === "wallet" ? this.signer.chainId : 0;
      this.publish({ kind: "wallet", address, name, provider, chainId });
      if (chainId === 0) void this.recheckChain();
    };
    const onChain = (chain: unknown): void => {
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
    this.choices += 1;
    this.stopWatching();
    this.stopWatching = () => undefined;
    if (signer.kind !== "none") this.awaited = "";
    this.publish(signer);
  }

  private publish(signer: Signer): void {
    this.signer = signer;
    for (const listener of this.listeners) listener();
  }

  private readKeys(): void {
    this.keyList = this.storage.names(`${KEY_PREFIX}${this.url}|`).flatMap((name) => parsedKey(this.storage.get(name)) ?? [])
      .sort((a, b) => a.madeAt - b.madeAt);
    for (const listener of this.listeners) listener();
  }

  private keepKey(url: string, { address, key }: Omit<KeptKey, "madeAt">): KeptKey {
    const name = `${KEY_PREFIX}${url}|${address}`;
    const before = parsedKey(this.storage.get(name));
    if (before) return before;
    const made = { address, key, madeAt: Date.now() };
    this.storage.set(name, JSON.stringify(made));
    this.readKeys();
    return made;
  }

  /** The one key that was kept for a node before there could be more. */
  private adoptFormerKey(): void {
    const former = parsedKey(this.storage.get(`${SIGNER_PREFIX}${this.url}#key`));
    if (former) this.keepKey(this.url, former);
  }

  private remember(signer: KeptSigner): void {
    for (const storage of [this.storage, this.tab]) storage.set(SIGNER_PREFIX + this.url, JSON.stringify(signer));
  }

  private load(storage: Kept): KeptSigner | null {
    const text = storage.get(SIGNER_PREFIX + this.url);
    const found = parsed<KeptSigner>(text);
    return found?.kind === "key" && !parsedKey(text) ? null : found;
  }
}

const SIGNER_PREFIX = "api-billing:signer:";
const KEY_PREFIX = "api-billing:key:";

/** Null where it is none: others write into what a browser keeps, too. */
function parsedKey(text: string | null): KeptKey | null {
  const found = parsed<KeptKey>(text);
  return typeof found?.key === "string" && isAddress(String(found.address)) ? found : null;
}

function parsed<T>(text: string | null): T | null {
  try {
    return JSON.parse(text ?? "null") as T | null;
  } catch {
    return null;
  }
}
