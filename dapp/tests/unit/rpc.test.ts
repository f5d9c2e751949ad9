import { afterEach, describe, expect, it, vi } from "vitest";
import { encode } from "../../src/chain/calldata";
import { NodeError, rpc, type Failure } from "../../src/chain/rpc";

const URL = "http://127.0.0.1:4000/api";
const answer = (body: string, status = 200): void => {
  vi.stubGlobal("fetch", vi.fn(async () => new Response(body, { status })));
};
const error = (code: number, message = "no"): string => JSON.stringify({ jsonrpc: "2.0", id: 1, error: { code, message } });
const failureOf = async (): Promise<NodeError> => rpc(URL, "gen_call", []).then(() => { throw new Error("it worked"); }, (reason: unknown) => reason as NodeError);

afterEach(() => vi.unstubAllGlobals());

describe("JSON-RPC", () => {
  it("gives integers as bigints", async () => {
    answer('{"jsonrpc":"2.0","result":{"value":100000000000000000001}}');
    expect(await rpc(URL, "x", [])).toEqual({ value: 100000000000000000001n });
  });
  it("reads answers with fractions too", async () => {
    answer('{"jsonrpc":"2.0","result":{"timestamp":1.5}}');
    expect(await rpc(URL, "x", [])).toEqual({ timestamp: 1.5 });
  });
  it.each([["gen_call", 20_000], ["sim_estimateTransactionFees", 120_000], ["eth_sendRawTransaction", 120_000]])("waits for %s %i ms", async (method, ms) => {
    answer('{"jsonrpc":"2.0","result":1}');
    const timeout = vi.spyOn(AbortSignal, "timeout");
    await rpc(URL, method, []);
    expect(timeout).toHaveBeenCalledWith(ms);
  });
  it("gives null for null", async () => {
    answer('{"jsonrpc":"2.0","result":null}');
    expect(await rpc(URL, "x", [])).toBeNull();
  });
  it("sends bigints as integers", async () => {
    answer('{"jsonrpc":"2.0","result":1}');
    await rpc(URL, "sim_fundAccount", ["0x1", 10n ** 20n]);
    expect(vi.mocked(fetch).mock.calls[0]?.[1]?.body).toContain('"params":["0x1",100000000000000000000]');
  });
  it.each<[Failure, string, number]>([
    ["busy", error(-32005), 200], ["busy", error(-32006), 200], ["busy", "", 429], ["unreachable", "<h1>Bad gateway</h1>", 502],
    ["not_a_node", "<h1>Hello</h1>", 200], ["not_a_node", "[]", 200], ["not_a_node", error(-32601), 200], ["not_found", error(-32001), 200],
    ["refused", error(-32000, "execution failed: [EXPECTED] api_paused: api is paused"), 200], ["rejected", error(-32000, "exit_code 1"), 200],
  ])("tells %s", async (failure, body, status) => {
    answer(body, status);
    expect((await failureOf()).failure).toBe(failure);
  });
  it("keeps the contract's code", async () => {
    answer(error(-32000, "[EXPECTED] api_paused: api is paused"));
    expect(await failureOf()).toMatchObject({ refusalCode: "api_paused", message: "api is paused", isTransient: false });
  });
  it("finds the contract's code in the receipt that comes with an error", async () => {
    const result = btoa(String.fromCharCode(1, ...encode("[EXPECTED] api_paused: api is paused")));
    answer(JSON.stringify({ error: { code: -32000, message: "execution failed", data: { receipt: { result } } } }));
    expect(await failureOf()).toMatchObject({ failure: "refused", refusalCode: "api_paused", message: "api is paused" });
  });
  it.each([{ receipt: { result: "???" } }, { receipt: null }, null, "x"])("is not confused by other data of an error: %j", async (data) => {
    answer(JSON.stringify({ error: { code: -32000, message: "exit_code 1", data } }));
    expect(await failureOf()).toMatchObject({ failure: "rejected", message: "exit_code 1" });
  });
  it.each([["goes away", undefined, "cannot be reached"], ["hangs", AbortSignal.abort(), "in time"]])("tells that a node %s in the middle of its answer", async (_what, timeout, message) => {
    if (timeout) vi.spyOn(AbortSignal, "timeout").mockReturnValueOnce(timeout);
    const body = new ReadableStream({ start: (stream) => { stream.enqueue(new TextEncoder().encode('{"resu')); stream.error(new TypeError("network error")); } });
    vi.stubGlobal("fetch", vi.fn(async () => new Response(body)));
    const failure = await failureOf();
    expect(failure).toMatchObject({ failure: "unreachable", isTransient: true });
    expect(failure.message).toContain(message);
  });
  it("reads no answer without end", async () => {
    let parts = 0;
    const body = new ReadableStream({ pull: (stream) => { parts += 1; stream.enqueue(new Uint8Array(2 ** 20).fill(32)); } });
    vi.stubGlobal("fetch", vi.fn(async () => new Response(body)));
    expect((await failureOf()).failure).toBe("not_a_node");
    expect(parts).toBeLessThan(20);
  });
  it("takes no answer to another question", async () => {
    answer('{"jsonrpc":"2.0","id":7,"result":1}');
    expect((await failureOf()).failure).toBe("not_a_node");
    vi.stubGlobal("fetch", vi.fn(async (_url: string, { body }: RequestInit) => Response.json({ id: (JSON.parse(String(body)) as { id: number }).id, result: "0x1" })));
    expect(await rpc(URL, "x", [])).toBe("0x1");
  });
  it("tells so much of a message as somebody reads", async () => {
    answer(error(-32000, "x".repeat(10 ** 6)));
    expect((await failureOf()).message).toHaveLength(1_001);
  });
  it("tells that nothing answers", async () => {
    vi.stubGlobal("fetch", vi.fn(async () => { throw new TypeError("Failed to fetch"); }));
    expect(await failureOf()).toMatchObject({ failure: "unreachable", isTransient: true });
  });
});
