// The consumer's disputes that are open, or were judged lately: each leads to its page.
import { useQueries } from "@tanstack/react-query";
import type { OpenDispute } from "../../domain/advice";
import { standingOf } from "../../domain/dispute";
import { DAY_SECONDS, dateOfDay } from "../../domain/time";
import { useDisputesOf } from "../../state/court";
import { useLocation } from "../../state/location";
import { usePlace } from "../../state/place";
import { viewQuery } from "../../state/queries";
import { Gen, Tag } from "../../ui/parts";

const LATELY_SECONDS = 30 * DAY_SECONDS;
const SHOWN = 3;

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
  const { court, disputes } = useDisputesOf(consumer);
  const { href } = useLocation();
  const told = disputes.filter(({ status, endedAt }) => status === "open" || now - endedAt < LATELY_SECONDS).slice(0, SHOWN);
  if (told.length === 0) return null;
  return (
    <ul className="section own-disputes" aria-label="Disputes">
      {told.map((dispute) => {
        const { disputeId, apiName, dayId, refundWei, paidWei, status } = dispute;
        const { tone, label } = standingOf(dispute);
        return (
          <li key={disputeId}>
            <Tag tone={tone}>{label}</Tag>{" "}
            <a href={href({ view: "disputes", api: apiName, dispute: disputeId, court })}>Dispute {disputeId}: {apiName}, {dateOfDay(dayId)}</a>
            {status === "open" ? <>: <Gen wei={paidWei} /> paid for that day wait for the verdict</> : refundWei > 0n && <>: <Gen wei={refundWei} /> of <Gen wei={paidWei} /> back</>}
          </li>
        );
      })}
    </ul>
  );
}
