import { describe, expect, it } from "vitest";
import { heardOf, isRefusal, NotTaken, SentButLost, whyNotSent } from "../../src/chain/errors";
import { NodeError } from "../../src/chain/rpc";

describe("why something was not sent", () => {
  it("knows that a person declined, however deep that is said", () => {
    expect(whyNotSent(new Error("outer", { cause: { code: 4001, message: "User rejected" } })).verdict).toBe("declined");
  });
  it("knows a wallet that still waits", () => {
    expect(whyNotSent({ code: -32002, message: "Request already pending" }).message).toContain("Open it and answer that first");
  });
  it("knows a node that is away", () => expect(whyNotSent(new Error("x", { cause: new TypeError("Failed to fetch") })).message).toBe("The node could not be reached."));
  it("does not call something unsent that the wallet has sent", () => expect(whyNotSent(new SentButLost("0x1", new Error("timed out")))).toMatchObject({ verdict: "unknown", message: expect.stringContaining("0x1") }));
  it.each(["Failed to fetch", "The request timed out."])("does not call something unsent that a wallet may have sent: %s", (message) => {
    const thrown = ((): unknown => { try { return heardOf(new Error("Internal error", { cause: { message } })); } catch (error) { return error; } })();
    expect(whyNotSent(new Error("outer", { cause: thrown }))).toMatchObject({ verdict: "unknown", message: expect.stringContaining("before you send it again") });
  });
  it("leaves what else a wallet says as it is", () => expect(() => heardOf({ code: 4001 })).toThrow(expect.objectContaining({ code: 4001 })));
  it.each([
    [new NotTaken("InsufficientFees"), true], [new NodeError("rejected", "nonce too low"), true], [new NodeError("busy", "limit"), true],
    [new NodeError("unreachable", "no answer in time"), false], [new NodeError("not_a_node", "half an answer"), false], [new SentButLost("0x1", null), false],
  ])("a node that has not answered has refused nothing: %s", (error, refused) => expect(isRefusal(error)).toBe(refused));
  it("tells the node's own reason", () => {
    expect(whyNotSent(Object.assign(new Error("long"), { shortMessage: "short", details: "the sender has too little" })).message).toBe("the sender has too little");
  });
  it.each([[undefined, "undefined"], ["text", "text"]])("says something of %s", (thrown, text) => expect(whyNotSent(thrown).message).toBe(text));
});
