import * as chains from "genlayer-js/chains";
import { keccak256, parseTransaction, recoverTransactionAddress, type Hex } from "viem";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { callData } from "../../src/chain/calldata";
import { NotTaken, SentButLost } from "../../src/chain/errors";
import { addTransaction, readFees, type Fees } from "../../src/chain/fees";
import { networkOf, type Network } from "../../src/chain/networks";
import { addressOfKey, KNOWN_CONSENSUS, newKey, send, type Sending } from "../../src/chain/writing";
import { OTHER, OWN } from "./samples";

const KEY = newKey();
const CONSENSUS = `0x${"cc".repeat(20)}`;
const ID = `0x${"ab".repeat(32)}`;
const SENT = `0x${"cd".repeat(32)}`;
const NOW = 1_800_000_000;
const NEW_TRANSACTION = "0xdab9102861c7483a187584d6371d88316f005af507982ccf95c110879f3ed5a5";
const FEES = readFees({ feeValue: 1000, distribution: { rotations: [3] } });

let answers: Record<string, unknown>;
let order: string[];
let raw: Hex;

beforeEach(() => {
  vi.useFakeTimers({ now: NOW * 1_000, toFake: ["Date"] });
  order = [];
  answers = {
    sim_getConsensusContract: { address: CONSENSUS, abi: [{ name: "addTransaction", inputs: [{}] }, { name: "other", inputs: [{}, {}] }] },
    sim_getTime: { timestamp: NOW + 100 }, eth_getTransactionCount: "0x2", eth_estimateGas: "0x5208", eth_sendRawTransaction: SENT,
    eth_getTransactionReceipt: { status: "0x1", logs: [{ topics: [] }, { topics: [NEW_TRANSACTION, ID] }] },
  };
  vi.stubGlobal("fetch", vi.fn(async (_url: string, init: RequestInit) => {
    const { method, params } = JSON.parse(String(init.body)) as { method: string; params: Hex[] };
    order.push(method);
    if (method === "eth_sendRawTransaction") raw = params[0] as Hex;
    const answer = answers[method];
    return Response.json(answer === undefined ? { error: { code: -32601, message: `no ${method}` } } : { result: answer });
  }));
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function sending(fees: Fees | null, change: Partial<Sending> = {}): Sending {
  return {
    network: networkOf("localnet") as Network, url: "http://node/api", chainId: 61_997, contract: OTHER, method: "top_up_credit", args: [OWN],
    valueWei: 7n, fees, signing: { kind: "key", key: KEY }, onHash: (hash) => order.push(hash), ...change,
  };
}
const data = (fees: Fees | null, parameters: number, sender = addressOfKey(KEY)): string =>
  addTransaction({ sender, recipient: OTHER, data: callData("top_up_credit", [OWN]), valueWei: 7n, validUntil: NOW + 100 + 3_600 }, parameters, fees);
const failing = (work: Promise<void>): Promise<Error> => work.then(() => { throw new Error("it worked"); }, (error: unknown) => error as Error);

describe("what a key signs", () => {
  it("has the fee beside the value, for the chain that was said", async () => {
    await send(sending(FEES));
    expect(parseTransaction(raw)).toMatchObject({ to: CONSENSUS, value: 1007n, nonce: 2, gas: 21000n, chainId: 61_997, data: data(FEES, 1) });
    expect((await recoverTransactionAddress({ serializedTransaction: raw as never })).toLowerCase()).toBe(addressOfKey(KEY));
  });
  it("without fees is of the form that the network takes", async () => {
    answers["sim_getConsensusContract"] = { address: CONSENSUS, abi: [{ name: "addTransaction", inputs: Array(6) }] };
    await send(sending(null));
    expect(parseTransaction(raw)).toMatchObject({ value: 7n, data: data(null, 6) });
  });
  it("goes where genlayer-js sends it, as that does, on a node that tells nothing", async () => {
    delete answers["sim_getConsensusContract"];
    delete answers["sim_getTime"];
    await send(sending(null));
    expect(parseTransaction(raw)).toMatchObject({ to: KNOWN_CONSENSUS.address.toLowerCase(), data: data(null, 5) });
  });
  it("is noted before anything leaves this machine", async () => {
    await send(sending(FEES));
    expect(order.indexOf(keccak256(raw))).toBe(order.indexOf("eth_sendRawTransaction") - 1);
  });
  it("is followed by the id that the consensus contract gave it", async () => {
    await send(sending(FEES));
    expect(order.at(-1)).toBe(ID);
  });
  it("is not signed when the node would refuse it", async () => {
    delete answers["eth_estimateGas"];
    await failing(send(sending(FEES)));
    expect(order).not.toContain("eth_sendRawTransaction");
  });
  it("and is not taken, was not lost", async () => {
    answers["eth_getTransactionReceipt"] = { status: "0x0", revertReason: "InsufficientFees" };
    const error = await failing(send(sending(FEES)));
    expect([error instanceof NotTaken, error.message]).toEqual([true, "InsufficientFees"]);
  });
  it("has a number of its own where two are sent at once, though the node answers late", async () => {
    const numbers: unknown[] = [];
    const answered = vi.mocked(fetch).getMockImplementation();
    vi.mocked(fetch).mockImplementation(async (...call) => {
      const response = await answered?.(...call) as Response;
      if (order.at(-1) !== "eth_sendRawTransaction") return response;
      numbers.push(parseTransaction(raw).nonce);
      await new Promise((resolve) => setTimeout(resolve, 20));
      answers["eth_getTransactionCount"] = `0x${(2 + numbers.length).toString(16)}`;
      return response;
    });
    await Promise.all([send(sending(null)), send(sending(null))]);
    expect(numbers).toEqual([2, 3]);
  });
  it.each([0, NaN])("is nothing for chain %d: the node has not said its own", async (chainId) => {
    expect((await failing(send(sending(null, { chainId })))).message).toContain("has not said");
    expect(order).toEqual([]);
  });
  it("is for no testnet", async () => {
    expect((await failing(send(sending(null, { network: networkOf("testnet-asimov") as Network })))).message).toContain("localnets only");
  });
});

describe("what a wallet is asked", () => {
  const asked: unknown[] = [];
  let chain: unknown = "0xf22d";
  const provider = {
    request: async (call: { method: string; params?: readonly unknown[] }) => {
      if (call.method === "eth_chainId") return chain;
      asked.push(call);
      return SENT;
    },
  };
  const signing = { kind: "wallet", provider, address: OWN } as const;

  it("has the fee beside the value", async () => {
    await send(sending(FEES, { signing }));
    expect(asked).toEqual([{ method: "eth_sendTransaction", params: [{
      from: OWN, to: CONSENSUS, data: data(FEES, 1, OWN), value: "0x3ef", nonce: "0x2", gas: "0x5208", chainId: "0xf22d", gasPrice: "0x0", type: "0x0",
    }] }]);
    expect(order.filter((each) => [SENT, ID].includes(each))).toEqual([SENT, ID]);
  });
  it.each(["0x1", null])("is nothing when it has gone to another chain (%s) since the dialog was opened", async (gone) => {
    chain = gone;
    asked.length = 0;
    await failing(send(sending(FEES, { signing })));
    await failing(send(sending(null, { signing, network: networkOf("testnet-asimov") as Network, chainId: 4221 })));
    chain = "0xf22d";
    expect([asked, order]).toEqual([[], []]);
  });
  it("and has sent is told to be so when its receipt cannot be had", async () => {
    delete answers["eth_getTransactionReceipt"];
    const error = await failing(send(sending(FEES, { signing })));
    expect([error instanceof SentButLost, order.includes(SENT)]).toEqual([true, true]);
  });
});

describe("the consensus contract", () => {
  it.each([chains.localnet, chains.studionet])("is that of genlayer-js: $name", ({ consensusMainContract }) => {
    const forms = (consensusMainContract?.abi as { name?: string; inputs: unknown[] }[]).filter(({ name }) => name === "addTransaction");
    expect({ address: consensusMainContract?.address, parameters: forms[0]?.inputs.length }).toEqual(KNOWN_CONSENSUS);
  });
});
