// An operator's page: all its APIs at a glance, or one of them with its consumers, settlements, disputes and promise.
import { useMemo, useState } from "react";
import * as actions from "../../actions/operator";
import type { Api, Earnings } from "../../domain/answers";
import { handOverHindrance } from "../../domain/operating";
import { dayOf } from "../../domain/time";
import { useDisputesAbout } from "../../state/court";
import { useLocation } from "../../state/location";
import { useChainNow } from "../../state/now";
import { useApis } from "../../state/queries";
import { useSigner } from "../../state/signing";
import { AccountPicker } from "../../ui/account_picker";
import { ActionButton } from "../../ui/action_dialog";
import { Freshness } from "../../ui/freshness";
import { usePageFocus } from "../../ui/page_focus";
import { Address, Banner, Empty, NotAmong, Section, Skeleton, Tag } from "../../ui/parts";
import { Trouble } from "../../ui/trouble";
import { LatelyDisputed } from "../disputes/lately";
import { MeterLink, MeterSide } from "../meter/lazily";
import { ApisTable } from "./apis_table";
import { Consumers } from "./consumers";
import { EarnedByDay } from "./earned";
import { Figures, ToWithdraw } from "./figures";
import "./operate.css";
import { Disputes, PromiseSection, usePromises } from "./promise";
import { PAGE, useDays, useEarnings, useHeads, useRefused, useSubscribers } from "./reading";
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
          {chosen && own.length > 1 && <a className="small-text" href={href({ api: "" })}>All {own.length} APIs</a>}
          <h1 ref={heading} tabIndex={-1}>{chosen?.apiName ?? "Operate"}</h1>
          <p className="muted page-account">
            {chosen && <><Tag tone={chosen.active ? "good" : "warn"}>{chosen.active ? "Active" : "Paused"}</Tag> </>}
            {chosen ? "Run by" : "APIs of"} <Address address={location.account} />
          </p>
        </div>
        <div className="page-side">
          {chosen && <MeterLink api={chosen} className="button small" />}
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
      {isOwn && apis.data?.filter((api) => api.proposedOperator === location.account).map((api) => <Offered key={api.apiName} api={api} known={apis.data} />)}
      {!apis.data ? (
        apis.error || apis.failureReason ? <Trouble error={apis.error ?? apis.failureReason} /> : <Skeleton rows={5} label="Reading the APIs" />
      ) : own.length === 0 ? (
        <>
          <Section title="APIs" actions={isOwn && <Register known={apis.data} />}>
            <Empty title="No APIs yet">{isOwn ? "Register the first one: choose a name, a price and a daily limit." : "This account operates none."}</Empty>
          </Section>
          <Former isOwn={isOwn} />
        </>
      ) : (
        <>
          <NotAmong names={own.map(({ apiName }) => apiName)} what="the APIs of this operator" />
          <Operated key={chosen?.apiName ?? ""} own={own} chosen={chosen} isOwn={isOwn} register={isOwn && <Register known={apis.data} isFirst={false} />} />
        </>
      )}
    </>
  );
}

function Register({ known, isFirst = true }: { known: readonly Api[]; isFirst?: boolean }) {
  return <ActionButton className={`button small ${isFirst ? "primary" : ""}`} make={() => actions.registerApi(known)}>Register an API</ActionButton>;
}

/** Before it is taken over, what would be refused is said. */
function Offered({ api, known }: { api: Api; known: readonly Api[] }) {
  const { inForce, next } = usePromises(api.apiName);
  const earnings = useEarnings(api.operator, known.filter(({ operator }) => operator === api.operator).length);
  const inTheWay = handOverHindrance(inForce, next, earnings.data?.apis.find(({ apiName }) => apiName === api.apiName));
  return (
    <Banner tone="info" title={`${api.apiName} is offered to you`} action={<ActionButton disabled={!inForce || inTheWay !== ""} make={() => actions.acceptApi(api)}>Take it over</ActionButton>}>
      Its operator wants to hand it over.{inTheWay && ` It cannot be taken over yet: ${inTheWay}`}
    </Banner>
  );
}

/** What somebody has earned by APIs that others run now. */
function Former({ isOwn }: { isOwn: boolean }) {
  const { location } = useLocation();
  const { data } = useEarnings(location.account, 0);
  return data && data.earningsWei + data.withdrawnWei > 0n && <Section title="Earned by former APIs"><dl><ToWithdraw earnings={data} isOwn={isOwn} /></dl></Section>;
}

/** So many consumers more are read at once. */
const MORE = 500;
const NO_APIS: readonly Api[] = [];

interface OperatedProps {
  own: readonly Api[];
  chosen: Api | undefined;
  isOwn: boolean;
  register: React.ReactNode;
}

function Operated({ own, chosen, isOwn, register }: OperatedProps) {
  const { location } = useLocation();
  const now = useChainNow();
  const shown = useMemo(() => (chosen ? [chosen] : own), [chosen, own]);
  const [wanted, setWanted] = useState(PAGE);
  // Of many APIs the days are read first: they are what most look for.
  const days = useDays(shown);
  const subscribers = useSubscribers(days.missing === 0 || chosen ? shown : NO_APIS, wanted);
  const heads = useHeads((days.missing === 0 && subscribers.missing === 0) || chosen ? shown : NO_APIS);
  const refused = useRefused(heads, shown);
  const earnings = useEarnings(location.account, own.length);
  const disputed = useDisputesAbout(earnings.data?.apis.map(({ apiName }) => apiName).filter((name) => shown.some(({ apiName }) => apiName === name)) ?? []);
  const today = dayOf(now);
  const about = { days, earnings: earnings.data, isOwn, now };
  return (
    <>
      <Figures apis={shown} areAll={!chosen || own.length === 1} subscribers={subscribers} heads={heads} {...about} />
      <LatelyDisputed {...disputed} now={now} isOperator />
      {earnings.error !== null && !earnings.data && <Trouble error={earnings.error} />}
      {!chosen && (
        <Section title="APIs" actions={register}>
          <ApisTable apis={own} days={days.of} heads={heads} earnings={earnings.data} isOwn={isOwn} today={today} />
        </Section>
      )}
      <EarnedByDay days={days} today={today} />
      <Consumers apis={shown} list={subscribers} refused={refused} onMore={() => setWanted(wanted + MORE)} {...about} />
      {chosen && <Chosen api={chosen} earnings={earnings.data} isOwn={isOwn} today={today} />}
    </>
  );
}

function Chosen({ api, earnings, isOwn, today }: { api: Api; earnings: Earnings | undefined; isOwn: boolean; today: number }) {
  const promises = usePromises(api.apiName);
  const inTheWay = handOverHindrance(promises.inForce, promises.next, earnings?.apis.find(({ apiName }) => apiName === api.apiName));
  return (
    <>
      <Settlements api={api} />
      <Disputes api={api} />
      <PromiseSection api={api} promises={promises} isOwn={isOwn} today={today} />
      <Plans api={api} isOwn={isOwn} />
      <Meters api={api} isOwn={isOwn} inTheWay={inTheWay} />
      <MeterSide api={api} />
    </>
  );
}
