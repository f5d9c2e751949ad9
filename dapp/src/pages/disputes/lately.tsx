// The disputes that are open, or were judged lately, beside what they are about: each leads to its page.
import type { DisputeHead } from "../../domain/answers";
import { standingOf } from "../../domain/dispute";
import { DAY_SECONDS, dateOfDay } from "../../domain/time";
import { useLocation } from "../../state/location";
import { Address, Gen, Tag } from "../../ui/parts";

const LATELY_SECONDS = 30 * DAY_SECONDS;
export const SHOWN = 3;

interface LatelyProps {
  court: string;
  /** The latest first. */
  disputes: readonly DisputeHead[];
  now: number;
  /** To whom earned it, each says whose it is and what it costs. */
  isOperator?: boolean;
}

export function LatelyDisputed({ court, disputes, now, isOperator = false }: LatelyProps) {
  const { href } = useLocation();
  const told = disputes.filter(({ status, endedAt }) => status === "open" || now - endedAt < LATELY_SECONDS).slice(0, SHOWN);
  if (told.length === 0) return null;
  return (
    <ul className="section own-disputes" aria-label="Disputes">
      {told.map((dispute) => {
        const { disputeId, apiName, consumer, dayId, refundWei, paidWei, status } = dispute;
        const { tone, label } = standingOf(dispute);
        return (
          <li key={disputeId}>
            <Tag tone={isOperator && refundWei > 0n ? "bad" : tone}>{label}</Tag>{" "}
            <a href={href({ view: "disputes", api: apiName, dispute: disputeId, court })}>Dispute {disputeId}: {apiName}, {dateOfDay(dayId)}</a>
            {isOperator && <> by <Address address={consumer} link /></>}
            {status === "open" ? <>: <Gen wei={paidWei} /> paid for that day wait for the verdict</>
              : refundWei > 0n && <>: <Gen wei={refundWei} /> of <Gen wei={paidWei} /> {isOperator ? "given back" : "back"}</>}
          </li>
        );
      })}
    </ul>
  );
}
