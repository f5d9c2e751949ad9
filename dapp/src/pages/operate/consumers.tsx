// Who uses an API: plan, usage, what is set aside, and why somebody cannot be billed. A line opens refund and hold.
import { useMemo, useState } from "react";
import { refund, refundableWei, type RefundSource } from "../../actions/earnings";
import { releaseHoldOf } from "../../actions/operator";
import type { Api, ApiDay, Earnings, Subscriber } from "../../domain/answers";
import { consumerState, isHeld, waits } from "../../domain/operating";
import { explain } from "../../domain/refusals";
import { dayOf, dayText, momentText } from "../../domain/time";
import { useDeployment } from "../../state/deployment";
import { useLocation } from "../../state/location";
import { usePlace } from "../../state/place";
import { useView } from "../../state/queries";
import { ActionButton } from "../../ui/action_dialog";
import { Address, Calls, Empty, Gen, Section, Skeleton, Tag } from "../../ui/parts";
import { compare, Records, type Column } from "../../ui/records";
import { Trouble } from "../../ui/trouble";
import { soFar } from "./figures";
import { PAGE, type ReadOfAll, type useSubscribers } from "./reading";

interface ConsumersProps {
  /** All of them, or the one that the page is about. */
  apis: readonly Api[];
  list: ReturnType<typeof useSubscribers>;
  /** Of the last settlements, by API and consumer. */
  refused: ReadonlyMap<string, ReadonlyMap<string, string>>;
  /** Reads more of them. */
  onMore(): void;
  days: ReadOfAll<ApiDay[]>;
  earnings: Earnings | undefined;
  isOwn: boolean;
  now: number;
}

type Line = Subscriber & { api: Api };

const HISTORY_DAYS = 64;
const inSmall = (code: string): string => explain(code).meaning.toLowerCase();

/** A line for each consumer of each API. */
export function Consumers({ apis, list, refused, onMore, days, earnings, isOwn, now }: ConsumersProps) {
  const { nameOf } = useDeployment();
  const lines = apis.flatMap((api) => (list.of.get(api.apiName)?.subscribers ?? []).map((each): Line => ({ ...each, api })));
  const total = [...list.of.values()].reduce((sum, each) => sum + each.total, 0);
  const stateOf = (each: Line) => consumerState(each, each.api, now, refused.get(each.api.apiName)?.get(each.consumer), inSmall);
  const columns: Column<Line>[] = [
    { id: "consumer", title: "Consumer", isText: true, by: ({ consumer }) => nameOf(consumer) || consumer, show: ({ consumer }) => <Address address={consumer} /> },
    ...(apis.length > 1 ? [{ id: "api", title: "API", isText: true, by: ({ api }: Line) => api.apiName, show: ({ api }: Line) => api.apiName }] : []),
    { id: "plan", title: "Plan", isText: true, by: ({ planName }) => planName, show: ({ planName }) => planName },
    { id: "today", title: "Today", by: ({ spendTodayWei }) => spendTodayWei, show: (each) => <Used calls={each.callsToday} wei={each.spendTodayWei} /> },
    { id: "month", title: "Month", by: ({ spendMonthWei }) => spendMonthWei, show: (each) => <Used calls={each.callsMonth} wei={each.spendMonthWei} /> },
    { id: "hold", title: "Hold", by: ({ holdWei }) => holdWei, show: (each) => <Hold consumer={each} now={now} /> },
    {
      id: "state", title: "State", isText: true, by: (each) => stateOf(each).rank,
      show: (each) => {
        const { label, tone, text } = stateOf(each);
        return <><Tag tone={tone}>{label}</Tag>{text && <small>{text}</small>}</>;
      },
    },
  ];
  const rows = lines.sort((a, b) => stateOf(a).rank - stateOf(b).rank || compare(b.spendMonthWei, a.spendMonthWei));
  return (
    <Section title="Consumers">
      {list.of.size === 0 ? (list.error ? <Trouble error={list.error} /> : <><Skeleton rows={3} label="Reading the consumers" />{apis.length > 1 && soFar(list.of, apis.length)}</>)
        : total === 0 && list.missing === 0 ? <Empty title="Nobody has subscribed yet">Whoever subscribes appears here, with what is used and paid.</Empty> : (
          <Records
            of="consumers" rows={rows} columns={columns} keyOf={({ api, consumer }) => `${api.apiName} ${consumer}`}
            textOf={({ api, consumer, planName }) => `${consumer} ${nameOf(consumer).toLowerCase()} ${planName} ${api.apiName}`}
            open={(each) => <Consumer consumer={each} days={days.of.get(each.api.apiName) ?? []} earnings={earnings} isOwn={isOwn} now={now} />}
          >
            {total > lines.length && (
              <span className="small-text">
                These are {lines.length} of {total}: they are sorted and searched.{" "}
                {apis.length > 1 ? `Of each API the first ${PAGE} are here; its own page has all.`
                  : <button type="button" className="button small" disabled={list.isFetching} onClick={onMore}>{list.isFetching ? "Reading…" : "Read more"}</button>}
              </span>
            )}
            {soFar(list.of, apis.length)}
          </Records>
        )}
    </Section>
  );
}

function Used({ calls, wei }: { calls: bigint; wei: bigint }) {
  return <><Gen wei={wei} /><small><Calls count={calls} /> {calls === 1n ? "call" : "calls"}</small></>;
}

function Hold({ consumer, now }: { consumer: Subscriber; now: number }) {
  const { holdWei, holdExpiresAt, signer } = consumer;
  if (holdWei === 0n) return <span className="muted">{signer ? "session, none" : "–"}</span>;
  return <><Gen wei={holdWei} /><small>{signer ? "session, " : ""}{isHeld(consumer, now) ? "until" : "ended"} {momentText(holdExpiresAt)}</small></>;
}

interface ConsumerProps {
  consumer: Line;
  days: readonly ApiDay[];
  earnings: Earnings | undefined;
  isOwn: boolean;
  now: number;
}

function Consumer({ consumer, days, earnings, isOwn, now }: ConsumerProps) {
  const { api } = consumer;
  const { location, href } = useLocation();
  const { network } = usePlace();
  const quote = useView("quote_call", [api.apiName, consumer.consumer], { everyMs: network.refreshMs * 2 });
  const session = useView("get_session", consumer.signer ? [consumer.consumer, api.apiName] : null);
  const signedWei = session.data?.channels.reduce((sum, each) => sum + each.signedWei - each.billedWei, 0n);
  return (
    <div className="opened-record">
      <dl className="facts">
        {location.api !== api.apiName && <div><dt>API</dt><dd><a className="break" href={href({ api: api.apiName })}>{api.apiName}</a></dd></div>}
        <div><dt>Address</dt><dd><Address address={consumer.consumer} link /> <span className="mono break">{consumer.consumer}</span></dd></div>
        <div>
          <dt>A call now</dt>
          <dd>{quote.data ? (quote.data.allowed ? <>is billed{consumer.signer && " if the consumer sends it itself"}, <Gen wei={quote.data.costWei} /></> : <span className="bad-text">is refused: {inSmall(quote.data.code)}</span>) : "…"}
            {quote.data && <span className="muted">; free credit <Gen wei={quote.data.creditWei} /></span>}</dd>
        </div>
        {consumer.signer && (
          <div>
            <dt>Session</dt>
            <dd>vouchers of <span className="mono break">{consumer.signer}</span>{signedWei !== undefined && <>; <Gen wei={signedWei} /> signed and not billed yet, as far as they were settled</>}</dd>
          </div>
        )}
      </dl>
      {isOwn && (
        <>
          <Refund apiName={api.apiName} consumer={consumer.consumer} days={days} earnings={earnings} today={dayOf(now)} />
          {consumer.holdWei > 0n && <div className="actions"><ActionButton make={() => releaseHoldOf(api.apiName, consumer, now, signedWei)}>Release the hold</ActionButton></div>}
        </>
      )}
    </div>
  );
}

interface RefundProps {
  apiName: string;
  consumer: string;
  days: readonly ApiDay[];
  earnings: Earnings | undefined;
  today: number;
}

function Refund({ apiName, consumer, days, earnings, today }: RefundProps) {
  const [chosen, setDay] = useState(0);
  const history = useView("get_usage_history", [consumer, apiName, Math.max(today - HISTORY_DAYS + 1, 0), today]);
  const waiting = useMemo(() => (history.data ?? []).filter((day) => day.spendWei > 0n && waits(days, day.dayId)).reverse(), [history.data, days]);
  // One that anybody has collected meanwhile waits no more.
  const dayId = waiting.some((day) => day.dayId === chosen) ? chosen : 0;
  const paid = useView("get_paid_day", dayId ? [apiName, consumer, dayId] : null);
  const source: RefundSource | null = dayId === 0 ? earnings ? { withdrawableWei: earnings.earningsWei } : null : paid.data ? { day: paid.data } : null;
  const { frozenWei = 0n, frozenAt = 0 } = dayId ? paid.data ?? {} : {};
  return (
    <div className="refund">
      <label>
        <span>Refund from</span>{" "}
        <select value={dayId} onChange={({ target }) => setDay(Number(target.value))}>
          <option value={0}>what can be withdrawn</option>
          {waiting.map((day) => <option key={day.dayId} value={day.dayId}>{dayText(day.dayId)}, whose earnings wait</option>)}
        </select>
      </label>
      <ActionButton about={dayId} disabled={source === null || refundableWei(source) === 0n} make={(about) => (about === dayId ? refund(apiName, consumer, source ?? { withdrawableWei: 0n }) : null)}>Refund</ActionButton>
      <span className="small-text muted" role="status">
        {source && (refundableWei(source) === 0n && frozenAt ? frozenWei ? <><Gen wei={frozenWei} /> are frozen: a court decides.</> : "A dispute about this day has ended." : <>at most <Gen wei={refundableWei(source)} /></>)}
      </span>
    </div>
  );
}
