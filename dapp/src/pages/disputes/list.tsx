// The disputes of an API at a court, as its consumers and its operator see them.
import { useState } from "react";
import type { DisputeHead } from "../../domain/answers";
import { inOrderFor, standingOf } from "../../domain/dispute";
import { shortAddress } from "../../domain/names";
import { dateOfDay, momentText } from "../../domain/time";
import { MOST_DISPUTES, useDisputes } from "../../state/court";
import { useLocation } from "../../state/location";
import { Address, Gen, Section, Skeleton, Tag } from "../../ui/parts";
import { Records, type Column } from "../../ui/records";
import { CourtTrouble } from "./parts";

const COLUMNS: readonly Column<DisputeHead>[] = [
  { id: "state", title: "State", isText: true, by: (each) => standingOf(each).label, show: (each) => <State dispute={each} /> },
  { id: "day", title: "Day", by: ({ dayId }) => dayId, show: ({ dayId }) => dateOfDay(dayId) },
  { id: "consumer", title: "Consumer", isText: true, by: ({ consumer }) => consumer, show: ({ consumer }) => <Address address={consumer} link /> },
  { id: "paid", title: "Paid that day", by: ({ paidWei }) => paidWei, show: ({ paidWei }) => <Gen wei={paidWei} /> },
  { id: "opened", title: "Opened", by: ({ openedAt }) => openedAt, show: ({ openedAt }) => momentText(openedAt) },
];

function DisputeList({ disputes, court }: { disputes: readonly DisputeHead[]; court: string }) {
  const { href } = useLocation();
  const number: Column<DisputeHead> = {
    id: "number", title: "Dispute", isText: true, by: ({ disputeId }) => disputeId,
    show: ({ apiName, disputeId }) => <a href={href({ view: "disputes", api: apiName, dispute: disputeId, court })}>Dispute {disputeId}</a>,
  };
  return <Records of="disputes" rows={disputes} columns={[number, ...COLUMNS]} keyOf={({ disputeId }) => String(disputeId)} />;
}

function State({ dispute }: { dispute: DisputeHead }) {
  const { tone, label } = standingOf(dispute);
  return <><Tag tone={tone}>{label}</Tag>{dispute.refundWei > 0n && <> <Gen wei={dispute.refundWei} /></>}</>;
}

/** Of an API at a court: all of them to its operator, and first its own ones to somebody else. */
export function Disputes({ court, apiName, isOnly, isOperator }: { court: string; apiName: string; isOnly: boolean; isOperator: boolean }) {
  const { account } = useLocation().location;
  const [most, setMost] = useState(MOST_DISPUTES);
  const [isAll, setAll] = useState(false);
  const { data, error } = useDisputes(court, apiName, most);
  const own = data?.list.filter(({ consumer }) => isOperator || consumer === account) ?? [];
  const others = (data?.list.length ?? 0) - own.length;
  const shown = isAll || !account ? (data?.list ?? []) : own;
  return (
    <Section title={isOnly ? `Disputes of ${apiName}` : `Disputes of ${apiName} at ${shortAddress(court)}`}>
      {!data ? (error ? <CourtTrouble error={error} /> : <Skeleton rows={2} label="Reading the disputes" />) : (
        <>
          {account && others > 0 && <label className="check-field"><input type="checkbox" checked={isAll} onChange={({ target }) => setAll(target.checked)} /> Also those of others ({others})</label>}
          {shown.length === 0 ? <p className="muted">{others > 0 || data.hasMore ? "None of this account." : "None so far."}</p> : (
            <>
              <p>{shown.length} in all, {shown.filter(({ status }) => status === "open").length} open.</p>
              <DisputeList disputes={inOrderFor(account, shown)} court={court} />
            </>
          )}
          {data.hasMore && (
            <p className="small-text">Among the last {most} disputes of this court. <button type="button" className="button quiet small" onClick={() => setMost(most * 4)}>Look further back</button></p>
          )}
        </>
      )}
    </Section>
  );
}
