// All subscriptions, one line each; a line opens its card.
import { Fragment, useId, useState } from "react";
import { isoDay } from "../../domain/history";
import { shortAddress } from "../../domain/names";
import { go, useLocation } from "../../state/location";
import { useSigner } from "../../state/signing";
import { CsvButton } from "../../ui/csv_button";
import { Calls, Empty, Gen, Section, Tag } from "../../ui/parts";
import type { Acting } from "./acting";
import { Card } from "./card";
import { COLUMNS, REASONS, rowsCsv, rowsOf, sorted, type Column, type Row } from "./rows";

const SHOWN = 10;

export function Subscriptions(acting: Acting) {
  const { report, own, isOwn, now } = acting;
  const { location, href } = useLocation();
  const { signer } = useSigner();
  const [wanted, setWanted] = useState("");
  const [isAll, setAll] = useState(false);
  const rows = sorted(rowsOf(report, now), location.sort);
  const found = rows.filter(({ line }) => line.apiName.includes(wanted.trim().toLowerCase()));
  const shown = isAll || wanted ? found : found.slice(0, SHOWN);
  return (
    <Section
      title="Subscriptions"
      actions={isOwn && <a className="button small" href={href({ view: "apis", api: "" })}>Subscribe to an API</a>}
    >
      {!isOwn && signer.kind !== "none" && (
        <p className="muted small-text">
          You watch {shortAddress(report.consumer)}. To change subscriptions, <a href={href({ account: own })}>go to your own page</a>.
        </p>
      )}
      {rows.length === 0 ? (
        <Empty title="No subscriptions yet" action={isOwn ? <a className="button" href={href({ view: "apis", api: "" })}>See all APIs</a> : undefined}>
          A subscription accepts an API's price and sets what may be spent a day.
        </Empty>
      ) : (
        <>
          <div className="table-tools">
            {rows.length > SHOWN / 2 && <Find value={wanted} onChange={setWanted} found={found.length} of={rows.length} />}
            {rows.length > 1 && <SortChoice />}
            <span className="table-file"><CsvButton name={`subscriptions ${isoDay(report.dayId)}`} make={() => rowsCsv(found)} /></span>
          </div>
          <Table rows={shown} acting={acting} />
          {found.length > SHOWN && !wanted && (
            <button type="button" className="button quiet small more" aria-expanded={isAll} onClick={() => setAll(!isAll)}>{isAll ? "Show fewer" : `Show all ${found.length}`}</button>
          )}
        </>
      )}
    </Section>
  );
}

function Find({ value, onChange, found, of }: { value: string; onChange(text: string): void; found: number; of: number }) {
  return (
    <>
      <span className="input find"><input type="search" aria-label="Find a subscription" placeholder="Find an API" value={value} autoComplete="off" autoCapitalize="off" spellCheck={false} onChange={({ target }) => onChange(target.value)} /></span>
      <span className="muted small-text" role="status">{value.trim() && `${found} of ${of}`}</span>
    </>
  );
}

const sortBy = (sort: string): void => go({ sort }, { replace: true });

/** On a phone there are no column heads to press. */
function SortChoice() {
  const { location } = useLocation();
  return (
    <select className="sort-choice" aria-label="Sort by" value={location.sort} onChange={({ target }) => sortBy(target.value)}>
      <option value="">Sort: what needs you first</option>
      {COLUMNS.flatMap(({ id, title, isText }) => [
        <option key={id} value={id}>{`${title}, ${isText ? "A to Z" : "least first"}`}</option>,
        <option key={`-${id}`} value={`-${id}`}>{`${title}, ${isText ? "Z to A" : "most first"}`}</option>,
      ])}
    </select>
  );
}

function Table({ rows, acting }: { rows: readonly Row[]; acting: Acting }) {
  const { location } = useLocation();
  const [open, setOpen] = useState(location.api);
  return (
    <table className="subscriptions">
      <thead><tr>{COLUMNS.map((column) => <Head key={column.id} column={column} sort={location.sort} />)}</tr></thead>
      <tbody>
        {rows.map((row) => {
          const name = row.line.apiName;
          return (
            <Fragment key={name}>
              <Line row={row} isOpen={open === name} onToggle={() => setOpen(open === name ? "" : name)} />
              {open === name && <tr className="opened"><td colSpan={COLUMNS.length}><Card row={row} {...acting} /></td></tr>}
            </Fragment>
          );
        })}
        {rows.length === 0 && <tr><td colSpan={COLUMNS.length} className="muted">No API has that in its name.</td></tr>}
      </tbody>
    </table>
  );
}

function Head({ column: { id, title, isText }, sort }: { column: Column; sort: string }) {
  const order = sort === id ? "ascending" : sort === `-${id}` ? "descending" : "none";
  const [first, second] = isText ? [id, `-${id}`] : [`-${id}`, id];
  return (
    <th scope="col" aria-sort={order} className={isText ? "" : "num"}>
      <button type="button" className="sort" onClick={() => sortBy(sort === first ? second : sort === second ? "" : first)}>
        {title}<span className="sort-mark" aria-hidden="true">{order === "ascending" ? "▲" : order === "descending" ? "▼" : ""}</span>
      </button>
    </th>
  );
}

function Line({ row: { line, left, metered, state }, isOpen, onToggle }: { row: Row; isOpen: boolean; onToggle(): void }) {
  const id = useId();
  return (
    <tr className="line">
      <th scope="row"><button type="button" className="open-row" aria-expanded={isOpen} aria-describedby={id} onClick={onToggle}>{line.apiName}</button></th>
      <td data-label="Plan" className="cell-plan">{line.planName}</td>
      <td data-label="Today" className="num"><Calls count={line.callsToday} /></td>
      <td data-label="Month" className="num"><Calls count={line.callsMonth} /></td>
      <td data-label="Spend" className="num"><Gen wei={line.spendMonthWei} /></td>
      <td data-label="Left" className="num" data-testid="left">
        <span>{left.calls > 0n ? <><Calls count={left.calls} /> {left.calls === 1n ? "call" : "calls"}</> : "none"}</span>
        {line.subscribed && <span className="reason">{REASONS[left.code]}</span>}
        {metered && metered.kind !== "ended" && <span className="reason">{metered.kind === "session" ? "session" : "hold"}: <Gen wei={metered.wei} /></span>}
      </td>
      <td id={id} className="cell-state"><Tag tone={state.tone}>{state.label}</Tag></td>
    </tr>
  );
}
