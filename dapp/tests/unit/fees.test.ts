import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it, vi } from "vitest";
import { callData } from "../../src/chain/calldata";
import { addTransaction, askFees, askPrices, depositOf, readFees, readPrices, type Prices } from "../../src/chain/fees";
import { NodeError } from "../../src/chain/rpc";
import { parseJson, toJson } from "../../src/domain/json";
import { OWN } from "./samples";

/** What genlayer-py makes of the same. */
const MADE = parseJson(readFileSync(new URL("../../../tests/client/data/transactions-by-genlayer-py.json", import.meta.url), "utf-8")) as {
  policy: object; fees: object; call: string; without: string;
  without_fees: { by_parameters: Record<string, { call: string }> };
};
const NODE = "http://node/api";
const SENDER = `0x${"11".repeat(20)}`;
const ADDED = { sender: SENDER, recipient: `0x${"22".repeat(20)}`, data: "0xc0ffee", valueWei: 7n, validUntil: 1_800_000_000 };
const POLICY = { genPerTimeUnit: "10", storageUnitPrice: "20", receiptGasPrice: "30" };
const CONFIG = { enabled: true, policy: POLICY };
const PLANNED = { account: OWN, contract: ADDED.recipient, method: "top_up_credit", args: [OWN], valueWei: 5n };
const prices = (): Prices => readPrices(CONFIG) as Prices;

const answer = (...bodies: object[]): void => {
  vi.stubGlobal("fetch", vi.fn(async () => new Response(toJson(bodies.shift()))));
};
const asked = () => JSON.parse(String(vi.mocked(fetch).mock.calls[0]?.[1]?.body)) as { method: string; params: [Record<string, unknown>] };
const failing = (work: Promise<unknown>): Promise<NodeError> => work.then(() => { throw new Error("it worked"); }, (error: unknown) => error as NodeError);

afterEach(() => vi.unstubAllGlobals());

describe("a transaction for the consensus contract", () => {
  it("with fees is what genlayer-py makes", () => expect(addTransaction(ADDED, 1, readFees(MADE.fees))).toBe(MADE.call));
  it("carries fees whatever the contract is said to take", () => expect(addTransaction(ADDED, 5, readFees(MADE.fees))).toBe(MADE.call));
  it("without fees is what genlayer-py makes, where they could be", () => {
    expect(addTransaction({ ...ADDED, data: "0x01", valueWei: 3n }, 1, null)).toBe(MADE.without);
  });
  it.each([5, 6])("without fees is what genlayer-py makes, with %d parameters", (parameters) => {
    // "Not leader only" is an empty text for genlayer-py, and a zero for genlayer-js, which the page follows.
    const data = callData("top_up_credit", [5n]).replace(/00$/, "80");
    const added = { ...ADDED, data, valueWei: 0n };
    expect(addTransaction(added, parameters, null)).toBe(MADE.without_fees.by_parameters[parameters]?.call);
  });
});

describe("prices", () => {
  it("are read", () => expect(prices()).toEqual({ timeUnitWei: 10n, storageUnitWei: 20n, receiptGasWei: 30n, overlayBps: 0n, floorWei: 0n }));
  it.each([{ enabled: false }, { enabled: false, policy: POLICY }, { policy: { genPerTimeUnit: 0, storageUnitPrice: 0, receiptGasPrice: 0 } }, null, {}, "0x0"])(
    "are none where there are no fees: %j", (config) => expect(readPrices(config)).toBeNull(),
  );
  it.each([{}, { ...POLICY, genPerTimeUnit: "much" }, { ...POLICY, receiptGasPrice: -1 }, { ...POLICY, timeUnitOverlayBps: 10_000 }])(
    "of another form are not guessed: %j", (policy) => expect(() => readPrices({ enabled: true, policy })).toThrow("the node tells"),
  );
  it.each([-32601, -32000])("are none of a node that answers with error %d", async (code) => {
    answer({ error: { code, message: "no such method" } });
    expect(await askPrices(NODE)).toBeNull();
  });
  it("are unknown while the node is away", async () => {
    vi.stubGlobal("fetch", vi.fn(async () => { throw new TypeError("Failed to fetch"); }));
    expect((await failing(askPrices(NODE))).failure).toBe("unreachable");
  });
  it("are summed up as genlayer-py does", () => {
    const fees = readFees(MADE.fees);
    expect(depositOf(fees.distribution, readPrices({ enabled: true, policy: MADE.policy }) as Prices)).toBe(fees.depositWei);
  });
});

describe("the fees of a call", () => {
  it("are what the node recommends for just this call", async () => {
    answer({ result: { recommendedPreset: MADE.fees } });
    expect((await askFees(NODE, PLANNED, prices())).depositWei).toBe(5415744620384n);
    const { method, params: [request] } = asked();
    expect([method, request["type"], request["to"], request["from"], request["value"]]).toEqual(["sim_estimateTransactionFees", "write", PLANNED.contract, OWN, "0x5"]);
    const { distribution } = request["fees"] as { distribution: object };
    expect(distribution).toMatchObject({ maxPriceGenPerTimeUnit: 12, storageFeeMaxGasPrice: 24, receiptFeeMaxGasPrice: 36, rotations: [3] });
  });
  it("of a call that the contract refuses are its refusal", async () => {
    answer({ error: { code: -32000, message: "execution failed: [EXPECTED] api_paused: api is paused" } });
    expect(await failing(askFees(NODE, PLANNED, prices()))).toMatchObject({ failure: "refused", refusalCode: "api_paused" });
  });
  it.each([undefined, {}, { distribution: {} }, { distribution: {}, feeValue: "much" }])("of another form are not guessed: %j", async (preset) => {
    answer({ result: { recommendedPreset: preset } });
    expect((await failing(askFees(NODE, PLANNED, prices()))).message).toMatch(/^the node (recommends no|tells) fees/);
  });
});
