import { useEffect, useState } from "react";
import { usePlace } from "./place";

/** The chain's time in unix seconds, every `everyMs`. */
export function useChainNow(everyMs = 15_000): number {
  const { clockOffset } = usePlace();
  return Math.floor(useTicking(true, everyMs) / 1000) + clockOffset;
}

/** This machine's time in ms, every `everyMs` while `isWanted`. */
export function useTicking(isWanted = true, everyMs = 1_000): number {
  const [at, setAt] = useState(() => Date.now());
  useEffect(() => {
    if (!isWanted) return;
    const timer = setInterval(() => setAt(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [isWanted, everyMs]);
  return at;
}
