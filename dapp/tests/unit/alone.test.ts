import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { alone, unlessAnother, type Locks } from "../../src/browser/alone";

const refusing = { request: () => Promise.reject(new DOMException("Access to the Locks API is denied in this context.", "SecurityError")) } as unknown as Locks;
/** Another tab has it, and is stopped. */
const stopped = {
  request: (_name: string, { signal }: LockOptions) => new Promise((_resolve, reject) => { signal?.addEventListener("abort", () => reject(signal.reason as Error)); }),
} as unknown as Locks;
const free = { request: (_name: string, _options: LockOptions, work: (lock: object) => unknown) => Promise.resolve().then(() => work({})) } as unknown as Locks;
const taken = { request: (_name: string, _options: LockOptions, work: (lock: null) => unknown) => Promise.resolve().then(() => work(null)) } as unknown as Locks;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("what one tab does at a time", () => {
  it.each([["are none", null], ["are refused", refusing], ["are free", free]])("is done where locks %s", async (_what, locks) => {
    expect(await alone("x", () => 7, {}, locks)).toBe(7);
    const work = vi.fn(async () => undefined);
    await unlessAnother("x", work, locks);
    expect(work).toHaveBeenCalledOnce();
  });
  it("is done after a while though another tab has not ended", async () => {
    const done = alone("x", () => 7, { limitMs: 6_000 }, stopped);
    await vi.advanceTimersByTimeAsync(6_001);
    expect(await done).toBe(7);
  });
  it("is not done when it is not wanted any more", async () => {
    const stop = new AbortController();
    const done = alone("x", () => 7, { signal: stop.signal }, stopped);
    stop.abort(new Error("gone"));
    await expect(done).rejects.toThrow("gone");
  });
  it("is not done twice when it fails", async () => {
    const work = vi.fn(() => Promise.reject(new Error("no")));
    await expect(alone("x", work, {}, free)).rejects.toThrow("no");
    expect(work).toHaveBeenCalledOnce();
  });
  it.each([["none", null], ["such that are refused", refusing]])("is done in turn in this tab where there are %s", async (_what, locks) => {
    const order: string[] = [];
    const work = (name: string) => async () => { order.push(`${name} begins`); await Promise.resolve(); order.push(`${name} ends`); };
    await Promise.all([alone("x", work("a"), {}, locks), alone("x", work("b"), {}, locks)]);
    expect(order).toEqual(["a begins", "a ends", "b begins", "b ends"]);
  });
  it("is left to another tab that does it already, if that is enough", async () => {
    const work = vi.fn(async () => undefined);
    await unlessAnother("x", work, taken);
    expect(work).not.toHaveBeenCalled();
  });
});
