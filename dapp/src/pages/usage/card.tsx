// One subscription with everything about it: price, limits, hold, and what can be done.
import * as actions from "../../actions/consumer";
import { grouped, share } from "../../domain/amounts";
import type { ApiUsage, UsageReport } from "../../domain/answers";
import { explain } from "../../domain/refusals";
import { duration, momentText } from "../../domain/time";
import { useLocation } from "../../state/location";
import { useView } from "../../state/queries";
import { ActionButton } from "../../ui/action_dialog";
import { Bar, Calls, Gen } from "../../ui/parts";
import type { Acting } from "./acting";
import { MeteredUse } from "./metered";
import type { Row } from "./rows";

const SELDOM_MS = 10 * 60_000;

export function Card({ row, ...acting }: Acting & { row: Row }) {
  const { report, isOwn, now } = acting;
  const { line } = row;
  const { href } = useLocation();
  const promise = useView("get_promise", [line.apiName, report.dayId], { staleTime: SELDOM_MS, isPatient: true });
  return (
    <article className="opened-card" aria-label={line.apiName}>
      <p className="price">
        {line.planName}: {line.acceptedPriceWei === 0n && line.costPerCallWei === 0n ? "free" : <><Gen wei={line.costPerCallWei} /> a call</>}
        {line.costPerCallWei > line.acceptedPriceWei && line.subscribed && <span className="bad-text"> · accepted: <Gen wei={line.acceptedPriceWei} /></span>}
        <span> · <a href={href({ view: "apis", api: line.apiName })}>Plans<span className="visually-hidden"> of {line.apiName}</span></a></span>
        {promise.data?.court && <span> · <a href={href({ view: "disputes", api: line.apiName })}>Promise and disputes<span className="visually-hidden"> of {line.apiName}</span></a></span>}
      </p>
      {line.subscribed && <p className="small-text"><WhatIsLeft row={row} /></p>}
      <div className="periods">
        <Today line={line} report={report} now={now} />
        <Month line={line} report={report} />
      </div>
      <MeteredUse row={row} {...acting} />
      {isOwn && <CardActions line={line} {...acting} />}
    </article>
  );
}

/** For calls that are billed one by one; a hold pays only what is settled later. */
function WhatIsLeft({ row: { left, metered, calls, isOfSession, limit } }: { row: Row }) {
  if (isOfSession) return <>The session pays <Calls count={calls} /> {calls === 1n ? "call" : "calls"}, limited by {limit}; free credit pays none.</>;
  if (left.calls > 0n) return <>Left: <Calls count={left.calls} /> {left.calls === 1n ? "call" : "calls"} for <Gen wei={left.wei} />, limited by {limit}.</>;
  if (left.code !== "insufficient_credit" || !metered?.calls) return `No call is left: ${explain(left.code).meaning.toLowerCase()}.`;
  return <>The {metered.kind} pays <Calls count={metered.calls} /> {metered.calls === 1n ? "call" : "calls"}; free credit pays none.</>;
}

function Today({ line, report, now }: { line: ApiUsage; report: UsageReport; now: number }) {
  return (
    <div className="bars">
      <h3 className="h4">Today <span className="muted">resets in {duration(report.resetsAt - now)}</span></h3>
      <CallsBar used={line.callsToday} limit={line.apiDailyLimitCalls} />
      <Bar
        label="Spent" used={<Gen wei={line.spendTodayWei} />} limit={<Gen wei={line.consumerMaxDailySpendWei} />}
        thousandths={share(line.spendTodayWei, line.consumerMaxDailySpendWei)}
        isOver={line.costPerCallWei > line.spendLeftTodayWei}
        left={<><Gen wei={line.spendLeftTodayWei} /> left</>}
      />
    </div>
  );
}

function Month({ line, report }: { line: ApiUsage; report: UsageReport }) {
  return (
    <div className="bars">
      <h3 className="h4">This month <span className="muted">resets {momentText(report.monthResetsAt)}</span></h3>
      <CallsBar used={line.callsMonth} limit={line.apiMonthlyLimitCalls} />
      <p className="plain-figure"><span>Spent</span> <Gen wei={line.spendMonthWei} /></p>
    </div>
  );
}

function CallsBar({ used, limit }: { used: bigint; limit: bigint }) {
  if (limit === 0n) return <p className="plain-figure"><span>Calls</span> <span><Calls count={used} /><span className="muted"> · no limit</span></span></p>;
  return (
    <Bar
      label="Calls" used={<Calls count={used} />} limit={<Calls count={limit} />} thousandths={share(used, limit)}
      left={`${limit > used ? grouped(limit - used) : "none"} left`}
    />
  );
}

function CardActions({ line, report, apis, now }: Acting & { line: ApiUsage }) {
  const api = apis?.find((each) => each.apiName === line.apiName);
  const isEnded = line.holdWei > 0n && now >= line.holdExpiresAt;
  return (
    <div className="card-actions">
      {api && <ActionButton make={() => actions.subscribe(api, report, now)}>{line.subscribed ? "Change plan or cap" : "Subscribe again"}</ActionButton>}
      {line.subscribed && !line.signer && <ActionButton make={() => actions.placeHold(line, report.creditBalanceWei, now)}>{actions.isHoldInForce(line, now) ? "Change hold" : "Place hold"}</ActionButton>}
      {isEnded && <ActionButton make={() => actions.releaseHold(line)}>Release hold</ActionButton>}
      {line.subscribed && <ActionButton className="button small quiet" make={() => actions.unsubscribe(line, now)}>End</ActionButton>}
    </div>
  );
}
