import { afterEach, expect, it, vi } from "vitest";
import { encode, toHex } from "../../src/chain/calldata";
import { BillingContract } from "../../src/chain/contract";
import { OTHER } from "./samples";

const API = { api_name: "weather", operator: OTHER, proposed_operator: "", active: true, plans: [], meters: [], next_sequence: 1 };
const answers = (...pages: object[]): void => {
  vi.stubGlobal("fetch", vi.fn(async () => Response.json({ result: toHex(encode(pages.shift() as never)) })));
};
const contract = new BillingContract("http://node/api", `0x${"cc".repeat(20)}`);

afterEach(() => vi.unstubAllGlobals());

it("a list of several pages is read to its end", async () => {
  answers({ total: 2, apis: [API] }, { total: 2, apis: [{ ...API, api_name: "maps" }] });
  expect((await contract.apis()).map(({ apiName }) => apiName)).toEqual(["weather", "maps"]);
});

it("a list that ends before its end is not taken for the whole", async () => {
  answers({ total: 2, apis: [API] }, { total: 2, apis: [] });
  await expect(contract.apis()).rejects.toThrow("do not fit together");
});
