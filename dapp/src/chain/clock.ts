// The chain's time. A localnet's clock may be years from this machine's; other networks share the real time, which this machine
// may not have.
import { DAY_SECONDS } from "../domain/time";
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

const HOUR_SECONDS = 3_600;

/**
 * The offset with which this machine was on the UTC day of what was read `at`: the same where it was. How far it is ahead is
 * not known: an hour before the day's end it says seldom that the next one has begun.
 */
export function offsetOn(dayId: number, at: number, offset: number): number {
  const begin = dayId * DAY_SECONDS;
  const end = begin + DAY_SECONDS;
  if (at + offset < begin) return Math.ceil(begin - at);
  return at + offset < end ? offset : Math.floor(end - HOUR_SECONDS - at);
}
