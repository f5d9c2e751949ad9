// An operator's page: own APIs and plans, meters, earnings, settlements.
import * as actions from "../../actions/operator";
import { limitText } from "../../actions/action";
import type { Api } from "../../domain/answers";
import { useLocation } from "../../state/location";
import { usePlace } from "../../state/place";
import { useSigner } from "../../state/signing";
import { useApis, useView } from "../../state/queries";
import { usePageFocus } from "../../ui/page_focus";
import { ActionButton } from "../../ui/action_dialog";
import { AccountPicker } from "../../ui/account_picker";
import { Freshness } from "../../ui/freshness";
import { Address, Banner, Empty, Gen, Section, Skeleton, Tag } from "../../ui/parts";
import { Trouble } from "../../ui/trouble";
import { Settlements } from "./settlements";

export function OperatePage() {
  const { location, href } = useLocation();
  const { signer } = useSigner();
  const heading = usePageFocus("Operate");
  const apis = useApis(true);
  const isOwn = signer.kind !== "none" && signer.address === location.account;
  if (!location.account) {
    return (
      <>
        <h1 ref={heading} tabIndex={-1}>Operate</h1>
        <Empty title="Whose APIs?" action={<a className="button primary" href={href({ view: "connect" })}>Choose an account</a>}>
          Name an operator's address to look at its APIs, or connect your own account to run some.
        </Empty>
      </>
    );
  }
  const own = apis.data?.filter((api) => api.operator === location.account) ?? [];
  const offered = apis.data?.filter((api) => api.proposedOperator === location.account) ?? [];
  return (
    <>
      <div className="page-head">
        <div>
          <h1 ref={heading} tabIndex={-1}>Operate</h1>
          <p className="muted page-account">APIs of <Address address={location.account} /></p>
        </div>
        <div className="page-side"><AccountPicker /><Freshness query={apis} /></div>
      </div>
      {!isOwn && (
        <Banner tone="info" title="You are only looking at this operator" action={signer.kind !== "none" ? <a className="button small" href={href({ account: signer.address })}>Go to your own</a> : <a className="button small" href={href({ view: "connect" })}>Choose who signs</a>}>
          To change anything, sign as this account.
        </Banner>
      )}
      {isOwn && offered.map((api) => (
        <Banner key={api.apiName} tone="info" title={`${api.apiName} is offered to you`} action={<ActionButton make={() => actions.acceptApi(api)}>Take it over</ActionButton>}>
          Its operator wants to hand it over.
        </Banner>
      ))}
      {!apis.data ? (
        apis.error || apis.failureReason ? <Trouble error={apis.error ?? apis.failureReason} /> : <Skeleton rows={5} label="Reading the APIs" />
      ) : (
        <>
          <Earnings isOwn={isOwn} />
          <Section title="APIs" actions={isOwn && <ActionButton className="button primary" make={() => actions.registerApi(apis.data)}>Register an API</ActionButton>}>
            {own.length === 0 ? (
              <Empty title="No APIs yet">{isOwn ? "Register the first one: choose a name, a price and a daily limit." : "This account operates none."}</Empty>
            ) : (
              <ul className="cards wide">{own.map((api) => <li key={api.apiName}><OperatedApi api={api} isOwn={isOwn} /></li>)}</ul>
            )}
          </Section>
          {own.length > 0 && <Settlements apis={own} />}
        </>
      )}
    </>
  );
}

function Earnings({ isOwn }: { isOwn: boolean }) {
  const { location } = useLocation();
  const { network } = usePlace();
  const earnings = useView("get_earnings", location.account ? [location.account] : null, { everyMs: network.refreshMs * 2 });
  const button = isOwn && (
    <ActionButton className="button" disabled={!earnings.data?.earningsWei} make={() => actions.withdrawEarnings(earnings.data?.earningsWei ?? 0n)}>Withdraw earnings</ActionButton>
  );
  return (
    <Section title="Earnings" actions={button}>
      {earnings.data ? (
        <dl className="figures">
          <div className="figure main"><dt>To withdraw</dt><dd data-testid="earnings"><Gen wei={earnings.data.earningsWei} big /></dd></div>
          <div className="figure"><dt>Withdrawn so far</dt><dd><Gen wei={earnings.data.withdrawnWei} big /></dd></div>
          <div className="figure"><dt>Ever earned</dt><dd><Gen wei={earnings.data.earningsWei + earnings.data.withdrawnWei} big /></dd></div>
        </dl>
      ) : <Skeleton rows={1} label="Reading the earnings" />}
    </Section>
  );
}

function OperatedApi({ api, isOwn }: { api: Api; isOwn: boolean }) {
  const { signer } = useSigner();
  const id = `api-${api.apiName}`;
  return (
    <article className="card" aria-labelledby={id}>
      <header className="card-head">
        <h3 id={id}>{api.apiName}</h3>
        <span className="tags"><Tag tone={api.active ? "good" : "warn"}>{api.active ? "Active" : "Paused"}</Tag></span>
      </header>
      <div className="table-scroll" tabIndex={0} role="region" aria-label={`Plans of ${api.apiName}`}>
        <table>
          <thead><tr><th scope="col">Plan</th><th scope="col" className="num">Price of a call</th><th scope="col">Limits of each consumer</th>{isOwn && <th scope="col"><span className="visually-hidden">Actions</span></th>}</tr></thead>
          <tbody>
            {api.plans.map((plan) => (
              <tr key={plan.planName}>
                <th scope="row">{plan.planName}</th>
                <td className="num">{plan.costPerCallWei ? <Gen wei={plan.costPerCallWei} /> : "free"}</td>
                <td>{limitText(plan.dailyLimitCalls, "day")}, {limitText(plan.monthlyLimitCalls, "month")}</td>
                {isOwn && <td className="num"><ActionButton make={() => actions.setPlan(api, plan)}>Change<span className="visually-hidden"> plan {plan.planName} of {api.apiName}</span></ActionButton></td>}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <h4>Meters</h4>
      {api.meters.length === 0 ? <p className="muted small-text">None: only the operator reports usage.</p> : (
        <ul className="meters">
          {api.meters.map((meter) => (
            <li key={meter}>
              <span className="mono break">{meter}</span>
              {isOwn && <ActionButton className="button small quiet" make={() => actions.forbidMeter(api, meter)}>Forbid<span className="visually-hidden"> meter {meter} of {api.apiName}</span></ActionButton>}
            </li>
          ))}
        </ul>
      )}
      {api.proposedOperator && <p className="small-text">Offered to <Address address={api.proposedOperator} />, who has not accepted yet.</p>}
      {isOwn && (
        <div className="card-actions">
          <ActionButton make={() => actions.setPlan(api, null)}>Add a plan</ActionButton>
          <ActionButton make={() => actions.allowMeter(api)}>Allow a meter</ActionButton>
          <ActionButton make={() => actions.setActive(api)}>{api.active ? "Pause" : "Resume"}</ActionButton>
          <ActionButton make={() => actions.releaseHoldOf(api)}>Release a hold</ActionButton>
          <ActionButton make={() => actions.handOver(api, signer.kind === "none" ? "" : signer.address)}>Hand over</ActionButton>
        </div>
      )}
    </article>
  );
}
