// @vitest-environment happy-dom
import { beforeEach, describe, expect, it } from "vitest";
import type { Provider } from "../../src/chain/injected";
import { switchChain } from "../../src/chain/injected";
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
const use = (): Promise<string> => signers.useWallet({ id: "test", name: "Test", provider: wallet });

beforeEach(async () => {
  localStorage.clear();
  wallet = new FakeWallet();
  signers = new SignerStore();
  await signers.open(NODE, true);
});

describe("who signs", () => {
  it("is nobody at first", () => expect(signers.get()).toEqual({ kind: "none" }));
  it("is a throw-away key again after a reload", async () => {
    signers.useKey(OWN, "0xkey");
    const again = new SignerStore();
    await again.open(NODE, true);
    expect(again.get()).toMatchObject({ kind: "key", address: OWN });
  });
  it("is no key where keys are not allowed", async () => {
    signers.useKey(OWN, "0xkey");
    const again = new SignerStore();
    await again.open(NODE, false);
    expect(again.get()).toEqual({ kind: "none" });
  });
  it("is each node's own", async () => {
    signers.useKey(OWN, "0xkey");
    await signers.open("http://other", true);
    expect(signers.get()).toEqual({ kind: "none" });
  });
  it("can come back to the key that was left", () => {
    signers.useKey(OWN, "0xkey");
    signers.leave();
    expect([signers.get().kind, signers.keptKey()?.key]).toEqual(["none", "0xkey"]);
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
