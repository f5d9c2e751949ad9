import { describe, expect, it } from "vitest";
import { offsetOn } from "../../src/chain/clock";

const DAY = 86_400;
const NOON = 20_000 * DAY + DAY / 2;

describe("the offset of this machine's clock", () => {
  it.each([[0], [-40_000], [40_000]])("stays while it is on the contract's day: %i", (offset) => expect(offsetOn(20_000, NOON, offset)).toBe(offset));
  it.each([[-14 * 3_600], [14 * 3_600], [400 * DAY], [-400 * DAY]])("where the clock is %i s off leads to the contract's day", (wrong) => {
    const offset = offsetOn(20_000, NOON + wrong + 0.25, 0);
    expect(Math.floor((NOON + wrong + 0.25 + offset) / DAY)).toBe(20_000);
  });
  it("of one that is ahead leaves an hour until the next day begins, and is right again as soon as it has", () => {
    const offset = offsetOn(20_000, 20_001 * DAY + 90, 0);
    expect(offset).toBe(-3_690);
    expect(offsetOn(20_001, 20_001 * DAY + 90 + 100, offset)).toBe(-190);
  });
});
