import { describe, expect, it } from "vitest";
import type { Action } from "../../src/actions/action";
import { billWithoutVouchers, checkVoucher, openSession, sumsOf, voucherField } from "../../src/actions/session";
import { placeHold } from "../../src/actions/consumer";
import type { Kept } from "../../src/browser/storage";
import { GEN } from "../../src/domain/amounts";
import { openWei, withKept, type SignedVoucher } from "../../src/domain/session";
import { DAY_SECONDS, toFieldValue } from "../../src/domain/time";
import { readVouchers, VoucherStore } from "../../src/pages/sessions/kept_vouchers";
import { api, apiDetails, line, NOW, OTHER, OWN, report, session } from "./samples";

const fill = (action: Action, values: Record<string, string> = {}) =>
  action.check({ ...Object.fromEntries(action.fields.map((field) => [field.name, field.initial])), ...values });
const effects = (action: Action, values?: Record<string, string>): string => fill(action, values).effects.join(" ");
const WEEK = NOW + 7 * DAY_SECONDS;
const opening = (change: Parameters<typeof line>[0] | null) => openSession(api(), change === null ? undefined : report({ apis: [line(change)] }), OWN, NOW);
const inForce = { signer: OWN, holdWei: GEN, holdExpiresAt: NOW + DAY_SECONDS + 30 };

describe("opening a session", () => {
  it("subscribes at the price that was seen, with what is missing of the amount", () => {
    expect(fill(opening(null), { amount: "2", deposit: "2", plan: "pro", cap: "3" }).call).toMatchObject({
      method: "open_session", args: ["weather", 3n * GEN, 2n * GEN, WEEK, OWN, "pro", GEN / 200n], valueWei: 2n * GEN,
    });
    expect(effects(opening(null), { amount: "2", deposit: "2", plan: "pro" })).toContain("You subscribe to weather (pro) for 0.005 GEN a call");
  });
  it("bounds the price of a free plan, too", () => {
    const free = api({ plans: [{ planName: "free", costPerCallWei: 0n, dailyLimitCalls: 5n, monthlyLimitCalls: 0n }] });
    expect(fill(openSession(free, report({ apis: [] }), OWN, NOW), { amount: "1", cap: "1" }).call?.args.at(-1)).toBe(1n);
  });
  it("keeps plan and cap of who is subscribed", () => {
    const action = opening({ planName: "pro", consumerMaxDailySpendWei: 7n });
    expect(action.fields.map(({ name }) => name)).toEqual(["amount", "deposit", "until", "signer"]);
    expect(fill(action, { amount: "1" }).call?.args).toEqual(["weather", 7n, GEN, WEEK, OWN, "pro", GEN / 200n]);
  });
  it("says what has to be deposited", () => {
    expect(fill(opening({}), { amount: "5", deposit: "0.5" }).errors["deposit"]).toBe("Deposit at least 1 GEN: 4 GEN are free.");
    expect(fill(opening({ holdWei: GEN, holdExpiresAt: NOW }), { amount: "5" }).call).not.toBeNull(); // what an ended hold has kept is free first
  });
  it("warns of a key that signed before, and of a price that is not accepted", () => {
    expect(effects(opening({ signer: OWN }), { amount: "1" })).toContain("can be billed now; a new key rules that out");
    expect(effects(opening({ signer: OWN }), { amount: "1", signer: OTHER })).not.toContain("can be billed now");
    expect(effects(opening({ acceptedPriceWei: 1n }), { amount: "1" })).toContain("accept the new price first");
  });
  it.each([["amount", "0"], ["signer", "0x12"], ["until", toFieldValue(NOW - 60)], ["until", toFieldValue(NOW + 367 * DAY_SECONDS)]])("with a wrong %s %j is not sent", (name, value) => {
    const { call, errors } = fill(opening({}), { amount: "1", [name]: value });
    expect([call, Boolean(errors[name])]).toEqual([null, true]);
  });
});

describe("adding to a session", () => {
  it("keeps its key, and does not cut short its last minute", () => {
    const until = toFieldValue(inForce.holdExpiresAt);
    expect(fill(opening(inForce), { amount: "1", until }).call?.args.slice(2, 5)).toEqual([GEN, inForce.holdExpiresAt, OWN]);
    expect(effects(opening(inForce), { amount: "1", until })).toContain("2 GEN in the session");
  });
  it("may prolong only, but not do nothing or shorten", () => {
    const prolonged = fill(opening(inForce), { until: toFieldValue(WEEK) });
    expect(prolonged.call).toMatchObject({ args: ["weather", GEN, 0n, WEEK, OWN, "standard", GEN / 100n], title: "Prolong the session with weather" });
    expect(prolonged.effects[0]).toBe("Until 8 Jan 2026, 00:00 UTC you cannot withdraw what is in the session, 1 GEN. What is not billed becomes free credit again.");
    expect(fill(opening(inForce)).errors["amount"]).toBeTruthy(); // nothing is prolonged that nobody asked for
    expect(fill(opening(inForce), { until: toFieldValue(NOW + 3_600) }).errors["until"]).toContain("cannot end before");
  });
});

describe("a hold", () => {
  it("without vouchers again takes the place of the ended session", () => {
    const action = billWithoutVouchers(line({ signer: OTHER, holdWei: GEN, holdExpiresAt: NOW }), GEN, NOW);
    expect(fill(action, { amount: "2" }).call).toMatchObject({ method: "place_hold", args: ["weather", 2n * GEN, WEEK, "plain"], valueWei: 0n });
    expect(fill(action, { amount: "2.1" }).errors["amount"]).toContain("Only 2 GEN");
  });
  it("that is plain still ends no earlier than it does", () => {
    expect(fill(placeHold(line(inForce), GEN, NOW), { amount: "1", until: toFieldValue(NOW + 60) }).errors["until"]).toContain("cannot end before");
  });
});

describe("the sum of a voucher", () => {
  const of = (signedWei: bigint, billedWei: bigint, keptWei = 0n) => ({
    api: apiDetails(), priceWei: GEN / 100n, keptWei, othersWei: 0n, inForce: true, hasRoom: true, session: session({ channels: [{ channelId: "0x", signedWei, billedWei }] }),
  });
  const check = (amount: string, ...given: Parameters<typeof of>) => checkVoucher(of(...given), { amount });
  it("is all since the channel began, and the hold pays beyond what is billed", () => {
    expect(check("1.2", GEN / 2n, GEN / 5n)).toMatchObject({ errors: {}, cumulativeWei: (GEN * 12n) / 10n });
    expect(check("1.2", GEN / 2n, GEN / 5n).effects[0]).toBe("weather may bill up to 1.2 GEN in all on this channel: 1 GEN more than is billed so far.");
    expect(voucherField(of(GEN / 2n, GEN / 5n)).max).toBe((GEN * 12n) / 10n);
  });
  it("is not above what the hold pays", () => expect(check("1.200000000000000001", GEN / 2n, GEN / 5n).errors["amount"]).toContain("pays up to 1.2 GEN"));
  it("is above what the contract knows to be signed", () => expect(check("0.5", GEN / 2n, 0n).errors["amount"]).toContain("0.5 GEN are signed already"));
  it("is above what was signed here and the contract has not heard of", () => {
    expect(check("0.7", GEN / 2n, 0n, (GEN * 7n) / 10n).errors["amount"]).toContain("0.7 GEN are signed already");
    expect(sumsOf(of(0n, 0n, 3n)).signedWei).toBe(3n);
  });
  it("is within what the hold pays beside what is signed on other channels", () => {
    const sum = (amount: string) => checkVoucher({ ...of(GEN / 2n, GEN / 5n), othersWei: GEN / 4n }, { amount });
    expect(sum("0.95").errors).toEqual({});
    expect(sum("0.950000000000000001").errors["amount"]).toBe("The hold pays up to 0.95 GEN on this channel, as 0.25 GEN of it are signed on others. Add to the session first.");
    expect(sumsOf({ ...of(0n, 0n), othersWei: 3n * GEN }).mostWei).toBe(0n);
  });
  it("is more than nothing", () => expect(check("0", 0n, 0n)).toMatchObject({ errors: { amount: "Enter more than 0." }, effects: [] }));
});

describe("the channels of a session", () => {
  const kept = (channelId: string, cumulativeWei: bigint) => ({ channelId, cumulativeWei }) as SignedVoucher;
  it("are signed for up to the highest voucher, of the contract or of here, and what is not billed of that is open", () => {
    const channels = withKept([{ channelId: "a", signedWei: 5n, billedWei: 2n }, { channelId: "b", signedWei: 5n, billedWei: 5n }, { channelId: "c", signedWei: 0n, billedWei: 0n }], [kept("a", 3n), kept("b", 9n)]);
    expect(channels.map(({ signedWei, voucher }) => [signedWei, voucher?.cumulativeWei])).toEqual([[5n, 3n], [9n, 9n], [0n, undefined]]);
    expect(openWei(channels)).toBe(7n);
    expect(openWei(channels, "b")).toBe(3n);
  });
});

describe("vouchers of this browser", () => {
  const storage = (): Kept => {
    const values = new Map<string, string>();
    return {
      get: (name) => values.get(name) ?? null, set: (name, value) => void values.set(name, value),
      remove: (name) => void values.delete(name), names: (prefix) => [...values.keys()].filter((name) => name.startsWith(prefix)),
    };
  };
  const voucher = (change: Partial<SignedVoucher> = {}): SignedVoucher => ({
    payer: OWN, signer: OWN, receiver: OTHER, apiName: "weather", channelId: "0xaa", salt: "0x00", cumulativeWei: 2n ** 70n, signature: "0x01", ...change,
  });
  it("are kept to the wei, the last one of each channel", () => {
    const store = new VoucherStore(storage());
    store.add("0xasset", voucher({ cumulativeWei: 1n }));
    store.add("0xasset", voucher({ channelId: "0xbb" }));
    store.add("0xasset", voucher());
    expect(readVouchers(store.text("0xasset", OWN))).toEqual([voucher(), voucher({ channelId: "0xbb" })]);
    expect(readVouchers(store.text("0xasset", OTHER))).toEqual([]);
  });
  it("are never replaced by a lower one, whoever was last", () => {
    const [storage_, high] = [storage(), voucher({ cumulativeWei: 5n })];
    const [one, another] = [new VoucherStore(storage_), new VoucherStore(storage_)];
    one.add("0xasset", high);
    another.add("0xasset", voucher({ cumulativeWei: 3n }));
    expect(readVouchers(one.text("0xasset", OWN))).toEqual([high]);
  });
  it("of two tabs that sign at once are all kept, also where neither has seen the other's", () => {
    const [values, blind] = [storage(), storage()];
    const tab = (): Kept => ({ ...values, get: blind.get, names: blind.names });
    const vouchers = [voucher({ cumulativeWei: 5n }), voucher({ cumulativeWei: 3n }), voucher({ channelId: "0xbb" })];
    for (const each of vouchers) new VoucherStore(tab()).add("0xasset", each);
    expect(readVouchers(new VoucherStore(values).text("0xasset", OWN))).toEqual([vouchers[0], vouchers[2]]);
  });
  it.each(["{", "null", "5", "[null]"])("that cannot be read, as %j, are none", (text) => expect(readVouchers(text)).toEqual([]));
});
