import { abi } from "genlayer-js";
import { describe, expect, it } from "vitest";
import { callData, decode, encode, fromHex, toHex, type Encodable } from "../../src/chain/calldata";

const VALUES: [string, Encodable][] = [
  ["null", null], ["flags", [true, false]], ["numbers", [0, 1, -1, 8, 128, 2n ** 64n, 2n ** 256n - 1n, -(2n ** 255n)]],
  ["texts", ["", "a", "é", "0x".padEnd(300, "a"), "𝄞"]], ["lists", [[], [1, ["a"]]]],
  ["records", { b: 1, a: 2, é: 3, "𝄞": 4, "\uffff": 5, "": {} }], ["a call", { method: "subscribe", args: ["weather", 10n ** 18n, 0n, "standard"] }],
];

const plain = (value: unknown): unknown => {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, each]) => [key, plain(each)]));
  return Array.isArray(value) ? value.map(plain) : value;
};

describe("calldata", () => {
  it.each(VALUES)("is that of genlayer-js: %s", (_name, value) => {
    expect(toHex(encode(value))).toBe(toHex(abi.calldata.encode(value as never)));
  });
  it.each(VALUES)("is decoded as genlayer-js does it: %s", (_name, value) => {
    const bytes = encode(value);
    expect(JSON.stringify(decode(bytes), text)).toBe(JSON.stringify(plain(abi.calldata.decode(bytes)), text));
  });
  it("decodes addresses and bytes as hexadecimal text", () => {
    expect(decode(fromHex(`18${"ab".repeat(20)}`))).toBe(`0x${"ab".repeat(20)}`);
    expect(decode(fromHex("136162"))).toBe("0x6162");
  });
  it.each(["", "1c61", "0c6161", "80", "0800", "07", "20"])("refuses %j", (hex) => expect(() => decode(fromHex(hex))).toThrow());
  it("of a read is the list that nodes expect", () => expect(callData("get", [])).toBe("0xce8c0e066d6574686f641c67657400"));
  it("of a long read is what genlayer-js sends", () => {
    const args = ["x".repeat(400), 5];
    expect(callData("f", args)).toBe(abi.transactions.serialize([abi.calldata.encode(abi.calldata.makeCalldataObject("f", args, undefined)), false]));
  });
});

const text = (_key: string, value: unknown): unknown => (typeof value === "bigint" ? `${value}n` : value);
