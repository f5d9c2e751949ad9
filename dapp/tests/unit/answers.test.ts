import { describe, expect, it } from "vitest";
import { readApi, VIEWS } from "../../src/domain/answers";
import { answerTo, UnexpectedAnswer } from "../../src/domain/reading";
import { OTHER, OWN } from "./samples";

const readReport = VIEWS.get_usage_report.read;

const LINE = {
  api_name: "weather", calls_today: 3, spend_today_wei: 3, cost_per_call_wei: 1, api_daily_limit_calls: 10, consumer_max_daily_spend_wei: 100,
  plan_name: "standard", accepted_price_wei: 1, calls_month: 3, spend_month_wei: 3, api_monthly_limit_calls: 0, calls_left_today: null,
  spend_left_today_wei: 97, hold_wei: 0, hold_expires_at: 0, active: true, subscribed: true, settlements: 0, signer: "",
};
const REPORT = { consumer: OWN, day_id: 20454, held_wei: 0, low_credit: false, notices: 2, resets_at: 1, month_resets_at: 2, total: 1, apis: [LINE] };
const text = (credit: string, more: object = {}): string =>
  JSON.stringify({ ...REPORT, ...more, credit_balance_wei: "CREDIT" }).replace('"CREDIT"', credit);

describe("the usage report", () => {
  it("has amounts to the last wei", () => {
    expect(readReport(text("340282366920938463463374607431768211455")).creditBalanceWei).toBe(2n ** 128n - 1n);
  });
  it("knows that null is no limit", () => expect(readReport(text("1")).apis[0]?.callsLeftToday).toBeNull());
  it("may have fields that are not known here", () => expect(readReport(text("1", { later: [1] })).notices).toBe(2));
  it("is of who was asked for, however the address is written", () => {
    expect(answerTo(VIEWS.get_usage_report, [OWN.toUpperCase().replace("X", "x")], text("1")).consumer).toBe(OWN);
    expect(() => answerTo(VIEWS.get_usage_report, [OTHER], text("1"))).toThrow("another consumer was asked for");
  });
  it.each([
    ["the year 10000", text("1", { resets_at: 253_402_300_800 })], ["a day after it", text("1", { day_id: 2_932_897 })], ["less than nothing", text("-1")],
    ["more than anything", text(String(2n ** 256n + 1n))], ["an address that is none", text("1", { consumer: "0x11" })],
    ...["<b>weather</b>", "weather\u202e", "x".repeat(65), "Weather", "a/../b"].map((api_name) => ["a name that is none", text("1", { apis: [{ ...LINE, api_name }] })]),
  ])("has not %s", (_what, value) => expect(() => readReport(value)).toThrow(UnexpectedAnswer));
  it.each([
    ["no JSON", "hello"], ["no text", 5n], ["a list", "[]"], ["a missing field", '{"consumer":"0x11"}'], ["another type", text('"1"')], ["a fraction", text("1.5")],
  ])("refuses %s", (_what, value) => expect(() => readReport(value)).toThrow(UnexpectedAnswer));
});

describe("an API", () => {
  it("without its plans is refused", () => {
    expect(() => readApi({ api_name: "a", operator: OTHER, proposed_operator: "", active: true, meters: [], next_sequence: 1n })).toThrow("plans");
  });
});
