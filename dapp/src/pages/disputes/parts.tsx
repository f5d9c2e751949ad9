// Parts of the pages of disputes. Texts of others are shown as they are, never as anything else.
import type { ReactNode } from "react";
import { openDispute } from "../../actions/dispute";
import { isPage } from "../../domain/names";
import type { Promise } from "../../domain/answers";
import { dateOfDay } from "../../domain/time";
import { useCourtView, useDisputableDays, useOwnCourt } from "../../state/court";
import { useLocation } from "../../state/location";
import { usePlace } from "../../state/place";
import { ActionButton } from "../../ui/action_dialog";
import { Address, Banner } from "../../ui/parts";
import { Trouble } from "../../ui/trouble";

export function Quoted({ text, by }: { text: string; by: string }) {
  return <blockquote className="quoted" dir="auto" aria-label={by}>{text}</blockquote>;
}

/** A page that somebody named. It opens apart, and is not told from where. */
export function Page({ url }: { url: string }) {
  if (url === "" || !isPage(url)) return <>{url || "none"}</>;
  return <a className="break" href={url} target="_blank" rel="noreferrer noopener">{url}</a>;
}

export function Terms({ promise }: { promise: Promise }) {
  const { apiName, terms, maxRefundPercent, payoutDays, statusUrl, court, fromDay } = promise;
  const own = useOwnCourt();
  return (
    <>
      {terms ? <Quoted text={terms} by={`What ${apiName} promises`} /> : <p className="muted">It promises nothing in words.</p>}
      <dl className="dispute-facts">
        <div><dt>Refund at most</dt><dd>{maxRefundPercent} % of what was paid for the day</dd></div>
        <div><dt>A day can be disputed</dt><dd>from 2 to {payoutDays} days after it</dd></div>
        <div><dt>In force since</dt><dd>{dateOfDay(fromDay)}</dd></div>
        <div><dt>Court</dt><dd><Address address={court} />{court !== own && <span className="muted"> · chosen by its operator, not known to this site</span>}</dd></div>
        <div><dt>Status page</dt><dd><Page url={statusUrl} /></dd></div>
      </dl>
    </>
  );
}

/** Disputes a day of the account that is looked at; `line`: with a usage line that was proven. */
export function OpenButton({ apiName, dayId, line = "", children }: { apiName: string; dayId: number; line?: string; children: ReactNode }) {
  const { location } = useLocation();
  const { contract } = usePlace();
  const days = useDisputableDays(apiName, location.account);
  const found = days.data?.now.find(({ day }) => day.dayId === dayId);
  const own = useOwnCourt();
  const court = useCourtView(found?.promise.court ?? "", "get_court", []);
  if (!found || !court.data) return null;
  if (court.data.billing !== contract?.address) return <span className="muted">Its court judges another contract.</span>;
  const { data } = court;
  return <ActionButton make={() => openDispute(found.day, found.promise, data, found.promise.court === own, line)}>{children}</ActionButton>;
}

/** An API may have named anything as its court. */
export function CourtTrouble({ error }: { error: unknown }) {
  const { failure } = Object(error) as { failure?: unknown };
  if (failure !== "wrong_contract" && failure !== "no_contract") return <Trouble error={error} />;
  return <NoCourt />;
}

export const NoCourt = () => (
  <Banner tone="stop" title="This is no court of this contract">What the API names as its court does not answer as one, or judges another contract: nothing can be disputed there.</Banner>
);
