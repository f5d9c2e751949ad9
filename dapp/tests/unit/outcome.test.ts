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
  it("is pending until it is decided", () => expect(outcomeOf({ status: "PROPOSING" })).toMatchObject({ verdict: "pending", isDecided: false }));
  it("is a refusal with its code", () => {
    expect(outcomeOf(tx(raised("[EXPECTED] not_operator: caller is not the operator")))).toMatchObject({ verdict: "refused", code: "not_operator", message: "caller is not the operator" });
  });
  it("is a failure when the contract's code failed", () => expect(outcomeOf(tx(raised("exit_code 1", 2)))).toMatchObject({ verdict: "failed", message: "exit_code 1" }));
  it("tells of money that was kept although the rest was refused", () => {
    const answer = { ok: false, code: "hold_in_force", message: "[EXPECTED] hold_in_force: hold has not expired", credited_wei: 7n, credit_wei: 9n };
    expect(outcomeOf(tx(returned(answer)))).toMatchObject({ verdict: "kept", code: "hold_in_force", keptWei: 7n });
  });
  it("of a payable call that worked is done", () => expect(outcomeOf(tx(returned({ ok: true, credited_wei: 7n }))).verdict).toBe("done"));
  it.each(["UNDETERMINED", "LEADER_TIMEOUT", "VALIDATORS_TIMEOUT", "CANCELED"])("is a failure and final with %s", (status) => {
    expect(outcomeOf(tx(returned(null), { status }))).toMatchObject({ verdict: "failed", isFinal: true });
  });
  it("of a transfer is done without any code", () => expect(outcomeOf({ status: "FINALIZED", type: 0n, consensus_data: null })).toMatchObject({ verdict: "done", isFinal: true }));
  it("of a call without a receipt is not taken for done", () => expect(outcomeOf({ status: "ACCEPTED", type: 2n, consensus_data: {} }).verdict).toBe("failed"));
  it("has the transactions that were triggered", () => expect(outcomeOf(tx(returned(null), { triggered_transactions: ["0x1"] })).children).toEqual(["0x1"]));
});
