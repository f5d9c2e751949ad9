// All APIs of the contract with their plans.
import { isHoldInForce, subscribe } from "../actions/consumer";
import { openSession } from "../actions/session";
import { limitText } from "../actions/action";
import type { Api, UsageReport } from "../domain/answers";
import { go, useLocation } from "../state/location";
import { useSigner } from "../state/signing";
import { useChainNow } from "../state/now";
import { useApis, useReport } from "../state/queries";
import { usePageFocus } from "../ui/page_focus";
import { ActionButton } from "../ui/action_dialog";
import { Freshness } from "../ui/freshness";
import { Address, Empty, Gen, Skeleton, Tag } from "../ui/parts";
import { Trouble } from "../ui/trouble";

export function ApisPage() {
  const { location } = useLocation();
  const { signer } = useSigner();
  const heading = usePageFocus("APIs");
  const apis = useApis(true);
  const own = signer.kind === "none" ? "" : signer.address;
  const report = useReport(own);
  const found = apis.data?.filter((api) => api.apiName.includes(location.api)) ?? [];
  return (
    <>
      <div className="page-head">
        <h1 ref={heading} tabIndex={-1}>APIs</h1>
        <Freshness query={apis} />
      </div>
      <div className="filter field">
        <label htmlFor="api-filter">Find an API</label>
        <span className="input">
          <input id="api-filter" type="search" value={location.api} autoComplete="off" autoCapitalize="off" spellCheck={false}
            onChange={(event) => go({ api: event.target.value.trim().toLowerCase() }, { replace: true })} />
        </span>
      </div>
      {!apis.data ? (
        apis.error || apis.failureReason ? <Trouble error={apis.error ?? apis.failureReason} /> : <Skeleton rows={5} label="Reading the APIs" />
      ) : apis.data.length === 0 ? (
        <Empty title="Nobody has registered an API yet">An operator registers one on the page Operate.</Empty>
      ) : (
        <>
          <p className="muted" role="status">{found.length === apis.data.length ? `${found.length} ${found.length === 1 ? "API" : "APIs"}` : `${found.length} of ${apis.data.length} APIs`}</p>
          {own !== "" && !report.data && (
            report.error || report.failureReason ? <Trouble error={report.error ?? report.failureReason} /> : <p role="status">Reading your subscriptions…</p>
          )}
          {found.length === 0 && <Empty title="No API has that in its name" />}
          <ul className="cards">{found.map((api) => <li key={api.apiName}><ApiCard api={api} report={report.data} own={own} isKnown={own === "" || report.data !== undefined} /></li>)}</ul>
        </>
      )}
    </>
  );
}

/** `isKnown`: what whoever signs has is read; before that nothing can be changed. */
function ApiCard({ api, report, own, isKnown }: { api: Api; report: UsageReport | undefined; own: string; isKnown: boolean }) {
  const now = useChainNow();
  const known = report?.apis.find((each) => each.apiName === api.apiName);
  const line = known?.subscribed ? known : undefined;
  const id = `api-${api.apiName}`;
  return (
    <article className="card" aria-labelledby={id}>
      <header className="card-head">
        <h2 id={id} className="h3">{api.apiName}</h2>
        <span className="tags">
          {!api.active && <Tag tone="warn">Paused</Tag>}
          {line && <Tag tone="good">Subscribed</Tag>}
        </span>
      </header>
      <p className="muted small-text">Operator <Address address={api.operator} link view="operate" /></p>
      <ul className="plans">
        {api.plans.map((plan) => (
          <li key={plan.planName} className={line?.planName === plan.planName ? "chosen" : ""}>
            <span className="plan-name">{plan.planName}{line?.planName === plan.planName && <span className="muted"> · yours</span>}</span>
            <span className="plan-price">{plan.costPerCallWei === 0n ? "free" : <Gen wei={plan.costPerCallWei} />}</span>
            <span className="muted small-text plan-limits">{limitText(plan.dailyLimitCalls, "day")}, {limitText(plan.monthlyLimitCalls, "month")}</span>
          </li>
        ))}
      </ul>
      <div className="card-actions">
        <ActionButton about={own} disabled={!isKnown} make={(whose) => (whose === own ? subscribe(api, report, now) : null)}>
          {line ? "Change plan or cap" : "Subscribe"}<span className="visually-hidden"> {api.apiName}</span>
        </ActionButton>
        {!isHoldInForce(known, now) && (
          <ActionButton className="button small quiet" about={own} disabled={!isKnown} make={(whose) => (whose === own ? openSession(api, report, own, now) : null)}>
            Open a session<span className="visually-hidden"> with {api.apiName}</span>
          </ActionButton>
        )}
      </div>
    </article>
  );
}
