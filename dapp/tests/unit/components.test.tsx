// @vitest-environment happy-dom
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render, screen } from "@testing-library/react";
import { userEvent } from "@testing-library/user-event";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { AppFrame } from "../../src/app";
import { callData, encode, toHex } from "../../src/chain/calldata";
import { AppProvider } from "../../src/state/app";
import { OWN } from "./samples";

const CONTRACT = `0x${"cc".repeat(20)}`;
const REPORT = {
  consumer: OWN, day_id: Math.floor(Date.now() / 86_400_000), credit_balance_wei: 5, held_wei: 0, low_credit: true, notices: 0,
  resets_at: Math.ceil(Date.now() / 86_400_000) * 86_400, month_resets_at: 4_000_000_000, apis: [],
};
const reads = new Map<string, unknown>([
  [callData("get_usage_report", [OWN]), JSON.stringify(REPORT).replace('"credit_balance_wei":5', '"credit_balance_wei":1234567000000000000000001')],
  [callData("list_apis", [0, 100]), { total: 0, apis: [] }],
]);
let gone = false;

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
      <AppProvider><AppFrame /></AppProvider>
    </QueryClientProvider>,
  );
}

beforeEach(() => {
  gone = false;
  localStorage.clear();
  trust(OWN_NODE);
  vi.stubGlobal("fetch", vi.fn((url: string, init?: RequestInit) => (init?.body ? node(url, init) : Promise.resolve(new Response("", { status: 404 })))));
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
  it("tells of a node that is not there", async () => {
    gone = true;
    trust("http://127.0.0.1:1/api");
    open(`#/usage?network=localnet&rpc=http://127.0.0.1:1/api&contract=${CONTRACT}&account=${OWN}`);
    expect(await screen.findByText("The node cannot be reached")).toBeTruthy();
  });
  it("has every page in its navigation, and marks the present one", async () => {
    open(`#/apis?network=localnet&contract=${CONTRACT}`);
    expect((await screen.findByRole("link", { name: "APIs" })).getAttribute("aria-current")).toBe("page");
    expect(await screen.findByText("Nobody has registered an API yet")).toBeTruthy();
  });
});
