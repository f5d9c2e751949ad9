// Every request of a consumer, as the meter has recorded it.
import { useInfiniteQuery } from "@tanstack/react-query";
import { useId, useState } from "react";
import { grouped } from "../../domain/amounts";
import type { Api } from "../../domain/answers";
import { isAddress, shortAddress } from "../../domain/names";
import type { Entry, MeterClient } from "../../meter/client";
import { refusalWords, type Currency } from "../../meter/words";
import { useDeployment } from "../../state/deployment";
import { Skeleton, Tag } from "../../ui/parts";
import "../../ui/records.css";
import { Amount, MeterTrouble } from "./parts";

interface AuditLogProps {
  client: MeterClient;
  api: Api;
  url: string;
}

const OPTIONS = { retry: false, gcTime: 0, initialPageParam: "" as string };

export function AuditLog({ client, api, url }: AuditLogProps) {
  const field = useId();
  const { nameOf } = useDeployment();
  const [chosen, setChosen] = useState("");
  const consumers = useInfiniteQuery({
    ...OPTIONS, queryKey: ["meter", client.number, "consumers"], queryFn: ({ signal, pageParam }) => client.consumers(pageParam, signal), getNextPageParam: ({ next }) => next,
  });
  const all = consumers.data?.pages.flatMap((page) => page.consumers) ?? [];
  const named = (consumer: string): string => (isAddress(consumer) ? `${nameOf(consumer)} ${shortAddress(consumer)}`.trim() : consumer);
  return (
    <div className="meter-part">
      <div className="section-head">
        <h3>Audit log</h3>
        <div className="actions">
          <label htmlFor={field} className="small-text">Requests of</label>
          <select id={field} value={chosen} onChange={({ target }) => setChosen(target.value)} disabled={all.length === 0}>
            <option value="">{consumers.isSuccess && all.length === 0 ? "no consumers yet" : "choose a consumer"}</option>
            {all.map(({ consumer, disabled }) => <option key={consumer} value={consumer}>{named(consumer)}{disabled && " (switched off)"}</option>)}
          </select>
          {consumers.hasNextPage && (
            <button type="button" className="button quiet small" disabled={consumers.isFetching} onClick={() => void consumers.fetchNextPage()}>More consumers</button>
          )}
        </div>
      </div>
      {consumers.error && <MeterTrouble error={consumers.error} url={url} onRetry={() => void consumers.refetch()} />}
      {chosen ? <Requests key={chosen} client={client} api={api} url={url} consumer={chosen} name={named(chosen)} /> : (
        <p className="muted small-text">Each request of a consumer to <strong className="break">{api.apiName}</strong>: what became of it, what it cost, and why it was refused.</p>
      )}
    </div>
  );
}

function Requests({ client, api, url, consumer, name }: AuditLogProps & { consumer: string; name: string }) {
  const read = useInfiniteQuery({
    ...OPTIONS, queryKey: ["meter", client.number, "records", api.apiName, consumer],
    queryFn: ({ signal, pageParam }) => client.records(consumer, api.apiName, pageParam, signal), getNextPageParam: ({ next }) => next,
  });
  if (read.error && !read.data) return <MeterTrouble error={read.error} url={url} onRetry={() => void read.refetch()} />;
  if (!read.data) return <Skeleton rows={4} label="Reading the audit log" />;
  const [first] = read.data.pages;
  const entries = read.data.pages.flatMap((page) => page.records);
  if (!first || entries.length === 0) return <p role="status">The meter has no requests of {name} to {api.apiName}. They are kept as long as the consumer's tier says.</p>;
  return (
    <>
      <table className="records meter-log" aria-label={`Requests of ${name}, the newest first`}>
        <thead><tr><th scope="col">Time (UTC)</th><th scope="col">Request</th><th scope="col">State</th><th scope="col" className="num">Cost</th><th scope="col">Answer</th></tr></thead>
        <tbody>{entries.map((entry) => <Request key={entry.id} entry={entry} currency={first} />)}</tbody>
      </table>
      {read.error && <MeterTrouble error={read.error} url={url} onRetry={() => void read.fetchNextPage()} />}
      <p className="meter-more">
        <button type="button" className="button small" disabled={!read.hasNextPage || read.isFetching} onClick={() => void read.fetchNextPage()}>Older</button>
        <button type="button" className="button small" disabled={read.isFetching} onClick={() => void read.refetch()}>Read again</button>
        <span className="muted small-text" role="status">{grouped(entries.length)} {entries.length === 1 ? "request" : "requests"}{read.hasNextPage ? ", there are more" : ", all there are"}</span>
      </p>
    </>
  );
}

const TIME = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZone: "UTC" });

const STATES: Readonly<Record<string, { tone: "good" | "bad" | "busy" | "neutral" | "warn"; label: string }>> = {
  reserved: { tone: "busy", label: "Being served" },
  settled: { tone: "good", label: "Charged" },
  redeemed: { tone: "good", label: "Served for a receipt" },
  released: { tone: "neutral", label: "Not charged" },
  expired: { tone: "warn", label: "Expired, not charged" },
  refused: { tone: "bad", label: "Refused" },
  reset: { tone: "neutral", label: "Limit begun anew" },
};

function Refused({ code, reason }: Entry) {
  const { title, detail } = refusalWords(reason ? `${code}/${reason}` : code);
  return <><span className="bad-text">{title}</span>{reason && <small>{detail}</small>}</>;
}

function Request({ entry, currency }: { entry: Entry; currency: Currency }) {
  const { tone, label } = STATES[entry.state] ?? { tone: "neutral" as const, label: entry.state };
  return (
    <tr className="records-line">
      <th scope="row">{TIME.format(entry.atMs)}</th>
      <td className="meter-route">{entry.method} {entry.route}</td>
      <td><Tag tone={tone}>{label}</Tag></td>
      <td className="num">
        {entry.state === "reserved" ? <span className="muted">up to <Amount units={entry.estimateWei} of={currency} /></span> : <Amount units={entry.chargedWei} of={currency} />}
        {entry.uncollectedWei > 0n && <span className="meter-below bad-text"><Amount units={entry.uncollectedWei} of={currency} /> more not covered</span>}
      </td>
      <td>
        {entry.code ? <Refused {...entry} /> : entry.status > 0 ? <>{entry.status}<span className="muted"> in {grouped(entry.durationMs)} ms</span></> : <span className="muted">none yet</span>}
      </td>
    </tr>
  );
}
