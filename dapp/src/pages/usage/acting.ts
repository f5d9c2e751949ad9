// What can be done on the page, by whom.
import type { Action } from "../../actions/action";
import * as actions from "../../actions/consumer";
import type { Advice } from "../../domain/advice";
import type { Api, UsageReport } from "../../domain/answers";

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
}

/** The action that remedies it; null where whoever looks cannot do it. Anybody can top up anybody. */
export function remedyFor({ remedy, apiNames }: Advice, { report, own, isOwn, apis, now }: Acting): (() => Action) | null {
  if (remedy === "top_up") return () => actions.topUp(own, report.consumer);
  const line = report.apis.find((each) => each.apiName === apiNames[0]);
  const api = apis?.find((each) => each.apiName === apiNames[0]);
  if (remedy === "subscribe" && isOwn && api) return () => actions.subscribe(api, report, now);
  if (remedy === "release_hold" && isOwn && line) return () => actions.releaseHold(line);
  return null;
}
