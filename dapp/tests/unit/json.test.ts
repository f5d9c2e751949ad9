import { describe, expect, it } from "vitest";
import { parseJson, toJson } from "../../src/domain/json";

describe("JSON", () => {
  it("keeps integers of any size", () => {
    expect(parseJson('{"a": 123456789012345678901234567890, "b": [-1, 0]}')).toEqual({ a: 123456789012345678901234567890n, b: [-1n, 0n] });
  });
  it("leaves digits in texts alone", () => {
    expect(parseJson('{"api-1":"2 \\"3\\" \\\\","4":null}')).toEqual({ "api-1": '2 "3" \\', "4": null });
  });
  it.each(["1.5", '{"a":1e3}', "{", "", "[01]"])("refuses %j", (text) => expect(() => parseJson(text)).toThrow(SyntaxError));
  it("refuses what would take long to look through", () => expect(() => parseJson(String.raw`\"`.repeat(500_000))).toThrow(SyntaxError));
  it("takes no text for an integer, whatever stands in it", () => {
    const text = String.raw`{"a":"\u0000int:5"}`;
    expect(parseJson(text)).toEqual({ a: "\0int:5" });
    expect(toJson({ a: "\0int:5" })).toBe(text);
  });
  it("writes bigints as integers", () => {
    expect(toJson({ a: 10n ** 20n, b: ["1n", -5n], c: 2 })).toBe('{"a":100000000000000000000,"b":["1n",-5],"c":2}');
  });
});
