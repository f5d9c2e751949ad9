// The consumer's disputes that are open, or were judged lately: each leads to its page.
import { useQueries } from "@tanstack/react-query";
import type { OpenDispute } from "../../domain/advice";
import { useDisputesOf } from "../../state/court";
import { usePlace } from "../../state/place";
import { viewQuery } from "../../state/queries";
import { LatelyDisputed, SHOWN } from "../disputes/lately";

/** Those of the consumer that are open, but not more than are shown. */
export function useOpenDisputes(consumer: string): readonly OpenDispute[] {
  const { contract, network } = usePlace();
  const open = useDisputesOf(consumer).disputes.filter(({ status }) => status === "open").slice(0, SHOWN);
  const days = useQueries({
    queries: open.map(({ apiName, dayId }) => viewQuery(contract, "get_paid_day", [apiName, consumer, dayId], { everyMs: network.refreshMs * 4, isPatient: true })),
  });
  return open.flatMap((dispute, i) => { const day = days[i]?.data; return day ? [{ dispute, day }] : []; });
}

export function Disputes({ consumer, now }: { consumer: string; now: number }) {
  return <LatelyDisputed {...useDisputesOf(consumer)} now={now} />;
}
