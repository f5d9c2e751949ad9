// Tabs of this page share what they read of contracts: what one has read the others show, and of two that want the same
// one reads. Nothing depends on a tab that does not answer: after a while each reads for itself.
import { alone, browserLocks, type Locks } from "../browser/alone";
import type { Query, QueryClient, QueryFunction, QueryFunctionContext } from "@tanstack/react-query";

/** The first part of the key of what is shared. */
const SHARED = "contract";
/** What was read so recently is not read again, unless something was sent since. */
const RECENT_MS = 1_000;
const GREETING_MS = 60;
const ASKING_MS = 100;
/** For the message with an answer to be with the next one, before that one may read. */
const DELIVERY_MS = 50;
/** Longer than nearly all reads: who reads that long may be a tab that the browser has stopped. */
const WAITING_MS = 6_000;

type Message =
  | { kind: "hello" | "here" }
  | { kind: "wanted"; hash: string; since: number }
  | { kind: "answer"; hash: string; at: number; data: unknown };

export interface Surroundings {
  now(): number;
  channel: Pick<BroadcastChannel, "postMessage" | "addEventListener"> | null;
  /** Without them tabs may read the same at the same time. */
  locks: Locks;
}

/** Only tabs with the same build understand each other for certain. */
const NAME = `api-billing:answers:${import.meta.url}`;

export const browser = (): Surroundings => ({
  now: () => Date.now(),
  channel: openChannel(),
  locks: browserLocks(),
});

/** Some browsers refuse one where they keep nothing. */
function openChannel(): BroadcastChannel | null {
  try {
    return new BroadcastChannel(NAME);
  } catch {
    return null;
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export function shareAnswers(client: QueryClient, { now, channel, locks }: Surroundings = browser()): void {
  if (!channel) return;
  /** When the read began whose answer a query has. */
  const begun = new WeakMap<Query, number>();
  /** Of queries that are read anew since something was sent: no answer counts whose read began before. */
  const needed = new WeakMap<Query, number>();
  const watchers = new Set<() => void>();
  /** When another tab said something; -1 where there is none. */
  let heardAt = -1;

  /** A moment in the future comes from a clock that was set back: it does not count. */
  const begunAt = (query: Query): number => {
    const moment = begun.get(query) ?? -1;
    return moment <= now() ? moment : -1;
  };
  const post = (message: Message): void => channel.postMessage(message);
  const until = (isSo: () => boolean, ms: number): Promise<void> =>
    new Promise((resolve) => {
      const watch = (): void => { if (isSo()) end(); };
      const end = (): void => { clearTimeout(timer); watchers.delete(watch); resolve(); };
      const timer = setTimeout(end, ms);
      watchers.add(watch);
      watch();
    });

  const onMessage = (message: Message): void => {
    if (message.kind === "hello" || message.kind === "wanted") post({ kind: "here" });
    if (!("hash" in message)) return;
    const query = client.getQueryCache().get(message.hash);
    if (!query) return;
    const at = begunAt(query);
    const { isInvalidated, status } = query.state; // a failure counts as an invalidation too
    const least = isInvalidated && status !== "error" ? (needed.get(query) ?? Infinity) : at + 1;
    if (message.kind === "answer" && message.at >= least && message.at <= now()) {
      begun.set(query, message.at);
      client.setQueryData(query.queryKey, message.data, { updatedAt: message.at });
    } else if (message.kind === "wanted" && at >= Math.max(message.since, 0) && !isInvalidated) {
      post({ kind: "answer", hash: message.hash, at, data: query.state.data });
    }
  };
  channel.addEventListener("message", ({ data }: MessageEvent<Message>) => {
    heardAt = now();
    onMessage(data);
    for (const watch of watchers) watch();
  });
  post({ kind: "hello" });
  const greeted = until(() => heardAt >= 0, GREETING_MS);

  const inTurn = <T>(hash: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      const turn = (): Promise<void> => work().then(resolve, reject).then(() => pause(DELIVERY_MS));
      alone(`${NAME}:${hash}`, turn, { signal, limitMs: WAITING_MS }, locks).catch(reject);
    });

  const persister = async (queryFn: QueryFunction, context: QueryFunctionContext, query: Query): Promise<unknown> => {
    if (query.queryKey[0] !== SHARED) return queryFn(context);
    const { data, isInvalidated } = query.state;
    const isFirst = data === undefined;
    const { staleTime } = query.options as { staleTime?: unknown };
    const since = isInvalidated ? now() : now() - (isFirst && typeof staleTime === "number" ? staleTime : RECENT_MS);
    if (isInvalidated) needed.set(query, since);
    const isThere = (): boolean => begunAt(query) >= Math.max(since, 0);
    if (isFirst) await greeted;
    return inTurn(query.queryHash, context.signal, async () => {
      if (isFirst && heardAt >= 0 && !isThere()) {
        const askedAt = now();
        post({ kind: "wanted", hash: query.queryHash, since });
        await until(isThere, ASKING_MS);
        if (heardAt < askedAt) heardAt = -1;
      }
      if (isThere()) return query.state.data;
      const at = now();
      const answer = await queryFn(context);
      begun.set(query, at);
      post({ kind: "answer", hash: query.queryHash, at, data: answer });
      return answer;
    }).finally(() => needed.delete(query));
  };
  const { queries } = client.getDefaultOptions();
  client.setDefaultOptions({ ...client.getDefaultOptions(), queries: { ...queries, persister } });
}
