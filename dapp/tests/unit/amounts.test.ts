import { describe, expect, it } from "vitest";
import { alignedGen, AmountError, atMostGen, exactGen, exactWei, GEN, MAX_WEI, parseGen, share, shortGen } from "../../src/domain/amounts";

describe("amounts", () => {
  it.each([
    [0n, "0"], [1n, "0.000000000000000001"], [GEN, "1"], [GEN / 2n, "0.5"], [1234n * GEN + GEN / 4n, "1,234.25"],
    [-GEN / 2n, "-0.5"], [MAX_WEI, "340,282,366,920,938,463,463.374607431768211455"],
  ])("are exact in GEN: %s wei", (wei, text) => expect(exactGen(wei)).toBe(text));

  it("are exact in a column, with the same number of decimals", () => {
    expect([GEN / 2n, 1234n * GEN, GEN / 100n].map(alignedGen([GEN / 2n, 1234n * GEN, GEN / 100n]))).toEqual(["0.50", "1,234.00", "0.01"]);
    expect([alignedGen([])(0n), alignedGen([GEN])(GEN)]).toEqual(["0", "1"]);
  });

  it.each([
    [0n, "0"], [1n, "<0.000001"], [GEN - 1n, "0.999999"], [1234567n * 10n ** 12n, "1.234567"], [12345678n * 10n ** 11n, "1.234567"], [10n ** 12n, "0.000001"],
    [1234567n * 10n ** 15n, "1,234.56"], [1000n * GEN + 1n, "1,000"],
  ])("are cut, never rounded up: %s wei", (wei, text) => expect(shortGen(wei)).toBe(text));
  it.each<[bigint, string]>([[0n, "0"], [1n, "0.000001"], [10n ** 12n, "0.000001"], [10n ** 12n + 1n, "0.000002"], [GEN, "1"], [1234n * GEN + 1n, "1,234.000001"]])(
    "are rounded up where they are the most: %s wei", (wei, text) => expect(atMostGen(wei)).toBe(text),
  );

  it("show wei with separators", () => expect(exactWei(1234567n)).toBe("1,234,567 wei"));

  it.each([
    ["1", GEN], ["0.5", GEN / 2n], [".5", GEN / 2n], ["1,234.5 GEN", 12345n * GEN / 10n], [" 2 ", 2n * GEN],
    ["0.000000000000000001", 1n], ["1.0000000000000000000000", GEN], ["340282366920938463463.374607431768211455", MAX_WEI],
  ])("are read from %j", (text, wei) => expect(parseGen(text)).toBe(wei));

  it.each(["", ".", "abc", "-1", "1e3", "1,23", "0x10", "1.2.3", "0.0000000000000000001", "340282366920938463463.374607431768211456"])(
    "are not read from %j", (text) => expect(() => parseGen(text)).toThrow(AmountError),
  );

  it("that are written are read back", () => {
    let seed = 7n;
    for (let i = 0; i < 200; i++) {
      seed = (seed * 6364136223846793005n + 1442695040888963407n) % 2n ** 64n;
      const wei = (seed * seed) % 2n ** BigInt(1 + (i % 127));
      expect(parseGen(exactGen(wei))).toBe(wei);
    }
  });

  it("share a bar within its ends", () => {
    expect([share(0n, 10n), share(5n, 10n), share(11n, 10n), share(-1n, 10n), share(1n, 0n), share(0n, 0n), share(1n, 10n ** 9n)]).toEqual([0, 500, 1000, 0, 1000, 0, 1]);
  });
});
