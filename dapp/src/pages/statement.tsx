// What a consumer used and paid in a month, to be printed: of the chain alone, with every wei.
import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { alignedGen, exactGen, grouped } from "../domain/amounts";
import type { DayUsage, Notice, UsageReport } from "../domain/answers";
import type { Period } from "../domain/bars";
import { usageCsv } from "../domain/csv";
import { HISTORY_DAYS, isoDay, monthName, monthOf, monthTitle, sumOf, sumsBy, within, type Sum } from "../domain/history";
import { shortAddress } from "../domain/names";
import { explain } from "../domain/refusals";
import { DAY_SECONDS, momentText } from "../domain/time";
import { useDeployment } from "../state/deployment";
import { go, useLocation } from "../state/location";
import { usePlace } from "../state/place";
import { useHistory, useNotices, useReport } from "../state/queries";
import { CsvButton } from "../ui/csv_button";
import { Freshness } from "../ui/freshness";
import { usePageFocus, usePageTitle } from "../ui/page_focus";
import { Empty, Section, Skeleton } from "../ui/parts";
import { Trouble } from "../ui/trouble";
import "./statement.css";

/** The months that the contract has days of, the present one first. */
export function monthsOf(today: number) {
  const oldest = Math.max(today - HISTORY_DAYS + 1, 0);
  const months = [monthOf(today)];
  for (let before = 1; monthOf(today, before).last >= oldest; before++) months.push(monthOf(today, before));
  return { months, oldest };
}

/** The one of them that is wanted, or else the last that is over: a statement is of a closed month. Only where nothing was used in that, the present one. */
export function monthShown(months: readonly Period[], wanted: string, usage: readonly DayUsage[], isReading: boolean): Period {
  const [present = { first: 0, last: 0 }, closed = present] = months;
  const isEmpty = !isReading && within(usage, closed).length === 0;
  return months.find((each) => monthName(each) === wanted) ?? (isEmpty ? present : closed);
}

/** Refused calls by API and reason, the most first. */
export function refusalsOf(notices: readonly Notice[]): Pick<Notice, "apiName" | "code" | "calls">[] {
  const sums = new Map<string, Pick<Notice, "apiName" | "code" | "calls">>();
  for (const { apiName, code, calls } of notices) {
    if (calls > 0n) sums.set(`${apiName} ${code}`, { apiName, code, calls: calls + (sums.get(`${apiName} ${code}`)?.calls ?? 0n) });
  }
  return [...sums.values()].sort((a, b) => (a.calls < b.calls ? 1 : a.calls > b.calls ? -1 : 0));
}

export function StatementPage() {
  const { location, href } = useLocation();
  const { nameOf } = useDeployment();
  const heading = usePageFocus("Statement");
  const report = useReport(location.account);
  if (report.data) return <Statement report={report.data} query={report} heading={heading} />;
  return (
    <>
      <h1 ref={heading} tabIndex={-1}>Statement{nameOf(location.account) && ` of ${nameOf(location.account)}`}</h1>
      {location.account === "" ? (
        <Empty title="Whose statement?" action={<a className="button primary" href={href({ view: "connect" })}>Choose an account</a>}>A statement is of one account and one month.</Empty>
      ) : report.error || report.failureReason ? <Trouble error={report.error ?? report.failureReason} /> : <Skeleton rows={6} label="Reading the usage report" />}
    </>
  );
}

function Statement({ report, query, heading }: { report: UsageReport; query: UseQueryResult<UsageReport>; heading: ReturnType<typeof usePageFocus> }) {
  const { location } = useLocation();
  const { nameOf } = useDeployment();
  const { contract, place, chainId, clockOffset } = usePlace();
  const madeAt = Math.floor(query.dataUpdatedAt / 1000) + clockOffset;
  const { months, oldest } = monthsOf(report.dayId);
  const history = useHistory(report, monthShown(months, location.month, [], true));
  const month = monthShown(months, location.month, history.usage, history.missing > 0);
  const notices = useNotices(report.consumer, report.notices);
  const usage = within(history.usage, month);
  const isReading = history.missing > 0 || (report.notices > 0 && !notices.data);
  const error = history.error ?? (notices.data ? null : notices.error);
  const name = nameOf(report.consumer);
  const total = sumOf(usage);
  const told = (notices.data ?? []).filter(({ at }) => at >= month.first * DAY_SECONDS && at < (month.last + 1) * DAY_SECONDS);
  const refunds = told.filter(({ kind }) => kind === "refund");
  const refundedWei = refunds.reduce((sum, { amountWei }) => sum + amountWei, 0n);
  usePageTitle(`Statement of ${name || shortAddress(report.consumer)}, ${monthName(month)}`);
  return (
    <>
      <div className="page-head">
        <h1 ref={heading} tabIndex={-1}>Statement{name && ` of ${name}`} for {monthTitle(month)}</h1>
        <div className="page-side no-print">
          <Freshness query={query} />
          <label className="inline-field">
            <span className="visually-hidden">Month</span>
            <select value={monthName(month)} onChange={(event) => go({ month: event.target.value }, { replace: true })}>
              {months.map((each) => <option key={each.first} value={monthName(each)}>{monthTitle(each)}</option>)}
            </select>
          </label>
          <CsvButton name={`usage ${monthName(month)}`} make={() => usageCsv(report.consumer, usage)} disabled={history.missing > 0} />
          <button type="button" className="button primary small" disabled={isReading} onClick={() => window.print()}>Print</button>
        </div>
      </div>
      <Section title="Account and period">
        <dl className="statement-facts">
          <Fact term="Account">{name && <>{name}<br /></>}<span className="mono break">{report.consumer}</span></Fact>
          <Fact term="Billing contract"><span className="mono break">{contract?.address}</span></Fact>
          <Fact term="Network">{place}{chainId > 0 && `, chain ${chainId}`}</Fact>
          <Fact term="Period">{isoDay(month.first)} to {isoDay(month.last)}, whole days of UTC</Fact>
          <Fact term="Made">{momentText(madeAt)}</Fact>
          <Fact term="Calls">{isReading ? "…" : grouped(total.calls)}</Fact>
          <Fact term="Spent"><strong>{isReading ? "…" : `${exactGen(total.spendWei)} GEN`}</strong></Fact>
          {refundedWei > 0n && <Fact term="Refunded">{exactGen(refundedWei)} GEN, of what is spent above or was before</Fact>}
          <Fact term="Credit when made">{exactGen(report.creditBalanceWei)} GEN free, {exactGen(report.heldWei)} GEN on hold</Fact>
        </dl>
        <ul className="statement-remarks">
          {location.month !== "" && location.month !== monthName(month) && <li>The link is to {location.month}, of which the contract keeps nothing.</li>}
          {month.last >= report.dayId && <li>The month was not over when this was made.</li>}
          {month.last === report.dayId - 1 && <li>Usage of the last day can still be settled until {momentText(report.resetsAt)}.</li>}
          {month.first < oldest && <li>The contract keeps {HISTORY_DAYS} days: what was used before {isoDay(oldest)} is missing.</li>}
          <li>The contract keeps no balance of past days: a month has no opening and closing credit.</li>
        </ul>
        {error !== null && <Trouble error={error} />}
        {isReading && error === null && <p role="status">Reading…</p>}
      </Section>
      {!isReading && <Tables {...{ report, month, usage, total, notices: notices.data ?? [], told, refunds }} />}
    </>
  );
}

interface TablesProps {
  report: UsageReport;
  month: Period;
  usage: readonly DayUsage[];
  total: Sum;
  notices: readonly Notice[];
  /** Of them, those of the month, and the refunds among those. */
  told: readonly Notice[];
  refunds: readonly Notice[];
}

function Tables({ report, month, usage, total, notices, told, refunds }: TablesProps) {
  const forgets = report.notices > notices.length && (notices[0]?.at ?? 0) > month.first * DAY_SECONDS;
  return (
    <>
      <Section title="By API"><Sums head="API" rows={[...sumsBy(usage, "apiName")].sort(([a], [b]) => (a < b ? -1 : 1))} total={total} /></Section>
      <Section title="By day"><Sums head="Day (UTC)" rows={[...sumsBy(usage, "dayId")].map(([day, sum]) => [isoDay(day), sum])} total={total} /></Section>
      <Section title="Refused calls">
        <Table
          head={["API", "Why", "Calls"]} rows={refusalsOf(told).map(({ apiName, code, calls }) => [apiName, explain(code).meaning, grouped(calls)])}
          none="No refusal is on record."
        />
        {forgets && <p className="muted small-text">The contract keeps the last {notices.length} of {report.notices} notices: earlier ones of this month are missing.</p>}
      </Section>
      {refunds.length > 0 && (
        <Section title="Refunds">
          <Table
            head={["When", "API", "GEN"]} none=""
            rows={refunds.map(({ at, apiName, amountWei }) => [momentText(at), apiName, exactGen(amountWei)])}
          />
        </Section>
      )}
    </>
  );
}

const Fact = ({ term, children }: { term: string; children: ReactNode }) => <div><dt>{term}</dt><dd>{children}</dd></div>;

function Sums({ head, rows, total }: { head: string; rows: readonly [string, Sum][]; total: Sum }) {
  const gen = alignedGen([total, ...rows.map(([, sum]) => sum)].map(({ spendWei }) => spendWei));
  const cells = (name: string, { calls, spendWei }: Sum): Cells => [name, grouped(calls), gen(spendWei)];
  return <Table head={[head, "Calls", "GEN spent"]} rows={rows.map(([name, sum]) => cells(name, sum))} total={cells("Together", total)} none="Nothing was used." />;
}

type Cells = readonly [string, string, string];

/** The last column is a number, as is the second where there is a total. */
function Table({ head, rows, total, none }: { head: Cells; rows: readonly Cells[]; total?: Cells; none: string }) {
  if (rows.length === 0) return <p>{none}</p>;
  const isNumber = (i: number): string | undefined => (i === 2 || (i === 1 && total) ? "num" : undefined);
  const line = (cells: Cells, key: number | string) => (
    <tr key={key}>{cells.map((cell, i) => (i === 0 ? <th key={i} scope="row">{cell}</th> : <td key={i} className={isNumber(i)}>{cell}</td>))}</tr>
  );
  return (
    <table className="statement-table">
      <thead><tr>{head.map((cell, i) => <th key={i} scope="col" className={isNumber(i)}>{cell}</th>)}</tr></thead>
      <tbody>{rows.map(line)}</tbody>
      {total && <tfoot>{line(total, "total")}</tfoot>}
    </table>
  );
}
