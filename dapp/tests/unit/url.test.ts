import { describe, expect, it } from "vitest";
import { changed, formatLocation, leftOutOf, parseLocation, START } from "../../src/state/url";

const ADDRESS = `0x${"Ab".repeat(20)}`;

describe("the URL", () => {
  const everything = {
    network: "custom", rpc: "http://[::1]:4000/api?key=a&b=c", contract: ADDRESS.toLowerCase(), account: `0x${"12".repeat(20)}`,
    api: "weather.v2", chart: "calls", days: 0, from: 20_000, until: 20_100, sort: "-spend", month: "2026-11", settlement: 12, entries: "refused", part: "meter", dispute: 3, court: `0x${"34".repeat(20)}`,
  } as const;
  const anywhere = { settlement: 0, entries: "all", part: "", month: "", dispute: 0, court: "", sort: "", api: "" };
  it.each([
    ["usage", { api: "weather.v2", sort: "-spend" }], ["statement", { month: "2026-11" }], ["operate", { api: "weather.v2", settlement: 12, entries: "refused", part: "meter" }],
    ["disputes", { api: "weather.v2", dispute: 3, court: everything.court }], ["transactions", {}], ["apis", { api: "weather.v2" }],
  ] as const)("keeps everything that means something on the page: %s", (view, own) => {
    const kept = { view, ...everything, ...anywhere, ...own };
    expect(parseLocation(formatLocation({ view, ...everything }))).toEqual(kept);
  });
  it("does not read what means nothing on the page", () => expect(parseLocation("#/usage?settlement=12&month=2026-11")).toEqual(START));
  it("chooses nothing elsewhere, unless that is asked for", () => {
    const there = { view: "disputes", ...everything } as const;
    expect(changed(there, { dispute: 4 })).toEqual({ ...there, dispute: 4 });
    expect(changed(there, { view: "operate" })).toEqual({ ...there, ...anywhere, view: "operate" });
    expect(changed(there, { account: ADDRESS, api: "maps" })).toEqual({ ...there, ...anywhere, account: ADDRESS, api: "maps" });
    expect(changed({ ...there, account: "" }, { account: ADDRESS })).toEqual({ ...there, account: ADDRESS }); // of whoever connects
  });
  it("leads to the page of another API from its beginning", () => {
    const there = { view: "operate", ...everything } as const;
    expect(changed(there, { api: "maps" })).toEqual({ ...there, api: "maps", settlement: 0, entries: "all", part: "" });
    expect(changed(there, { api: "maps", part: "meter" }).part).toBe("meter");
  });
  it("is the start when it says nothing", () => expect(parseLocation("")).toEqual(START));
  it("stays readable", () => {
    expect(formatLocation({ ...START, rpc: "http://127.0.0.1:4000/api" })).toBe("#/usage?network=localnet&rpc=http://127.0.0.1:4000/api");
  });
  it("has addresses in lower case", () => expect(parseLocation(`#/usage?account=${ADDRESS}`).account).toBe(ADDRESS.toLowerCase()));
  it.each([
    ["contract", "0x12"], ["contract", `0x${"0".repeat(40)}`], ["account", "javascript:alert(1)"], ["rpc", "javascript:alert(1)"], ["rpc", "file:///etc/passwd"], ["api", "<b>"],
  ] as const)("leaves out an invalid %s: %s", (name, value) => {
    expect(parseLocation(`#/usage?${name}=${encodeURIComponent(value)}`)[name]).toBe("");
  });
  it("tells what it leaves out", () => {
    expect(leftOutOf("#/elsewhere?network=mainnet&contract=0x12&account=%F0%9F%98%80&api=..%2Fa&month=2026-13&days=31&rpc=http://x/api")).toEqual(
      ["page", "network", "contract", "account", "api", "days"],
    );
    expect(leftOutOf("#/statement?month=2026-13&api=weather")).toEqual(["month"]);
    expect(leftOutOf(`#/usage?network=testnet_bradbury&account=${ADDRESS}&api=%20weather%20&days=7&from=&later=1&%E0%A4%A`)).toEqual([]);
    expect(["", "#", "#/", formatLocation(START)].flatMap(leftOutOf)).toEqual([]);
  });
  it("does not take a settlement that is no number", () => expect(parseLocation("#/operate?settlement=1e99").settlement).toBe(0));
  it("goes to usage for an unknown page", () => expect(parseLocation("#/elsewhere").view).toBe("usage"));
});
