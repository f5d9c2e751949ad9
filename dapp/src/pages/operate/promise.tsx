// What the operator promises for today and from when on something else; and what consumers dispute.
import { endPromise, setPromise } from "../../actions/promise";
import type { Api, Promise as ApiPromise } from "../../domain/answers";
import { isPage } from "../../domain/names";
import { isPromised } from "../../domain/operating";
import { dayText } from "../../domain/time";
import { useCourts, useOwnCourt, useToday } from "../../state/court";
import { useView } from "../../state/queries";
import { ActionButton } from "../../ui/action_dialog";
import { Address, Empty, Section, Skeleton } from "../../ui/parts";
import { Trouble } from "../../ui/trouble";
import { Disputes as DisputesAt } from "../disputes/list";

export interface Promises {
  inForce: ApiPromise | undefined;
  /** What follows; null: nothing is ahead. */
  next: ApiPromise | null | undefined;
  error: unknown;
}

export function usePromises(apiName: string): Promises {
  const inForce = useView("get_promise", [apiName, useToday()]);
  const from = inForce.data?.nextFromDay ?? 0;
  const next = useView("get_promise", from ? [apiName, from] : null);
  return { inForce: inForce.data, next: inForce.data && (from === 0 ? null : next.data), error: inForce.error ?? next.error };
}

export function PromiseSection({ api, promises: { inForce, next, error }, isOwn, today }: { api: Api; promises: Promises; isOwn: boolean; today: number }) {
  const own = useOwnCourt();
  if (!inForce || next === undefined) {
    return <Section title="Promise">{error ? <Trouble error={error} /> : <Skeleton rows={2} label="Reading the promise" />}</Section>;
  }
  const isFree = isOwn && next === null;
  const buttons = isFree && (
    <>
      <ActionButton make={() => setPromise(api.apiName, inForce, today, own)}>{isPromised(inForce) ? "Change the promise" : "Promise something"}</ActionButton>
      {isPromised(inForce) && <ActionButton make={() => endPromise(api.apiName, inForce, today)}>End it</ActionButton>}
    </>
  );
  return (
    <Section title="Promise" actions={buttons}>
      {!isPromised(inForce) && next === null ? (
        <Empty title="Nothing is promised">What is earned can be withdrawn at once, and no court can give it back.</Empty>
      ) : (
        <div className="promises">
          <Told promise={inForce} when={inForce.fromDay ? `Since ${dayText(inForce.fromDay)}${next ? `, until ${dayText(next.fromDay - 1)}` : ""}` : "Today"} />
          {next && <Told promise={next} when={`From ${dayText(next.fromDay)} on`} />}
        </div>
      )}
      {isOwn && next && <p className="muted small-text">A change is ahead: the next one can be made from {dayText(next.fromDay)} on.</p>}
    </Section>
  );
}

function Told({ promise, when }: { promise: ApiPromise; when: string }) {
  return (
    <div className="promise">
      <h3>{when}</h3>
      {!isPromised(promise) ? <p>Nothing is promised.</p> : (
        <>
          <p>Earnings of a day wait {promise.payoutDays} days, in which the court <Address address={promise.court} /> can give back up to {promise.maxRefundPercent} % of what a consumer paid.</p>
          {promise.terms && <details><summary>Terms</summary><p className="terms">{promise.terms}</p></details>}
          {promise.statusUrl && isPage(promise.statusUrl) && <p className="small-text">Status page: <a className="break" href={promise.statusUrl} target="_blank" rel="noreferrer noopener">{promise.statusUrl}</a></p>}
        </>
      )}
    </div>
  );
}

/** At each court that it has promised, and at the one that this site names. */
export function Disputes({ api }: { api: Api }) {
  const { courts } = useCourts(api.apiName);
  return courts.map((court) => <DisputesAt key={court} court={court} apiName={api.apiName} isOnly={courts.length === 1} isOperator />);
}
