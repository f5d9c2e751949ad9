// @vitest-environment happy-dom
import { QueryClient, QueryObserver } from "@tanstack/react-query";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { shareAnswers, type Surroundings } from "../../src/state/sharing";

type Listener = (event: MessageEvent) => void;

/** Tabs of one browser: messages that take a while, and locks. */
class FakeBrowser {
  private readonly listeners = new Map<unknown, Listener>();
  private readonly waiting = new Map<string, Promise<void>>();

  close({ channel }: Surroundings): void {
    this.listeners.delete(channel);
  }

  tab(hasLocks = true): Surroundings {
    const channel = {
      postMessage: (message: unknown) => {
        const data: unknown = structuredClone(message);
        for (const [to, each] of this.listeners) if (to !== channel) setTimeout(() => each({ data } as MessageEvent), 20);
      },
      addEventListener: (_type: string, listener: Listener) => this.listeners.set(channel, listener),
    };
    const request = (name: string, { signal }: { signal: AbortSignal }, work: () => Promise<void>): Promise<void> => {
      const before = this.waiting.get(name) ?? Promise.resolve();
      const aborted = new Promise<never>((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
      const turn = Promise.race([before, aborted]).then(() => (signal.aborted ? undefined : work()));
      this.waiting.set(name, Promise.all([before, turn.catch(() => undefined)]).then(() => undefined));
      return turn;
    };
    return { now: () => Date.now(), channel, locks: hasLocks ? { request } : null } as unknown as Surroundings;
  }
}

const KEY = ["contract", "http://node", "0xaa", "report"];
const READ_MS = 200;
let browser: FakeBrowser;
let reads: number[];
/** What the chain says. */
let balance: bigint;

const slowly = async (): Promise<{ balance: bigint }> => {
  reads.push(Date.now());
  const answer = { balance };
  await new Promise((resolve) => setTimeout(resolve, READ_MS));
  return answer;
};

interface Watching {
  client: QueryClient;
  seen(): bigint | undefined;
}

/** A tab that shows the report, and reads it every five seconds. */
function watch({ surroundings = browser.tab(), staleTime = 2_000, queryFn = slowly, queryKey = KEY } = {}): Watching {
  const client = new QueryClient({ defaultOptions: { queries: { networkMode: "always", retry: false } } });
  shareAnswers(client, surroundings);
  const observer = new QueryObserver<{ balance: bigint }>(client, { queryKey, queryFn, staleTime, refetchInterval: staleTime === Infinity ? false : 5_000 });
  observer.subscribe(() => undefined);
  return { client, seen: () => observer.getCurrentResult().data?.balance };
}

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

beforeEach(() => {
  vi.useFakeTimers();
  browser = new FakeBrowser();
  reads = [];
  balance = 1n;
});

afterEach(() => vi.useRealTimers());

describe("tabs", () => {
  it("read together as often as one does, at whatever time they were opened", async () => {
    const tabs = [];
    for (const openedAfter of [0, 700, 1_600, 2_900, 4_100]) {
      await pass(openedAfter);
      tabs.push(watch());
    }
    await pass(10_000);
    reads = [];
    balance = 2n;
    await pass(50_000);
    expect(reads.length).toBeLessThanOrEqual(11);
    expect(reads.length).toBeGreaterThanOrEqual(9);
    expect(tabs.map((tab) => tab.seen())).toEqual([2n, 2n, 2n, 2n, 2n]);
  });

  it("that are opened together read once", async () => {
    const tabs = Array.from({ length: 5 }, () => watch());
    await pass(2_000);
    expect([reads.length, ...tabs.map((tab) => tab.seen())]).toEqual([1, 1n, 1n, 1n, 1n, 1n]);
  });

  it("that are opened later show what others have, as long as it is not stale", async () => {
    watch({ staleTime: Infinity });
    await pass(60_000);
    const late = watch({ staleTime: Infinity });
    await pass(200);
    expect([reads.length, late.seen()]).toEqual([1, 1n]);
  });

  it("read what nobody else knows, or knows from too long ago", async () => {
    watch({ staleTime: Infinity });
    await pass(60_000);
    balance = 2n;
    const late = watch({ staleTime: 30_000 });
    watch({ queryKey: [...KEY, "other"] });
    await pass(1_000);
    expect([reads.length, late.seen()]).toEqual([3, 2n]);
  });

  it("that have stayed alone do not ask for long", async () => {
    const [gone, alone] = [browser.tab(), browser.tab()];
    shareAnswers(new QueryClient(), gone);
    const { client } = watch({ surroundings: alone });
    await pass(1_000);
    browser.close(gone);
    const took = async (name: string): Promise<number> => {
      const from = Date.now();
      void client.fetchQuery({ queryKey: [...KEY, name], queryFn: slowly });
      await pass(1_000);
      return (reads.at(-1) ?? 0) - from;
    };
    expect([await took("first") > 0, await took("second")]).toEqual([true, 0]);
  });

  it("do not wait for one that the browser has stopped while it reads", async () => {
    watch({ queryFn: () => new Promise<never>(() => undefined) });
    await pass(100);
    const others = [watch(), watch()];
    await pass(7_000);
    expect(others.map((tab) => tab.seen())).toEqual([1n, 1n]);
  });

  it("read on when one of them fails", async () => {
    const failing = watch({ queryFn: () => Promise.reject(new Error("no")) });
    await pass(10);
    const other = watch();
    await pass(1_000);
    expect([failing.seen(), other.seen()]).toEqual([1n, 1n]);
  });

  it("show after an own transaction nothing whose read began before it", async () => {
    const [own, other] = [watch(), watch()];
    await pass(3_000);
    void other.client.refetchQueries(); // begins just before the balance changes
    await pass(100);
    balance = 2n;
    void own.client.invalidateQueries();
    for (let ms = 0; ms < 4_000; ms += 50) {
      await pass(50);
      if (own.client.getQueryState(KEY)?.isInvalidated === false) expect(own.seen()).toBe(2n);
    }
    expect([own.seen(), other.seen()]).toEqual([2n, 2n]);
  });

  it("of other people's hosts, where there are no locks, share answers all the same", async () => {
    const [one, other] = [watch({ surroundings: browser.tab(false) }), watch({ surroundings: browser.tab(false) })];
    await pass(1_000);
    reads = [];
    balance = 2n;
    await pass(50_000);
    expect(reads.length).toBeLessThanOrEqual(21);
    expect([one.seen(), other.seen()]).toEqual([2n, 2n]);
  });

  it("are left alone where nothing can be shared", async () => {
    const alone = watch({ surroundings: { now: () => Date.now(), channel: null, locks: null } });
    await pass(READ_MS + 1);
    expect([reads.length, alone.seen()]).toEqual([1, 1n]);
  });

  it("share nothing but what contracts say", async () => {
    const tabs = [watch({ queryKey: ["prices", "http://node"] }), watch({ queryKey: ["prices", "http://node"] })];
    await pass(1_000);
    expect([reads.length, ...tabs.map((tab) => tab.seen())]).toEqual([2, 1n, 1n]);
  });

  it("read on after the machine's clock was set back", async () => {
    const [own, other] = [watch(), watch()];
    await pass(1_000);
    vi.setSystemTime(Date.now() - 600_000);
    balance = 2n;
    await pass(6_000);
    expect([own.seen(), other.seen()]).toEqual([2n, 2n]);
    balance = 3n;
    void own.client.invalidateQueries();
    await pass(1_000);
    expect([own.seen(), other.seen()]).toEqual([3n, 3n]);
  });
});
