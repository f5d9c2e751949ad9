// What the contract told a consumer: refused calls by reason, low credit, price changes.
import { useState } from "react";
import { stillHolds } from "../../domain/advice";
import type { Notice, UsageReport } from "../../domain/answers";
import { explain } from "../../domain/refusals";
import { dateText, momentText } from "../../domain/time";
import { useNotices } from "../../state/queries";
import { Calls, Empty, Gen, Section, Skeleton, Tag } from "../../ui/parts";
import { Trouble } from "../../ui/trouble";

const SHOWN = 8;

export function Notices({ report, now }: { report: UsageReport; now: number }) {
  const notices = useNotices(report.consumer, report.notices);
  const [isAll, setAll] = useState(false);
  const newest = [...(notices.data ?? [])].reverse();
  const reasons = byReason(newest);
  return (
    <Section title="Notices">
      {report.notices === 0 ? (
        <Empty title="Nothing to report">Refused calls, low credit and price changes appear here.</Empty>
      ) : !notices.data ? (
        notices.error || notices.failureReason ? <Trouble error={notices.error ?? notices.failureReason} /> : <Skeleton rows={3} label="Reading the notices" />
      ) : (
        <>
          {reasons.length > 0 && (
            <ul className="reasons" aria-label="Refused calls by reason">
              <li className="muted small-text">Since {dateText(newest.at(-1)?.at ?? now)}:</li>
              {reasons.map(([code, calls]) => (
                <li key={code}><strong><Calls count={calls} /></strong> {calls === 1n ? "call" : "calls"} refused: {explain(code).meaning.toLowerCase()}</li>
              ))}
            </ul>
          )}
          <ol className="notices">
            {newest.slice(0, isAll ? undefined : SHOWN).map((notice) => <li key={notice.number}><NoticeLine notice={notice} isNow={stillHolds(notice, report, now)} /></li>)}
          </ol>
          {newest.length > SHOWN && (
            <button type="button" className="button quiet" aria-expanded={isAll} onClick={() => setAll(!isAll)}>
              {isAll ? "Show fewer" : `Show all ${newest.length}`}
            </button>
          )}
          {report.notices > newest.length && <p className="muted small-text">The contract keeps the last 64 of {report.notices}.</p>}
        </>
      )}
    </Section>
  );
}

export function byReason(notices: readonly Notice[]): [string, bigint][] {
  const sums = new Map<string, bigint>();
  for (const notice of notices) if (notice.calls > 0n) sums.set(notice.code, (sums.get(notice.code) ?? 0n) + notice.calls);
  return [...sums].sort(([, a], [, b]) => (a < b ? 1 : a > b ? -1 : 0));
}

const TAGS = { low_credit: ["warn", "Low credit"], price: ["bad", "Price"], refund: ["good", "Refund"] } as const;

/** ``isNow``: what it tells is still so, and can be remedied. */
function NoticeLine({ notice, isNow }: { notice: Notice; isNow: boolean }) {
  const { kind, apiName, calls, amountWei, at, code } = notice;
  const [tone, tag] = TAGS[kind as keyof typeof TAGS] ?? ["bad", "Refused"];
  const { meaning, nextStep } = explain(code);
  return (
    <>
      <Tag tone={tone}>{tag}</Tag>
      <div>
        <p className="break">
          {kind === "low_credit" ? <>Credit and holds fell to <Gen wei={amountWei} />{apiName && <> with a call of {apiName}</>}.</>
            : kind === "refund" ? <><Gen wei={amountWei} /> of {apiName} came back and are credit again.</>
              : <><Calls count={calls} /> {calls === 1n ? "call" : "calls"} of {apiName}{amountWei > 0n && <> for <Gen wei={amountWei} /></>}: {meaning}.</>}
        </p>
        <p className="muted small-text"><time dateTime={new Date(at * 1000).toISOString()}>{momentText(at)}</time>{isNow && nextStep && ` · ${nextStep}`}</p>
      </div>
    </>
  );
}
