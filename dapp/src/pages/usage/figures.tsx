// The row that answers: what is left, what was spent, until when it lasts, what to do.
import { Fragment, useEffect, type ReactNode } from "react";
import * as actions from "../../actions/consumer";
import type { Advice } from "../../domain/advice";
import { grouped } from "../../domain/amounts";
import type { UsageReport } from "../../domain/answers";
import { monthOf } from "../../domain/history";
import { meteredOf } from "../../domain/left";
import { callsAtMix, endsOfToday, firstEnd, RATE_DAYS, sum, type LastDays, type Unbilled } from "../../domain/outlook";
import { clockText, DAY_SECONDS, dateText, dayOf, monthText } from "../../domain/time";
import { useLocation } from "../../state/location";
import { useView } from "../../state/queries";
import { ActionButton } from "../../ui/action_dialog";
import { compare } from "../../ui/records";
import { ActButton, useActing } from "../../ui/keys";
import { Gen } from "../../ui/parts";
import { topUpOf, type Acting } from "./acting";
import { Remedy } from "./remedy";

interface FiguresProps extends Acting {
  /** The most urgent of all advice. */
  first: Advice | undefined;
  /** null until the past is read. */
  lastMonthWei: bigint | null;
  isPastUnreadable: boolean;
  /** The report is of a day that has ended. */
  isLate: boolean;
  /** What is signed in sessions and not billed yet. */
  unbilled: Unbilled;
  /** All that was signed of these. */
  signedWei: bigint;
}

/** On so many APIs most was spent. */
const NAMED = 3;

export function Figures({ first, lastMonthWei, isPastUnreadable, isLate, unbilled, signedWei, ...acting }: FiguresProps) {
  const { report, rate, now } = acting;
  const mix = callsAtMix(report, now);
  const spentWei = sum(report.apis, "spendMonthWei");
  const todayWei = sum(report.apis, "spendTodayWei");
  const paid = report.apis.filter((line) => line.spendMonthWei > 0n).sort((a, b) => compare(b.spendMonthWei, a.spendMonthWei));
  return (
    <section className="section" aria-label="At a glance">
      <dl className="glance-row">
        <Figure name="Left" value={<span data-testid="free-credit"><Gen wei={report.creditBalanceWei} big /></span>}>
          {mix && <p data-testid="mix">about {grouped(mix.calls)} calls at {mix.of === "today" ? "today's" : "this month's"} mix</p>}
          <p className="muted" data-testid="held">{report.heldWei > 0n ? <>and <Gen wei={report.heldWei} /> on hold</> : <>nothing on hold</>}</p>
          {unbilled.size > 0 && <p data-testid="signed"><Gen wei={[...unbilled.values()].reduce((a, b) => a + b)} /> of <Gen wei={signedWei} /> signed for {unbilled.size === 1 ? [...unbilled.keys()] : `${unbilled.size} APIs`} are not billed yet</p>}
        </Figure>
        <Figure name="Spent this month" value={<span data-testid="spent"><Gen wei={spentWei} big /></span>}>
          {paid.length > 0 && (
            <p data-testid="most">
              {paid.slice(0, NAMED).map(({ apiName, spendMonthWei }, i) => <Fragment key={apiName}>{i > 0 && ", "}{paid.length === 1 ? "all" : <Gen wei={spendMonthWei} />} for <strong>{apiName}</strong></Fragment>)}
            </p>
          )}
          {(todayWei !== spentWei || isLate) && <p><Gen wei={todayWei} /> today{isLate && ", which began at midnight UTC"}</p>}
          <p className="muted" data-testid="last-month">{lastMonthWei !== null && <><Gen wei={lastMonthWei} /> in {monthText(monthOf(report.dayId, 1).first * DAY_SECONDS)}</>}</p>
        </Figure>
        <RunsOut report={report} rate={rate} now={now} isUnreadable={isPastUnreadable} />
        <ToDo first={first} {...acting} />
      </dl>
      <Money {...acting} isTopUpAbove={first?.remedy === "top_up"} />
    </section>
  );
}

function Figure({ name, value, children, className = "" }: { name: string; value: ReactNode; children?: ReactNode; className?: string }) {
  return (
    <div className={`glance-item ${className}`}>
      <dt>{name}</dt>
      <dd className="glance-value">{value}</dd>
      {children && <dd className="glance-rest">{children}</dd>}
    </div>
  );
}

const ENDS = {
  cap: ["", "reaches its daily cap"], plan: ["", "has used up its calls of today"],
  signed: ["what is signed for", ""], hold: ["the session of", ""], time: ["the session of", ""],
};

function RunsOut({ report, rate, now, isUnreadable }: { report: UsageReport; rate: LastDays | null; now: number; isUnreadable: boolean }) {
  const { endsAt, what, apiName, isTodaysRate } = firstEnd(report, now, rate);
  const near = isTodaysRate ? undefined : endsOfToday(report, now).find((end) => end.endsAt === Infinity);
  if (!rate && !isTodaysRate) return isUnreadable ? <RunsOutFigure value="not known"><p>The days before today cannot be read.</p></RunsOutFigure> : <RunsOutFigure value="…" />;
  const isHeld = what === "credit" && report.apis.some((line) => meteredOf(line, now)?.kind === "hold");
  const { days, spentWei } = rate ?? { days: 0, spentWei: 0n };
  return (
    <RunsOutFigure value={lasting(endsAt, now)}>
      {what !== "credit" && <p>{ENDS[what][0]} <strong>{apiName}</strong> {ENDS[what][1]}</p>}
      {near && <p><strong>{near.apiName}</strong> is near its {near.what === "cap" ? "daily cap" : "plan's limit"} today</p>}
      {typeof endsAt === "number" && endsAt - now >= DAY_SECONDS && <p>about {dateText(endsAt)}</p>}
      {what !== "credit" && typeof rate?.endsAt === "number" && <p className="muted">Credit: {lasting(rate.endsAt, now)}</p>}
      {isTodaysRate ? <p className="muted">at today's rate</p>
        : spentWei > 0n ? <p className="muted">at <Gen wei={spentWei / BigInt(days)} /> a day, the last {days === 1 ? "day" : `${days} days`}{isHeld && "; holds pay first"}</p>
        : <p className="muted">{days === RATE_DAYS ? "Nothing was spent in the last 7 days." : "There is no day of use to judge by yet."}</p>}
    </RunsOutFigure>
  );
}

const RunsOutFigure = ({ value, children }: { value: string; children?: ReactNode }) => (
  <Figure name="Runs out" value={<span className="amount-big" data-testid="runs-out">{value}</span>}>{children}</Figure>
);

function lasting(endsAt: LastDays["endsAt"], now: number): string {
  if (endsAt === null) return "not soon";
  if (endsAt === "never") return "in over 10 years";
  if (endsAt - now < 60) return "now";
  const days = Math.floor((endsAt - now) / DAY_SECONDS);
  if (days > 0) return days === 1 ? "in 1 day" : `in ${grouped(days)} days`;
  return `${dayOf(endsAt) === dayOf(now) ? "today" : "tomorrow"} at ${clockText(endsAt)}`;
}

function ToDo({ first, ...acting }: Acting & { first: Advice | undefined }) {
  const { report, isOwn } = acting;
  const [title, text] = first ? [first.title, `${first.which} ${first.text}`]
    : report.apis.some(({ subscribed }) => subscribed) ? ["Nothing", `All ${isOwn ? "your" : "these"} APIs can be called.`] : ["Subscribe to an API", "None can be called yet."];
  return (
    <Figure name={isOwn ? "To do" : "For its owner to do"} className={`todo ${first?.severity ?? "fine"}`} value={title}>
      <p>{text}</p>
      <p><Remedy className="button primary small" about={first} {...acting} /></p>
    </Figure>
  );
}

/** Money in and out, and the level of the alert. */
function Money({ isTopUpAbove, ...acting }: Acting & { isTopUpAbove: boolean }) {
  const { report, own, isOwn } = acting;
  const { href } = useLocation();
  const owner = useActing().find(({ address }) => !isOwn && address === report.consumer);
  const details = useView("get_account", isOwn ? [report.consumer] : null);
  const { refetch } = details;
  const known = `${report.creditBalanceWei}|${report.heldWei}|${report.lowCredit}`;
  const toldOf = details.data && `${details.data.creditWei}|${details.data.heldWei}|${details.data.lowCredit}`;
  // Somebody else topped up, or calls were billed: the report tells.
  useEffect(() => {
    if (toldOf !== undefined && toldOf !== known) void refetch();
  }, [known, toldOf, refetch]);
  const { alertPercent = 0, toppedUpWei = 0n } = details.data ?? {};
  return (
    <div className="glance-foot">
      <div className="actions">
        <ActionButton className={isOwn ? "button small primary" : "button small"} about={isTopUpAbove} make={(isElsewhere) => (isElsewhere ? null : topUpOf(acting))}>Top up</ActionButton>
        {owner && <ActButton account={owner} isSmall />}
        {isOwn && (
          <>
            <ActionButton disabled={report.creditBalanceWei === 0n} make={() => actions.withdraw(report.creditBalanceWei)}>Withdraw</ActionButton>
            <ActionButton disabled={!details.data} make={() => actions.alertLevel(alertPercent, toppedUpWei)}>Alert level</ActionButton>
          </>
        )}
      </div>
      {!isOwn && (
        <p className="small-text" data-testid="looking">
          You only look at this account. Anybody may top it up; all else its owner has to sign.{" "}
          {own ? <a href={href({ account: own })}>Your own usage</a> : <a href={href({ view: "connect" })}>Connect an account</a>}
        </p>
      )}
      {details.data && (
        <p className="muted small-text" data-testid="alert">
          {alertPercent === 0 ? "The low-credit alert is off." : toppedUpWei === 0n ? "The low-credit alert begins with the first top-up."
            : <>Alert at <Gen wei={(toppedUpWei * BigInt(alertPercent)) / 100n} />: {alertPercent} % of <Gen wei={toppedUpWei} /> after the last top-up.</>}
        </p>
      )}
    </div>
  );
}
