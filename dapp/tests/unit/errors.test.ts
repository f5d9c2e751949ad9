import { describe, expect, it } from "vitest";
import { SentButLost, whyNotSent } from "../../src/chain/errors";

describe("why something was not sent", () => {
  it("knows that a person declined, however deep that is said", () => {
    expect(whyNotSent(new Error("outer", { cause: { code: 4001, message: "User rejected" } })).verdict).toBe("declined");
  });
  it("knows a wallet that still waits", () => {
    expect(whyNotSent({ code: -32002, message: "Request already pending" }).message).toContain("Open it and answer that first");
  });
  it("knows a node that is away", () => expect(whyNotSent(new Error("x", { cause: new TypeError("Failed to fetch") })).message).toBe("The node could not be reached."));
  it("does not call something unsent that the wallet has sent", () => expect(whyNotSent(new SentButLost("0x1", new Error("timed out")))).toMatchObject({ verdict: "unknown", message: expect.stringContaining("0x1") }));
  it("tells the node's own reason", () => {
    expect(whyNotSent(Object.assign(new Error("long"), { shortMessage: "short", details: "the sender has too little" })).message).toBe("the sender has too little");
  });
  it.each([[undefined, "undefined"], ["text", "text"]])("says something of %s", (thrown, text) => expect(whyNotSent(thrown).message).toBe(text));
});
