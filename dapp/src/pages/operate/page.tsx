// An operator's page: all its APIs at a glance, or one of them with its consumers, settlements, disputes and promise.
import { useMemo } from "react";
import { collectEarnings } from "../../actions/earnings";
import * as actions from "../../actions/operator";
import type { Api, ApiDay, Earnings } from "../../domain/answers";
import { handOverHindrance, maturedWei } from "../../domain/operating";
import { dayOf } from "../../domain/time";
import { useLocation } from "../../state/location";
import { useChainNow } from "../../state/now";
import { usePlace } from "../../state/place";
import { useApis, useView } from "../../state/queries";
import { useSigner } from "../../state/signing";
import { AccountPicker } from "../../ui/account_picker";
import { ActionButton } from "../../ui/action_dialog";
import { Freshness } from "../../ui/freshness";
import { usePageFocus } from "../../ui/page_focus";
import { Address, Banner, Empty, Gen, NotAmong, Section, Skeleton, Tag } from "../../ui/parts";
import { Trouble } from "../../ui/trouble";
import { MeterSide } from "../meter/lazily";
import { ApisTable } from "./apis_table";
import { Consumers } from "./consumers";
import { EarnedByDay } from "./earned";
import { Figures } from "./figures";
import "./operate.css";
import { Disputes, PromiseSection, usePromises } from "./promise";
import { useDays, type ReadOfAll } from "./reading";
import { Meters, Plans } from "./running";
import { Settlements } from "./settlements";

export function OperatePage() {
  const { location, href } = useLocation();
  const apis = useApis(true);
  const own = useMemo(() => apis.data?.filter((api) => api.operator === location.account) ?? [], [apis.data, location.account]);
  const chosen = own.length === 1 ? own[0] : own.find((api) => api.apiName === location.api);
  const heading = usePageFocus(chosen?.apiName ?? "Operate");
  const { signer, own: signs } = useSigner();
  const isOwn = signs !== "" && signs === location.account;
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
  return (
    <>
      <div className="page-head">
        <div className="page-title">
          {chosen && own.length > 1 && <a className="small-text" href={href({ api: "", settlement: 0 })}>All {own.length} APIs</a>}
          <h1 ref={heading} tabIndex={-1}>{chosen?.apiName ?? "Operate"}</h1>
          <p className="muted page-account">
            {chosen && <><Tag tone={chosen.active ? "good" : "warn"}>{chosen.active ? "Active" : "Paused"}</Tag> </>}
            {chosen ? "Run by" : "APIs of"} <Address address={location.account} />
          </p>
        </div>
        <div className="page-side">
          {isOwn && chosen && <ActionButton make={() => actions.setActive(chosen)}>{chosen.active ? "Pause" : "Resume"}</ActionButton>}
          {isOwn && apis.data && chosen && own.length === 1 && <Register known={apis.data} isFirst={false} />}
          <AccountPicker /><Freshness query={apis} />
        </div>
      </div>
      {!isOwn && (
        <p className="muted small-text">
          You are only looking at this operator. To change anything, {signer.kind !== "none" ? <a href={href({ account: signs })}>go to your own page</a> : <a href={href({ view: "connect" })}>choose who signs</a>}.
        </p>
      )}
      {isOwn && apis.data?.filter((api) => api.proposedOperator === location.account).map((api) => <Offered key={api.apiName} api={api} />)}
      {!apis.data ? (
        apis.error || apis.failureReason ? <Trouble error={apis.error ?? apis.failureReason} /> : <Skeleton rows={5} label="Reading the APIs" />
      ) : own.length === 0 ? (
        <Section title="APIs" actions={isOwn && <Register known={apis.data} />}>
          <Empty title="No APIs yet">{isOwn ? "Register the first one: choose a name, a price and a daily limit." : "This account operates none."}</Empty>
        </Section>
      ) : (
        <>
          <NotAmong names={own.map(({ apiName }) => apiName)} what="the APIs of this operator" />
          <Operated own={own} chosen={chosen} isOwn={isOwn} register={isOwn && <Register known={apis.data} isFirst={false} />} />
        </>
      )}
    </>
  );
}

function Register({ known, isFirst = true }: { known: readonly Api[]; isFirst?: boolean }) {
  return <ActionButton className={`button small ${isFirst ? "primary" : ""}`} make={() => actions.registerApi(known)}>Register an API</ActionButton>;
}

/** Before it is taken over, what would be refused is said. */
function Offered({ api }: { api: Api }) {
  const { inForce, next } = usePromises(api.apiName);
  const earnings = useView("get_earnings", [api.operator]);
  const inTheWay = handOverHindrance(inForce, next, earnings.data?.apis.find(({ apiName }) => apiName === api.apiName));
  return (
    <Banner tone="info" title={`${api.apiName} is offered to you`} action={<ActionButton disabled={!inForce || inTheWay !== ""} make={() => actions.acceptApi(api)}>Take it over</ActionButton>}>
      Its operator wants to hand it over.{inTheWay && ` It cannot be taken over yet: ${inTheWay}`}
    </Banner>
  );
}

interface OperatedProps {
  own: readonly Api[];
  chosen: Api | undefined;
  isOwn: boolean;
  register: React.ReactNode;
}

function Operated({ own, chosen, isOwn, register }: OperatedProps) {
  const { location } = useLocation();
  const { network } = usePlace();
  const now = useChainNow();
  const shown = useMemo(() => (chosen ? [chosen] : own), [chosen, own]);
  const days = useDays(shown);
  const earnings = useView("get_earnings", [location.account], { everyMs: network.refreshMs * 2 });
  const today = dayOf(now);
  return (
    <>
      {isOwn && <Matured days={days} today={today} />}
      <Figures apis={shown} days={days} earnings={earnings.data} isOwn={isOwn} now={now} />
      {earnings.error !== null && !earnings.data && <Trouble error={earnings.error} />}
      {!chosen && (
        <Section title="APIs" actions={register}>
          <ApisTable apis={own} days={days.of} earnings={earnings.data} today={today} />
        </Section>
      )}
      <EarnedByDay days={days} today={today} />
      {chosen && <Chosen key={chosen.apiName} api={chosen} days={days} earnings={earnings.data} isOwn={isOwn} now={now} />}
    </>
  );
}

function Matured({ days, today }: { days: ReadOfAll<ApiDay[]>; today: number }) {
  return [...days.of].map(([apiName, each]) => {
    const wei = maturedWei(each, today);
    return wei > 0n && (
      <Banner key={apiName} tone="info" title={`${apiName} has earnings to collect`} action={<ActionButton make={() => collectEarnings(apiName, wei)}>Collect</ActionButton>}>
        <Gen wei={wei} /> have waited as long as was promised.
      </Banner>
    );
  });
}

interface ChosenProps {
  api: Api;
  days: ReadOfAll<ApiDay[]>;
  earnings: Earnings | undefined;
  isOwn: boolean;
  now: number;
}

function Chosen({ api, days, earnings, isOwn, now }: ChosenProps) {
  const promises = usePromises(api.apiName);
  const inTheWay = handOverHindrance(promises.inForce, promises.next, earnings?.apis.find(({ apiName }) => apiName === api.apiName));
  return (
    <>
      <Consumers api={api} days={days.of.get(api.apiName) ?? []} earnings={earnings} isOwn={isOwn} now={now} />
      <Settlements api={api} />
      <Disputes api={api} promises={promises} />
      <PromiseSection api={api} promises={promises} isOwn={isOwn} today={dayOf(now)} />
      <Plans api={api} isOwn={isOwn} />
      <Meters api={api} isOwn={isOwn} inTheWay={inTheWay} />
      <MeterSide api={api} />
    </>
  );
}
