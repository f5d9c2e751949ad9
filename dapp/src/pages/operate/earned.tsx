// What was earned by day, stacked by API.
import type { ApiDay } from "../../domain/answers";
import { exactGen } from "../../domain/amounts";
import { lastDays, stackOf, sumOf, within } from "../../domain/history";
import { go, useLocation } from "../../state/location";
import { StackedBars } from "../../ui/chart";
import { Section } from "../../ui/parts";
import { Trouble } from "../../ui/trouble";
import type { ReadOfAll } from "./reading";

/** The contract keeps 64 days of an API. */
const KEPT_DAYS = 64;

export function EarnedByDay({ days, today }: { days: ReadOfAll<ApiDay[]>; today: number }) {
  const { location } = useLocation();
  const range = location.days === 7 || location.days === 30 ? location.days : KEPT_DAYS;
  const period = lastDays(today, range);
  const usage = [...days.of].flatMap(([apiName, each]) => each.map(({ dayId, calls, earnedWei }) => ({ apiName, dayId, calls, spendWei: earnedWei })));
  const shown = within(usage, period);
  const unit = location.chart === "spend" ? "GEN" : "calls";
  const sum = sumOf(shown);
  return (
    <Section
      title="Earned by day"
      actions={(
        <>
          <div className="toggle" role="group" aria-label="Which days">
            {[7, 30, KEPT_DAYS].map((count) => (
              <button key={count} type="button" aria-pressed={range === count} onClick={() => go({ days: count === KEPT_DAYS ? 90 : count }, { replace: true })}>{count} days</button>
            ))}
          </div>
          <div className="toggle" role="group" aria-label="What the chart shows">
            <button type="button" aria-pressed={unit === "GEN"} onClick={() => go({ chart: "spend" }, { replace: true })}>GEN</button>
            <button type="button" aria-pressed={unit === "calls"} onClick={() => go({ chart: "calls" }, { replace: true })}>Calls</button>
          </div>
        </>
      )}
    >
      <StackedBars label={unit === "GEN" ? "GEN earned, by API" : "Calls billed, by API"} first={period.first} last={period.last} series={stackOf(shown, unit)} unit={unit}>
        {exactGen(sum.spendWei)} GEN earned, whoever ran the API that day, without what was refunded from days that waited, or frozen.
        <span role="status">{days.missing > 0 && days.error === null && ` Reading ${days.missing} more ${days.missing === 1 ? "API" : "APIs"}…`}</span>
      </StackedBars>
      {days.error !== null && <Trouble error={days.error} />}
    </Section>
  );
}
