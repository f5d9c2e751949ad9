import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { recoverTypedDataAddress, type Hex } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { describe, expect, it } from "vitest";
import { channelId, channelOf, isSignedBy, NoVoucher, signVoucher, typedVoucher, type Channel } from "../../src/chain/vouchers";
import { credentialOf, jsonOfVoucher, NO_SALT, type Voucher } from "../../src/domain/session";
import { apiDetails, OTHER, session } from "./samples";

// Of the example in docs/mpp-genlayer-session.md, which Python's tests hold, too.
const KEY = `0x${"03".repeat(32)}`;
const CHANNEL: Channel = {
  payer: `0x${"44".repeat(20)}`, signer: "0x3325a78425f17a7e487eb5666b2bfd93abb06c70", receiver: `0x${"11".repeat(20)}`,
  contract: `0x${"22".repeat(20)}`, asset: `0x${"33".repeat(20)}`, chainId: 61_999, salt: NO_SALT,
};
const CHANNEL_ID = "0x9ba28f8f169c220961a4ae31984630bb54280511715457c72e012058fc2f4a4c";
const SIGNATURE = "0x24fac1c891cd5f6cc5702e715e85056925f2d997ec4a92fb6bc36b4cd922b3e25d9167294c100448c8948d8112e2f9a3a6c1773762c117435606a7a8b74edd4b1b";
const GWEI_5 = 5_000_000_000n;
const good: Voucher = { salt: NO_SALT, cumulativeWei: GWEI_5, signature: SIGNATURE };

const FOLDER = process.env["CONFORMANCE_PAYMENTS_DIR"] ?? fileURLToPath(new URL("../../../../shared/conformance-payments", import.meta.url));
const VECTORS = `${FOLDER}/eip712-vouchers.json`;

const wallet = (answer: (typed: string) => unknown, asked: unknown[] = []) => ({
  kind: "wallet" as const, address: CHANNEL.signer,
  provider: { request: async (call: { method: string; params?: readonly unknown[] }) => { asked.push(call); return answer(String(call.params?.[1])); } },
});
const signs = async (typed: string): Promise<string> => privateKeyToAccount(KEY as Hex).signTypedData(JSON.parse(typed) as never);

describe("a voucher", () => {
  it("of a key is that of the method's draft", async () => {
    expect(channelId(CHANNEL)).toBe(CHANNEL_ID);
    expect(await signVoucher({ kind: "key", key: KEY }, CHANNEL, GWEI_5)).toEqual(good);
  });
  it("is asked of a wallet as typed data that it shows and signs", async () => {
    const asked: { method: string; params: string[] }[] = [];
    expect(await signVoucher(wallet(signs, asked), CHANNEL, GWEI_5)).toEqual(good);
    expect(asked[0]).toMatchObject({ method: "eth_signTypedData_v4", params: [CHANNEL.signer, expect.any(String)] });
    const { domain, types, message } = JSON.parse(asked[0]?.params[1] ?? "") as ReturnType<typeof typedVoucher>;
    expect([domain.chainId, message]).toEqual([61_999, { channelId: CHANNEL_ID, maxClaimableAmount: "5000000000" }]);
    expect(types["EIP712Domain"]?.map(({ name }) => name)).toEqual(Object.keys({ name: 0, version: 0, chainId: 0, verifyingContract: 0 }));
  });
  it("is taken in the other notation of v, and written in the one that the contract takes", async () => {
    const signed = await signVoucher(wallet(async (typed) => (await signs(typed)).toUpperCase().replace("0X", "0x").replace(/1B$/, "00").replace(/1C$/, "01")), CHANNEL, GWEI_5);
    expect(signed).toEqual(good);
  });
  it.each([
    ["another account", (typed: string) => privateKeyToAccount(`0x${"01".repeat(32)}`).signTypedData(JSON.parse(typed) as never)],
    ["a contract", async () => `0x${"ab".repeat(100)}`],
    ["nobody", async () => null],
  ])("of %s is not shown", async (_who, answer) => {
    await expect(signVoucher(wallet(answer), CHANNEL, GWEI_5)).rejects.toThrow(NoVoucher);
  });
});

describe("the check of a voucher", () => {
  const changed = (change: Partial<Voucher>): Promise<boolean> => isSignedBy(CHANNEL, { ...good, ...change });
  const s = BigInt(`0x${SIGNATURE.slice(66, 130)}`);
  const mirrored = (0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n - s).toString(16).padStart(64, "0");
  it("takes what the signer signed", async () => expect(await changed({})).toBe(true));
  it.each<[string, Partial<Voucher>]>([
    ["another sum", { cumulativeWei: GWEI_5 + 1n }], ["another channel", { salt: `0x${"0".repeat(63)}1` }], ["the mirrored signature", { signature: `${SIGNATURE.slice(0, 66)}${mirrored}1c` }],
    ["v of 0", { signature: `${SIGNATURE.slice(0, 130)}00` }], ["no signature", { signature: "0x" }], ["an r that is none", { signature: `0x${"00".repeat(32)}${SIGNATURE.slice(66)}` }],
  ])("does not take %s", async (_what, change) => expect(await changed(change)).toBe(false));
});

describe("the channel", () => {
  it("is what the contract says", () => {
    expect(channelOf(OTHER, apiDetails(), session(), NO_SALT)).toEqual({
      payer: session().consumer, signer: session().signer, receiver: apiDetails().operator, contract: OTHER, asset: apiDetails().asset, chainId: 61_999, salt: NO_SALT,
    });
  });
  it.each([["version", "2"], ["name", "x"], ["chainId", 1n], ["verifyingContract", OTHER]])("is none where %s of the domain is another", (name, value) => {
    const voucherDomain = { ...apiDetails().voucherDomain, [name]: value };
    expect(() => channelOf(OTHER, apiDetails({ voucherDomain }), session(), NO_SALT)).toThrow(NoVoucher);
  });
  it("is none without a key", () => expect(() => channelOf(OTHER, apiDetails(), session({ signer: "" }), NO_SALT)).toThrow("no session"));
});

describe("what a person gets", () => {
  const signed = { ...good, cumulativeWei: 2n ** 100n, payer: CHANNEL.payer, signer: CHANNEL.signer, receiver: CHANNEL.receiver, apiName: "weather", channelId: CHANNEL_ID };
  it("is the credential that a meter reads", () => expect(credentialOf(signed)).toBe(`${CHANNEL.payer}.${NO_SALT}.1267650600228229401496703205376.${SIGNATURE}`));
  it("is JSON with whole wei", () => expect(jsonOfVoucher(signed)).toContain('"cumulative_wei":1267650600228229401496703205376,'));
});

// The recorded answers of others lie beside the repository; where they do not, those of the draft above have to do.
describe.skipIf(!existsSync(VECTORS))("vectors of others", () => {
  interface Recorded {
    channelConfigs: { name: string; network: string; channelConfig: Record<string, string> & { withdrawDelay: number }; channelId: string }[];
    vouchers: { name: string; protocol: string; channelConfig: string; key: string; message: Record<string, string>; signature: string }[];
  }
  const recorded = (): Recorded => JSON.parse(readFileSync(VECTORS, "utf-8")) as Recorded;
  const channelNamed = (name: string) => {
    const { channelConfig: c, network } = recorded().channelConfigs.find((each) => each.name === name) ?? (() => { throw new Error(name); })();
    const { payer = "", payerAuthorizer = "", receiver = "", receiverAuthorizer = "", token = "", salt = "" } = c as Record<string, string>;
    return { payer, signer: payerAuthorizer, receiver, contract: receiverAuthorizer, asset: token, salt, chainId: Number(network.split(":")[1]) };
  };
  it("name the same channels", () => {
    const ours = recorded().channelConfigs.filter((each) => each.channelConfig.withdrawDelay === 900);
    expect(ours.length).toBeGreaterThan(4);
    for (const each of ours) expect([each.name, channelId(channelNamed(each.name))]).toEqual([each.name, each.channelId]);
  });
  it("sign the same vouchers", async () => {
    const ours = recorded().vouchers.filter((each) => each.protocol === "x402-batch-settlement");
    expect(ours.length).toBeGreaterThan(3);
    for (const each of ours) {
      const channel = channelNamed(each.channelConfig);
      const sum = BigInt(each.message["maxClaimableAmount"] ?? "");
      const { signature } = await signVoucher({ kind: "key", key: each.key }, channel, sum);
      expect([each.name, signature]).toEqual([each.name, each.signature]);
      const typed = typedVoucher(channel, sum);
      expect((await recoverTypedDataAddress({ ...typed, signature: signature as Hex })).toLowerCase()).toBe(channel.signer.toLowerCase());
    }
  });
});
