// @vitest-environment happy-dom
import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Provider } from "../../src/chain/injected";
import { switchChain, WalletList } from "../../src/chain/injected";
import { SignerStore } from "../../src/state/signer";
import { OTHER, OWN } from "./samples";

const NODE = "http://127.0.0.1:4000/api";

class FakeWallet implements Provider {
  accounts = [OWN];
  chainId: unknown = "0xf22f";
  knows = true;
  unknown = Object.assign(new Error("unknown chain"), { code: 4902 });
  readonly calls: string[] = [];
  private readonly listeners = new Map<string, (value: never) => void>();
  request = async ({ method }: { method: string }): Promise<unknown> => {
    this.calls.push(method);
    if (method === "eth_chainId") return this.chainId;
    if (method === "wallet_switchEthereumChain" && !this.knows) throw this.unknown;
    return this.accounts;
  };
  on = (event: string, listener: (value: never) => void): void => void this.listeners.set(event, listener);
  removeListener = (event: string): void => void this.listeners.delete(event);
  emit(event: string, value: unknown): void {
    this.listeners.get(event)?.(value as never);
  }
}

let wallet: FakeWallet;
let signers: SignerStore;
let list: WalletList;
const announce = (detail: unknown): boolean => window.dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail }));
const said = { rdns: "test", name: "Test", icon: "data:image/png;base64,AA==" };
/** As another page of this browser, or this one after a reload; `sameTab` keeps what the tab knows. */
async function anew(sameTab = true, allowKeys = true): Promise<SignerStore> {
  if (!sameTab) sessionStorage.clear();
  list = new WalletList();
  const other = new SignerStore(list);
  await other.open(NODE, allowKeys);
  return other;
}
const use = (): Promise<string> => signers.useWallet({ id: "test", name: "Test", provider: wallet });

beforeEach(async () => {
  localStorage.clear();
  wallet = new FakeWallet();
  signers = await anew(false);
});

describe("who signs", () => {
  it("is nobody at first", () => expect(signers.get()).toEqual({ kind: "none" }));
  it.each([true, false])("is a key again after a reload, in the same tab: %s", async (sameTab) => {
    signers.useKey(OWN, "0xkey");
    expect((await anew(sameTab)).get()).toMatchObject({ kind: "key", address: OWN });
  });
  it("is no key where keys are not allowed", async () => {
    signers.useKey(OWN, "0xkey");
    expect((await anew(true, false)).get()).toEqual({ kind: "none" });
  });
  it("is each node's own", async () => {
    signers.useKey(OWN, "0xkey");
    await signers.open("http://other", true);
    expect(signers.get()).toEqual({ kind: "none" });
  });
  it("is each tab's own", async () => {
    signers.useKey(OWN, "0xkey");
    const tab = { ...sessionStorage } as Record<string, string>;
    (await anew(false)).useKey(OTHER, "0xother");
    for (const [name, value] of Object.entries(tab)) sessionStorage.setItem(name, value);
    expect((await anew()).get()).toMatchObject({ address: OWN });
  });
  it("is nobody after a reload where somebody chose to only watch", async () => {
    signers.useKey(OWN, "0xkey");
    signers.leave();
    expect((await anew()).get()).toEqual({ kind: "none" });
  });
  it("follows the wallet to another account and another chain", async () => {
    await use();
    wallet.emit("accountsChanged", [OTHER]);
    wallet.emit("chainChanged", "0x1");
    expect(signers.get()).toMatchObject({ kind: "wallet", address: OTHER, chainId: 1 });
  });
  it.each(["0x", null])("does not know the chain of a wallet that does not say it: %j", async (told) => {
    wallet.chainId = told;
    await use();
    expect(signers.get()).toMatchObject({ kind: "wallet", chainId: 0 });
    wallet.chainId = "0xf22f";
    await signers.recheckChain();
    expect(signers.get()).toMatchObject({ chainId: 61_999 });
    wallet.emit("chainChanged", told);
    expect(signers.get()).toMatchObject({ chainId: 0 });
  });
  it("is the wallet again when it is unlocked, on the chain where it is now", async () => {
    await use();
    wallet.emit("accountsChanged", []);
    wallet.chainId = "0x1";
    wallet.emit("accountsChanged", [OTHER]);
    await vi.waitFor(() => expect(signers.get()).toMatchObject({ kind: "wallet", address: OTHER, chainId: 1 }));
  });
  it("is the wallet of before, however late it comes", async () => {
    announce({ info: said, provider: wallet });
    await use();
    const late = await anew();
    expect(late.get()).toEqual({ kind: "none" });
    announce({ info: { rdns: "other", name: "Other" }, provider: new FakeWallet() });
    announce({ info: said, provider: wallet });
    await vi.waitFor(() => expect(late.get()).toMatchObject({ kind: "wallet", address: OWN }));
    expect(wallet.calls.filter((call) => call === "eth_requestAccounts")).toHaveLength(1);
  });
  it("is who was chosen while the wallet of before was not there", async () => {
    await use();
    const late = await anew();
    late.useKey(OTHER, "0xkey");
    announce({ info: said, provider: wallet });
    await new Promise((resolve) => setTimeout(resolve));
    expect(late.get()).toMatchObject({ kind: "key" });
  });
  it("is who was chosen last, though a wallet that was asked before answers now", async () => {
    let answer: (accounts: string[]) => void = () => undefined;
    const slow: Provider = { request: ({ method }) => (method === "eth_chainId" ? wallet.request({ method }) : new Promise((resolve) => { answer = resolve; })) };
    const asked = signers.useWallet({ id: "slow", name: "Slow", provider: slow });
    await use();
    answer([OTHER]);
    expect([await asked, signers.get()]).toEqual(["", expect.objectContaining({ kind: "wallet", address: OWN })]);
  });
  it.each(["{", "5", "null", "[]", '{"kind":"key"}', '{"kind":"key","address":7,"key":"0x1"}', '{"kind":"wallet"}'])("is nobody where what was kept is garbage: %s", async (garbage) => {
    localStorage.setItem(`api-billing:signer:${NODE}`, garbage);
    localStorage.setItem(`api-billing:signer:${NODE}#key`, garbage);
    localStorage.setItem(`api-billing:key:${NODE}|x`, garbage);
    const other = await anew(false);
    expect([other.get(), other.keys()]).toEqual([{ kind: "none" }, []]);
  });
  it.each([[[7]], [undefined], [["0x12"]]])("is nobody when the wallet shows what is no account: %j", async (accounts) => {
    await use();
    wallet.emit("accountsChanged", accounts);
    expect(signers.get()).toEqual({ kind: "none" });
  });
  it("is nobody when the wallet is locked", async () => {
    await use();
    wallet.emit("accountsChanged", []);
    expect(signers.get()).toEqual({ kind: "none" });
  });
  it("is not a wallet without accounts", async () => {
    wallet.accounts = [];
    await expect(use()).rejects.toThrow("shows no account");
  });
});

describe("throw-away keys", () => {
  const make = (address: string) => () => ({ address, key: `0x${address.slice(2, 4).repeat(32)}` });
  const addresses = (store: SignerStore): string[] => store.keys().map((each) => each.address);

  it("are kept, all of them, whoever signs", async () => {
    await signers.makeKey(0, make(OWN));
    await signers.makeKey(1, make(OTHER));
    signers.useKey(OTHER, "0xkey");
    signers.leave();
    expect(addresses(await anew(false))).toEqual([OWN, OTHER]);
  });
  it("that two tabs make at the same moment are one", async () => {
    const other = await anew(false);
    const [first, second] = await Promise.all([signers.makeKey(0, make(OWN)), other.makeKey(0, make(OTHER))]);
    expect([first.isNew, second.isNew, second.key.key, addresses(await anew(false))]).toEqual([true, false, first.key.key, [OWN]]);
  });
  it("of another tab are seen", async () => {
    const other = await anew(false);
    await other.makeKey(0, make(OTHER));
    window.dispatchEvent(new StorageEvent("storage", { key: Object.keys(localStorage).find((name) => name.includes(OTHER)) ?? "" }));
    expect(addresses(signers)).toEqual([OTHER]);
  });
  it("are not overwritten by what is brought", () => {
    signers.importKey({ address: OWN, key: "0x1" });
    signers.importKey({ address: OWN, key: "0x2" });
    expect(signers.keys().map((each) => each.key)).toEqual(["0x1"]);
  });
  it("are each node's own", async () => {
    await signers.makeKey(0, make(OWN));
    await signers.open("http://other", true);
    expect(signers.keys()).toEqual([]);
  });
  it("of the former form are still there", async () => {
    localStorage.setItem(`api-billing:signer:${NODE}#key`, JSON.stringify({ kind: "key", address: OWN, key: "0xold" }));
    expect((await anew(false)).keys()).toMatchObject([{ address: OWN, key: "0xold" }]);
  });
  it("of accounts that the deployment tells are not among them", () => {
    signers.useKey(OTHER, "0xknown");
    expect(signers.keys()).toEqual([]);
  });
});

describe("the list of wallets", () => {
  it("has each once, with name and icon", () => {
    announce({ info: said, provider: wallet });
    announce({ info: said, provider: wallet });
    expect(list.all()).toMatchObject([{ id: "test", name: "Test", icon: said.icon }]);
  });
  it.each(["https://evil.example/x.png", "javascript:alert(1)", "data:text/html,<script>", `data:image/png,${"x".repeat(200_000)}`, 7])("shows no icon that is no image of its own: %#", (icon) => {
    announce({ info: { ...said, icon }, provider: wallet });
    expect(list.all()).toMatchObject([{ icon: "" }]);
  });
  it.each([undefined, null, {}, { info: said }, { info: {}, provider: { request: (): number => 1 } }, { info: { rdns: 1, name: "x" }, provider: { request: (): number => 1 } }])("takes no wallet that is none: %j", (detail) => {
    announce(detail);
    expect(list.all()).toEqual([]);
  });
  it("has one that only sets a global, as long as none announces itself", () => {
    vi.stubGlobal("ethereum", wallet);
    window.dispatchEvent(new Event("ethereum#initialized"));
    expect(list.all()).toMatchObject([{ id: "window.ethereum" }]);
    announce({ info: said, provider: wallet });
    expect(list.all()).toMatchObject([{ id: "test" }]);
    vi.unstubAllGlobals();
  });
});

describe("switching the wallet", () => {
  it("tells it of a chain that it does not know", async () => {
    wallet.knows = false;
    await switchChain(wallet, 61_999, "GenLayer", NODE);
    expect(wallet.calls).toEqual(["wallet_switchEthereumChain", "wallet_addEthereumChain"]);
  });
  it("tells a phone's too, which says so in its own way", async () => {
    wallet.knows = false;
    wallet.unknown = Object.assign(new Error("Unrecognized chain"), { code: -32603, data: { originalError: { code: 4902 } } });
    await switchChain(wallet, 61_999, "GenLayer", NODE);
    expect(wallet.calls).toContain("wallet_addEthereumChain");
  });
  it("does not add a chain that it knows", async () => {
    await switchChain(wallet, 61_999, "GenLayer", NODE);
    expect(wallet.calls).toEqual(["wallet_switchEthereumChain"]);
  });
});
