// @vitest-environment happy-dom
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, cleanup, configure, render, screen, waitFor } from "@testing-library/react";
import { userEvent } from "@testing-library/user-event";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { AppFrame } from "../../src/app";
import { callData, encode, toHex } from "../../src/chain/calldata";
import { PlaceProvider } from "../../src/state/place";
import { signers } from "../../src/state/signing";
import { OWN } from "./samples";

configure({ asyncUtilTimeout: 5_000 }); // for a machine that has much else to do

const CONTRACT = `0x${"cc".repeat(20)}`;
const REPORT = {
  consumer: OWN, day_id: Math.floor(Date.now() / 86_400_000), credit_balance_wei: 5, held_wei: 0, low_credit: true, notices: 0,
  resets_at: Math.ceil(Date.now() / 86_400_000) * 86_400, month_resets_at: 4_000_000_000, total: 0, apis: [],
};
const reads = new Map<string, unknown>([
  [callData("get_usage_report", [OWN]), JSON.stringify(REPORT).replace('"credit_balance_wei":5', '"credit_balance_wei":1234567000000000000000001')],
  [callData("list_apis", [0, 100]), { total: 0, apis: [] }],
]);
let gone = false;
/** What the site says of the localnet, where it says something. */
let site: object | null = null;

async function node(_url: string, init: RequestInit): Promise<Response> {
  if (gone) throw new TypeError("Failed to fetch");
  const { method, params } = JSON.parse(String(init.body)) as { method: string; params: { data: string }[] };
  const value = reads.get(params[0]?.data ?? "");
  const result = method === "eth_chainId" ? "0xf22f" : method === "gen_call" && value !== undefined ? toHex(encode(value as never)).slice(2) : undefined;
  return Response.json(result === undefined ? { error: { code: -32601, message: "Method not found" } } : { result });
}

const OWN_NODE = "http://127.0.0.1:4000/api";
const FOREIGN = "https://node.example:8443/api";
const trust = (url: string): void => ["", `|${CONTRACT}`].forEach((end) => localStorage.setItem(`api-billing:trusted:${url}${end}`, "1"));
const asked = (): string[] => vi.mocked(fetch).mock.calls.map(([url]) => String(url)).filter((url) => url.startsWith("http"));

function open(hash: string): void {
  window.location.hash = hash;
  render(
    <QueryClientProvider client={new QueryClient({ defaultOptions: { queries: { retry: false, networkMode: "always" } } })}>
      <PlaceProvider><AppFrame /></PlaceProvider>
    </QueryClientProvider>,
  );
}

beforeEach(() => {
  gone = false;
  site = null;
  localStorage.clear();
  trust(OWN_NODE);
  vi.stubGlobal("fetch", vi.fn((url: string, init?: RequestInit) => (init?.body ? node(url, init) : Promise.resolve(site ? Response.json(site) : new Response("", { status: 404 })))));
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

describe("a link", () => {
  it("to another node shows its host and asks, and nothing is read before", async () => {
    open(`#/usage?network=studionet&rpc=${FOREIGN}&contract=${CONTRACT}&account=${OWN}`);
    expect((await screen.findByTestId("link")).textContent).toContain("node.example:8443");
    expect(screen.getByRole("link", { name: /Connection/ }).textContent).not.toContain("Studionet");
    expect(asked()).toEqual([]);
    await userEvent.click(screen.getByRole("button", { name: "Use them" }));
    expect(await screen.findByTestId("free-credit")).toBeTruthy();
    expect(screen.getByRole("link", { name: /Connection/ }).textContent).toContain("node.example:8443");
  });
  it("to a contract that the site does not name asks, on the network's own node too", async () => {
    localStorage.clear();
    open(`#/operate?network=localnet&contract=${CONTRACT}&account=${OWN}`);
    expect((await screen.findByTestId("link")).textContent).toContain(CONTRACT);
    expect(asked()).toEqual([]);
  });
  it("that is declined leads to the network's own node", async () => {
    open(`#/usage?network=localnet&rpc=${FOREIGN}&contract=${CONTRACT}&account=${OWN}`);
    await userEvent.click(await screen.findByRole("link", { name: "Do not use them" }));
    expect(await screen.findByLabelText("URL of its node")).toHaveProperty("value", OWN_NODE);
    expect(asked().every((url) => url === OWN_NODE)).toBe(true);
  });
  it("of which a part is none says so, also after the contract was filled in", async () => {
    vi.stubGlobal("fetch", vi.fn((url: string, init?: RequestInit) => (init?.body ? node(url, init) : Promise.resolve(Response.json({ address: CONTRACT })))));
    open("#/usage?network=mainnet&account=0x12");
    await vi.waitFor(() => expect(window.location.hash).toContain(CONTRACT));
    expect(screen.getByText("network, account: left out, as if the link did not say it.")).toBeTruthy();
    await userEvent.click(screen.getByRole("link", { name: "APIs" }));
    expect(screen.queryByText(/left out/)).toBeNull();
  });
  it("is not asked about again", async () => {
    trust(FOREIGN);
    open(`#/usage?network=localnet&rpc=${FOREIGN}&contract=${CONTRACT}&account=${OWN}`);
    expect(await screen.findByTestId("free-credit")).toBeTruthy();
  });
});

describe("the page", () => {
  it("asks for a contract when it knows none", async () => {
    open("");
    expect(await screen.findByText("Not connected yet")).toBeTruthy();
  });
  it("shows credit cut to six decimals, with the exact wei", async () => {
    open(`#/usage?network=localnet&contract=${CONTRACT}&account=${OWN}`);
    const credit = await screen.findByTestId("free-credit");
    expect(credit.textContent).toBe("1,234,567 GEN");
    expect(credit.querySelector("data")?.getAttribute("title")).toContain("1,234,567,000,000,000,000,000,001 wei");
  });
  it("says what to do about low credit", async () => {
    open(`#/usage?network=localnet&contract=${CONTRACT}&account=${OWN}`);
    expect(await screen.findByText("Credit is low")).toBeTruthy();
  });
  it("says that nobody signs, and lets nothing be sent", async () => {
    open(`#/usage?network=localnet&contract=${CONTRACT}&account=${OWN}`);
    await userEvent.click((await screen.findAllByRole("button", { name: "Top up" }))[0] as HTMLElement);
    expect(await screen.findByText("You are only watching")).toBeTruthy();
    const submit = screen.getAllByRole("button", { name: "Top up" }).at(-1) as HTMLButtonElement;
    expect(submit.disabled).toBe(true);
  });
  it("that is of an account is the signer's where the link names none", async () => {
    site = { address: CONTRACT, accounts: [{ address: `0x${"ca".repeat(20)}`, name: "Carl", role: "consumer" }] };
    open(`#/disputes?network=localnet&contract=${CONTRACT}`);
    const shown = async () => (await screen.findByRole<HTMLSelectElement>("combobox", { name: "Account to look at" })).selectedOptions[0]?.text;
    expect(await shown()).toBe("Choose an account");
    act(() => signers.useKey(OWN, `0x${"11".repeat(32)}`));
    await waitFor(() => expect(window.location.hash).toContain(`account=${OWN}`));
    expect(await shown()).toBe("My account");
    act(() => signers.leave());
  });
  it("tells of a node that is not there", async () => {
    gone = true;
    trust("http://127.0.0.1:1/api");
    open(`#/usage?network=localnet&rpc=http://127.0.0.1:1/api&contract=${CONTRACT}&account=${OWN}`);
    expect(await screen.findByText("The node cannot be reached")).toBeTruthy();
  });
  it("that fails says so, and leaves the others", async () => {
    vi.spyOn(console, "error").mockImplementation(() => undefined);
    vi.spyOn(document, "title", "set").mockImplementation((title) => { if (title.startsWith("Usage")) throw new RangeError("odd"); });
    open(`#/usage?network=localnet&rpc=${OWN_NODE}&contract=${CONTRACT}&account=${OWN}`);
    expect(await screen.findByText("Something went wrong in this page")).toBeTruthy();
    await userEvent.click(screen.getByRole("link", { name: "APIs" }));
    expect(await screen.findByRole("heading", { name: "APIs", level: 1 })).toBeTruthy();
    vi.restoreAllMocks();
  });
  it("has every page in its navigation, and marks the present one", async () => {
    open(`#/apis?network=localnet&contract=${CONTRACT}`);
    expect((await screen.findByRole("link", { name: "APIs" })).getAttribute("aria-current")).toBe("page");
    expect(await screen.findByText("Nobody has registered an API yet")).toBeTruthy();
  });
});

describe("what a network with fees takes", () => {
  const GEN = 10n ** 18n;
  const NODE = "http://127.0.0.1:4001/api"; // whose key nobody has asked for before
  const PRICES = { genPerTimeUnit: "10", storageUnitPrice: "20", receiptGasPrice: "30" };
  const fees = (feeValue: string) => ({ result: { recommendedPreset: { feeValue, distribution: { rotations: ["3"] }, messageAllocations: [] } } });
  const refusal = { error: { code: -32000, message: "execution failed: [EXPECTED] api_paused: api is paused" } };
  let estimate: () => object | Promise<object>;
  let estimated: Record<string, unknown>[];
  let config: object;
  let balance: bigint;

  beforeEach(() => {
    estimated = [];
    config = { result: { enabled: true, policy: PRICES } };
    balance = 100n * GEN;
    estimate = () => fees("12345678901234567");
    trust(NODE);
    localStorage.setItem(`api-billing:signer:${NODE}`, JSON.stringify({ kind: "key", address: OWN, key: `0x${"11".repeat(32)}` }));
    const plain = vi.mocked(fetch).getMockImplementation() as typeof fetch;
    vi.mocked(fetch).mockImplementation(async (url, init) => {
      const { method, params } = JSON.parse(String(init?.body ?? "{}")) as { method?: string; params?: Record<string, unknown>[] };
      if (method === "sim_getFeeConfig") return Response.json(config);
      if (method === "eth_getBalance") return Response.json({ result: `0x${balance.toString(16)}` });
      if (method !== "sim_estimateTransactionFees") return plain(url, init);
      estimated.push(params?.[0] ?? {});
      return Response.json(await estimate());
    });
  });

  /** The dialog, with an amount typed, and its button. */
  async function toppingUp(amount = "5"): Promise<HTMLButtonElement> {
    open(`#/usage?network=localnet&rpc=${NODE}&contract=${CONTRACT}&account=${OWN}`);
    await userEvent.click((await screen.findAllByRole("button", { name: "Top up" }))[0] as HTMLElement);
    await userEvent.type(await screen.findByLabelText("Amount"), amount);
    return screen.getAllByRole("button", { name: "Top up" }).at(-1) as HTMLButtonElement;
  }
  const shown = (text: RegExp) => screen.findByText(text);

  it("is told before it is signed, rounded up", async () => {
    const button = await toppingUp();
    expect(await shown(/Network fee: at most 0.012346 GEN; what is not used comes back/)).toBeTruthy();
    expect(button.disabled).toBe(false);
    expect(estimated.at(-1)).toMatchObject({ to: CONTRACT, from: OWN, value: `0x${(5n * GEN).toString(16)}` });
  });
  it("is asked for what was typed in the end, not for each letter", async () => {
    await toppingUp("1.25");
    await shown(/Network fee/);
    expect(estimated.map((each) => each["value"])).toEqual([`0x${((5n * GEN) / 4n).toString(16)}`]);
  });
  it("holds the button as long as it is not known", async () => {
    let tell: (answer: object) => void = () => undefined;
    estimate = () => new Promise((resolve) => { tell = resolve; });
    const button = await toppingUp();
    await shown(/Asking the node for the network's fee/);
    expect(button.disabled).toBe(true);
    await vi.waitFor(() => expect(estimated).toHaveLength(1));
    tell(fees("1"));
    await shown(/at most 0.000001 GEN/);
    expect(button.disabled).toBe(false);
  });
  it("and cannot be had, can be asked for again", async () => {
    estimate = () => ({ error: { code: -32601, message: "no such method" } });
    const button = await toppingUp();
    await shown(/The network's fee is not known/);
    expect(button.disabled).toBe(true);
    estimate = () => fees("1");
    await userEvent.click(screen.getByRole("button", { name: "Ask again" }));
    await shown(/at most 0.000001 GEN/);
    expect(button.disabled).toBe(false);
  });
  it("of a call that the contract refuses is not paid", async () => {
    estimate = () => refusal;
    const button = await toppingUp();
    expect((await shown(/The contract would refuse this/)).parentElement?.textContent).toContain("The operator has paused the API. Wait until the operator resumes it.");
    expect(button.disabled).toBe(true);
  });
  it("counts in what the account has to have", async () => {
    balance = 5n * GEN;
    await toppingUp();
    expect(await shown(/5.012345678901234567 GEN are to be sent, with the fee/)).toBeTruthy();
  });
  it("is nothing where there are no fees", async () => {
    config = { error: { code: -32601, message: "no such method" } };
    const button = await toppingUp();
    await vi.waitFor(() => expect(button.disabled).toBe(false));
    expect([screen.getByTestId("fee").textContent, estimated]).toEqual(["", []]);
  });
});
