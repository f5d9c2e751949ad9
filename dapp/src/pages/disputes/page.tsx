// Disputes: what an API promises, the days that can be disputed, a proven usage line, and what became of each dispute.
import { dateOfDay } from "../../domain/time";
import { MOST_APIS, useCourts, useDisputableDays, useOwnCourt, usePromises, useToday } from "../../state/court";
import { go, useLocation } from "../../state/location";
import { useApis, useReport } from "../../state/queries";
import { useSigner } from "../../state/signing";
import { AccountPicker } from "../../ui/account_picker";
import { usePageFocus } from "../../ui/page_focus";
import { Address, Calls, Empty, Gen, Section, Skeleton } from "../../ui/parts";
import { Trouble } from "../../ui/trouble";
import { DisputeView } from "./dispute";
import { Disputes } from "./list";
import { OpenButton, Terms } from "./parts";
import { ProofReader } from "./proof_reader";
import "./disputes.css";

export function DisputesPage() {
  const { location } = useLocation();
  return location.api && location.dispute ? <DisputeView key={location.dispute} /> : <Overview />;
}

function Overview() {
  const { location, href } = useLocation();
  const heading = usePageFocus("Disputes");
  const report = useReport(location.account);
  const apis = useApis(false);
  const ownCourt = useOwnCourt();
  const operated = (apis.data ?? []).filter((api) => api.operator === location.account).map((api) => api.apiName);
  const names = [...new Set([...(report.data?.apis ?? []).map((line) => line.apiName), ...operated])];
  const { promised, isLoading } = usePromises(names);
  const apiName = location.api || (isLoading ? "" : (names.find((name) => promised.has(name)) ?? names[0] ?? ""));
  const error = report.error ?? apis.error;
  return (
    <>
      <div className="page-head">
        <div>
          <h1 ref={heading} tabIndex={-1}>Disputes</h1>
          <p className="muted page-account">{location.account ? <>For <Address address={location.account} /></> : "An API that broke its promise can be made to pay back."}</p>
        </div>
        <div className="page-side"><AccountPicker /></div>
      </div>
      {error ? <Trouble error={error} /> : (
        <>
          {(names.length > 0 || location.api) && <ApiPicker names={names} promised={promised} chosen={apiName} />}
          {apiName ? <OfApi apiName={apiName} isOperator={operated.includes(apiName)} /> : names.length > 0 || (location.account && !(report.data && apis.data)) ? <Skeleton /> : (
            <Empty title="No API to dispute" action={<a className="button" href={href({ view: location.account ? "apis" : "connect" })}>{location.account ? "Look at the APIs" : "Choose an account"}</a>}>
              Here stand the disputes of the APIs that an account uses or operates.{!ownCourt && " This site names no court: only what an API has promised with one of its own can be disputed."}
            </Empty>
          )}
        </>
      )}
    </>
  );
}

function ApiPicker({ names, promised, chosen }: { names: readonly string[]; promised: ReadonlySet<string>; chosen: string }) {
  const all = names.includes(chosen) || !chosen ? names : [chosen, ...names];
  return (
    <label className="inline-field dispute-api">
      <span>API </span>
      <select value={chosen} onChange={(event) => go({ api: event.target.value, dispute: 0, court: "" })}>
        {all.map((name) => <option key={name} value={name}>{name}{promised.has(name) ? " (has a promise)" : ""}</option>)}
      </select>
      {names.length > MOST_APIS && <small className="muted"> Of these {names.length}, the first {MOST_APIS} were asked for a promise: choose another to see its own.</small>}
    </label>
  );
}

function OfApi({ apiName, isOperator }: { apiName: string; isOperator: boolean }) {
  const { location } = useLocation();
  const { promises, courts, error } = useCourts(apiName);
  if (error) return <Trouble error={error} />;
  if (!promises) return <Skeleton rows={4} label="Reading the promise" />;
  const [today] = promises;
  const next = today?.nextFromDay ?? 0;
  const hasPromised = promises.some(({ court }) => court);
  return (
    <>
      {courts.map((court) => <Disputes key={court} court={court} apiName={apiName} isOnly={courts.length === 1} isOperator={isOperator} />)}
      {courts.length === 0 && (
        <Section title="There is no court">
          <p>This site names none, and {apiName} has promised none. What is paid to it cannot be disputed, and comes back only where its operator refunds it of its own accord.</p>
        </Section>
      )}
      {(courts.length > 0 || next > 0) && (
        <Section title={`What ${apiName} promises`}>
          {today?.court ? <Terms promise={today} /> : (
            <p>Nothing today. {hasPromised ? "Days of an earlier promise can still be disputed." : "What is paid to it cannot be disputed; its operator can refund of its own accord."}</p>
          )}
          {next > 0 && <p className="muted">From {dateOfDay(next)} on another promise is in force.</p>}
        </Section>
      )}
      {!isOperator && location.account && hasPromised && <Days apiName={apiName} />}
      {!isOperator && <ProofReader hasCourt={courts.length > 0} />}
    </>
  );
}

function Days({ apiName }: { apiName: string }) {
  const { location } = useLocation();
  const { own } = useSigner();
  const today = useToday();
  const days = useDisputableDays(apiName, location.account);
  const isOwn = own === location.account;
  return (
    <Section title="Days that can be disputed">
      {!days.data ? (days.error ? <Trouble error={days.error} /> : <Skeleton rows={2} label="Reading the days" />) : (
        <>
          {days.data.now.length === 0 ? <p className="muted">None now: a day can be disputed once, from 2 days after it, while its earnings wait.</p> : (
            <ul className="disputable">
              {days.data.now.map(({ day, promise }) => (
                <li key={day.dayId}>
                  <span><strong>{dateOfDay(day.dayId)}</strong>: <Calls count={day.calls} /> {day.calls === 1n ? "call" : "calls"}, <Gen wei={day.paidWei - day.refundedWei} /> paid <span className="muted">· until {dateOfDay(day.dayId + promise.payoutDays)}</span></span>
                  {isOwn && <OpenButton apiName={apiName} dayId={day.dayId}>Dispute<span className="visually-hidden"> {dateOfDay(day.dayId)}</span></OpenButton>}
                </li>
              ))}
            </ul>
          )}
          {days.data.later.map(({ dayId }) => <p key={dayId} className="muted small-text">{dayId === today ? "Today" : "Yesterday"} can be disputed from {dateOfDay(dayId + 2)} on.</p>)}
          {!isOwn && days.data.now.length > 0 && <p className="muted small-text">Only the consumer itself can dispute: sign as this account.</p>}
        </>
      )}
    </Section>
  );
}
