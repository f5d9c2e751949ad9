import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Settlement } from "../../src/domain/answers";
import { parseJson, toJson } from "../../src/domain/json";
import { consumerOf, dayIdOf, judgeProof, leadsTo, lineEvidence, lineText, NoProof, readProof } from "../../src/domain/proof";

const PROOFS = parseJson(readFileSync(new URL("proofs.json", import.meta.url), "utf-8")) as { root: string; line: unknown[]; path: string[] }[];
const DOCUMENT = PROOFS.find((each) => each.path.length === 3 && each.line[3] === "0x1111111111111111111111111111111111111111")!;
const write = (change: object = {}): string => toJson({ ...DOCUMENT, ...change });
const proof = readProof(write());
const ENTRY = { consumer: consumerOf(proof.line), dayId: dayIdOf(proof.line), calls: 1n, spendWei: 1n, billedCalls: 1n, billedWei: 1n, code: "" };
const SETTLEMENT: Settlement = { apiName: "weather", sequence: proof.sequence, usageRoot: DOCUMENT.root, billedCalls: 1n, billedWei: 1n, refusedEntries: 0, settledAt: 1, entries: [ENTRY] };

describe("a proof that the meter made", () => {
  it.each(PROOFS.map((each, i) => [i, each] as const))("number %i leads to its root, and to no other", (_i, each) => {
    const read = readProof(toJson(each));
    expect(leadsTo(read, each.root)).toBe(true);
    expect(leadsTo(read, "0".repeat(64))).toBe(false);
  });
  it("is proven and billed by the settlement that the contract keeps", () => {
    expect(judgeProof(proof, SETTLEMENT)).toMatchObject({ status: "proven", billed: true, text: expect.stringContaining("line 1 of 5 in settlement 5") });
  });
  it("whose day was refused in part says so", () => {
    const found = judgeProof(proof, { ...SETTLEMENT, entries: [{ ...ENTRY, code: "daily_spend_exceeded" }] });
    expect(found).toMatchObject({ status: "proven", billed: false, text: expect.stringContaining("daily spending cap") });
  });
  it("of a settlement that the contract forgot is consistent, no more", () => expect(judgeProof(proof, "forgotten").status).toBe("forgotten"));
  it("says in words what was counted, and when", () => {
    expect(lineText(proof.line)).toBe("On 15 Mar 2026, 12:00 UTC weather counted one call of 0x1111…1111 for 1,000 GEN.");
  });
  it("says of how many units a call was", () => expect(lineText({ ...proof.line, units: 1_200n })).toContain("one call (1,200 units) of"));
  it("is named in a claim so that it is found again", () => expect(lineEvidence(proof, DOCUMENT.root)).toContain(`line 1 of 5 of settlement 5 of weather, usage root ${DOCUMENT.root}`));
});

describe("a proof that was changed", () => {
  const line = (at: number, value: unknown): object => ({ line: DOCUMENT.line.map((each, i) => (i === at ? value : each)) });
  it.each([
    ["another amount", line(6, "1")], ["more calls", line(5, 2n)], ["another time", line(4, 5n)], ["another place", { index: 1n }], ["fewer lines", { leaf_count: 4n }],
    ["a shorter path", { path: DOCUMENT.path.slice(1) }], ["a longer path", { path: [...DOCUMENT.path, "0".repeat(64)] }], ["a place beyond the last", { index: 5n }], ["a place below 0", { index: -1n }],
  ])("has %s: false", (_what, change) => {
    const changed = readProof(write(change));
    expect(judgeProof(changed, SETTLEMENT)).toMatchObject({ status: "false", text: expect.stringContaining("The file was changed") });
    expect(judgeProof(changed, "forgotten").status).toBe("false");
  });
  it("is of a settlement that is not there: false", () => expect(judgeProof(proof, null).text).toBe("The contract has no settlement 5 of weather."));
  it("is of nobody who was settled: false", () => {
    expect(judgeProof(proof, { ...SETTLEMENT, entries: [{ ...ENTRY, dayId: 1 }] }).text).toContain("no entry of this consumer and day");
  });
});

describe("a text that is no proof", () => {
  it.each([
    ["{", "not JSON"], ["[]", "not a JSON object"], ["null", "not a JSON object"], ["{}", "“version”"], [write({ version: 2n }), "version 2"], [write({ path: {} }), "“path”"],
    [write({ path: ["00"] }), "hashes of 32 bytes"], [write({ path: [5n] }), "hashes of 32 bytes"], [write({ line: [] }), "another form"], [write({ line: DOCUMENT.line.with(6, "-1") }), "another form"],
    [write({ line: DOCUMENT.line.with(5, "1") }), "another form"], [write({ api: "maps" }), "fit together"], [write({ leaf_count: 0n }), "fit together"], [write({ sequence: 0n }), "fit together"],
    [write({ line: DOCUMENT.line.with(4, 10n ** 20n) }), "fit together"], [write({ index: "0" }), "“index”"], [write().replace('"index":0', '"index":0.5'), "not whole"], ["x".repeat(200_001), "larger"],
  ])("%# is refused exactly", (text, why) => expect(() => readProof(text)).toThrow(expect.objectContaining({ constructor: NoProof, message: expect.stringContaining(why) })));
});
