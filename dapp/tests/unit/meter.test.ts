// @vitest-environment happy-dom
import { afterEach, describe, expect, it, vi } from "vitest";
import { MeterClient, MeterError, answerOf, readConsumers, readReconciliation, readRecords, type Comparison, type Reconciliation } from "../../src/meter/client";
import { KnownMeters, isReadableOnTheWay, isToken, meterUrl, nameOf, placeOf } from "../../src/meter/known";
import { amountText, isZeroLine, reasonWords, troubleOf, verdictOf } from "../../src/meter/words";
import { onChain } from "../../src/pages/meter/beside";

const TOKEN = "an-admin-token-of-a-test";
const PAGE = "https://page.example";
const line: Comparison = {
  consumer: "acme", day: 20_000, meteredCalls: 2n, meteredWei: 10n, chainCalls: 2n, chainWei: 10n, receiptCalls: 0n, differenceWei: 0n, unexplainedWei: 0n, why: [],
};
const books = (...lines: Comparison[]): Reconciliation => ({ atMs: 0, zero: lines.every(isZeroLine), closed: false, unknownSettlements: 0n, lines });

function failureOf(status: number, body: string): string {
  try {
    answerOf(status, body, readConsumers);
  } catch (error) {
    if (error instanceof MeterError) return error.failure;
    throw error;
  }
  return "none";
}

afterEach(() => vi.unstubAllGlobals());

describe("an address and a token", () => {
  it("are taken as they are typed, or not at all", () => {
    expect(meterUrl(" https://meter.example/v/ ")).toBe("https://meter.example/v");
    for (const wrong of ["meter.example", "ftp://meter.example", "https://me:secret@meter.example", "https://meter.example?token=1", "https://meter.example#x", "javascript:1"]) {
      expect(meterUrl(wrong), wrong).toBe("");
    }
    expect([TOKEN, "short", "with a space in it", "with\na line in it ", "größerer-schlüssel"].map(isToken)).toEqual([true, false, false, false, false]);
  });

  it("are warned of where others can read the token", () => {
    for (const own of ["https://meter.example", "http://localhost:8402", "http://meter.localhost", "http://127.0.0.1:1", "http://[::1]:1"]) expect(isReadableOnTheWay(own), own).toBe(false);
    for (const other of ["http://meter.example", "http://192.168.1.2:1", "http://127.0.0.1.example", "http://localhost.example"]) expect(isReadableOnTheWay(other), other).toBe(true);
  });

  it("are kept for one operator of one contract, and forgotten", () => {
    const known = new KnownMeters();
    const [mine, other] = [nameOf("http://node", "0xc", "0xa"), nameOf("http://node", "0xc", "0xb")];
    const told = vi.fn();
    known.subscribe(told);
    known.set(mine, { url: "https://meter.example", token: TOKEN });
    expect(placeOf(known.text(mine))).toEqual({ url: "https://meter.example", token: TOKEN });
    expect(known.text(other)).toBe("");
    window.dispatchEvent(new StorageEvent("storage", { key: mine }));
    expect(told).toHaveBeenCalledTimes(2); // another tab may have forgotten it
    known.forget(mine);
    expect(known.text(mine)).toBe("");
    expect(told).toHaveBeenCalledTimes(3);
  });

  it("are none where something else was kept", () => {
    for (const text of ["", "null", "1", "{", '{"url":"https://meter.example"}', JSON.stringify({ url: "javascript:1", token: TOKEN })]) expect(placeOf(text), text).toBeNull();
  });
});

describe("an answer of a meter", () => {
  it("has amounts as texts, of which none is rounded", () => {
    const why = [{ reason: "retried on day 2 instead of 1", calls: -1, amount_wei: "-900719925474099312345" }];
    const sent = {
      consumer: "acme", day: 1, metered_calls: 1, metered_wei: "900719925474099312345", chain_calls: 0, chain_wei: "0", receipt_calls: 0,
      difference_wei: "-900719925474099312345", unexplained_wei: "0", why,
    };
    const answer = (of: object) => JSON.stringify({ at_ms: 1, zero: false, closed: false, unknown_settlements: 0, lines: [{ ...sent, ...of }] });
    expect(answerOf(200, answer({}), readReconciliation).lines[0]?.differenceWei).toBe(-900719925474099312345n);
    for (const wrong of [{ metered_wei: 5 }, { metered_wei: "1.5" }, { metered_wei: "" }, { metered_calls: 1.5 }]) {
      expect(() => answerOf(200, answer(wrong), readReconciliation)).toThrow(MeterError);
    }
  });

  it("has no number that nobody can show", () => {
    const answer = (of: object) => JSON.stringify({ at_ms: 1, zero: false, closed: false, unknown_settlements: 0, lines: [], ...of });
    expect(answerOf(200, answer({}), readReconciliation).atMs).toBe(1);
    for (const wrong of [{ at_ms: 9e15 }, { at_ms: -1 }, { unknown_settlements: 2 ** 53 + 2 }, { unknown_settlements: "1" }]) {
      expect(() => answerOf(200, answer(wrong), readReconciliation), JSON.stringify(wrong)).toThrow(MeterError);
    }
    expect(() => answerOf(200, '{"currency":"GEN","currency_decimals":1000000000,"records":[],"next":null}', readRecords)).toThrow(MeterError);
  });

  it("may have tags of any form", () => {
    const sent = {
      id: "01", at_ms: 1, state: "settled", method: "GET", route: "/", estimate_wei: "5", charged_wei: "4", uncollected_wei: "0", code: "", reason: "", status: 200, duration_ms: 3,
      tags: { tokens: 1.5 },
    };
    const body = JSON.stringify({ currency: "GEN", currency_decimals: 18, records: [sent], next: null });
    expect(answerOf(200, body, readRecords).records[0]?.chargedWei).toBe(4n);
  });

  it("says what is wrong", () => {
    expect(failureOf(200, '{"consumers":[],"next":null}')).toBe("none");
    expect(failureOf(401, "{}")).toBe("wrong_token");
    expect(failureOf(403, "{}")).toBe("wrong_token");
    expect(failureOf(404, "<html>")).toBe("not_a_meter");
    expect(failureOf(404, '{"code":"not_found","detail":"x"}')).toBe("not_a_meter");
    expect(failureOf(200, "[]")).toBe("not_a_meter");
    expect(failureOf(502, "<html>")).toBe("unavailable");
    expect(failureOf(429, "slow down")).toBe("unavailable");
    expect(failureOf(503, '{"code":"store","detail":"The store does not answer"}')).toBe("unavailable");
    expect(failureOf(400, '{"code":"no_contract","detail":"It settles on none"}')).toBe("refused");
  });

  it("is asked for with the token in its header alone, and where another site stands in front of it, without", async () => {
    const asked: [string, RequestInit][] = [];
    const answers: (Response | null)[] = [new Response('{"consumers":[],"next":null}'), null, null, new Response("ok"), null, null, null, null, new Response("ok")];
    vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
      asked.push([url, init]);
      const answer = answers.shift();
      if (!answer) throw new TypeError("Failed to fetch");
      return answer;
    });
    const client = new MeterClient({ url: "https://meter.example", token: TOKEN });
    await client.consumers("");
    await expect(client.consumers("")).rejects.toMatchObject({ failure: "closed" });
    await expect(client.consumers("")).rejects.toMatchObject({ failure: "silent" });
    await expect(client.consumers("")).rejects.toMatchObject({ failure: "unavailable" });
    expect(asked.map(([url, { mode }]) => `${new URL(url).pathname} ${mode ?? ""}`)).toEqual([
      "/v1/consumers ", "/v1/consumers ", "/healthz cors", "/healthz no-cors", "/v1/consumers ", "/healthz cors", "/healthz no-cors", "/v1/consumers ", "/healthz cors",
    ]);
    for (const [url, { headers, redirect, credentials }] of asked) {
      expect(url).not.toContain(TOKEN);
      expect(credentials).toBe("omit");
      const isAsking = url.includes("/v1/");
      expect(headers).toEqual(isAsking ? { authorization: `Bearer ${TOKEN}` } : undefined);
      if (isAsking) expect(redirect).toBe("error");
    }
  });
});

it("an answer without an end is none of a meter", async () => {
  const endless = new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(2 ** 20).fill(32)) });
  vi.stubGlobal("fetch", async () => new Response(endless));
  await expect(new MeterClient({ url: "https://meter.example", token: TOKEN }).status()).rejects.toMatchObject({ failure: "not_a_meter" });
});

describe("words of a meter", () => {
  it("tell amounts of its currency with all digits", () => {
    const usd = { currency: "USD", currencyDecimals: 6 };
    expect(amountText(1_234_500_000n, usd)).toBe("1,234.5 USD");
    expect(amountText(-1n, usd)).toBe("-0.000001 USD");
    expect(amountText(5n, { currency: "POINTS", currencyDecimals: 0 })).toBe("5 POINTS");
  });

  it("tell why meter and chain differ", () => {
    expect(reasonWords("not in a batch yet")).toBe("Waits for the next batch");
    expect(reasonWords("sent, outcome not known (batch 7)")).toBe("In a batch that was sent, and whose outcome is not known yet (batch 7)");
    expect(reasonWords("retried on day 20001 instead of 20000")).toMatch(/^Billed on 5 Oct 2024, used on 4 Oct 2024$/);
    for (const odd of ["something new", "retried on day 99999999999 instead of 1"]) expect(reasonWords(odd).toLowerCase()).toBe(odd);
  });

  it("tell what a reconciliation comes to", () => {
    const waits = { ...line, meteredWei: 11n, meteredCalls: 3n, differenceWei: 1n, why: [{ reason: "not in a batch yet", calls: 1n, amountWei: 1n }] };
    expect(verdictOf(books(line)).tone).toBe("info");
    expect(verdictOf(books(line, waits))).toEqual({ tone: "warn", title: "Meter and chain differ in 1 of 2 lines, all of it explained" });
    expect(verdictOf(books(line, { ...waits, unexplainedWei: 1n })).tone).toBe("stop");
    expect(verdictOf({ ...books(line, waits), unknownSettlements: 1n }).tone).toBe("stop");
    expect(verdictOf({ ...books(waits), closed: true }).tone).toBe("info");
  });

  it("tell what to do where it is not read", () => {
    const text = (failure: ConstructorParameters<typeof MeterError>[0], url = "https://meter.example") => troubleOf(new MeterError(failure), url, PAGE).text;
    expect(text("closed")).toContain(`API_BILLING_ADMIN_ORIGINS=${PAGE}`);
    expect(text("wrong_token")).toContain("API_BILLING_ADMIN_TOKEN");
    expect(text("silent")).not.toContain("https from asking");
    expect(text("silent", "http://meter.example")).toContain("https from asking");
  });
});

it("the chain's side has the meter's day and month", () => {
  const day = (dayId: number, earnedWei: bigint) => ({ dayId, calls: 1n, earnedWei }) as Parameters<typeof onChain>[0][number];
  const first = Date.UTC(2026, 11, 1) / 86_400_000;
  expect(onChain([day(first - 1, 100n), day(first, 10n), day(first + 1, 1n), day(first + 2, 1000n)], first + 1)).toEqual({
    today: { calls: 1n, wei: 1n }, month: { calls: 2n, wei: 11n },
  });
});
