// What a meter posted, batch by batch, with what was refused of it.
import type { Api, SettledEntry, Settlement } from "../../domain/answers";
import { explain } from "../../domain/refusals";
import { dayText, momentText } from "../../domain/time";
import { go, useLocation } from "../../state/location";
import { useView } from "../../state/queries";
import { Address, Calls, Empty, Gen, Section, Skeleton } from "../../ui/parts";
import { Trouble } from "../../ui/trouble";

const KEPT = 64;

export function Settlements({ apis }: { apis: readonly Api[] }) {
  const { location } = useLocation();
  const settled = apis.filter((api) => api.nextSequence > 1n);
  const api = settled.find((each) => each.apiName === location.api) ?? settled[0];
  if (!api) return <Section title="Settlements"><Empty title="Nothing was settled yet">What a meter posts in batches appears here.</Empty></Section>;
  const last = api.nextSequence - 1n;
  const first = last > BigInt(KEPT) ? last - BigInt(KEPT) + 1n : 1n;
  const wanted = BigInt(location.settlement);
  const sequence = wanted >= first && wanted <= last ? wanted : last;
  const show = (number: bigint): void => go({ settlement: number === last ? 0 : Number(number), api: api.apiName }, { replace: true });
  const choices = (
    <>
      <label className="inline-field">
        <span className="visually-hidden">Settlements of</span>
        <select value={api.apiName} onChange={(event) => go({ api: event.target.value, settlement: 0 }, { replace: true })}>
          {settled.map((each) => <option key={each.apiName} value={each.apiName}>{each.apiName}</option>)}
        </select>
      </label>
      <button type="button" className="button small" disabled={sequence <= first} onClick={() => show(sequence - 1n)}>Earlier</button>
      <button type="button" className="button small" disabled={sequence >= last} onClick={() => show(sequence + 1n)}>Later</button>
    </>
  );
  return (
    <Section title="Settlements" actions={choices}>
      <Shown apiName={api.apiName} sequence={sequence} last={last} />
    </Section>
  );
}

function Shown({ apiName, sequence, last }: { apiName: string; sequence: bigint; last: bigint }) {
  const state = useView("get_settlement", [apiName, sequence], { staleTime: Infinity });
  if (state.error) return <Trouble error={state.error} />;
  const settlement = state.data?.settlement;
  if (!settlement) return <Skeleton rows={4} label="Reading the settlement" />;
  const refused = settlement.entries.filter((entry) => entry.code !== "").length;
  return (
    <>
      <p>
        <strong>Number {sequence.toString()} of {last.toString()}</strong>, {momentText(settlement.settledAt)}:{" "}
        <Calls count={settlement.billedCalls} /> {settlement.billedCalls === 1n ? "call" : "calls"} billed for <Gen wei={settlement.billedWei} />
        {refused > 0 && <span className="bad-text">, {refused} of {settlement.entries.length} entries refused in part or whole</span>}.
      </p>
      <Entries settlement={settlement} />
      {settlement.usageRoot && <p className="muted small-text">Merkle root of the usage lines: <span className="mono break">{settlement.usageRoot}</span></p>}
    </>
  );
}

function Entries({ settlement }: { settlement: Settlement }) {
  const sorted = [...settlement.entries].sort((a, b) => Number(b.code !== "") - Number(a.code !== ""));
  return (
    <div className="table-scroll" tabIndex={0} role="region" aria-label="Entries of the settlement">
      <table>
        <thead><tr><th scope="col">Consumer</th><th scope="col">Day</th><th scope="col" className="num">Calls billed</th><th scope="col" className="num">Billed</th><th scope="col">What was refused</th></tr></thead>
        <tbody>{sorted.map((entry, i) => <Entry key={`${entry.consumer}:${entry.dayId}:${i}`} entry={entry} />)}</tbody>
      </table>
    </div>
  );
}

function Entry({ entry }: { entry: SettledEntry }) {
  return (
    <tr className={entry.code ? "refused" : ""}>
      <th scope="row"><Address address={entry.consumer} link /></th>
      <td>{dayText(entry.dayId)}</td>
      <td className="num"><Calls count={entry.billedCalls} /><span className="muted"> of </span><Calls count={entry.calls} /></td>
      <td className="num"><Gen wei={entry.billedWei} /></td>
      <td>{entry.code ? <><Calls count={entry.calls - entry.billedCalls} /> {entry.calls - entry.billedCalls === 1n ? "call" : "calls"}: {explain(entry.code).meaning.toLowerCase()}</> : <span className="muted">nothing</span>}</td>
    </tr>
  );
}
