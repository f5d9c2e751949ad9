// Usage by day, stacked by API: the range, what is shown, the file of it, and the way to a statement of a month.
import { useMemo, useState } from "react";
import type { UsageReport } from "../../domain/answers";
import { exactGen, grouped } from "../../domain/amounts";
import type { Period } from "../../domain/bars";
import { usageCsv } from "../../domain/csv";
import { dayOfIso, HISTORY_DAYS, isoDay, lastDays, RANGES, stackOf, sumOf, within } from "../../domain/history";
import { go, useLocation } from "../../state/location";
import { useHistory } from "../../state/queries";
import type { Location } from "../../state/url";
import { StackedBars } from "../../ui/chart";
import { CsvButton } from "../../ui/csv_button";
import { Section } from "../../ui/parts";
import { Trouble } from "../../ui/trouble";

/** What the URL says, as far as the contract keeps it. */
export function periodOf({ days, from, until }: Pick<Location, "days" | "from" | "until">, today: number): Period {
  if (days) return lastDays(today, days);
  const kept = (day: number): number => Math.min(Math.max(day, today - HISTORY_DAYS + 1, 0), today);
  const last = kept(until || today);
  return { first: Math.min(kept(from || last - 29), last), last };
}

export function ChartSection({ report }: { report: UsageReport }) {
  const { location, href } = useLocation();
  const names = useMemo(() => report.apis.map((line) => line.apiName).sort(), [report.apis]);
  const period = periodOf(location, report.dayId);
  const history = useHistory(report, period);
  const api = names.includes(location.api) ? location.api : "";
  const unit = location.chart === "spend" ? "GEN" : "calls";
  const usage = within(history.usage, period).filter(({ apiName }) => !api || apiName === api);
  const sum = sumOf(usage);
  const used = new Set(usage.map(({ dayId }) => dayId)).size;
  const length = period.last - period.first + 1;
  if (names.length === 0) return null;
  const choices = (
    <>
      <label className="inline-field">
        <span className="visually-hidden">Which API</span>
        <select value={api} onChange={(event) => go({ api: event.target.value }, { replace: true })}>
          <option value="">All APIs</option>
          {names.map((name) => <option key={name} value={name}>{name}</option>)}
        </select>
      </label>
      <div className="toggle" role="group" aria-label="What the chart shows">
        {(["spend", "calls"] as const).map((each) => (
          <button key={each} type="button" aria-pressed={location.chart === each} onClick={() => go({ chart: each }, { replace: true })}>
            {each === "spend" ? "Spend" : "Calls"}
          </button>
        ))}
      </div>
    </>
  );
  return (
    <Section title="Usage by day" actions={choices}>
      <Range period={period} today={report.dayId} isChosen={location.days === 0} days={location.days} />
      <StackedBars
        label={unit === "GEN" ? "GEN spent, by API" : "Calls, by API"} first={period.first} last={period.last}
        series={stackOf(usage, unit)} unit={unit}
      >
        {exactGen(sum.spendWei)} GEN spent for {grouped(sum.calls)} {sum.calls === 1n ? "call" : "calls"}, used on {used} of {length} {length === 1 ? "day" : "days"},
        {" "}{isoDay(period.first)} to {isoDay(period.last)} (UTC).
        <span role="status">{history.missing > 0 && !history.error && ` Reading ${history.missing} more…`}</span>
      </StackedBars>
      {history.error !== null && <Trouble error={history.error} />}
      <div className="actions">
        <CsvButton name={`usage ${isoDay(period.first)} to ${isoDay(period.last)}`} make={() => usageCsv(report.consumer, usage)} disabled={history.missing > 0} />
        <a className="button small" href={href({ view: "statement" })}>Statement of a month</a>
      </div>
    </Section>
  );
}

function Range({ period, today, days, isChosen }: { period: Period; today: number; days: number; isChosen: boolean }) {
  const choose = (change: { from?: number; until?: number }): void => go({ from: period.first, until: period.last, ...change }, { replace: true });
  return (
    <div className="range">
      <div className="toggle" role="group" aria-label="Which days">
        {RANGES.map((count) => (
          <button key={count} type="button" aria-pressed={days === count} onClick={() => go({ days: count, from: 0, until: 0 }, { replace: true })}>{count} d<span className="wide-only">ays</span></button>
        ))}
        <button type="button" aria-pressed={isChosen} onClick={() => go({ days: 0, from: period.first, until: period.last }, { replace: true })}>From–until</button>
      </div>
      {isChosen && <div className="actions">
        <DateField label="From" day={period.first} today={today} onChange={(from) => choose({ from })} />
        <DateField label="Until" day={period.last} today={today} onChange={(until) => choose({ until })} />
        <span className="muted small-text">UTC</span>
      </div>}
    </div>
  );
}

/** While it is typed it keeps what is typed, of which years like 0002 are a part. */
function DateField({ label, day, today, onChange }: { label: string; day: number; today: number; onChange(day: number): void }) {
  const [typed, setTyped] = useState<string | null>(null);
  const least = Math.max(today - HISTORY_DAYS + 1, 0);
  return (
    <label className="date-field">
      {label}
      <input
        type="date" value={typed ?? isoDay(day)} min={isoDay(least)} max={isoDay(today)} onBlur={() => setTyped(null)}
        onChange={({ target }) => {
          setTyped(target.value);
          const chosen = dayOfIso(target.value);
          if (chosen >= least && chosen <= today) onChange(chosen);
        }}
      />
    </label>
  );
}
