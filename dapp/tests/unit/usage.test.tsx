// @vitest-environment happy-dom
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, cleanup, configure, fireEvent, render, screen, within } from "@testing-library/react";
import { userEvent } from "@testing-library/user-event";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { AppFrame } from "../../src/app";
import { encode, toHex } from "../../src/chain/calldata";
import { VIEWS } from "../../src/domain/answers";
import "../../src/chain/vouchers"; // is there at once
import { GEN } from "../../src/domain/amounts";
import { dayOfIso, isoDay } from "../../src/domain/history";
import { dateOfDay } from "../../src/domain/time";
import { PlaceProvider } from "../../src/state/place";
import { signers } from "../../src/state/signing";
import { OTHER, OWN } from "./samples";

configure({ asyncUtilTimeout: 5_000 }); // for a machine that has much else to do

const CONTRACT = `0x${"cc".repeat(20)}`;
/** Each test has another: who signs at one is asked for once. */
let port = 4_000;
const node = (): string => `http://127.0.0.1:${port}/api`;
const DAY = 86_400;
const today = Math.floor(Date.now() / 1000 / DAY);

const line = (change: object = {}) => ({
  api_name: "weather", plan_name: "standard", calls_today: 10, spend_today_wei: GEN / 10n, calls_month: 50, spend_month_wei: GEN / 2n,
  cost_per_call_wei: GEN / 100n, accepted_price_wei: GEN / 100n, api_daily_limit_calls: 1_000, api_monthly_limit_calls: 0,
  consumer_max_daily_spend_wei: 90n * GEN, calls_left_today: 990, spend_left_today_wei: 89n * GEN, hold_wei: 0, hold_expires_at: 0,
  active: true, subscribed: true, settlements: 0, signer: "", ...change,
});
const reportOf = (change: object = {}, ...apis: object[]) => ({
  consumer: OWN, day_id: today, credit_balance_wei: (43n * GEN) / 100n, held_wei: 0, low_credit: false, notices: 0,
  resets_at: (today + 1) * DAY, month_resets_at: (today + 40) * DAY, total: apis.length, apis, ...change,
});
const accountOf = (toppedUpWei: bigint, creditWei: bigint) => ({
  consumer: OWN, credit_wei: creditWei, held_wei: 0, topped_up_wei: toppedUpWei, alert_percent: 20, low_credit: false, subscriptions: [],
});
const json = (value: unknown): string => JSON.stringify(value, (_key, each: unknown) => (typeof each === "bigint" ? `big${each}` : each)).replaceAll(/"big(\d+)"/g, "$1");

let court: string;
let known: object[];
let views: Record<string, unknown>;
/** Views that the node does not answer: until then, or ever. */
let held: Record<string, Promise<void> | "failing">;
let client: QueryClient;

beforeEach(() => {
  localStorage.clear();
  port += 1;
  for (const end of ["", `|${CONTRACT}`]) localStorage.setItem(`api-billing:trusted:${node()}${end}`, "1");
  held = {};
  court = "";
  known = [];
  views = { list_apis: { total: 0, apis: [] }, get_usage_history: [], get_account: accountOf(0n, 0n), list_notices: [] };
  vi.stubGlobal("fetch", vi.fn(async (_url: string, init?: RequestInit) => {
    if (!init?.body) return Promise.resolve(Response.json({ address: CONTRACT, court, accounts: [{ role: "operator", name: "Olga", address: OTHER }, ...known] }));
    const { method, params } = JSON.parse(String(init.body)) as { method: string; params: { data: string }[] };
    if (method === "eth_getBalance") return Promise.resolve(Response.json({ result: "0x0" }));
    if (method === "eth_chainId") return Promise.resolve(Response.json({ result: "0xf22f" }));
    if (method !== "gen_call") return Promise.resolve(Response.json({ error: { code: -32601, message: "no such method" } }));
    const asked = Buffer.from(params[0]?.data.slice(2) ?? "", "hex").toString("latin1");
    const name = Object.keys(views).find((each) => asked.includes(each)) ?? "";
    const answer = held[name];
    if (answer === "failing") return Response.json({ error: { code: -32603, message: "internal" } });
    await answer;
    return Promise.resolve(Response.json({ result: toHex(encode(views[name] as never)).slice(2) }));
  }));
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

/** The node does not answer it until the function that is given back is called. */
function hold(view: string): () => void {
  let letGo = (): void => undefined;
  held[view] = new Promise<void>((resolve) => { letGo = resolve; });
  return letGo;
}
/** The page of OWN; `signed`: by whoever it is. */
async function open(report: object, signed = false, more = "", view = "usage"): Promise<void> {
  views["get_usage_report"] = json(report);
  if (signed) localStorage.setItem(`api-billing:signer:${node()}`, JSON.stringify({ kind: "key", address: OWN, key: `0x${"11".repeat(32)}` }));
  window.location.hash = `#/${view}?network=localnet&rpc=${node()}&contract=${CONTRACT}&account=${OWN}${more}`;
  client = new QueryClient({ defaultOptions: { queries: { retry: false, networkMode: "always" } } });
  render(<QueryClientProvider client={client}><PlaceProvider><AppFrame /></PlaceProvider></QueryClientProvider>);
  await screen.findByRole("heading", { level: 1 });
}
/** As after a while, or when somebody else did something. */
async function refresh(report: object): Promise<void> {
  views["get_usage_report"] = json(report);
  await client.invalidateQueries({ predicate: ({ queryKey }) => queryKey.includes("get_usage_report") });
}

describe("a consumer's page", () => {
  it("says how many calls are left, and what binds", async () => {
    await open(reportOf({}, line()));
    expect((await screen.findByTestId("left")).textContent).toBe("43 callscredit");
    expect(screen.getByTestId("mix").textContent).toBe("about 43 calls at today's mix");
  });
  it("says where the contract would refuse, though a hold is there", async () => {
    await open(reportOf({ credit_balance_wei: 0n, held_wei: GEN }, line({ hold_wei: GEN, hold_expires_at: (today + 9) * DAY })));
    expect(await screen.findByText("Credit does not cover a call of weather")).toBeTruthy();
    expect(screen.getByText("Metered only")).toBeTruthy();
  });
  it("says how little of what is signed is left, and signs more", async () => {
    const hold = { hold_wei: GEN, hold_expires_at: (today + 9) * DAY, signer: OWN };
    views["get_session"] = {
      consumer: OWN, api_name: "weather", ...hold, hold_from_day: today, in_force: true,
      channels: [{ channel_id: `0x${"aa".repeat(32)}`, signed_wei: 6n * GEN, billed_wei: (584n * GEN) / 100n }],
    };
    views["get_api"] = { api_name: "weather", operator: OTHER, proposed_operator: "", active: true, plans: [], meters: [], next_sequence: 1, chain_id: 61_999, asset: OTHER, voucher_domain: {}, promise: null };
    views["get_usage_history"] = [{ api_name: "weather", day_id: today - 1, calls: 30, spend_wei: (3n * GEN) / 10n }];
    await open(reportOf({ held_wei: GEN }, line(hold)), true);
    expect((await screen.findByTestId("signed")).textContent).toBe("0.16 GEN of 6 GEN signed for weather are not billed yet");
    expect(await screen.findByText("0.16 GEN signed for weather are left")).toBeTruthy();
    expect(screen.getByTestId("left").textContent).toBe("16 callswhat is signedsession: 1 GEN");
    expect(screen.queryByTestId("mix")).toBeNull();
    expect(screen.getByTestId("runs-out").closest("div")?.textContent).toContain("what is signed for weather");
    await userEvent.click(screen.getByRole("button", { name: "Sign a voucher" }));
    const dialog = screen.getByRole("dialog");
    await refresh(reportOf({ credit_balance_wei: 90n * GEN }, line()));
    expect(await screen.findByText("All your APIs can be called.")).toBeTruthy();
    expect(within(dialog).getByRole("heading", { level: 2 }).textContent).toBe("Sign a voucher for weather");
  });
  it("says what a session pays where no credit is free, and that nothing is to be done", async () => {
    await open(reportOf({ credit_balance_wei: 0n, held_wei: GEN }, line({ hold_wei: GEN, hold_expires_at: (today + 9) * DAY, signer: OTHER })), false, "&api=weather");
    expect((await screen.findByRole("article")).textContent).toContain("The session pays 100 calls, limited by its hold; free credit pays none.");
    expect([screen.getByTestId("left").textContent, screen.getByText("Active").className]).toEqual(["100 callsits holdsession: 1 GEN", "tag good"]);
    expect(screen.getByText("All these APIs can be called.")).toBeTruthy();
  });
  it("leads to the disputes that are open or were judged lately, by one read, and where there is a court", async () => {
    const dispute = (dispute_id: number, change: object) => ({
      dispute_id, api_name: "weather", consumer: OWN, day_id: today - 3, status: "open", calls: 4, paid_wei: GEN, bond_wei: 0, opened_at: (today - 1) * DAY, ended_at: 0, refund_percent: 0, refund_wei: 0, ...change,
    });
    const judged = { status: "judged", refund_percent: 75, refund_wei: (3n * GEN) / 4n };
    views["list_disputes_of"] = [dispute(1, { ...judged, ended_at: (today - 40) * DAY }), dispute(2, { ...judged, ended_at: (today - 1) * DAY }), dispute(3, {})];
    await open(reportOf({}, line()));
    await screen.findByTestId("left");
    expect(screen.queryByRole("list", { name: "Disputes" })).toBeNull();
    cleanup();
    court = `0x${"dd".repeat(20)}`;
    views["get_paid_day"] = { api_name: "weather", consumer: OWN, day_id: today - 3, calls: 4, paid_wei: GEN, refunded_wei: 0, frozen_wei: 0, frozen_at: 0, pending: true };
    await open(reportOf({}, line()));
    const told = within(await screen.findByRole("list", { name: "Disputes" })).getAllByRole("listitem");
    const date = dateOfDay(today - 3);
    expect(told.map(({ textContent }) => textContent)).toEqual([
      `Open Dispute 3: weather, ${date}: 1 GEN paid for that day wait for the verdict`, `Refund of 75 % Dispute 2: weather, ${date}: 0.75 GEN of 1 GEN back`,
    ]);
    expect(screen.getByRole("link", { name: /^Dispute 3/ }).getAttribute("href")).toMatch(/^#\/disputes.*dispute=3/);
    expect(client.getQueryCache().findAll({ predicate: ({ queryKey }) => queryKey.includes(court) }).length).toBe(1);
    expect((await screen.findByRole("link", { name: "See the dispute" })).getAttribute("href")).toMatch(/^#\/disputes.*dispute=3/);
    expect(screen.queryByText("Nothing")).toBeNull();
  });
  it("says on what most was spent", async () => {
    const four = ["maps", "tiles", "routes"].map((api_name, i) => line({ api_name, spend_month_wei: BigInt(i + 1) * GEN, spend_today_wei: BigInt(i + 1) * GEN }));
    await open(reportOf({}, line({ spend_month_wei: GEN / 10n }), ...four));
    expect((await screen.findByTestId("most")).textContent).toBe("3 GEN for routes, 2 GEN for tiles, 1 GEN for maps");
    expect(screen.getByTestId("spent").closest("div")?.textContent).not.toContain("today");
    cleanup();
    await open(reportOf({}, line()));
    expect((await screen.findByTestId("most")).textContent).toBe("all for weather");
  });
  it("says to who only looks what that can do", async () => {
    const near = line({ spend_today_wei: (899n * GEN) / 10n, spend_left_today_wei: GEN / 10n });
    await open(reportOf({ credit_balance_wei: 90n * GEN }, near));
    expect(await screen.findByText("For its owner to do")).toBeTruthy();
    expect(screen.getByTestId("looking").textContent).toBe("You only look at this account. Anybody may top it up; all else its owner has to sign. Connect an account");
    expect(screen.getByText("10 calls of weather are left")).toBeTruthy();
    expect(within(screen.getByRole("main")).getAllByRole("button").map(({ textContent }) => textContent).filter((text) => /cap|Top up|Withdraw|Alert/.test(text ?? ""))).toEqual(["Top up"]);
  });
  it("offers who only looks to act as its owner, where a localnet tells the key", async () => {
    known = [{ role: "consumer", name: "Dan, weather", address: OWN, key: `0x${"11".repeat(32)}` }];
    await open(reportOf({}, line()));
    await userEvent.click(await screen.findByRole("button", { name: "Act as Dan" }));
    expect(await screen.findByText("To do")).toBeTruthy();
    expect(screen.queryByRole("button", { name: "Act as Dan" })).toBeNull();
  });
  it("has one thing to do and keeps the rest behind a button", async () => {
    const apis = ["a", "b"].map((api_name) => line({ api_name, cost_per_call_wei: GEN / 10n }));
    await open(reportOf({}, ...apis, line({ api_name: "c", active: false }), line({ api_name: "d", calls_today: 1_000 })));
    expect(await screen.findByText("The price of 2 APIs rose")).toBeTruthy();
    expect(screen.queryByText("c is paused")).toBeNull();
    await userEvent.click(screen.getByRole("button", { name: "1 more" }));
    expect(screen.getByText("c is paused")).toBeTruthy();
  });
  it("counts the level of the alert anew when somebody else has topped up", async () => {
    await open(reportOf({ credit_balance_wei: 0n }), true);
    expect((await screen.findByTestId("alert")).textContent).toContain("begins with the first top-up");
    views["get_account"] = accountOf(10n * GEN, 10n * GEN);
    await refresh(reportOf({ credit_balance_wei: 10n * GEN }));
    await screen.findByText(/^Alert at/);
    expect(screen.getByTestId("alert").textContent).toBe("Alert at 2 GEN: 20 % of 10 GEN after the last top-up.");
  });
  it("begins a day at zero when midnight has passed since the report", async () => {
    hold("get_usage_report");
    await open(reportOf());
    const yesterday = VIEWS.get_usage_report.read(json(reportOf({ day_id: today - 1, resets_at: today * DAY }, line())));
    act(() => void client.setQueryData(["contract", node(), CONTRACT, "get_usage_report", OWN], yesterday, { updatedAt: Date.now() - DAY * 1_000 }));
    expect((await screen.findByText(/today, which began at midnight UTC/)).textContent).toContain("0 GEN today");
  });
  it.each([["ahead", -1], ["behind", 1]])("goes by the contract's day where this machine's clock is %s", async (_what, days) => {
    await open(reportOf({ day_id: today + days, resets_at: (today + days + 1) * DAY }, line({ calls_today: 1_000 })));
    expect((await screen.findByTestId("spent")).closest("div")?.textContent).toMatch(/0\.1 GEN today(0 GEN in .*)?$/);
    expect(screen.getByText(/Calls are possible again in/).textContent).toMatch(days < 0 ? /in (1 h 00|59) min/ : /in 2[34] h/);
  });
  it("offers another plan only where there is one", async () => {
    const plan = { plan_name: "standard", cost_per_call_wei: GEN / 100n, daily_limit_calls: 1_000, monthly_limit_calls: 0 };
    const api = { api_name: "weather", operator: OTHER, proposed_operator: "", active: true, plans: [plan], meters: [], next_sequence: 1 };
    views["list_apis"] = { total: 1, apis: [api] };
    await open(reportOf({}, line({ calls_today: 1_000 })), true);
    expect(await screen.findByText("All calls of weather are used up")).toBeTruthy();
    await screen.findByTestId("alert");
    expect(screen.queryByRole("button", { name: "Choose another plan" })).toBeNull();
    views["list_apis"] = { total: 1, apis: [{ ...api, plans: [plan, { ...plan, plan_name: "pro" }] }] };
    await client.invalidateQueries();
    expect(await screen.findByRole("button", { name: "Choose another plan" })).toBeTruthy();
  });
  it("says that nothing can be called where all subscriptions have ended", async () => {
    await open(reportOf({}, line({ subscribed: false })));
    expect((await screen.findByText("None can be called yet.")).closest("div")?.textContent).toContain("Subscribe to an API");
  });
  it("names the APIs of the first thing to do", async () => {
    const risen = ["aaa", "ccc"].map((api_name) => line({ api_name, cost_per_call_wei: GEN }));
    await open(reportOf({}, ...risen));
    expect(await screen.findByText(/^aaa, ccc. Calls are refused until the new prices are accepted/)).toBeTruthy();
  });
  it("leads to Operate where an account runs APIs and has no subscriptions", async () => {
    const api = { api_name: "maps", operator: OWN, proposed_operator: "", active: true, plans: [], meters: [], next_sequence: 1 };
    views["list_apis"] = { total: 1, apis: [api] };
    await open(reportOf({ credit_balance_wei: 0n }));
    expect(await screen.findByText("This account runs APIs; it has no subscriptions")).toBeTruthy();
    expect(screen.getByRole("link", { name: "Go to Operate" }).getAttribute("href")).toContain("#/operate?");
    expect(screen.queryByText("No subscriptions yet")).toBeNull();
  });
  it("leads to an operator's own page by its name", async () => {
    await open(reportOf());
    await userEvent.selectOptions(await screen.findByLabelText("Account to look at"), "Olga");
    expect(window.location.hash).toMatch(new RegExp(`^#/operate.*account=${OTHER}`));
  });
  it("gives advice with a notice only as long as it is so", async () => {
    const notice = { number: 1, at: (today - 30) * DAY, kind: "price", api_name: "weather", code: "price_changed", calls: 1, amount_wei: 0 };
    views["list_notices"] = [notice, { ...notice, number: 2, kind: "refund", code: "refunded", calls: 0, amount_wei: GEN }];
    await open(reportOf({ notices: 2 }, line()));
    expect((await screen.findByText("Refund")).closest("li")?.textContent).toContain("1 GEN of weather came back and are credit again.");
    expect(screen.queryByText(/Subscribe again to accept/)).toBeNull();
    await refresh(reportOf({ notices: 2 }, line({ cost_per_call_wei: GEN / 50n })));
    expect(await screen.findByText(/Subscribe again to accept/)).toBeTruthy();
  });
});

describe("an open dialog", () => {
  const plan = { plan_name: "standard", cost_per_call_wei: GEN / 100n, daily_limit_calls: 1_000, monthly_limit_calls: 0 };
  const apiOf = (api_name: string, ...plans: object[]) =>
    ({ api_name, operator: OTHER, proposed_operator: "", active: true, plans: [plan, ...plans], meters: [], next_sequence: 1 });
  const dialog = (): HTMLElement => screen.getByRole("dialog");
  const offer = (...apis: object[]): void => { views["list_apis"] = { total: apis.length, apis }; };

  it("stays about what it was opened for, whatever is to be done first by then", async () => {
    offer(apiOf("aaa"), apiOf("bbb", { ...plan, plan_name: "pro" }));
    const usedUp = line({ api_name: "bbb", calls_today: 1_000 });
    await open(reportOf({}, line({ api_name: "aaa" }), usedUp), true);
    await userEvent.click(await screen.findByRole("button", { name: "Choose another plan" }));
    await userEvent.selectOptions(within(dialog()).getByLabelText("Plan"), "pro");
    await userEvent.type(within(dialog()).getByLabelText("Daily cap"), "7");
    const typed = () => ["Plan", "Daily cap"].map((label) => within(dialog()).getByLabelText<HTMLInputElement>(label).value);
    const before = typed();
    await refresh(reportOf({}, line({ api_name: "aaa", cost_per_call_wei: GEN }), usedUp));
    expect(await screen.findByText("The price of aaa rose")).toBeTruthy();
    expect(within(dialog()).getByRole("heading", { level: 2 }).textContent).toBe("Change subscription to bbb");
    await refresh(reportOf({ credit_balance_wei: 0n }, line({ api_name: "aaa" }), line({ api_name: "bbb" })));
    await refresh(reportOf({}, line({ api_name: "aaa" }), line({ api_name: "bbb" })));
    expect(await screen.findByText("All your APIs can be called.")).toBeTruthy();
    expect([within(dialog()).getByRole("heading", { level: 2 }).textContent, ...typed()]).toEqual(["Change subscription to bbb", ...before]);
  });
  it("that needs GEN says where they come from, where there are none, and offers none", async () => {
    await open(reportOf({}, line()), true);
    await userEvent.click(await screen.findByRole("button", { name: "Top up" }));
    expect(await within(dialog()).findByText("Your account has no GEN")).toBeTruthy();
    expect(dialog().textContent).toContain(`api-billing localnet fund 10gen ${OWN} --url ${node()}`);
    expect(within(dialog()).queryByRole("button", { name: /^Max/ })).toBeNull();
    fireEvent.change(within(dialog()).getByLabelText("Consumer"), { target: { value: OTHER } });
    expect(within(dialog()).getByText("Olga").textContent).toContain(OTHER);
    await userEvent.type(within(dialog()).getByLabelText("Amount"), "5");
    expect(within(dialog()).getByText("Your account has too little")).toBeTruthy();
  });
  it("about a cap asks for the cap", async () => {
    offer(apiOf("weather", { ...plan, plan_name: "pro" }));
    await open(reportOf({}, line({ spend_today_wei: 90n * GEN, spend_left_today_wei: 0n })), true);
    await userEvent.click(await screen.findByRole("button", { name: "Raise the cap" }));
    expect(within(dialog()).getByRole("heading", { level: 2 }).textContent).toBe("Daily cap for weather");
    const [field, ...others] = within(dialog()).getAllByRole("textbox");
    expect([field, others]).toEqual([document.activeElement, []]);
    expect(within(dialog()).getByText(/^90 GEN may be spent a day/).textContent).toBe("90 GEN may be spent a day; 90 GEN are spent today. The plan stays standard.");
    expect(within(dialog()).getByTestId("effects").textContent).toContain("At most 90 GEN a day are spent on weather.");
  });
  it("of a banner stays when that is not shown any more", async () => {
    offer(apiOf("aaa"), apiOf("bbb", { ...plan, plan_name: "pro" }));
    const capped = line({ api_name: "aaa", spend_today_wei: 90n * GEN });
    const usedUp = line({ api_name: "bbb", calls_today: 1_000 });
    const risen = [1, 2].map((i) => line({ api_name: `c${i}`, cost_per_call_wei: GEN }));
    await open(reportOf({ credit_balance_wei: 90n * GEN }, ...risen, usedUp), true);
    await userEvent.click(await screen.findByRole("button", { name: "Choose another plan" }));
    await userEvent.type(within(dialog()).getByLabelText("Daily cap"), "7");
    const isThere = () => [within(dialog()).getByRole("heading", { level: 2 }).textContent, within(dialog()).getByLabelText<HTMLInputElement>("Daily cap").value];
    const before = isThere();
    await refresh(reportOf({ credit_balance_wei: 90n * GEN }, ...risen, capped, { ...capped, api_name: "ddd" }, usedUp));
    expect(await screen.findByText("1 more")).toBeTruthy();
    expect([screen.queryByText("All calls of bbb are used up"), ...isThere()]).toEqual([null, ...before]);
    await refresh(reportOf({ credit_balance_wei: 90n * GEN }, usedUp));
    expect(await screen.findByText("All calls of bbb are used up")).toBeTruthy();
    expect(isThere()).toEqual(before);
  });
  it("keeps what is typed when its own button goes", async () => {
    await open(reportOf({}, line()), true);
    await userEvent.click(await screen.findByRole("button", { name: "Top up" }));
    await userEvent.type(within(dialog()).getByLabelText("Amount"), "5");
    await refresh(reportOf({ credit_balance_wei: 0n }, line()));
    expect(await screen.findByText("Credit does not cover a call of weather")).toBeTruthy();
    expect(within(dialog()).getByLabelText<HTMLInputElement>("Amount").value).toBe("5");
  });
  it("accepts the price that the report knows", async () => {
    offer(apiOf("weather"));
    await open(reportOf({}, line()), true);
    await screen.findByTestId("alert");
    offer({ ...apiOf("weather"), plans: [{ ...plan, cost_per_call_wei: GEN / 50n }] });
    await refresh(reportOf({}, line({ cost_per_call_wei: GEN / 50n })));
    await userEvent.click(await screen.findByRole("button", { name: "Accept the new price" }));
    expect(await within(dialog()).findByText(/^You accept 0.02 GEN a call/)).toBeTruthy();
  });
  it("offers the plans that there are when it is opened", async () => {
    offer(apiOf("weather"));
    await open(reportOf({}, line()), true);
    await userEvent.click(await screen.findByRole("button", { name: "weather" }));
    await screen.findByRole("button", { name: "Change plan or cap" });
    offer(apiOf("weather", { ...plan, plan_name: "pro" }));
    await userEvent.click(screen.getByRole("button", { name: "Change plan or cap" }));
    expect(await within(dialog()).findByRole("option", { name: /^pro/ })).toBeTruthy();
  });
  it("about a subscription waits for what whoever signs has", async () => {
    offer(apiOf("weather", { ...plan, plan_name: "pro" }));
    const letGo = hold("get_usage_report");
    await open(reportOf({ credit_balance_wei: 65n * GEN }, line({ plan_name: "pro", consumer_max_daily_spend_wei: 3n * GEN })), true, "", "apis");
    const button = await screen.findByRole<HTMLButtonElement>("button", { name: "Subscribe weather" });
    expect([button.disabled, screen.getByText("Reading your subscriptions…").role]).toEqual([true, "status"]);
    letGo();
    await userEvent.click(await screen.findByRole("button", { name: "Change plan or cap weather" }));
    expect(["Plan", "Daily cap"].map((label) => within(dialog()).getByLabelText<HTMLInputElement>(label).value)).toEqual(["pro", "3"]);
  });
  it("about a subscription goes when somebody else signs", async () => {
    offer(apiOf("weather"));
    await open(reportOf({}, line()), true, "", "apis");
    await userEvent.click(await screen.findByRole("button", { name: "Change plan or cap weather" }));
    expect(dialog()).toBeTruthy();
    act(() => signers.useKey(OTHER, `0x${"22".repeat(32)}`));
    await vi.waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  });
});

describe("the table of subscriptions", () => {
  const names = (): (string | null)[] => screen.getAllByRole("rowheader").map((each) => each.textContent);
  const three = reportOf(
    {}, line({ api_name: "b", spend_month_wei: 3n }), line({ api_name: "a", spend_month_wei: 1n }), line({ api_name: "c", spend_month_wei: 2n, active: false }),
    line({ api_name: "d", spend_month_wei: 9n, subscribed: false }),
  );
  it("begins with what needs something, and ends with what has ended", async () => {
    await open(three);
    await screen.findAllByRole("rowheader");
    expect(names()).toEqual(["c", "b", "a", "d"]);
  });
  it("is sorted as the URL says, and as a head is pressed", async () => {
    await open(three, false, "&sort=api");
    await screen.findAllByRole("rowheader");
    expect(names()).toEqual(["a", "b", "c", "d"]);
    const spend = screen.getByRole("columnheader", { name: "Spend" });
    await userEvent.click(within(spend).getByRole("button"));
    expect([names(), spend.getAttribute("aria-sort"), window.location.hash.includes("sort=-spend")]).toEqual([["d", "b", "c", "a"], "descending", true]);
  });
  it("opens one card, with what its owner can do", async () => {
    await open(reportOf({}, line(), line({ api_name: "maps" })), true);
    await userEvent.click(await screen.findByRole("button", { name: "weather" }));
    const card = screen.getByRole("article", { name: "weather" });
    expect(card.textContent).toContain("Left: 43 calls for 0.43 GEN, limited by credit.");
    expect(within(card).getByRole("button", { name: "Place hold" })).toBeTruthy();
    await userEvent.click(screen.getByRole("button", { name: "maps" }));
    expect(screen.getAllByRole("article").map((each) => each.getAttribute("aria-label"))).toEqual(["maps"]);
  });
  it("says that what a link names is not among them", async () => {
    await open(reportOf({}, line()), false, "&api=maps");
    expect(await screen.findByText("maps is not among the subscriptions of this account")).toBeTruthy();
  });
  it("is without actions for who only watches", async () => {
    await open(reportOf({}, line()));
    await userEvent.click(await screen.findByRole("button", { name: "weather" }));
    expect(screen.queryByRole("button", { name: "Place hold" })).toBeNull();
  });
});

describe("what is not read yet", () => {
  const csv = (): HTMLButtonElement => screen.getByRole("button", { name: /^CSV of usage/ });
  const days = async () => {
    await userEvent.click(await screen.findByRole("button", { name: "From–until" }));
    return screen.getByLabelText<HTMLInputElement>("From");
  };

  it("is not in a statement as if it were nothing, nor in its file", async () => {
    const letGo = hold("get_usage_history");
    await open(reportOf({}, line()), false, "", "statement");
    expect(await screen.findByText("Reading…")).toBeTruthy();
    expect([csv().disabled, screen.queryByText(/Nothing was used|No refusal|^0 GEN$/)]).toEqual([true, null]);
    letGo();
    expect(await screen.findByText("No refusal is on record.")).toBeTruthy();
    expect([csv().disabled, screen.queryByText("Reading…")]).toEqual([false, null]);
  });
  it("is not in the file of the chart", async () => {
    const letGo = hold("get_usage_history");
    await open(reportOf({}, line()));
    await screen.findByText(/Reading \d more/);
    expect(csv().disabled).toBe(true);
    letGo();
    await vi.waitFor(() => expect(csv().disabled).toBe(false));
  });
  it("and cannot be is told, of the notices and of the past", async () => {
    held = { list_notices: "failing", get_usage_history: "failing" };
    await open(reportOf({ notices: 1 }, line()));
    expect(await screen.findByText("The days before today cannot be read.")).toBeTruthy();
    expect((await screen.findAllByText("The node does not take the request")).length).toBe(2);
    cleanup();
    held = { list_notices: "failing" };
    await open(reportOf({ notices: 1 }, line()), false, "", "statement");
    expect(await screen.findByText("The node does not take the request")).toBeTruthy();
    expect(screen.queryByText("Reading…")).toBeNull();
  });
  it("of refunds is in the sums of a statement", async () => {
    const notice = { number: 1, at: Math.floor(Date.now() / 1000), kind: "refund", api_name: "weather", code: "", calls: 0, amount_wei: 1 };
    views["list_notices"] = [notice, { ...notice, number: 2, amount_wei: GEN }];
    await open(reportOf({ notices: 2 }, line()), false, "", "statement");
    expect((await screen.findByText("Refunded")).nextSibling?.textContent).toContain("1.000000000000000001 GEN");
  });
  it("of a month is not what was read of another one", async () => {
    const third = dayOfIso("2026-03-03"); // 31 days before it February begins, and 62 before it January
    await open(reportOf({ day_id: third }, line({ calls_today: 0 })), false, "", "statement");
    expect((await screen.findAllByText("Nothing was used.")).length).toBe(2);
    hold("get_usage_history");
    await userEvent.selectOptions(screen.getByLabelText("Month"), "January 2026");
    expect([screen.getByText("Reading…").role, screen.queryByText("Nothing was used.")]).toEqual(["status", null]);
  });
  it("anew is told by a statement, which is as old as what it says", async () => {
    await open(reportOf({}, line()), false, "", "statement");
    expect(await screen.findByText("Up to date")).toBeTruthy();
    const [query] = client.getQueryCache().findAll({ predicate: ({ queryKey }) => queryKey.includes("get_usage_report") });
    client.setQueryData(query?.queryKey ?? [], (data: object) => ({ ...data }), { updatedAt: Date.UTC(2026, 0, 2, 3, 4) });
    expect(await screen.findByText("2 Jan 2026, 03:04 UTC")).toBeTruthy();
    expect(screen.getByTestId("freshness").textContent).toContain("Stale");
  });
  it("of a date that is typed is left to whoever types", async () => {
    await open(reportOf({}, line()));
    const from = await days();
    const before = window.location.hash;
    const day = isoDay(today - 20);
    fireEvent.change(from, { target: { value: `0002${day.slice(4)}` } });
    expect([from.value, window.location.hash]).toEqual([`0002${day.slice(4)}`, before]);
    fireEvent.change(from, { target: { value: day } });
    expect([from.value, window.location.hash.includes(`from=${today - 20}`)]).toEqual([day, true]);
  });
});

describe("exact amounts", () => {
  it("are shown by a switch that is kept", async () => {
    await open(reportOf({ credit_balance_wei: GEN + 1n }));
    await userEvent.click(await screen.findByRole("button", { name: "Exact amounts and full addresses" }));
    expect(screen.getByTestId("free-credit").textContent).toBe("1.000000000000000001 GEN");
    cleanup();
    await open(reportOf({ credit_balance_wei: GEN + 1n }));
    expect((await screen.findByTestId("free-credit")).textContent).toBe("1.000000000000000001 GEN");
    await userEvent.click(screen.getByRole("button", { name: "Exact amounts and full addresses" }));
    expect(screen.getByTestId("free-credit").textContent).toBe("1 GEN");
  });
});

describe("a session", () => {
  const held = (end: number) => line({ signer: OWN, hold_wei: GEN, hold_expires_at: end });
  const ready = (): void => {
    const domain = { name: "x402 Batch Settlement", version: "1", chainId: 61_999, verifyingContract: "0x4020074e9df2ce1dee5a9c1b5c3f541d02a10003" };
    const channel = { channel_id: `0x${"aa".repeat(32)}`, signed_wei: GEN / 2n, billed_wei: GEN / 5n };
    views["get_api"] = {
      api_name: "weather", operator: OTHER, proposed_operator: "", active: true, plans: [], meters: [], next_sequence: 1,
      chain_id: 61_999, asset: OTHER, voucher_domain: domain, promise: null,
    };
    views["get_session"] = {
      consumer: OWN, api_name: "weather", signer: OWN, hold_wei: GEN, hold_expires_at: (today + 2) * DAY, hold_from_day: today, in_force: true, channels: [channel],
    };
  };
  it("that is not read yet is signed for in a dialog that says so, and can be left", async () => {
    ready();
    const letGo = hold("get_session");
    await open(reportOf({}, held((today + 2) * DAY)), true);
    await userEvent.click(await screen.findByRole("button", { name: "weather" }));
    await userEvent.click(await screen.findByRole("button", { name: "Sign a voucher" }));
    const dialog = within(screen.getByRole("dialog", { name: "Sign a voucher for weather" }));
    expect(dialog.getByLabelText("Reading the channel")).toBeTruthy();
    await userEvent.click(dialog.getByRole("button", { name: "Cancel" }));
    expect(screen.queryByRole("dialog")).toBeNull();
    letGo();
  });
  it("that ends while a voucher is signed leaves the dialog, and nothing to sign there", async () => {
    ready();
    await open(reportOf({}, held((today + 2) * DAY)), true);
    await userEvent.click(await screen.findByRole("button", { name: "weather" }));
    expect((await screen.findByText(/can be billed by what is signed/)).textContent).toBe("0.3 GEN of it can be billed by what is signed");
    await userEvent.click(screen.getByRole("button", { name: "Sign a voucher" }));
    const dialog = within(screen.getByRole("dialog"));
    await userEvent.type(await dialog.findByLabelText("Up to, in all"), "0.8");
    expect(dialog.getByRole<HTMLButtonElement>("button", { name: "Sign voucher" }).disabled).toBe(false);
    expect(dialog.getByText("What the wallet shows").parentElement?.textContent).toMatch(/verifyingContract0x4020074e9df2ce1dee5a9c1b5c3f541d02a10003.*maxClaimableAmount800000000000000000/);
    await refresh(reportOf({}, held(today * DAY)));
    await dialog.findByText("The session is not in force");
    expect(dialog.getByRole<HTMLButtonElement>("button", { name: "Sign voucher" }).disabled).toBe(true);
  });
});

describe("disputes", () => {
  const COURT = `0x${"dd".repeat(20)}`;
  const promiseOf = (court: string) => ({
    api_name: "weather", day_id: today, court, payout_days: court ? 7 : 0, max_refund_percent: 50, terms: "", status_url: "", terms_sha256: "", from_day: 1, next_from_day: 0,
  });
  const head = (dispute_id: number, consumer: string, change: object = {}) => ({
    dispute_id, api_name: "weather", consumer, day_id: today - 3, status: "open", calls: 1, paid_wei: GEN, bond_wei: 1, opened_at: today * DAY, ended_at: 0, refund_percent: 0, refund_wei: 0, ...change,
  });
  const look = async (court: string, more = ""): Promise<void> => {
    views["get_promise"] = promiseOf(court);
    views["get_court"] ??= { billing: CONTRACT, min_bond_wei: 1, disputes: 3 };
    await open(reportOf({}, line()), false, `&api=weather${more}`, "disputes");
  };
  it("of an account come alone, and everybody's by a switch", async () => {
    views["list_disputes"] = [head(1, OTHER), head(2, OWN), head(3, OTHER)];
    await look(COURT);
    expect((await screen.findAllByRole("link", { name: /^Dispute \d/ })).map(({ textContent }) => textContent)).toEqual(["Dispute 2"]);
    await userEvent.click(screen.getByLabelText("Also those of others (2)"));
    expect(screen.getAllByRole("link", { name: /^Dispute \d/ }).map(({ textContent }) => textContent)).toEqual(["Dispute 2", "Dispute 3", "Dispute 1"]);
  });
  it("of all its APIs are told to an operator, open or judged lately: whose, and what each costs", async () => {
    court = COURT;
    views["get_court"] = { billing: CONTRACT, min_bond_wei: 1, disputes: 3 };
    views["list_disputes"] = [head(2, OTHER, { status: "judged", ended_at: today * DAY, refund_percent: 50, refund_wei: GEN / 2n }), head(3, OTHER)];
    views["list_apis"] = { total: 1, apis: [{ api_name: "weather", operator: OWN, proposed_operator: "", active: true, plans: [], meters: [], next_sequence: 1 }] };
    views["get_earnings"] = { operator: OWN, earnings_wei: 0, withdrawn_wei: 0, refunded_wei: 0, apis: [{ api_name: "weather", pending_wei: 0, frozen_wei: GEN }] };
    await open(reportOf(), false, "", "operate");
    const told = within(await screen.findByRole("list", { name: "Disputes" })).getAllByRole("listitem");
    expect(told.map(({ textContent }) => textContent)).toEqual([
      expect.stringMatching(/^Open Dispute 3: weather, .* by Olga 0x.*: 1 GEN paid for that day wait for the verdict$/),
      expect.stringMatching(/^Refund of 50 % Dispute 2: weather, .* by Olga 0x.*: 0.5 GEN of 1 GEN given back$/),
    ]);
  });
  it("have no place where there is no court, and the page says what that means", async () => {
    await look("");
    expect((await screen.findByText(/has promised none/)).textContent).toContain("What is paid to it cannot be disputed");
    expect(screen.getByRole("heading", { name: "There is no court" })).toBeTruthy();
  });
  it("of a court that judges another contract are none", async () => {
    views["list_disputes"] = [head(1, OWN)];
    views["get_court"] = { billing: OTHER, min_bond_wei: 1, disputes: 1 };
    await look(COURT);
    expect(await screen.findByText("This is no court of this contract")).toBeTruthy();
    cleanup();
    views["get_dispute"] = { ...head(1, OWN), claim: "x", evidence_url: "", reason: "" };
    await look(COURT, "&dispute=1");
    expect(await screen.findByText("This is no court of this contract")).toBeTruthy();
    expect(screen.queryByText("The claim")).toBeNull();
  });
  it("of a court that a link names and the API has not promised are not looked up elsewhere", async () => {
    await look(COURT, `&dispute=1&court=${OTHER}`);
    expect(await screen.findByText("weather has no such court")).toBeTruthy();
  });
  it("that were judged say nothing of the money before it is known where that is", async () => {
    views["get_dispute"] = { ...head(1, OWN, { status: "judged", refund_percent: 25, refund_wei: GEN / 4n, ended_at: today * DAY }), claim: "x", evidence_url: "", reason: "so" };
    const letGo = hold("get_paid_day");
    views["get_paid_day"] = { api_name: "weather", consumer: OWN, day_id: today - 3, calls: 1, paid_wei: GEN, refunded_wei: 0, frozen_wei: GEN, frozen_at: today * DAY, pending: false };
    await look(COURT, "&dispute=1");
    expect((await screen.findByTestId("verdict")).textContent).toBe("25 %: 0.25 GEN refunded");
    expect(screen.queryByText(/when the verdict is final/)).toBeNull();
    letGo();
    expect(await screen.findByText(/Money moves when the verdict is final/)).toBeTruthy();
  });
  it("are proven by no file that is too large to be one, and it is not read", async () => {
    await look(COURT);
    const file = Object.assign(new File(["x".repeat(200_010)], "proof.json", { type: "application/json" }), { text: () => new Promise(() => undefined) });
    await userEvent.upload(await screen.findByLabelText("Choose the file, or drop it here"), file);
    expect(await screen.findByText("It is larger than any proof.")).toBeTruthy();
  });
});
