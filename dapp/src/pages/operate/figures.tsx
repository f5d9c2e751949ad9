// The row that answers: what was earned, what waits, who the consumers are, what was refused, what is not settled yet.
import { Fragment, type ReactNode } from "react";
import { collectEarnings, withdrawEarnings } from "../../actions/earnings";
import type { Api, ApiDay, Earnings, SettlementHead } from "../../domain/answers";
import { consumersOf, earnedIn, pendingOf, percentText, refusedIn, refusedOf, settledOf } from "../../domain/operating";
import { explain } from "../../domain/refusals";
import { dayOf, dayText, duration } from "../../domain/time";
import { useLocation } from "../../state/location";
import { useView } from "../../state/queries";
import { ActionButton } from "../../ui/action_dialog";
import { Address, Calls, Gen, Section } from "../../ui/parts";
import { MeterGlance, MeterLink } from "../meter/lazily";
import { lastSequence, type ReadOfAll, type Subscribers } from "./reading";

interface FiguresProps {
  /** All of them, or the one that the page is about. */
  apis: readonly Api[];
  days: ReadOfAll<ApiDay[]>;
  subscribers: ReadOfAll<Subscribers>;
  heads: ReadOfAll<SettlementHead[]>;
  earnings: Earnings | undefined;
  /** Whether these are all that earn what can be withdrawn. */
  areAll: boolean;
  isOwn: boolean;
  now: number;
}

/** So many APIs are named; the table of them has the rest. */
const NAMED = 3;
const WAITING = <span className="muted">…</span>;

export function Figures({ apis, days, subscribers, heads, earnings, areAll, isOwn, now }: FiguresProps) {
  return (
    <Section title="At a glance" className="operating">
      <dl className="operating-row">
        <Earned apis={apis} days={days} today={dayOf(now)} />
        {areAll && <ToWithdraw earnings={earnings} isOwn={isOwn} />}
        <Waiting apis={apis} days={days} earnings={earnings} isOwn={isOwn} today={dayOf(now)} />
        <Consumers apis={apis} subscribers={subscribers} now={now} />
        <Settled apis={apis} heads={heads} subscribers={subscribers} now={now} />
      </dl>
    </Section>
  );
}

function Figure({ name, value, action, children, testId }: { name: string; value: ReactNode; action?: ReactNode; children?: ReactNode; testId?: string }) {
  return (
    <div className="operating-figure">
      <dt>{name}</dt>
      <dd className="operating-value"><span data-testid={testId}>{value}</span>{action}</dd>
      {children && <dd className="operating-rest">{children}</dd>}
    </div>
  );
}

/** Also while nothing is asked for yet: what is read first goes before. */
export const soFar = (of: ReadonlyMap<string, unknown>, all: number): ReactNode => of.size < all && <p className="muted" role="status">{of.size} of {all} APIs so far</p>;

function Earned({ apis, days, today }: Pick<FiguresProps, "apis" | "days"> & { today: number }) {
  const sum = (count: number): bigint => [...days.of.values()].reduce((total, each) => total + earnedIn(each, today, count), 0n);
  const isThere = days.of.size > 0;
  return (
    <Figure name="Earned today" testId="earned" value={isThere ? <Gen wei={sum(1)} big /> : WAITING}>
      {isThere && <p><Gen wei={sum(7)} /> in 7 days, <Gen wei={sum(30)} /> in 30</p>}
      {soFar(days.of, apis.length)}
    </Figure>
  );
}

/** Of an operator, whatever APIs it has, or had. */
export function ToWithdraw({ earnings, isOwn }: Pick<FiguresProps, "earnings" | "isOwn">) {
  return (
    <Figure
      name="Withdrawable" testId="earnings" value={earnings ? <Gen wei={earnings.earningsWei} big /> : WAITING}
      action={isOwn && <ActionButton className="button primary small" disabled={!earnings?.earningsWei} make={() => withdrawEarnings(earnings?.earningsWei ?? 0n)}>Withdraw<span className="visually-hidden"> earnings</span></ActionButton>}
    >
      {earnings && <p className="muted"><Gen wei={earnings.withdrawnWei} /> withdrawn{earnings.refundedWei > 0n && <>, <Gen wei={earnings.refundedWei} /> refunded</>} so far</p>}
    </Figure>
  );
}

function Waiting({ apis, days, earnings, isOwn, today }: Pick<FiguresProps, "apis" | "days" | "earnings" | "isOwn"> & { today: number }) {
  const { href } = useLocation();
  const promised = earnings?.apis.filter(({ apiName }) => apis.some((api) => api.apiName === apiName)) ?? [];
  const each = promised.flatMap(({ apiName, pendingWei }) => (days.of.has(apiName) ? [{ apiName, pendingWei, ...pendingOf(days.of.get(apiName) ?? [], pendingWei, today) }] : []));
  const sum = (some: typeof each, what: "pendingWei" | "collectableWei" | "nextWei"): bigint => some.reduce((total, one) => total + one[what], 0n);
  const later = each.filter(({ nextDay }) => nextDay > 0);
  const nextDay = Math.min(...later.map((one) => one.nextDay));
  const lastDay = Math.max(...later.map((one) => one.lastDay));
  const collectable = each.filter(({ collectableWei }) => collectableWei > 0n);
  const isOne = apis.length === 1;
  return (
    <Figure
      name="Pending" testId="pending" value={earnings && each.length === promised.length ? <Gen wei={sum(each, "pendingWei")} big /> : WAITING}
      action={isOwn && collectable.slice(0, NAMED).map(({ apiName, collectableWei }) => <CollectButton key={apiName} apiName={apiName} wei={collectableWei} isNamed={collectable.length > 1} />)}
    >
      {promised.length === 0 && earnings && <p className="muted">Nothing was promised: what is earned is withdrawable at once.</p>}
      {collectable.length > 0 && <p><strong><Gen wei={sum(collectable, "collectableWei")} /> of it to collect now</strong></p>}
      {later.length > 0 && <p><Gen wei={sum(later.filter((one) => one.nextDay === nextDay), "nextWei")} /> from {dayText(nextDay)} on{lastDay > nextDay && `, all by ${dayText(lastDay)}`}</p>}
      {promised.filter(({ frozenWei }) => frozenWei > 0n).map(({ apiName, frozenWei }) => (
        <p key={apiName} className="bad-text"><Gen wei={frozenWei} /> frozen: <a className="break" href={href({ view: "disputes", api: apiName })}>disputes{isOne ? "" : ` of ${apiName}`}</a></p>
      ))}
    </Figure>
  );
}

export function CollectButton({ apiName, wei, isNamed = false }: { apiName: string; wei: bigint; isNamed?: boolean }) {
  return <ActionButton make={() => (wei > 0n ? collectEarnings(apiName, wei) : null)}>Collect<span className={isNamed ? "break" : "visually-hidden"}> what {apiName} earned</span></ActionButton>;
}

function Consumers({ apis, subscribers, now }: Pick<FiguresProps, "apis" | "subscribers" | "now">) {
  const lists = [...subscribers.of.values()];
  const { active, count, first, firstWei } = consumersOf(lists.map((each) => each.subscribers), now);
  const isPart = lists.length < apis.length || lists.some((each) => each.total > each.subscribers.length);
  return (
    <Figure name="Consumers" testId="consumers" value={lists.length > 0 ? <>{isPart && "at least "}<Calls count={BigInt(active)} /></> : WAITING}>
      {count > active && <p className="muted">and <Calls count={BigInt(count - active)} /> whose subscription ended</p>}
      {first && <p>spent most here this month{isPart && ", so far"}: <Address address={first} link />, <Gen wei={firstWei} /></p>}
      {soFar(subscribers.of, apis.length)}
    </Figure>
  );
}

function Settled({ apis, heads, subscribers, now }: Pick<FiguresProps, "apis" | "heads" | "subscribers" | "now">) {
  const { href } = useLocation();
  const { count, withRefused, refusing, last, lastRefusing } = settledOf([...heads.of.values()]);
  const { held, heldWei } = consumersOf([...subscribers.of.values()].map((each) => each.subscribers), now);
  const settlement = useView("get_settlement", lastRefusing ? [lastRefusing.apiName, lastRefusing.sequence] : null, { staleTime: Infinity, isPatient: apis.length > 1, keepsFormer: true });
  const entries = settlement.data?.settlement?.entries ?? [];
  const refused = refusedOf(entries);
  const why = [...refusedIn({ entries })];
  const settling = apis.filter((api) => lastSequence(api) > 0);
  const isSettled = settling.length > 0;
  return (
    <>
      <Figure
        name="Last refused" testId="refused"
        value={!isSettled || (!lastRefusing && heads.of.size === settling.length) ? <span className="muted">nothing</span>
          : lastRefusing && settlement.data ? <span className="bad-text"><Calls count={refused.calls} /> {refused.calls === 1n ? "call" : "calls"}</span> : WAITING}
      >
        {lastRefusing && settlement.data && (
          <>
            {why.slice(0, NAMED).map(([consumer, code]) => <p key={consumer}><Address address={consumer} link />: {explain(code).meaning.toLowerCase()}</p>)}
            {why.length > NAMED && <p>and <Calls count={BigInt(why.length - NAMED)} /> more {why.length - NAMED === 1 ? "consumer" : "consumers"}</p>}
            <p>
              <Gen wei={refused.spendWei} />, {percentText(refused.calls, refused.ofCalls)} of the calls of{" "}
              <a className="break" href={href({ api: lastRefusing.apiName, settlement: Number(lastRefusing.sequence), entries: "refused" })}>settlement {lastRefusing.sequence.toString()}{apis.length > 1 && ` of ${lastRefusing.apiName}`}</a>, {duration(now - lastRefusing.settledAt)} ago
            </p>
          </>
        )}
        {count > 0 && <p className="muted">{withRefused} of the last {count} {count === 1 ? "settlement" : "settlements"} had refused entries</p>}
        {refusing.length > 0 && (
          <p>
            See {refusing.slice(0, NAMED).map((apiName, i) => <Fragment key={apiName}>{i > 0 && ", "}<a className="break" href={href({ api: apiName, entries: "refused", settlement: 0 })}>{apis.length > 1 ? `those of ${apiName}` : "them"}</a></Fragment>)}
            {refusing.length > NAMED && ` and, below, ${refusing.length - NAMED} more APIs`}
          </p>
        )}
        {soFar(heads.of, settling.length)}
      </Figure>
      <Figure name="Last settled" testId="settled" value={!isSettled ? <span className="muted">never</span> : last ? `${duration(now - last.settledAt)} ago` : WAITING}>
        {last && <p>number {last.sequence.toString()}{apis.length > 1 && <> of <strong className="break">{last.apiName}</strong></>}: <Gen wei={last.billedWei} /></p>}
        <MeterGlance />
        <p className="muted">
          {last ? "What the meter counted since then, and what it refused, is not on the chain. " : isSettled ? "" : "What a meter counts is on the chain when it settles. "}
          {apis[0] && (last || !isSettled) && <>An <MeterLink api={apis.find(({ apiName }) => apiName === last?.apiName) ?? apis[0]} /> has it. </>}
          {held > 0 && <>For what is not settled <Calls count={BigInt(held)} /> {held === 1 ? "consumer has" : "consumers have"} <Gen wei={heldWei} /> on hold.</>}
        </p>
      </Figure>
    </>
  );
}
