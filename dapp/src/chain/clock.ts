// The chain's time. A localnet's clock may be years from this machine's; other networks share the real time.
import { rpc } from "./rpc";

export interface ChainClock {
  /** Seconds that the chain is ahead of this machine. */
  offset: number;
}

export const REAL: ChainClock = { offset: 0 };

export async function readClock(url: string, signal?: AbortSignal): Promise<ChainClock> {
  const answer = Object(await rpc(url, "sim_getTime", [], signal)) as { timestamp?: unknown };
  const at = Number(answer.timestamp);
  const offset = at - Date.now() / 1000;
  return Number.isFinite(offset) && Math.abs(offset) > 5 ? { offset: Math.round(offset) } : REAL;
}
