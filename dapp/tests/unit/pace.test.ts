import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Pace, pauseMs, READS, WINDOW_MS, type Surroundings } from "../../src/chain/pace";

/** One storage for several tabs, and one lock. */
class FakeBrowser implements Surroundings {
  readonly stored = new Map<string, string>();
  private lock: Promise<unknown> = Promise.resolve();
  now = () => Date.now();
  random = () => 1;
  load = (name: string) => this.stored.get(name) ?? null;
  save = (name: string, value: string) => void this.stored.set(name, value);
  alone<T>(_name: string, work: () => T): Promise<T> {
    const done = this.lock.then(work);
    this.lock = done.catch(() => undefined);
    return done;
  }
}

let world: FakeBrowser;
const tab = (contract = "0xaa"): Pace => new Pace("http://node", contract, world);

/** When each of many reads was allowed, ms after now. */
async function times(reads: Promise<void>[], forMs: number): Promise<number[]> {
  const start = Date.now();
  const done: number[] = [];
  for (const read of reads) void read.then(() => done.push(Date.now() - start));
  await vi.advanceTimersByTimeAsync(forMs);
  return done.sort((a, b) => a - b);
}

const mostInAWindow = (at: readonly number[]): number => Math.max(...at.map((from) => at.filter((each) => each >= from && each < from + WINDOW_MS).length));

beforeEach(() => {
  vi.useFakeTimers();
  world = new FakeBrowser();
});

afterEach(() => vi.useRealTimers());

describe("the pace", () => {
  it("lets a window's reads through at once, and the next when the first is old enough", async () => {
    const pace = tab();
    const at = await times(Array.from({ length: READS + 1 }, () => pace.take(true)), WINDOW_MS + 100);
    expect(at.filter((each) => each === 0)).toHaveLength(READS);
    expect(at.at(-1)).toBe(WINDOW_MS);
  });

  it("is shared by tabs: together they never read too often", async () => {
    const tabs = [tab(), tab(), tab()];
    const at = await times(Array.from({ length: 90 }, (_, i) => tabs[i % 3]!.take(i % 2 === 0)), 70_000);
    expect(at).toHaveLength(90);
    expect(mostInAWindow(at)).toBeLessThanOrEqual(READS);
  });

  it("is each contract's own", async () => {
    const [one, other] = [tab("0xaa"), tab("0xbb")];
    const at = await times(Array.from({ length: 2 * READS }, (_, i) => (i % 2 ? one : other).take(true)), 10);
    expect(at).toHaveLength(2 * READS);
  });

  it("lets urgent reads pass those that are not", async () => {
    const pace = tab();
    const order: string[] = [];
    for (let i = 0; i < READS; i++) void pace.take(false).then(() => order.push("later"));
    await vi.advanceTimersByTimeAsync(1);
    void pace.take(true).then(() => order.push("urgent"));
    await vi.advanceTimersByTimeAsync(1);
    expect(order).toEqual([...Array.from({ length: (READS * 3) / 4 }, () => "later"), "urgent"]);
  });

  it("pauses after a refusal, longer each time, in all tabs", async () => {
    const [one, other] = [tab(), tab()];
    one.failed("busy");
    await vi.advanceTimersByTimeAsync(0);
    expect(await times([other.take(true)], 5_000)).toEqual([1_000]);
    one.failed("busy");
    await vi.advanceTimersByTimeAsync(0);
    expect(await times([other.take(true)], 5_000)).toEqual([2_000]);
  });

  it("counts reads that failed together once", async () => {
    const pace = tab();
    pace.failed("unreachable");
    pace.failed("unreachable");
    await vi.advanceTimersByTimeAsync(0);
    expect(pace.state.failures).toBe(1);
  });

  it("goes on at once when a person says so", async () => {
    const pace = tab();
    for (let i = 0; i < 8; i++) {
      pace.failed("unreachable");
      await vi.advanceTimersByTimeAsync(60_001);
    }
    pace.failed("unreachable");
    const waiting = pace.take(true);
    await vi.advanceTimersByTimeAsync(10);
    pace.resume();
    expect(await times([waiting], 100)).toEqual([0]);
  });

  it("forgets the trouble when a read works", async () => {
    const pace = tab();
    pace.failed("unreachable");
    await vi.advanceTimersByTimeAsync(0);
    pace.succeeded();
    await vi.advanceTimersByTimeAsync(0);
    expect(pace.state).toMatchObject({ failures: 0, trouble: null, pausedUntil: 0 });
  });

  it("stops waiting when the read is not wanted any more", async () => {
    const pace = tab();
    pace.failed("busy");
    const stop = new AbortController();
    const read = pace.take(true, stop.signal);
    const failed = expect(read).rejects.toThrow("gone");
    await vi.advanceTimersByTimeAsync(10);
    stop.abort(new Error("gone"));
    await failed;
  });

  it("is not stopped by a clock that was set back, nor by what is not its own", async () => {
    world.stored.set("api-billing:pace:http://node|0xaa", JSON.stringify({ reads: Array.from({ length: READS }, () => Date.now() + 1e9) }));
    expect(await times([tab().take(true)], 10)).toEqual([0]);
    world.stored.set("api-billing:pace:http://node|0xaa", JSON.stringify({ failures: 1, trouble: "busy", pausedUntil: Date.now() + 3_600_000 }));
    expect(await times([tab().take(true)], 10)).toEqual([0]);
    world.stored.set("api-billing:pace:http://node|0xaa", "{");
    expect(await times([tab().take(true)], 10)).toEqual([0]);
  });

  it("never pauses for longer than a minute", () => {
    expect([1, 2, 3, 6, 7, 100].map((failures) => pauseMs(failures, 1))).toEqual([1_000, 2_000, 4_000, 32_000, 60_000, 60_000]);
  });
});
