// The meter of an operator beside the chain: what it counted of an API, what is not settled, its books and its audit log.
import { useQuery, type UseQueryResult } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState, type ReactNode } from "react";
import type { Api } from "../../domain/answers";
import { momentText } from "../../domain/time";
import { MeterClient, type MeterPlace, type Status, type Summary } from "../../meter/client";
import { meters } from "../../meter/known";
import { refusalWords } from "../../meter/words";
import { useLocation } from "../../state/location";
import { usePlace } from "../../state/place";
import { hostOf } from "../../state/trust";
import { Banner, Calls, Section, Skeleton, Tag } from "../../ui/parts";
import { AuditLog } from "./audit_log";
import { Beside } from "./beside";
import { MeterForm } from "./form";
import { useKnownMeter } from "./known";
import "./meter.css";
import { Amount, Count, MeterTrouble } from "./parts";
import { Books } from "./reconciliation";

const SUMMARY_MS = 10_000;
const STATUS_MS = 60_000;

export function MeterSection({ api }: { api: Api }) {
  const { location } = useLocation();
  const { name, text, place } = useKnownMeter();
  const [isChanging, setChanging] = useState(false);
  const section = useRef<HTMLElement>(null);
  const isMeant = location.part === "meter";
  useEffect(() => { if (isMeant) section.current?.scrollIntoView(); }, [isMeant]);
  if (!place || isChanging) {
    return (
      <Section title="Your meter" className="meter" ref={section}>
        <MeterForm key={text} before={place} onUse={(wanted) => { meters.set(name, wanted); setChanging(false); }} onCancel={place && (() => setChanging(false))} />
      </Section>
    );
  }
  const actions = (
    <>
      <button type="button" className="button small" onClick={() => setChanging(true)}>Change<span className="visually-hidden"> the meter</span></button>
      <button type="button" className="button small" onClick={() => { latest = undefined; meters.forget(name); }}>Forget<span className="visually-hidden"> the meter and its token</span></button>
    </>
  );
  return (
    <Section title="Your meter" actions={actions} className="meter" ref={section}>
      {/* Another address or token is another meter: nothing of the one before is left in it. */}
      <Meter key={text} api={api} url={place.url} token={place.token} />
    </Section>
  );
}

const OPTIONS = { retry: false, gcTime: 0 } as const;

let latest: MeterClient | undefined;
/** One for all parts of the page, so that they ask once. */
const clientOf = ({ url, token }: MeterPlace): MeterClient =>
  latest?.place.url === url && latest.place.token === token ? latest : (latest = new MeterClient({ url, token }));

const useSummary = (client: MeterClient): UseQueryResult<Summary> =>
  useQuery({ ...OPTIONS, queryKey: ["meter", client.number, "summary"], queryFn: ({ signal }) => client.summary(signal), refetchInterval: SUMMARY_MS });

/** Whether what it counts belongs beside the chain that the page shows. */
function useIsElsewhere(): (summary: Summary) => "network" | "contract" | "" {
  const { contract, network } = usePlace();
  return ({ contract: settlesOn, network: where }) =>
    settlesOn === null ? "" : where !== network.id && network.id !== "custom" ? "network" : settlesOn.toLowerCase() !== contract?.address.toLowerCase() ? "contract" : "";
}

/** What it refused today, and has not settled, in a line each. */
export function MeterGlance({ place }: { place: MeterPlace }) {
  const { data } = useSummary(useMemo(() => clientOf(place), [place]));
  const elsewhere = useIsElsewhere();
  if (!data || elsewhere(data)) return null;
  const refused = byCount(data);
  const [[most] = [""]] = refused;
  return (
    <>
      <p className={refused.length ? "bad-text" : ""}>Of all its APIs, the meter refused {refused.length ? <>{!data.refusals.isComplete && "at least "}<Count of={sumOf(refused)} one="call" /> today{refused.length > 1 && ", most"}: {refusalWords(most).title.toLowerCase()}</> : "nothing today"}</p>
      {data.contract !== null && <p>and has <Amount units={data.unsettled.reduce((sum, each) => sum + each.amountWei + each.requestsWei, 0n)} of={data} /> to settle</p>}
    </>
  );
}

const byCount = ({ refusals }: Summary): [code: string, count: bigint][] => [...refusals.byCode].sort(([, a], [, b]) => (a < b ? 1 : a > b ? -1 : 0));
const sumOf = (codes: readonly [string, bigint][]): bigint => codes.reduce((all, [, count]) => all + count, 0n);

function Meter({ api, url, token }: { api: Api; url: string; token: string }) {
  const client = useMemo(() => clientOf({ url, token }), [url, token]);
  const summary = useSummary(client);
  const elsewhere = useIsElsewhere();
  const status = useQuery({ ...OPTIONS, queryKey: ["meter", client.number, "status"], queryFn: ({ signal }) => client.status(signal), refetchInterval: STATUS_MS, enabled: summary.isSuccess });
  const trouble = summary.error && <MeterTrouble error={summary.error} url={url} onRetry={() => void summary.refetch()} />;
  if (!summary.data) return trouble || <Skeleton rows={3} label="Asking the meter" />;
  const { contract: settlesOn, network: where } = summary.data;
  const other = elsewhere(summary.data);
  if (other) {
    return (
      <Banner tone="stop" title={`This meter settles on another ${other}`}>
        On <span className="mono break">{settlesOn}</span> of <span className="break">{where}</span>: what it counts does not belong beside what this page shows.
      </Banner>
    );
  }
  return (
    <>
      <Head url={url} summary={summary.data} status={status.data} />
      {trouble}
      {settlesOn === null && <Banner tone="info" title="This meter settles on no contract">It keeps credit itself: nothing of it comes to the chain.</Banner>}
      <Beside api={api} summary={summary.data} />
      <Figures api={api} summary={summary.data} />
      {settlesOn !== null && <Books key={api.apiName} client={client} api={api} url={url} currency={summary.data} />}
      <AuditLog client={client} api={api} url={url} />
    </>
  );
}

function Head({ url, summary, status }: { url: string; summary: Summary; status: Status | undefined }) {
  return (
    <div className="meter-head">
      <p>
        <span className="mono break">{hostOf(url)}</span>{" "}
        {status && <Tag tone={status.ok ? (status.wrong.length ? "warn" : "good") : "bad"}>{status.ok ? (status.wrong.length ? "Serves, with trouble" : "All is well") : "Cannot serve requests"}</Tag>}
      </p>
      <p className="muted small-text">As of {momentText(summary.atMs / 1000)}{status && `, version ${status.version}, store ${status.store}`}{summary.network && `, settles on ${summary.network}`}.</p>
      {status && status.wrong.length > 0 && (
        <ul className="meter-wrong">{status.wrong.map(({ part, detail, stops }, i) => <li key={i} className={stops ? "bad-text" : ""}><strong>{part}</strong>: {detail}</li>)}</ul>
      )}
    </div>
  );
}

function Figures({ api, summary }: { api: Api; summary: Summary }) {
  const waits = summary.unsettled.find((each) => each.api === api.apiName);
  const { reserved, refusals } = summary;
  const ofAll = summary.apis.some((each) => each.api !== api.apiName) ? " (all APIs of the meter)" : "";
  const codes = byCount(summary);
  return (
    <dl className="meter-figures">
      {summary.contract !== null && (
        <Figure name="Not settled" testId="meter-unsettled" value={<>{waits && !waits.isComplete && "at least "}<Amount units={waits ? waits.amountWei + waits.requestsWei : 0n} of={summary} big /></>}>
          {!waits ? <p className="muted">Nothing waits.</p> : (
            <>
              {waits.batches > 0n && <p><Count of={waits.batches} one="batch" more="batches" /> on the way, <Amount units={waits.amountWei} of={summary} /></p>}
              {waits.requests > 0n && <p><Count of={waits.requests} one="call" /> in no batch yet, <Amount units={waits.requestsWei} of={summary} /></p>}
            </>
          )}
        </Figure>
      )}
      <Figure name={`Reserved now${ofAll}`} testId="meter-reserved" value={<>{!reserved.isComplete && "at least "}<Amount units={reserved.wei} of={summary} big /></>}>
        <p className="muted">{reserved.requests === 0n ? "No request is being served." : <><Count of={reserved.requests} one="request is" more="requests are" /> being served.</>}</p>
      </Figure>
      <Figure name={`Refused today${ofAll}`} testId="meter-refused" value={<span className="amount-big">{codes.length ? <Calls count={sumOf(codes)} /> : "none"}</span>}>
        {codes.length > 0 && (
          <ul>
            {codes.map(([code, count]) => {
              const { title, detail } = refusalWords(code);
              return <li key={code}><Calls count={count} /> {title}{detail && <span className="muted">: {detail}</span>}</li>;
            })}
          </ul>
        )}
        {!refusals.isComplete && <p className="muted">Of the newest requests of today only.</p>}
      </Figure>
    </dl>
  );
}

function Figure({ name, value, children, testId }: { name: string; value: ReactNode; children: ReactNode; testId: string }) {
  return (
    <div className="meter-figure">
      <dt>{name}</dt>
      <dd data-testid={testId}>{value}</dd>
      <dd className="meter-rest">{children}</dd>
    </div>
  );
}
