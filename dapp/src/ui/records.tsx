// A table of many lines: sorted by any column, searched, a few at first, and each line opens what is behind it.
import { Fragment, useState, type ReactNode } from "react";
import { CsvButton } from "./csv_button";
import "./records.css";

export interface Column<R> {
  id: string;
  title: string;
  /** What it is sorted by; of texts the first comes first, of numbers the largest. */
  by(row: R): string | number | bigint;
  show(row: R): ReactNode;
  isText?: boolean;
}

interface RecordsProps<R> {
  /** What the lines are, in one word: "consumers". */
  of: string;
  rows: readonly R[];
  /** The first one heads the line. */
  columns: readonly Column<R>[];
  keyOf(row: R): string;
  /** What a search looks through, in small letters; without it there is none. */
  textOf?(row: R): string;
  open?(row: R): ReactNode;
  /** Which one is open, where that is kept elsewhere. */
  opened?: string;
  onOpen?(key: string): void;
  /** Where the order is kept elsewhere: in the URL. */
  order?: string;
  onOrder?(order: string): void;
  /** What the order is that they are given in. */
  usual?: string;
  /** A file of those that are found, in their order. */
  csv?: { name: string; make(rows: readonly R[]): string };
  /** Besides the search: filters. */
  children?: ReactNode;
}

const SHOWN = 10;

/** For sorting, the least first. */
export const compare = (a: string | number | bigint, b: string | number | bigint): number => (a < b ? -1 : a > b ? 1 : 0);

/** `order`: a column's id, with a minus from the largest; empty: as they are given. */
export function inOrder<R>(rows: readonly R[], columns: readonly Column<R>[], order: string): readonly R[] {
  const column = columns.find(({ id }) => id === order.replace("-", ""));
  const sign = order.startsWith("-") ? -1 : 1;
  return column ? [...rows].sort((a, b) => sign * compare(column.by(a), column.by(b))) : rows;
}

export function Records<R>({ of, rows, columns, keyOf, textOf, open, opened = "", onOpen, usual = "the usual order", csv, children, ...kept }: RecordsProps<R>) {
  const [own, setOwn] = useState("");
  const { order = own, onOrder: setOrder = setOwn } = kept;
  const [wanted, setWanted] = useState("");
  const [shown, setShown] = useState(SHOWN);
  const [ownKey, setOpenKey] = useState(opened);
  const openKey = onOpen ? opened : ownKey;
  const word = wanted.trim().toLowerCase();
  const found = inOrder(word && textOf ? rows.filter((row) => textOf(row).includes(word)) : rows, columns, order);
  const toggle = (key: string): void => {
    const next = key === openKey ? "" : key;
    (onOpen ?? setOpenKey)(next);
  };
  const isLong = rows.length > SHOWN / 2;
  // One that a link has opened is there, however far down.
  const most = Math.max(shown, found.findIndex((row) => keyOf(row) === opened) + 1);
  return (
    <>
      <div className="records-tools">
        {textOf && isLong && (
          <>
            <span className="input records-find"><input type="search" aria-label={`Find ${of}`} placeholder={`Find ${of}`} value={wanted} autoComplete="off" autoCapitalize="off" spellCheck={false} onChange={({ target }) => setWanted(target.value)} /></span>
            <span className="muted small-text" role="status">{word && `${found.length} of ${rows.length}`}</span>
          </>
        )}
        {rows.length > 1 && <Order of={of} columns={columns} order={order} usual={usual} onChange={setOrder} />}
        {children}
        {csv && <span className="records-file"><CsvButton name={csv.name} make={() => csv.make(found)} /></span>}
      </div>
      <table className="records" aria-label={of}>
        <thead>
          <tr>{columns.map((column, i) => <Head key={column.id} column={column} isFirst={i === 0} order={order} onChange={setOrder} />)}</tr>
        </thead>
        <tbody>
          {found.slice(0, most).map((row) => {
            const key = keyOf(row);
            const isOpen = open !== undefined && key === openKey;
            return (
              <Fragment key={key}>
                <tr className={open ? "records-line opens" : "records-line"}>
                  {columns.map(({ id, title, show, isText }, i) => i === 0
                    ? <th key={id} scope="row">{open ? <button type="button" className="records-open" aria-expanded={isOpen} onClick={() => toggle(key)}>{show(row)}</button> : show(row)}</th>
                    : <td key={id} data-label={title} className={isText ? "" : "num"}>{show(row)}</td>)}
                </tr>
                {isOpen && <tr className="records-opened"><td colSpan={columns.length}>{open(row)}</td></tr>}
              </Fragment>
            );
          })}
          {found.length === 0 && <tr><td colSpan={columns.length} className="muted">There are none{word && ` with “${word}”`}.</td></tr>}
        </tbody>
      </table>
      {found.length > most && (
        <button type="button" className="button quiet small records-more" onClick={() => setShown(most < 50 ? 50 : most + 100)}>
          Show {Math.min(found.length, most < 50 ? 50 : most + 100) - most} more of {found.length}<span className="visually-hidden"> {of}</span>
        </button>
      )}
    </>
  );
}

function Head<R>({ column: { id, title, isText = false }, isFirst, order, onChange }: { column: Column<R>; isFirst: boolean; order: string; onChange(order: string): void }) {
  const [first, second] = isText ? [id, `-${id}`] : [`-${id}`, id];
  const direction = order === id ? "ascending" : order === `-${id}` ? "descending" : "none";
  return (
    <th scope="col" aria-sort={direction} className={isText || isFirst ? "" : "num"}>
      <button type="button" className="records-sort" onClick={() => onChange(order === first ? second : order === second ? "" : first)}>
        {title}<span className="records-mark" aria-hidden="true">{direction === "ascending" ? "▲" : direction === "descending" ? "▼" : ""}</span>
      </button>
    </th>
  );
}

/** On a phone there are no column heads to press. */
function Order<R>({ of, columns, order, usual, onChange }: { of: string; usual: string; columns: readonly Column<R>[]; order: string; onChange(order: string): void }) {
  return (
    <select className="records-order" aria-label={`Order of ${of}`} value={order} onChange={({ target }) => onChange(target.value)}>
      <option value="">Order: {usual}</option>
      {columns.flatMap(({ id, title, isText }) => [
        <option key={id} value={id}>{`${title}, ${isText ? "A to Z" : "least first"}`}</option>,
        <option key={`-${id}`} value={`-${id}`}>{`${title}, ${isText ? "Z to A" : "most first"}`}</option>,
      ])}
    </select>
  );
}
