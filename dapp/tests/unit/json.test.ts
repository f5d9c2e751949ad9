import { describe, expect, it } from "vitest";
import { parseJson, toJson } from "../../src/domain/json";

describe("JSON", () => {
  it("keeps integers of any size", () => {
    expect(parseJson('{"a": 123456789012345678901234567890, "b": [-1, 0]}')).toEqual({ a: 123456789012345678901234567890n, b: [-1n, 0n] });
  });
  it("leaves digits in texts alone", () => {
    expect(parseJson('{"api-1":"2 \\"3\\" \\\\","4":null}')).toEqual({ "api-1": '2 "3" \\', "4": null });
  });
  it.each(["1.5", '{"a":1e3}', "{", ""])("refuses %j", (text) => expect(() => parseJson(text)).toThrow(SyntaxError));
  it("writes bigints as integers", () => {
    expect(toJson({ a: 10n ** 20n, b: ["1n", -5n], c: 2 })).toBe('{"a":100000000000000000000,"b":["1n",-5],"c":2}');
  });
});
