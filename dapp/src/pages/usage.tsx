// A consumer's page: what is used, what it costs, what is left.
import { useEffect, useMemo, useRef } from "react";
import { short } from "../actions/action";
import * as actions from "../actions/consumer";
import { grouped, share } from "../domain/amounts";
import { adviceFor, type Advice } from "../domain/advice";
import type { Api, UsageLine, UsageReport } from "../domain/answers";
import { duration, momentText } from "../domain/time";
import { useApp } from "../state/app";
import { useChainNow } from "../state/now";
import { useAccountDetails, useApis, useHistory, useReport } from "../state/queries";
import { usePageFocus } from "../ui/action_dialog";
import { UsageChart } from "../ui/chart";
import { AccountPicker } from "../ui/account_picker";
import { Freshness } from "../ui/freshness";
import { announce } from "../ui/live";
import { Banner, Bar, Calls, Copy, Empty, Gen, Section, Skeleton, Tag } from "../ui/parts";
import { Trouble } from "../ui/trouble";
import { Notices } from "./notices";

export function UsagePage() {
  const { location, href, nameOf } = useApp();
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
  const { location, signer, open } = useApp();
  const now = useChainNow();
  const isOwn = signer.kind !== "none" && signer.address === location.account;
  // Plans are needed in forms only: the list is read where somebody can act.
  const apis = useApis(false, isOwn);
  const advice = adviceFor(report, now);
  useNews(advice);
  const act = (item: Advice): void => {
    const line = report.apis.find((each) => each.apiName === item.apiName);
    const api = apis.data?.find((each) => each.apiName === item.apiName);
    if (item.remedy === "top_up") open(actions.topUp(signer.kind === "none" ? "" : signer.address, location.account));
    if (item.remedy === "subscribe" && api) open(actions.subscribe(api, report, now));
    if (item.remedy === "release_hold" && line) open(actions.releaseHold(line));
  };
  return (
    <>
      {advice.length > 0 && (
        <div className="banners">
          {advice.map((item) => (
            <Banner
              key={item.key} tone={item.severity} title={item.title}
              action={item.remedy && (isOwn || item.remedy === "top_up") ? <button type="button" className="button small" onClick={() => act(item)}>{item.button}</button> : undefined}
            >
              {item.text}
            </Banner>
          ))}
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
  const { open, location, signer } = useApp();
  const details = useAccountDetails(location.account, isOwn);
  const own = signer.kind === "none" ? "" : signer.address;
  const buttons = (
    <>
      <button type="button" className="button primary" onClick={() => open(actions.topUp(own, location.account))}>Top up</button>
      {isOwn && (
        <>
          <button type="button" className="button" disabled={report.creditWei === 0n} onClick={() => open(actions.withdraw(report.creditWei))}>Withdraw</button>
          <button type="button" className="button" disabled={!details.data} onClick={() => { if (details.data) open(actions.alertLevel(details.data.alertPercent, details.data.toppedUpWei)); }}>Alert level</button>
        </>
      )}
    </>
  );
  return (
    <Section title="Credit" actions={buttons}>
      <dl className="figures">
        <div className="figure main"><dt>Free credit</dt><dd data-testid="free-credit"><Gen wei={report.creditWei} big /></dd></div>
        <div className="figure"><dt>On hold</dt><dd data-testid="held"><Gen wei={report.heldWei} big /></dd></div>
        <div className="figure"><dt>Both together</dt><dd><Gen wei={report.creditWei + report.heldWei} big /></dd></div>
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
  const { href, signer, location } = useApp();
  const lines = [...report.apis].sort((a, b) => Number(b.subscribed) - Number(a.subscribed) || a.apiName.localeCompare(b.apiName));
  return (
    <Section
      title="Subscriptions"
      actions={isOwn && <a className="button" href={href({ view: "apis", api: "" })}>Subscribe to an API</a>}
    >
      {!isOwn && signer.kind !== "none" && (
        <p className="muted small-text">
          You watch {short(location.account)}. To change subscriptions, <a href={href({ account: signer.address })}>go to your own page</a>.
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

function Subscription({ line, report, isOwn, api, now }: { line: UsageLine; report: UsageReport; isOwn: boolean; api: Api | undefined; now: number }) {
  const { href } = useApp();
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

function Today({ line, report, now }: { line: UsageLine; report: UsageReport; now: number }) {
  const left = line.callsLeftToday;
  return (
    <div className="bars">
      <h4>Today <span className="muted">resets in {duration(report.resetsAt - now)}</span></h4>
      <Bar
        label="Calls" used={<Calls count={line.callsToday} />}
        limit={line.dailyLimitCalls ? <Calls count={line.dailyLimitCalls} /> : "no limit"}
        thousandths={line.dailyLimitCalls ? share(line.callsToday, line.dailyLimitCalls) : 0}
        isOver={left === 0n}
        left={left === null ? "as many as you like" : left === 0n && line.dailyLimitCalls > line.callsToday ? "none left: the month is used up" : `${grouped(left)} left`}
      />
      <Bar
        label="Spent" used={<Gen wei={line.spendTodayWei} />} limit={<Gen wei={line.maxDailySpendWei} />}
        thousandths={share(line.spendTodayWei, line.maxDailySpendWei)}
        isOver={line.costPerCallWei > line.spendLeftTodayWei}
        left={callsThatFit(line)}
      />
    </div>
  );
}

function callsThatFit({ costPerCallWei, spendLeftTodayWei }: UsageLine): string {
  if (costPerCallWei === 0n) return "calls are free";
  const fit = spendLeftTodayWei / costPerCallWei;
  return fit === 0n ? "not enough for another call" : `enough for ${grouped(fit)} more`;
}

function Month({ line, report }: { line: UsageLine; report: UsageReport }) {
  const left = line.monthlyLimitCalls > line.callsMonth ? line.monthlyLimitCalls - line.callsMonth : 0n;
  return (
    <div className="bars">
      <h4>This month <span className="muted">resets {momentText(report.monthResetsAt)}</span></h4>
      {line.monthlyLimitCalls > 0n ? (
        <Bar
          label="Calls" used={<Calls count={line.callsMonth} />} limit={<Calls count={line.monthlyLimitCalls} />}
          thousandths={share(line.callsMonth, line.monthlyLimitCalls)} left={`${grouped(left)} left`}
        />
      ) : (
        <p className="plain-figure"><span>Calls</span> <span><Calls count={line.callsMonth} /><span className="muted"> · no limit</span></span></p>
      )}
      <p className="plain-figure"><span>Spent</span> <Gen wei={line.spendMonthWei} /></p>
    </div>
  );
}

function SubscriptionActions({ line, report, api, now }: { line: UsageLine; report: UsageReport; api: Api | undefined; now: number }) {
  const { open } = useApp();
  const isEnded = line.holdWei > 0n && !actions.isHoldInForce(line, now);
  return (
    <div className="card-actions">
      <button type="button" className="button small" disabled={!api} onClick={() => { if (api) open(actions.subscribe(api, report, now)); }}>
        {line.subscribed ? "Change plan or cap" : "Subscribe again"}
      </button>
      {line.subscribed && (
        <button type="button" className="button small" onClick={() => open(actions.placeHold(line, report.creditWei, now))}>
          {line.holdWei > 0n ? "Change hold" : "Place hold"}
        </button>
      )}
      {isEnded && <button type="button" className="button small" onClick={() => open(actions.releaseHold(line))}>Release hold</button>}
      {line.subscribed && <button type="button" className="button small quiet" onClick={() => open(actions.unsubscribe(line, now))}>End</button>}
    </div>
  );
}

function ChartSection({ report }: { report: UsageReport }) {
  const { location, go } = useApp();
  const names = useMemo(() => report.apis.map((line) => line.apiName).sort(), [report.apis]);
  const chosen = names.includes(location.api) ? [location.api] : names;
  const history = useHistory(report, chosen);
  if (names.length === 0) return null;
  const choices = (
    <>
      <label className="inline-field">
        <span className="visually-hidden">Which API</span>
        <select value={names.includes(location.api) ? location.api : ""} onChange={(event) => go({ api: event.target.value }, { replace: true })}>
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
    <Section title="Last 30 days" actions={choices}>
      <UsageChart history={history} today={report.dayId} show={location.chart} />
    </Section>
  );
}
