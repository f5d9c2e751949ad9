import { describe, expect, it } from "vitest";
import { explain, splitRefusal } from "../../src/domain/refusals";

describe("refusals", () => {
  it("are explained", () => {
    expect(explain("price_changed")).toEqual({
      meaning: "The price rose above the one the client accepted", nextStep: "Subscribe again to accept the new price.",
    });
  });
  it("of a withdrawal speak of nobody else's credit", () => {
    for (const code of ["insufficient_credit", "insufficient_earnings"]) expect(explain(code).meaning).not.toContain("client");
  });
  it("that are not known are shown as they are", () => {
    expect(explain("brand_new")).toEqual({ meaning: "Brand new", nextStep: "" });
    expect(explain("toString").meaning).toBe("ToString");
  });
  it("are found within longer messages", () => {
    expect(splitRefusal("execution failed: [EXPECTED] no_hold: no hold on this api\n")).toEqual({ code: "no_hold", text: "no hold on this api" });
    expect(splitRefusal("exit_code 1")).toBeNull();
  });
});
