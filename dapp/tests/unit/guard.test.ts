import { describe, expect, it } from "vitest";
import { chainOf, confirmChain, switchChain } from "../../src/chain/injected";
import { guardOf } from "../../src/state/guard";
import { OWN } from "./samples";

const provider = (answer: unknown) => ({ request: async () => { if (answer instanceof Error) throw answer; return answer; } });
const wallet = (chainId: number) => ({ kind: "wallet", address: OWN, name: "Test", chainId, provider: provider("0x1") }) as const;
const key = { kind: "key", address: OWN, key: "0x1" } as const;
const why = (...of: Parameters<typeof guardOf>): string => {
  const guard = guardOf(...of);
  return guard.maySign ? "may" : guard.why;
};

describe("who may sign", () => {
  it.each([[wallet(61_999), 61_999], [key, 61_999], [key, 7]])("is who is on the node's chain: %#", (signer, chainId) => expect(why(signer, chainId)).toBe("may"));
  it("is nobody who only watches", () => expect(why({ kind: "none" }, 61_999)).toBe("nobody"));
  it.each([0, NaN])("is nobody as long as the node's chain is not known: %d", (chainId) => {
    expect([why(wallet(61_999), chainId), why(wallet(0), chainId), why(key, chainId)]).toEqual(["node_silent", "node_silent", "node_silent"]);
  });
  it("is no wallet that is on another chain", () => expect(why(wallet(1), 61_999)).toBe("other_chain"));
  it("is no wallet that does not say its chain", () => expect(why(wallet(0), 61_999)).toBe("wallet_silent"));
  it("is no wallet for a node that says that it is Ethereum, though the wallet is there", () => expect(why(wallet(1), 1)).toBe("foreign_chain"));
});

describe("a chain id", () => {
  it.each([["0xf22f", 61_999], [61_999, 61_999], [61_999n, 61_999]])("is read: %s", (told, id) => expect(chainOf(told)).toBe(id));
  it.each([null, undefined, "", "0x", "what", "0x0", -1, 1.5, [61_999], "0xffffffffffffffffff"])("is none: %j", (told) => expect(chainOf(told)).toBe(0));
});

describe("right before signing", () => {
  it("a wallet on the chain is let pass", () => expect(confirmChain(provider("0xf22f"), 61_999)).resolves.toBeUndefined());
  it.each([["0x1", "on chain 1, not"], [null, "does not say"], [new Error("locked"), "does not say"]])("one that says %s is not", (told, message) =>
    expect(confirmChain(provider(told), 61_999)).rejects.toThrow(message));
  it("no wallet is sent to a chain that is not known", () => expect(switchChain(provider(null), 0, "GenLayer", "http://node")).rejects.toThrow("has not said"));
});
