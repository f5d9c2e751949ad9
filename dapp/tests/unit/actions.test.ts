import { describe, expect, it } from "vitest";
import * as consumer from "../../src/actions/consumer";
import * as operator from "../../src/actions/operator";
import { FormReader, type Action } from "../../src/actions/action";
import { GEN } from "../../src/domain/amounts";
import { toFieldValue } from "../../src/domain/time";
import { api, line, NOW, OTHER, OWN, report, subscriber } from "./samples";

const fill = (action: Action, values: Record<string, string> = {}) =>
  action.check({ ...Object.fromEntries(action.fields.map((field) => [field.name, field.initial])), ...values });
const effects = (action: Action, values?: Record<string, string>): string => fill(action, values).effects.join(" ");

describe("topping up", () => {
  it("oneself sends the amount as value", () => {
    expect(fill(consumer.topUp(OWN, OWN), { amount: "2.5" }).call).toMatchObject({ method: "top_up_credit", args: [25n * GEN / 10n], valueWei: 25n * GEN / 10n });
  });
  it("somebody else names them, and says that it is theirs", () => {
    const action = consumer.topUp(OWN, OTHER);
    expect(fill(action, { amount: "1" }).call).toMatchObject({ method: "top_up_for", args: [OTHER, GEN], valueWei: GEN });
    expect(effects(action, { amount: "1" })).toContain("you cannot take it back");
  });
  it("says what a month costs, and what a call", () => {
    const [amount] = consumer.topUp(OWN, OWN, { callWei: GEN / 50n, monthWei: 12n * GEN }).fields;
    expect(amount).toMatchObject({ priceWei: GEN / 50n, max: "balance", hint: "30 days cost about 12 GEN at the present rate." });
  });
  it.each([["amount", "0"], ["amount", ""], ["consumer", "0x12"]])("with a wrong %s %j is not sent", (name, value) => {
    const { call, errors } = fill(consumer.topUp(OWN, OTHER), { amount: "1", [name]: value });
    expect(call).toBeNull();
    expect(errors[name]).toBeTruthy();
  });
});

describe("withdrawing", () => {
  it("takes free credit to the last wei", () => expect(fill(consumer.withdraw(GEN + 1n), { amount: "1.000000000000000001" }).call?.args).toEqual([GEN + 1n]));
  it("does not take more", () => expect(fill(consumer.withdraw(GEN), { amount: "1.000000000000000001" }).errors["amount"]).toContain("Only 1 GEN"));
});

describe("the alert level", () => {
  it("is said in GEN", () => expect(effects(consumer.alertLevel(20, 10n * GEN), { percent: "30" })).toContain("3 GEN or less"));
  it("of 0 is none", () => expect(effects(consumer.alertLevel(20, GEN), { percent: "0" })).toBe("There will be no alert."));
  it("is 100 at most", () => expect(fill(consumer.alertLevel(20, GEN), { percent: "101" }).call).toBeNull());
});

describe("subscribing", () => {
  it("accepts the plan's price with cap and deposit", () => {
    expect(fill(consumer.subscribe(api(), undefined, NOW), { plan: "pro", cap: "3", deposit: "2" }).call).toMatchObject({
      method: "subscribe", args: ["weather", 3n * GEN, 2n * GEN, "pro", GEN / 200n], valueWei: 2n * GEN,
    });
  });
  it("again keeps plan and cap, and accepts the new price", () => {
    const action = consumer.subscribe(api(), report({ apis: [line({ planName: "pro", acceptedPriceWei: 1n })] }), NOW);
    expect(fill(action).call?.args).toEqual(["weather", GEN, 0n, "pro", GEN / 200n]);
    expect(effects(action)).toContain("You accept 0.005 GEN a call");
  });
  it("warns of a cap below one call", () => expect(effects(consumer.subscribe(api(), report(), NOW), { cap: "0.001" })).toContain("every call would be refused"));
  const poor = report({ creditBalanceWei: 0n, apis: [] });
  it("warns of credit below one call", () => expect(effects(consumer.subscribe(api(), poor, NOW), { cap: "1" })).toContain("top up too"));
  it("counts the deposit as credit", () => expect(effects(consumer.subscribe(api(), poor, NOW), { cap: "1", deposit: "1" })).not.toContain("top up too"));
  it("says nothing of credit that is not known", () => expect(effects(consumer.subscribe(api(), undefined, NOW), { cap: "1" })).not.toContain("top up too"));
  const held = report({ apis: [line({ holdWei: 1n, holdExpiresAt: NOW + 10, acceptedPriceWei: GEN })] });
  it("with a hold in force keeps the plan, and does not lower the cap", () => {
    expect(fill(consumer.subscribe(api(), held, NOW), { plan: "pro", cap: "0.5" }).errors).toMatchObject({ plan: expect.any(String), cap: expect.any(String) });
    expect(fill(consumer.subscribe(api(), held, NOW), { cap: "2" }).call).not.toBeNull();
  });
  it("with a hold in force says that the accepted price stays", () => expect(effects(consumer.subscribe(api(), held, NOW))).toContain("You accept 1 GEN a call"));
  it("with a hold that has ended is free again", () => {
    expect(fill(consumer.subscribe(api(), held, NOW + 10), { plan: "pro", cap: "0.5" }).call).not.toBeNull();
  });
});

describe("a hold", () => {
  const until = (seconds: number): string => toFieldValue(NOW + seconds);
  it("is placed until its end", () => {
    expect(fill(consumer.placeHold(line(), GEN, NOW), { amount: "1", until: until(3_600) }).call?.args).toEqual(["weather", GEN, NOW + 3_600]);
  });
  it.each([["1.1", 3_600], ["0", 3_600], ["1", 0], ["1", 367 * 86_400]])("of %s GEN for %s seconds is not sent", (amount, seconds) => {
    expect(fill(consumer.placeHold(line(), GEN, NOW), { amount, until: until(seconds) }).call).toBeNull();
  });
  const held = line({ holdWei: GEN, holdExpiresAt: NOW + 7_250 });
  it("is prolonged without more money", () => expect(fill(consumer.placeHold(held, 0n, NOW), { until: until(10_800) }).call?.args).toEqual(["weather", 0n, NOW + 10_800]));
  it("that has ended is placed anew, with what it had", () => {
    const after = held.holdExpiresAt + 1;
    const asked = fill(consumer.placeHold(held, GEN, after), { amount: "1.5", until: toFieldValue(after + 7_200) });
    expect(asked.call?.title).toBe("Hold 1.5 GEN for weather");
    expect(fill(consumer.placeHold(held, GEN, after), { until: toFieldValue(after + 7_200) }).errors["amount"]).toContain("Enter an amount");
  });
  it("is not prolonged unasked", () => {
    expect(fill(consumer.placeHold(held, GEN, NOW), { amount: "1" }).call?.args.at(-1)).toBe(NOW + 7_250);
    expect(fill(consumer.placeHold(held, GEN, NOW)).errors["amount"]).toBe("Enter an amount, or a later end.");
  });
  it("is not cut short", () => expect(fill(consumer.placeHold(held, 0n, NOW), { until: until(3_600) }).errors["until"]).toContain("cannot end before"));
  it("keeps an end between two minutes", () => expect(fill(consumer.placeHold(held, GEN, NOW), { amount: "1", until: until(7_200) }).call?.args).toEqual(["weather", GEN, NOW + 7_250]));
});

describe("ending a subscription", () => {
  it("says what becomes of a hold", () => {
    expect(effects(consumer.unsubscribe(line({ holdWei: GEN, holdExpiresAt: NOW + 1 }), NOW))).toContain("stay on hold");
    expect(effects(consumer.unsubscribe(line({ holdWei: GEN, holdExpiresAt: NOW }), NOW))).toContain("become free credit");
  });
});

describe("registering an API", () => {
  it("sends its standard plan", () => {
    expect(fill(operator.registerApi([]), { api: " Maps ", price: "0.01", daily: "1,000" }).call?.args).toEqual(["maps", GEN / 100n, 1_000n, 0n]);
  });
  it.each([["api", "weather"], ["api", "a b"], ["price", "0"], ["daily", "0"], ["daily", "1.5"], ["monthly", "-1"]])("with a wrong %s %j is not sent", (name, value) => {
    expect(fill(operator.registerApi([api()]), { api: "maps", price: "1", daily: "10", [name]: value }).errors[name]).toBeTruthy();
  });
});

describe("changing a plan", () => {
  const [standard] = api().plans;
  const change = (values: Record<string, string>): string => effects(operator.setPlan(api(), standard!), values);
  it("to a higher price says that subscribers are refused until they accept", () => {
    expect(change({ price: "0.02" })).toMatch(/rises from 0.01 GEN to 0.02 GEN.*refused with “price changed” until they subscribe again.*settles is still billed/);
  });
  it("to a lower price says that it holds at once", () => expect(change({ price: "0.005" })).toContain("for all subscribers from the next call on"));
  it("to a lower limit says who gets no more calls", () => expect(change({ daily: "50" })).toContain("Who has made 50 calls or more this day gets no further one"));
  it("to a higher limit does not", () => expect(change({ daily: "500" })).not.toContain("no further one"));
  it("from no limit to one is tighter", () => expect(change({ monthly: "10" })).toContain("no limit a month to 10 calls a month"));
  it("to the same is not sent", () => expect(fill(operator.setPlan(api(), standard!)).call).toBeNull());
  it("to free and without limits is not sent", () => {
    expect(fill(operator.setPlan(api(), standard!), { price: "0", daily: "0", monthly: "0" }).errors["daily"]).toBe("A free plan needs a limit.");
  });
  it("that is new affects nobody", () => {
    const action = operator.setPlan(api(), null);
    expect(fill(action, { plan: "free", price: "0", daily: "10" }).call?.args).toEqual(["weather", "free", 0n, 10n, 0n]);
    expect(fill(action, { plan: "pro", price: "1", daily: "10" }).errors["plan"]).toContain("such a plan");
  });
});

describe("further steps of an operator", () => {
  it("pause and resume", () => {
    expect(fill(operator.setActive(api())).call?.args).toEqual(["weather", false]);
    expect(fill(operator.setActive(api({ active: false }))).call?.args).toEqual(["weather", true]);
  });
  it("do not allow a meter twice", () => expect(fill(operator.allowMeter(api({ meters: [OTHER] })), { meter: OTHER }).call).toBeNull());
  it("do not hand over to oneself", () => expect(fill(operator.handOver(api(), OWN), { operator: OWN }).call).toBeNull());
  it("tell who is proposed that it cannot be accepted yet", () => {
    expect(effects(operator.handOver(api(), OWN, "earnings wait."), { operator: OTHER })).toContain("cannot be accepted yet: earnings wait.");
    expect(effects(operator.handOver(api(), OWN), { operator: OTHER })).not.toContain("yet");
  });
  it("release a hold of a consumer, and say what it secured", () => {
    const action = operator.releaseHoldOf("weather", subscriber({ holdWei: GEN, holdExpiresAt: NOW + 1, signer: OTHER }), NOW);
    expect(fill(action).call?.args).toEqual(["weather", OWN]);
    expect(effects(action)).toContain("vouchers of a session are paid from its hold only");
    const signed = operator.releaseHoldOf("weather", subscriber({ holdWei: GEN, holdExpiresAt: NOW + 1, signer: OTHER }), NOW, GEN / 2n);
    expect(effects(signed)).toContain("0.5 GEN are signed and not billed yet, as far as they were settled.");
    expect(effects(operator.releaseHoldOf("weather", subscriber({ holdWei: GEN, holdExpiresAt: NOW }), NOW))).toBe("1 GEN become free credit of the consumer.");
  });
});

describe("a page", () => {
  const error = (page: string): string | undefined => {
    const form = new FormReader({ page });
    form.page("page");
    return form.errors["page"];
  };
  it.each(["", "https://a.example/log?x=1#y", `https://${"a".repeat(192)}`])("that is %j is taken", (page) => expect(error(page)).toBeUndefined());
  it.each(["http://a.example", "javascript:alert(1)", "https://a b", "https://ä.example", "https://", `https://${"a".repeat(193)}`])("that is %j is not taken", (page) => {
    expect(error(page)).toContain("https://");
  });
});
