// The disputes of an API at a court, as its consumers and its operator see them.
import type { DisputeHead } from "../../domain/answers";
import { standingOf } from "../../domain/dispute";
import { dateOfDay, momentText } from "../../domain/time";
import { useLocation } from "../../state/location";
import { Address, Gen, Tag } from "../../ui/parts";
import { Records, type Column } from "../../ui/records";

const COLUMNS: readonly Column<DisputeHead>[] = [
  { id: "state", title: "State", isText: true, by: (each) => standingOf(each).label, show: (each) => <State dispute={each} /> },
  { id: "day", title: "Day", by: ({ dayId }) => dayId, show: ({ dayId }) => dateOfDay(dayId) },
  { id: "consumer", title: "Consumer", isText: true, by: ({ consumer }) => consumer, show: ({ consumer }) => <Address address={consumer} link /> },
  { id: "paid", title: "Paid that day", by: ({ paidWei }) => paidWei, show: ({ paidWei }) => <Gen wei={paidWei} /> },
  { id: "opened", title: "Opened", by: ({ openedAt }) => openedAt, show: ({ openedAt }) => momentText(openedAt) },
];

export function DisputeList({ disputes, court }: { disputes: readonly DisputeHead[]; court: string }) {
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
