// What a meter posted, batch by batch, the newest first; a line opens what became of each entry.
import { useEffect, useRef } from "react";
import type { Api, SettledEntry, SettlementHead } from "../../domain/answers";
import { explain } from "../../domain/refusals";
import { dayText, momentText } from "../../domain/time";
import { go, useLocation } from "../../state/location";
import { useView } from "../../state/queries";
import { Address, Calls, Empty, Gen, Section, Skeleton } from "../../ui/parts";
import { Records, type Column } from "../../ui/records";
import { Trouble } from "../../ui/trouble";
import { lastSequence, useHeads } from "./reading";

const HEADS: readonly Column<SettlementHead>[] = [
  { id: "number", title: "Number", by: ({ sequence }) => sequence, show: ({ sequence }) => `Number ${sequence}` },
  { id: "at", title: "Settled", by: ({ settledAt }) => settledAt, show: ({ settledAt }) => momentText(settledAt) },
  { id: "calls", title: "Calls billed", by: ({ billedCalls }) => billedCalls, show: ({ billedCalls }) => <Calls count={billedCalls} /> },
  { id: "billed", title: "Billed", by: ({ billedWei }) => billedWei, show: ({ billedWei }) => <Gen wei={billedWei} /> },
  {
    id: "refused", title: "Refused entries", by: ({ refusedEntries }) => refusedEntries,
    show: ({ refusedEntries }) => (refusedEntries ? <span className="bad-text">{refusedEntries}</span> : <span className="muted">none</span>),
  },
];

export function Settlements({ api }: { api: Api }) {
  const { location } = useLocation();
  const isFiltered = location.entries === "refused";
  const section = useRef<HTMLElement>(null);
  const { of, error } = useHeads([api]);
  const heads = of.get(api.apiName);
  const isRead = heads !== undefined;
  // A link leads here.
  useEffect(() => { if (isRead && isFiltered) section.current?.scrollIntoView(); }, [isRead, isFiltered]);
  if (lastSequence(api) === 0) return <Section title="Settlements"><Empty title="Nothing was settled yet">What a meter posts in batches appears here.</Empty></Section>;
  const refused = heads?.filter(({ refusedEntries }) => refusedEntries > 0) ?? [];
  const rows = [...(isFiltered ? refused : heads ?? [])].reverse();
  return (
    <Section title="Settlements" ref={section}>
      {!heads ? (error ? <Trouble error={error} /> : <Skeleton rows={4} label="Reading the settlements" />) : (
        <Records
          of="settlements" rows={rows} columns={HEADS} keyOf={({ sequence }) => sequence.toString()} opened={location.settlement ? String(location.settlement) : ""}
          open={({ sequence }) => <Opened apiName={api.apiName} sequence={sequence} />} onOpen={(key) => go({ settlement: Number(key) }, { replace: true })}
        >
          <label className="check-field">
            <input type="checkbox" checked={isFiltered} onChange={({ target }) => go({ entries: target.checked ? "refused" : "all" }, { replace: true })} /> With refused entries ({refused.length} of {heads.length})
          </label>
          <span className="muted small-text">An entry is what one consumer used on one day.</span>
          {location.settlement > 0 && !heads.some(({ sequence }) => sequence === BigInt(location.settlement)) && <span>Number {location.settlement} is not among them.</span>}
          {lastSequence(api) > heads.length && <span className="muted small-text">The contract keeps the last {heads.length}.</span>}
        </Records>
      )}
    </Section>
  );
}

const refusedCalls = ({ calls, billedCalls }: SettledEntry): bigint => calls - billedCalls;

const ENTRIES: readonly Column<SettledEntry & { key: string }>[] = [
  { id: "consumer", title: "Consumer", isText: true, by: ({ consumer }) => consumer, show: ({ consumer }) => <Address address={consumer} link /> },
  { id: "day", title: "Day", by: ({ dayId }) => dayId, show: ({ dayId }) => dayText(dayId) },
  {
    id: "calls", title: "Calls billed", by: ({ billedCalls }) => billedCalls,
    show: ({ billedCalls, calls }) => <><Calls count={billedCalls} /><span className="muted"> of </span><Calls count={calls} /></>,
  },
  { id: "billed", title: "Billed", by: ({ billedWei }) => billedWei, show: ({ billedWei }) => <Gen wei={billedWei} /> },
  {
    id: "refused", title: "What was refused", isText: true, by: ({ code }) => code,
    show: (entry) => entry.code === "" ? <span className="muted">nothing</span>
      : <span className="bad-text"><Calls count={refusedCalls(entry)} /> {refusedCalls(entry) === 1n ? "call" : "calls"}: {explain(entry.code).meaning.toLowerCase()}</span>,
  },
];

function Opened({ apiName, sequence }: { apiName: string; sequence: bigint }) {
  const state = useView("get_settlement", [apiName, sequence], { staleTime: Infinity });
  const settlement = state.data?.settlement;
  if (!settlement) return state.error ? <Trouble error={state.error} /> : <Skeleton rows={3} label="Reading the settlement" />;
  const entries = settlement.entries.map((entry, i) => ({ ...entry, key: String(i) })).sort((a, b) => Number(b.code !== "") - Number(a.code !== ""));
  return (
    <div className="opened-record">
      <Records of="entries" rows={entries} columns={ENTRIES} keyOf={({ key }) => key} textOf={({ consumer, code }) => `${consumer} ${code && explain(code).meaning.toLowerCase()}`} />
      {settlement.usageRoot && <p className="muted small-text">Merkle root of the usage lines: <span className="mono break">{settlement.usageRoot}</span></p>}
    </div>
  );
}
