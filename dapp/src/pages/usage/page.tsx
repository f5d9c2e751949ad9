// A consumer's page: what is used, what it costs, what is left.
import { shortAddress } from "../../domain/names";
import { useEffect, useRef } from "react";
import type { Action } from "../../actions/action";
import * as actions from "../../actions/consumer";
import { grouped, share } from "../../domain/amounts";
import { adviceFor, type Advice } from "../../domain/advice";
import type { Api, ApiUsage, UsageReport } from "../../domain/answers";
import { duration, momentText } from "../../domain/time";
import { useDeployment } from "../../state/deployment";
import { useLocation } from "../../state/location";
import { useSigner } from "../../state/signing";
import { useChainNow } from "../../state/now";
import { useApis, useReport, useView } from "../../state/queries";
import { usePageFocus } from "../../ui/page_focus";
import { ActionButton } from "../../ui/action_dialog";
import { AccountPicker } from "../../ui/account_picker";
import { Freshness } from "../../ui/freshness";
import { announce } from "../../browser/announcing";
import { Banner, Bar, Calls, Copy, Empty, Gen, Section, Skeleton, Tag } from "../../ui/parts";
import { Trouble } from "../../ui/trouble";
import { ChartSection } from "./chart_section";
import { Notices } from "./notices";

export function UsagePage() {
  const { location, href } = useLocation();
  const { nameOf } = useDeployment();
  const heading = usePageFocus("Usage");
  const report = useReport(location.account);
  const name = nameOf(location.account);
  if (!location.account) {
    return (
      <>
        <h1 ref={heading} tabIndex={-1}>Usage</h1>
        <Empty title="Whose usage?" action={<a className="button primary" href={href({ view: "connect" })}>Choose an account</a>}>
          Name an address to watch it, or connect a wallet to see your own.
        </Empty>
      </>
    );
  }
  return (
    <>
      <div className="page-head">
        <div>
          <h1 ref={heading} tabIndex={-1}>Usage{name && ` of ${name}`}</h1>
          <p className="muted page-account"><span className="mono break">{location.account}</span> <Copy text={location.account} label="Copy the address" /></p>
        </div>
        <div className="page-side"><AccountPicker /><Freshness query={report} /></div>
      </div>
      {report.data ? <Report report={report.data} /> : report.error || report.failureReason ? <Trouble error={report.error ?? report.failureReason} /> : <Skeleton rows={6} label="Reading the usage report" />}
    </>
  );
}

function Report({ report }: { report: UsageReport }) {
  const { location } = useLocation();
  const { own } = useSigner();
  const now = useChainNow();
  const isOwn = own !== "" && own === location.account;
  // Plans are needed in forms only: the list is read where somebody can act.
  const apis = useApis(false, isOwn);
  const advice = adviceFor(report, now);
  useNews(advice);
  const make = (item: Advice): (() => Action) | null => {
    const line = report.apis.find((each) => each.apiName === item.apiName);
    const api = apis.data?.find((each) => each.apiName === item.apiName);
    if (item.remedy === "top_up") return () => actions.topUp(own, location.account);
    if (item.remedy === "subscribe" && isOwn && api) return () => actions.subscribe(api, report, now);
    if (item.remedy === "release_hold" && isOwn && line) return () => actions.releaseHold(line);
    return null;
  };
  return (
    <>
      {advice.length > 0 && (
        <div className="banners">
          {advice.map((item) => {
            const remedy = make(item);
            return (
              <Banner key={item.key} tone={item.severity} title={item.title} action={remedy && <ActionButton make={remedy}>{item.button}</ActionButton>}>
                {item.text}
              </Banner>
            );
          })}
        </div>
      )}
      <Money report={report} isOwn={isOwn} />
      <Subscriptions report={report} isOwn={isOwn} apis={apis.data} now={now} />
      <ChartSection report={report} />
      <Notices report={report} />
    </>
  );
}

/** What is new is read out once; the banners themselves change with the time. */
function useNews(advice: readonly Advice[]): void {
  const told = useRef<ReadonlySet<string>>(new Set());
  useEffect(() => {
    for (const { key, title } of advice) if (!told.current.has(key)) announce(`${title}.`);
    told.current = new Set(advice.map(({ key }) => key));
  }, [advice]);
}

function Money({ report, isOwn }: { report: UsageReport; isOwn: boolean }) {
  const { location } = useLocation();
  const { own } = useSigner();
  const details = useView("get_account", isOwn ? [location.account] : null);
  const buttons = (
    <>
      <ActionButton className="button primary" make={() => actions.topUp(own, location.account)}>Top up</ActionButton>
      {isOwn && (
        <>
          <ActionButton className="button" disabled={report.creditBalanceWei === 0n} make={() => actions.withdraw(report.creditBalanceWei)}>Withdraw</ActionButton>
          <ActionButton className="button" disabled={!details.data} make={() => actions.alertLevel(details.data?.alertPercent ?? 0, details.data?.toppedUpWei ?? 0n)}>Alert level</ActionButton>
        </>
      )}
    </>
  );
  return (
    <Section title="Credit" actions={buttons}>
      <dl className="figures">
        <div className="figure main"><dt>Free credit</dt><dd data-testid="free-credit"><Gen wei={report.creditBalanceWei} big /></dd></div>
        <div className="figure"><dt>On hold</dt><dd data-testid="held"><Gen wei={report.heldWei} big /></dd></div>
        <div className="figure"><dt>Both together</dt><dd><Gen wei={report.creditBalanceWei + report.heldWei} big /></dd></div>
      </dl>
      {isOwn && details.data && (
        <p className="muted small-text">
          {details.data.alertPercent === 0
            ? "The low-credit alert is off."
            : <>You are alerted at <Gen wei={(details.data.toppedUpWei * BigInt(details.data.alertPercent)) / 100n} />, {details.data.alertPercent} % of <Gen wei={details.data.toppedUpWei} /> after the last top-up.</>}
        </p>
      )}
    </Section>
  );
}

interface SubscriptionsProps {
  report: UsageReport;
  isOwn: boolean;
  apis: readonly Api[] | undefined;
  now: number;
}

function Subscriptions({ report, isOwn, apis, now }: SubscriptionsProps) {
  const { href, location } = useLocation();
  const { signer } = useSigner();
  const lines = [...report.apis].sort((a, b) => Number(b.subscribed) - Number(a.subscribed) || a.apiName.localeCompare(b.apiName));
  return (
    <Section
      title="Subscriptions"
      actions={isOwn && <a className="button" href={href({ view: "apis", api: "" })}>Subscribe to an API</a>}
    >
      {!isOwn && signer.kind !== "none" && (
        <p className="muted small-text">
          You watch {shortAddress(location.account)}. To change subscriptions, <a href={href({ account: signer.address })}>go to your own page</a>.
        </p>
      )}
      {lines.length === 0 ? (
        <Empty title="No subscriptions yet" action={isOwn ? <a className="button" href={href({ view: "apis", api: "" })}>See all APIs</a> : undefined}>
          A subscription accepts an API's price and sets what may be spent a day.
        </Empty>
      ) : (
        <ul className="cards stretch">
          {lines.map((line) => <li key={line.apiName}><Subscription line={line} report={report} isOwn={isOwn} api={apis?.find((each) => each.apiName === line.apiName)} now={now} /></li>)}
        </ul>
      )}
    </Section>
  );
}

function Subscription({ line, report, isOwn, api, now }: { line: ApiUsage; report: UsageReport; isOwn: boolean; api: Api | undefined; now: number }) {
  const { href } = useLocation();
  const id = `api-${line.apiName}`;
  return (
    <article className="card" aria-labelledby={id}>
      <header className="card-head">
        <h3 id={id}><a href={href({ view: "apis", api: line.apiName })}>{line.apiName}</a></h3>
        <span className="tags">
          {!line.subscribed && <Tag tone="neutral">Ended</Tag>}
          {!line.active && <Tag tone="warn">Paused</Tag>}
          {line.subscribed && <Tag tone="neutral">{line.planName}</Tag>}
        </span>
      </header>
      <p className="price">
        {line.acceptedPriceWei === 0n && line.costPerCallWei === 0n ? "Free" : <><Gen wei={line.costPerCallWei} /> a call</>}
        {line.costPerCallWei > line.acceptedPriceWei && line.subscribed && <span className="bad-text"> · accepted: <Gen wei={line.acceptedPriceWei} /></span>}
      </p>
      <div className="periods">
        <Today line={line} report={report} now={now} />
        <Month line={line} report={report} />
      </div>
      {line.holdWei > 0n && (
        <p className="hold"><Gen wei={line.holdWei} /> on hold {now < line.holdExpiresAt ? `until ${momentText(line.holdExpiresAt)}` : "(ended)"}</p>
      )}
      {isOwn && <SubscriptionActions line={line} report={report} api={api} now={now} />}
    </article>
  );
}

function Today({ line, report, now }: { line: ApiUsage; report: UsageReport; now: number }) {
  const left = line.callsLeftToday;
  return (
    <div className="bars">
      <h4>Today <span className="muted">resets in {duration(report.resetsAt - now)}</span></h4>
      <Bar
        label="Calls" used={<Calls count={line.callsToday} />}
        limit={line.apiDailyLimitCalls ? <Calls count={line.apiDailyLimitCalls} /> : "no limit"}
        thousandths={line.apiDailyLimitCalls ? share(line.callsToday, line.apiDailyLimitCalls) : 0}
        isOver={left === 0n}
        left={left === null ? "as many as you like" : left === 0n && line.apiDailyLimitCalls > line.callsToday ? "none left: the month is used up" : `${grouped(left)} left`}
      />
      <Bar
        label="Spent" used={<Gen wei={line.spendTodayWei} />} limit={<Gen wei={line.consumerMaxDailySpendWei} />}
        thousandths={share(line.spendTodayWei, line.consumerMaxDailySpendWei)}
        isOver={line.costPerCallWei > line.spendLeftTodayWei}
        left={callsThatFit(line)}
      />
    </div>
  );
}

function callsThatFit({ costPerCallWei, spendLeftTodayWei }: ApiUsage): string {
  if (costPerCallWei === 0n) return "calls are free";
  const fit = spendLeftTodayWei / costPerCallWei;
  return fit === 0n ? "not enough for another call" : `enough for ${grouped(fit)} more`;
}

function Month({ line, report }: { line: ApiUsage; report: UsageReport }) {
  const left = line.apiMonthlyLimitCalls > line.callsMonth ? line.apiMonthlyLimitCalls - line.callsMonth : 0n;
  return (
    <div className="bars">
      <h4>This month <span className="muted">resets {momentText(report.monthResetsAt)}</span></h4>
      {line.apiMonthlyLimitCalls > 0n ? (
        <Bar
          label="Calls" used={<Calls count={line.callsMonth} />} limit={<Calls count={line.apiMonthlyLimitCalls} />}
          thousandths={share(line.callsMonth, line.apiMonthlyLimitCalls)} left={`${grouped(left)} left`}
        />
      ) : (
        <p className="plain-figure"><span>Calls</span> <span><Calls count={line.callsMonth} /><span className="muted"> · no limit</span></span></p>
      )}
      <p className="plain-figure"><span>Spent</span> <Gen wei={line.spendMonthWei} /></p>
    </div>
  );
}

function SubscriptionActions({ line, report, api, now }: { line: ApiUsage; report: UsageReport; api: Api | undefined; now: number }) {
  const isEnded = line.holdWei > 0n && !actions.isHoldInForce(line, now);
  return (
    <div className="card-actions">
      {api && <ActionButton make={() => actions.subscribe(api, report, now)}>{line.subscribed ? "Change plan or cap" : "Subscribe again"}</ActionButton>}
      {line.subscribed && <ActionButton make={() => actions.placeHold(line, report.creditBalanceWei, now)}>{line.holdWei > 0n ? "Change hold" : "Place hold"}</ActionButton>}
      {isEnded && <ActionButton make={() => actions.releaseHold(line)}>Release hold</ActionButton>}
      {line.subscribed && <ActionButton className="button small quiet" make={() => actions.unsubscribe(line, now)}>End</ActionButton>}
    </div>
  );
}
