import { useEffect, useState } from "react";
import { useApp } from "./app";

/** The chain's time in unix seconds, every `everyMs`. */
export function useChainNow(everyMs = 15_000): number {
  const { clockOffset } = useApp();
  const [at, setAt] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setAt(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return Math.floor(Math.max(at, Date.now() - everyMs) / 1000) + clockOffset;
}

/** This machine's time in ms, every second while `isWanted`. */
export function useTicking(isWanted = true): number {
  const [at, setAt] = useState(() => Date.now());
  useEffect(() => {
    if (!isWanted) return;
    const timer = setInterval(() => setAt(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, [isWanted]);
  return at;
}
