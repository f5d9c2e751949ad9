// How old the data is, and why it is not newer.
import type { UseQueryResult } from "@tanstack/react-query";
import { useEffect, useRef, useSyncExternalStore } from "react";
import { NodeError } from "../chain/rpc";
import type { PaceState } from "../chain/pace";
import { duration } from "../domain/time";
import { usePlace } from "../state/place";
import { useTicking } from "../state/now";
import { announce } from "../browser/announcing";

const CALM: PaceState = { reads: [], failures: 0, trouble: null, pausedUntil: 0 };
const never = (): (() => void) => () => undefined;

export function usePace(): PaceState {
  const { contract } = usePlace();
  return useSyncExternalStore(contract?.pace.subscribe ?? never, () => contract?.pace.state ?? CALM);
}

export function Freshness({ query }: { query: UseQueryResult<unknown> }) {
  const { network, contract } = usePlace();
  const pace = usePace();
  const now = useTicking();
  const trouble = pace.trouble;
  const before = useRef(trouble);
  useEffect(() => {
    if (before.current === trouble) return;
    if (trouble) announce(trouble === "busy" ? "The node limits how often it is read." : "The node cannot be reached.");
    else announce("The node answers again.");
    before.current = trouble;
  }, [trouble]);
  if (!query.dataUpdatedAt) return null;
  const since = now - query.dataUpdatedAt;
  const isAhead = since < -2_000; // this machine's clock was set back
  const age = Math.max(0, since);
  const failed = query.error instanceof NodeError && !query.error.isTransient;
  const isStale = trouble !== null || failed || isAhead || age > network.refreshMs * 3;
  const wait = Math.max(0, pace.pausedUntil - now);
  return (
    <p className={`freshness ${isStale ? "stale" : ""}`} data-testid="freshness">
      <span className={`dot ${isStale ? "bad" : "good"}`} aria-hidden="true" />
      <span>
        {isAhead ? "Stale: read before this machine's clock was set back" : isStale ? `Stale: ${duration(age / 1000)} old` : age < 2_000 ? "Up to date" : `${duration(age / 1000)} old`}
        {trouble && (trouble === "busy" ? ", the node limits reads" : ", the node cannot be reached")}
        {trouble && wait > 0 && `, next try in ${duration(wait / 1000 + 1)}`}
      </span>
      {isStale ? (
        <button type="button" className="button quiet small" onClick={() => { contract?.pace.resume(); if (!trouble) void query.refetch(); }}>
          Try now
        </button>
      ) : null}
    </p>
  );
}
