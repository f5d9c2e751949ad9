import { describe, expect, it } from "vitest";
import { disputesOf, disputesOfConsumer } from "../../src/chain/court";
import type { CourtContract } from "../../src/chain/contract";
import type { DisputeHead } from "../../src/domain/answers";
import { OTHER, OWN } from "./samples";

/** A court with so many disputes, each third one of the API; what it was asked. */
function courtOf(disputes: number, billing = OTHER) {
  const asked: unknown[][] = [];
  const all = Array.from({ length: disputes }, (_, i) => i + 1).filter((each) => each % 3 === 0).map((disputeId) => ({ disputeId }) as DisputeHead);
  const read = async (method: string, args: readonly number[]): Promise<unknown> => {
    asked.push([method, ...args]);
    return method === "get_court" ? { billing, minBondWei: 0n, disputes } : all.filter(({ disputeId }) => disputeId > (args[1] ?? 0)).slice(0, args[2]);
  };
  return { court: { read } as unknown as CourtContract, asked };
}

describe("the disputes of an API", () => {
  it("are the newest of its court, in as many reads as those take", async () => {
    const { court, asked } = courtOf(10_000);
    const { list, hasMore } = await disputesOf(court, OTHER, "weather", 256);
    expect([list.length, list[0]?.disputeId, list.at(-1)?.disputeId, hasMore]).toEqual([85, 9_999, 9_747, true]);
    expect(asked).toEqual([["get_court"], ["list_disputes", "weather", 9_744, 64], ["list_disputes", "weather", 9_936, 64]]);
  });
  it("of a young court are all", async () => {
    const { list, hasMore } = await disputesOf(courtOf(6).court, OTHER, "weather", 256);
    expect([list.map(({ disputeId }) => disputeId), hasMore]).toEqual([[6, 3], false]);
  });
  it("are not those of another contract", async () => {
    await expect(disputesOf(courtOf(6, OWN).court, OTHER, "weather", 256)).rejects.toMatchObject({ failure: "wrong_contract" });
  });
  it("of a court that never ends are read for a while", async () => {
    const { court, asked } = courtOf(10_000);
    const endless = { read: (method: string, args: readonly unknown[]) => court.read(method as "list_disputes", method === "get_court" ? args as never : ["weather", 0, 64]) } as CourtContract;
    await disputesOf(endless, OTHER, "weather", 256);
    expect(asked.length).toBe(5);
  });
});

describe("the disputes of a consumer", () => {
  it("are the newest, too, of one with many", async () => {
    const list = await disputesOfConsumer(courtOf(300).court, OWN);
    expect([list.length, list[0]?.disputeId]).toEqual([100, 300]);
  });
});
