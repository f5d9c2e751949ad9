import { describe, expect, it } from "vitest";
import { encode, type Encodable } from "../../src/chain/calldata";
import { outcomeOf, type Raw } from "../../src/tx/outcome";

const base64 = (bytes: Iterable<number>): string => btoa(String.fromCharCode(...bytes));
const returned = (value: Encodable): string => base64([0, ...encode(value)]);
const raised = (text: string, code = 1): string => base64([code, ...new TextEncoder().encode(text)]);
const tx = (result: string | null, more: Raw = {}): Raw => ({
  status: "ACCEPTED", type: 2n, to_address: "0xAB", value: 5n, triggered_transactions: [],
  consensus_data: { leader_receipt: [{ execution_result: "SUCCESS", result }] }, ...more,
});

describe("the outcome of a transaction", () => {
  it("is done when the contract returned", () => expect(outcomeOf(tx(returned(null)))).toMatchObject({ verdict: "done", isDecided: true, isFinal: false, to: "0xab", valueWei: 5n }));
  it("has what it calls, where the node tells it", () => {
    const called = (calldata: unknown) => outcomeOf(tx(returned(null), { data: { calldata } })).method;
    expect(called(base64(encode({ args: [1n], method: "judge" })))).toBe("judge");
    expect(called(base64(encode({ args: [1n], "": "judge" })))).toBe("judge"); // as the line v0.3 has it
    expect([called(undefined), called("%"), called(base64([255])), called(base64(encode({ method: 7n }))), outcomeOf(tx(returned(null), { data: null })).method]).toEqual(["", "", "", "", ""]);
  });
  it("is pending until it is decided", () => expect(outcomeOf({ status: "PROPOSING" })).toMatchObject({ verdict: "pending", isDecided: false }));
  it("is a refusal with its code", () => {
    expect(outcomeOf(tx(raised("[EXPECTED] not_operator: caller is not the operator")))).toMatchObject({ verdict: "refused", code: "not_operator", message: "caller is not the operator" });
  });
  it("is the same refusal from a contract of the v0.3 line, whose errors are calldata", () => {
    const payload = [1, ...encode("no such thing")];
    expect(outcomeOf(tx(base64(payload)))).toMatchObject({ verdict: "failed", message: "no such thing" });
    expect(outcomeOf(tx(base64([1, ...encode("[EXPECTED] no_hold: none")])))).toMatchObject({ verdict: "refused", code: "no_hold", message: "none" });
  });
  it("has what was deposited for the fee, and what of it came back", () => {
    const accounting = { paid_fee_value: "9000000000000000001", refunded_fee_value: null, error: null };
    expect(outcomeOf(tx(returned(null), { fee_accounting: accounting })).fee).toEqual({ depositWei: 9000000000000000001n, returnedWei: null, refused: "" });
    expect(outcomeOf(tx(returned(null), { fee_accounting: { ...accounting, refunded_fee_value: "7" } })).fee?.returnedWei).toBe(7n);
    const other = { paid_fee_value: 9, total_refunded: 0 };
    const returnedAt = (status: string) => outcomeOf(tx(returned(null), { status, fee_accounting: other })).fee?.returnedWei;
    expect([returnedAt("ACCEPTED"), returnedAt("FINALIZED")]).toEqual([null, 0n]);
  });
  it.each([null, undefined, {}, "much", { paid_fee_value: "much" }])("has no fee where the node tells none: %j", (accounting) => {
    expect(outcomeOf(tx(returned(null), { fee_accounting: accounting })).fee).toBeNull();
  });
  it("of what the network cancelled for its fee says so", () => {
    const accounting = { paid_fee_value: "5", refunded_fee_value: "5", error: "MaxPriceExceeded" };
    expect(outcomeOf(tx(null, { status: "CANCELED", fee_accounting: accounting }))).toMatchObject({ verdict: "failed", message: "it was cancelled (MaxPriceExceeded)" });
  });
  it("is a failure when the contract's code failed", () => expect(outcomeOf(tx(raised("exit_code 1", 2)))).toMatchObject({ verdict: "failed", message: "exit_code 1" }));
  it("tells of money that was kept although the rest was refused", () => {
    const answer = { ok: false, code: "hold_in_force", message: "[EXPECTED] hold_in_force: hold has not expired", credited_wei: 7n, credit_wei: 9n };
    expect(outcomeOf(tx(returned(answer)))).toMatchObject({ verdict: "kept", code: "hold_in_force", keptWei: 7n });
  });
  it("tells of a bond that a court returns", () => {
    const answer = { ok: false, code: "day_open", message: "[EXPECTED] day_open: day open", returned_wei: 7n };
    expect(outcomeOf(tx(returned(answer)))).toMatchObject({ verdict: "kept", code: "day_open", keptWei: 7n });
  });
  it("of a payable call that worked is done", () => expect(outcomeOf(tx(returned({ ok: true, credited_wei: 7n }))).verdict).toBe("done"));
  it.each(["UNDETERMINED", "LEADER_TIMEOUT", "VALIDATORS_TIMEOUT", "CANCELED"])("is a failure and final with %s", (status) => {
    expect(outcomeOf(tx(returned(null), { status }))).toMatchObject({ verdict: "failed", isFinal: true });
  });
  it("of a transfer is done without any code", () => expect(outcomeOf({ status: "FINALIZED", type: 0n, consensus_data: null })).toMatchObject({ verdict: "done", isFinal: true }));
  it("of a call without a receipt is not taken for done", () => expect(outcomeOf({ status: "ACCEPTED", type: 2n, consensus_data: {} }).verdict).toBe("failed"));
  it("has the transactions that were triggered", () => expect(outcomeOf(tx(returned(null), { triggered_transactions: ["0x1"] })).children).toEqual(["0x1"]));
});
