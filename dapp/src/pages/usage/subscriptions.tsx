// All subscriptions, one line each; a line opens its card.
import type { Unbilled } from "../../domain/outlook";
import { isoDay } from "../../domain/history";
import { go, useLocation } from "../../state/location";
import { Calls, Empty, Gen, Section, Tag } from "../../ui/parts";
import { Records, type Column } from "../../ui/records";
import type { Acting } from "./acting";
import { Card } from "./card";
import { rowsCsv, rowsOf, type Row } from "./rows";

const COLUMNS: readonly Column<Row>[] = [
  { id: "api", title: "API", isText: true, by: ({ line }) => line.apiName, show: ({ line }) => line.apiName },
  { id: "plan", title: "Plan", isText: true, by: ({ line }) => line.planName, show: ({ line }) => line.planName },
  { id: "today", title: "Today", by: ({ line }) => line.callsToday, show: ({ line }) => <Calls count={line.callsToday} /> },
  { id: "month", title: "Month", by: ({ line }) => line.callsMonth, show: ({ line }) => <Calls count={line.callsMonth} /> },
  { id: "spend", title: "Spend", by: ({ line }) => line.spendMonthWei, show: ({ line }) => <Gen wei={line.spendMonthWei} /> },
  { id: "left", title: "Left", by: ({ calls }) => calls, show: (row) => <WhatIsLeft row={row} /> },
  { id: "state", title: "State", isText: true, by: ({ state }) => state.rank, show: ({ state }) => <Tag tone={state.tone}>{state.label}</Tag> },
];

export function Subscriptions({ unbilled, ...acting }: Acting & { unbilled: Unbilled }) {
  const { report, isOwn, now } = acting;
  const { location, href } = useLocation();
  const all = href({ view: "apis" });
  return (
    <Section title="Subscriptions" actions={isOwn && <a className="button small" href={all}>Subscribe to an API</a>}>
      {report.total === 0 ? (
        <Empty title="No subscriptions yet" action={isOwn ? <a className="button" href={all}>See all APIs</a> : undefined}>
          A subscription accepts an API's price and sets what may be spent a day.
        </Empty>
      ) : (
        <Records
          of="subscriptions" rows={rowsOf(report, now, unbilled)} columns={COLUMNS} keyOf={({ line }) => line.apiName} textOf={({ line }) => line.apiName}
          open={(row) => <Card row={row} {...acting} />} opened={location.api}
          order={location.sort} onOrder={(sort) => go({ sort }, { replace: true })} usual="what needs you first"
          csv={{ name: `subscriptions ${isoDay(report.dayId)}`, make: rowsCsv }}
        />
      )}
    </Section>
  );
}

/** How many calls, what limits them, and what is on hold. */
function WhatIsLeft({ row: { line, metered, calls, limit } }: { row: Row }) {
  return (
    <div data-testid="left">
      <span>{calls > 0n ? <><Calls count={calls} /> {calls === 1n ? "call" : "calls"}</> : "none"}</span>
      {line.subscribed && <small>{limit}</small>}
      {metered && metered.kind !== "ended" && <small>{metered.kind}: <Gen wei={metered.wei} /></small>}
    </div>
  );
}
