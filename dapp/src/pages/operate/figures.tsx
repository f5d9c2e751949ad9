// The row that answers: what was earned, what waits, who the consumers are, what was refused, what is not settled yet.
import type { ReactNode } from "react";
import { withdrawEarnings } from "../../actions/earnings";
import type { Api, ApiDay, Earnings } from "../../domain/answers";
import { consumersOf, earnedIn, nextMaturing, percentText, refusedOf, settledOf } from "../../domain/operating";
import { dayOf, dayText, duration } from "../../domain/time";
import { useLocation } from "../../state/location";
import { useView } from "../../state/queries";
import { ActionButton } from "../../ui/action_dialog";
import { Address, Calls, Gen, Section } from "../../ui/parts";
import { lastSequence, useHeads, useSubscribers, type ReadOfAll } from "./reading";

interface FiguresProps {
  /** All of them, or the one that the page is about. */
  apis: readonly Api[];
  days: ReadOfAll<ApiDay[]>;
  earnings: Earnings | undefined;
  isOwn: boolean;
  now: number;
}

const WAITING = <span className="muted">…</span>;

export function Figures({ apis, days, earnings, isOwn, now }: FiguresProps) {
  return (
    <Section title="At a glance" className="operating">
      <dl className="operating-row">
        <Earned apis={apis} days={days} today={dayOf(now)} />
        <ToWithdraw earnings={earnings} isOwn={isOwn} />
        <Waiting apis={apis} days={days} earnings={earnings} today={dayOf(now)} />
        {/* Of many APIs the days are read first: they are what most look for. */}
        <Others key={apis.length === 1 ? apis[0]?.apiName : ""} apis={apis} isNext={days.missing === 0 || apis.length === 1} now={now} />
      </dl>
    </Section>
  );
}

function Figure({ name, value, children, testId }: { name: string; value: ReactNode; children?: ReactNode; testId?: string }) {
  return (
    <div className="operating-figure">
      <dt>{name}</dt>
      <dd className="operating-value" data-testid={testId}>{value}</dd>
      {children && <dd className="operating-rest">{children}</dd>}
    </div>
  );
}

const soFar = (missing: number, all: number): ReactNode => missing > 0 && <p className="muted" role="status">{all - missing} of {all} APIs so far</p>;

function Earned({ apis, days, today }: Pick<FiguresProps, "apis" | "days"> & { today: number }) {
  const sum = (count: number): bigint => [...days.of.values()].reduce((total, each) => total + earnedIn(each, today, count), 0n);
  const isThere = days.of.size > 0;
  return (
    <Figure name="Earned today" testId="earned" value={isThere ? <Gen wei={sum(1)} big /> : WAITING}>
      {isThere && <><p><Gen wei={sum(7)} /> in 7 days</p><p><Gen wei={sum(30)} /> in 30 days</p></>}
      {soFar(days.missing, apis.length)}
    </Figure>
  );
}

function ToWithdraw({ earnings, isOwn }: Pick<FiguresProps, "earnings" | "isOwn">) {
  return (
    <Figure name="To withdraw" testId="earnings" value={earnings ? <Gen wei={earnings.earningsWei} big /> : WAITING}>
      {earnings && <p className="muted"><Gen wei={earnings.withdrawnWei} /> withdrawn{earnings.refundedWei > 0n && <>, <Gen wei={earnings.refundedWei} /> refunded</>} so far</p>}
      {isOwn && <p><ActionButton className="button primary small" disabled={!earnings?.earningsWei} make={() => withdrawEarnings(earnings?.earningsWei ?? 0n)}>Withdraw earnings</ActionButton></p>}
    </Figure>
  );
}

function Waiting({ apis, days, earnings, today }: Omit<FiguresProps, "isOwn" | "now"> & { today: number }) {
  const { href } = useLocation();
  const waiting = earnings?.apis.filter(({ apiName }) => apis.some((api) => api.apiName === apiName)) ?? [];
  const pendingWei = waiting.reduce((sum, each) => sum + each.pendingWei, 0n);
  const frozen = waiting.filter(({ frozenWei }) => frozenWei > 0n);
  const next = [...days.of.values()].map((each) => nextMaturing(each, today)).filter(Boolean).sort((a, b) => a - b)[0];
  return (
    <Figure name="Waits under a promise" testId="pending" value={earnings ? <Gen wei={pendingWei} big /> : WAITING}>
      {waiting.length === 0 && earnings && <p className="muted">Nothing was promised: what is earned can be withdrawn at once.</p>}
      {pendingWei > 0n && next !== undefined && <p>more can be collected from {dayText(next)} on</p>}
      {frozen.map(({ apiName, frozenWei }) => (
        <p key={apiName} className="bad-text"><Gen wei={frozenWei} /> frozen by a dispute about <a href={href({ api: apiName })}>{apiName}</a></p>
      ))}
      {waiting.length > 0 && frozen.length === 0 && <p className="muted">Nothing is frozen by a dispute.</p>}
    </Figure>
  );
}

const NO_APIS: readonly Api[] = [];

function Others({ apis, isNext, now }: { apis: readonly Api[]; isNext: boolean; now: number }) {
  const subscribers = useSubscribers(isNext ? apis : NO_APIS);
  const isLast = isNext && (subscribers.missing === 0 || apis.length === 1);
  const settling = apis.filter((api) => lastSequence(api) > 0);
  const heads = useHeads(isLast ? settling : NO_APIS);
  const { count, withRefused, last } = settledOf([...heads.of.values()]);
  const settlement = useView("get_settlement", last ? [last.apiName, last.sequence] : null, { staleTime: Infinity, isPatient: apis.length > 1 });
  const lists = [...subscribers.of.values()];
  const consumers = consumersOf(lists.map((each) => each.subscribers), now);
  const isPart = subscribers.missing > 0 || lists.some((each) => each.total > each.subscribers.length);
  const refused = refusedOf(settlement.data?.settlement?.entries ?? []);
  const isSettled = settling.length > 0;
  return (
    <>
      <Figure name="Consumers" testId="consumers" value={lists.length > 0 ? <>{isPart && apis.length > 1 && "at least "}<Calls count={BigInt(isPart && apis.length === 1 ? lists[0]?.total ?? 0 : consumers.active)} /></> : WAITING}>
        {!isPart && consumers.count > consumers.active && <p className="muted">and <Calls count={BigInt(consumers.count - consumers.active)} /> whose subscription ended</p>}
        {consumers.first && <p>most this month: <Address address={consumers.first} link />, <Gen wei={consumers.firstWei} /></p>}
        {isNext && soFar(subscribers.missing, apis.length)}
      </Figure>
      <Figure name="Refused in the last settlement" testId="refused" value={!isSettled ? <span className="muted">nothing</span> : settlement.data ? <span className={refused.calls ? "bad-text" : ""}>{percentText(refused.calls, refused.ofCalls)}</span> : WAITING}>
        {refused.calls > 0n && <p><Calls count={refused.calls} /> of <Calls count={refused.ofCalls} /> calls, <Gen wei={refused.spendWei} /></p>}
        {count > 0 && <p className="muted">{withRefused} of the last {count} settlements had refused entries</p>}
        {isLast && soFar(heads.missing, settling.length)}
      </Figure>
      <Figure name="Last settled" testId="settled" value={!isSettled ? <span className="muted">never</span> : last ? `${duration(now - last.settledAt)} ago` : WAITING}>
        {last && <p>number {last.sequence.toString()}{apis.length > 1 && <> of <strong className="break">{last.apiName}</strong></>}: <Gen wei={last.billedWei} /></p>}
        <p className="muted">
          {last ? "What the meter counted since then is not on the chain. " : isSettled ? "" : "What a meter counts is on the chain when it settles. "}
          {consumers.held > 0 && <>For what is not settled <Calls count={BigInt(consumers.held)} /> {consumers.held === 1 ? "consumer has" : "consumers have"} <Gen wei={consumers.heldWei} /> on hold.</>}
        </p>
      </Figure>
    </>
  );
}
