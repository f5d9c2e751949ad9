// What can be done on the page, by whom.
import type { Action } from "../../actions/action";
import * as actions from "../../actions/consumer";
import { openSession } from "../../actions/session";
import type { Advice } from "../../domain/advice";
import type { Api, UsageReport } from "../../domain/answers";
import { callsAtMix, type LastDays } from "../../domain/outlook";

export interface Acting {
  report: UsageReport;
  /** Who signs here; empty while nobody does. */
  own: string;
  /** Whether that is the consumer; else the page is only watched. */
  isOwn: boolean;
  /** Undefined until they are read. */
  apis: readonly Api[] | undefined;
  /** The chain's time. */
  now: number;
  /** null until the past is read. */
  rate: LastDays | null;
}

export function topUpOf({ report, own, rate, now }: Acting): Action {
  const mix = callsAtMix(report, now);
  return actions.topUp(own, report.consumer, {
    callWei: mix?.callWei ?? 0n, monthWei: rate && rate.days > 0 ? (rate.spentWei * 30n) / BigInt(rate.days) : 0n,
  });
}

/** The action that remedies it; null where there is none, or not for whoever looks. Anybody can top up anybody. */
export function remedyFor({ remedy, apiNames }: Advice, acting: Acting): Action | null {
  const { report, own, isOwn, apis, now } = acting;
  if (remedy === "top_up") return topUpOf(acting);
  const line = report.apis.find((each) => each.apiName === apiNames[0]);
  const api = apis?.find((each) => each.apiName === apiNames[0]);
  if (remedy === "plan" && (api?.plans.length === 1 || actions.isHoldInForce(line, now))) return null;
  if ((remedy === "subscribe" || remedy === "plan") && isOwn && api) return actions.subscribe(api, report, now);
  if (remedy === "cap" && isOwn && api && line) return actions.changeCap(api, report, line, now);
  if (remedy === "session" && isOwn && api) return openSession(api, report, own, now);
  if (remedy === "release_hold" && isOwn && line) return actions.releaseHold(line);
  return null;
}
