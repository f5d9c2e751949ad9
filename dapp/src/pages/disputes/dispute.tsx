// One dispute: who claims what of which day, what was promised, where it stands, and the verdict.
import { closeDispute, judgeDispute } from "../../actions/dispute";
import type { Dispute, PaidDay, Promise } from "../../domain/answers";
import { nextOf, refundAtMost, standingOf } from "../../domain/dispute";
import { DAY_SECONDS, dateOfDay, momentText } from "../../domain/time";
import { useCourts, useCourtView } from "../../state/court";
import { useLocation } from "../../state/location";
import { useChainNow } from "../../state/now";
import { usePlace } from "../../state/place";
import { useView } from "../../state/queries";
import { ActionButton } from "../../ui/action_dialog";
import { usePageFocus } from "../../ui/page_focus";
import { Address, Banner, Calls, Empty, Gen, Section, Skeleton, Tag } from "../../ui/parts";
import { Trouble } from "../../ui/trouble";
import { CourtTrouble, NoCourt, Page, Quoted, Terms } from "./parts";

export function DisputeView() {
  const { location, href } = useLocation();
  const heading = usePageFocus(`Dispute ${location.dispute}`);
  const { promises, courts, error } = useCourts(location.api);
  const court = (location.court ? courts.find((each) => each === location.court) : courts[0]) ?? "";
  const about = useCourtView(court, "get_court", []);
  const dispute = useCourtView(court, "get_dispute", [location.dispute], ({ status }) => status === "open");
  const { contract } = usePlace();
  const isForeign = about.data && about.data.billing !== contract?.address;
  const isElsewhere = dispute.data && dispute.data.apiName !== location.api;
  return (
    <>
      <div>
        <p><a href={href({ dispute: 0, court: "" })}>All disputes of {location.api}</a></p>
        <h1 ref={heading} tabIndex={-1}>Dispute {location.dispute}{dispute.data && !isElsewhere && !isForeign && <>: {location.api}, {dateOfDay(dispute.data.dayId)}</>}</h1>
      </div>
      {error ? <Trouble error={error} /> : promises && !court ? <Empty title={`${location.api} has no ${location.court ? "such " : ""}court`}>{location.court ? `None of its last promises names ${location.court}.` : "It has promised nothing that could be disputed."}</Empty>
        : isForeign ? <NoCourt />
        : dispute.error ?? about.error ? <CourtTrouble error={dispute.error ?? about.error} />
        : isElsewhere ? <Empty title={`${location.api} has no dispute ${location.dispute}`}>That number is a dispute of another API.</Empty>
        : dispute.data && about.data ? <Shown dispute={dispute.data} court={court} /> : <Skeleton rows={5} label="Reading the dispute" />}
    </>
  );
}

function Shown({ dispute, court }: { dispute: Dispute; court: string }) {
  const { apiName, consumer, dayId, calls, paidWei, bondWei, openedAt, endedAt, claim, evidenceUrl } = dispute;
  const { network } = usePlace();
  const promise = useView("get_promise", [apiName, dayId], { staleTime: Infinity });
  const isMoving = useChainNow() < endedAt + DAY_SECONDS || dispute.status === "open"; // final is a verdict only later
  const day = useView("get_paid_day", [apiName, consumer, dayId], isMoving ? { everyMs: network.refreshMs * 2 } : {});
  const { tone, label } = standingOf(dispute);
  return (
    <>
      <Section title="Where it stands" actions={<Tag tone={tone}>{label}</Tag>}>
        {dispute.status !== "open" && <Verdict dispute={dispute} day={day.data} promise={promise.data} />}
        {day.error || promise.error ? <Trouble error={day.error ?? promise.error} /> : !day.data || !promise.data ? <Skeleton rows={2} /> : (
          <>
            <Course dispute={dispute} day={day.data} />
            {dispute.status === "open" && <NextStep dispute={dispute} day={day.data} promise={promise.data} court={court} />}
          </>
        )}
      </Section>
      <Section title="The claim">
        <Quoted text={claim} by="What the consumer claims" />
        <dl className="dispute-facts">
          <div><dt>Consumer</dt><dd><Address address={consumer} link /></dd></div>
          <div><dt>Paid for {dateOfDay(dayId)}</dt><dd><Gen wei={paidWei} /> for <Calls count={calls} /> {calls === 1n ? "call" : "calls"}</dd></div>
          <div><dt>Bond</dt><dd>{bondWei > 0n ? <Gen wei={bondWei} /> : "none"}</dd></div>
          <div><dt>Opened</dt><dd>{momentText(openedAt)}</dd></div>
          {endedAt > 0 && <div><dt>Ended</dt><dd>{momentText(endedAt)}</dd></div>}
          <div><dt>Evidence</dt><dd><Page url={evidenceUrl} /></dd></div>
        </dl>
      </Section>
      {promise.data && (
        <Section title={`What was promised for ${dateOfDay(dayId)}`}>
          {promise.data.court ? <Terms promise={promise.data} /> : <p>Nothing.</p>}
          {promise.data.court !== court && <Banner tone="stop" title="This is not the court of that day">What is said here moves no money.</Banner>}
        </Section>
      )}
    </>
  );
}

function Verdict({ dispute, day, promise }: { dispute: Dispute; day: PaidDay | undefined; promise: Promise | undefined }) {
  const { status, refundPercent, refundWei, bondWei, reason, paidWei } = dispute;
  if (status !== "judged") return <p>It ended without a verdict. The bond went back to the consumer, as credit; what was frozen went to the operator.</p>;
  const isCapped = promise !== undefined && refundPercent > promise.maxRefundPercent;
  return (
    <>
      <p className="verdict" data-testid="verdict">{refundPercent > 0 ? <>{refundPercent} %: <Gen wei={refundWei} /> refunded</> : "Nothing is refunded"}</p>
      {isCapped && <p className="muted">{promise.maxRefundPercent} % of <Gen wei={paidWei} /> are the most that was promised; what had been refunded before counts.</p>}
      <Quoted text={reason} by="The reason that the judges gave" />
      {day && <p>
        {day.frozenWei === 0n ? "The refund is in the consumer's credit, the rest of the day's earnings with the operator." : "Money moves when the verdict is final."}
        {bondWei > 0n && <> The bond of <Gen wei={bondWei} /> {day.frozenWei === 0n ? "went" : "goes"} to the {refundPercent > 0 ? "consumer" : "operator"}, as credit.</>}
      </p>}
    </>
  );
}

function Course({ dispute, day }: { dispute: Dispute; day: PaidDay }) {
  const isEnded = dispute.status !== "open";
  const steps: readonly [boolean, string][] = [
    [true, `Opened ${momentText(dispute.openedAt)}`],
    [isEnded || day.frozenAt > 0, day.frozenAt > 0 ? `The day's earnings were frozen ${momentText(day.frozenAt)}` : isEnded ? "Nothing was frozen" : "The day's earnings are frozen when the opening is final"],
    [isEnded, isEnded ? `${dispute.status === "judged" ? "Judged" : "Closed"} ${momentText(dispute.endedAt)}` : "Verdict"],
    [isEnded && day.frozenWei === 0n, isEnded && day.frozenWei === 0n ? "Paid out" : "Paid out when the verdict is final"],
  ];
  return <ol className="course">{steps.map(([isDone, text]) => <li key={text} className={isDone ? "done" : ""}><span>{text}<span className="visually-hidden">{isDone ? " (done)" : " (to come)"}</span></span></li>)}</ol>;
}

function NextStep({ dispute, day, promise, court }: { dispute: Dispute; day: PaidDay; promise: Promise; court: string }) {
  const { can, text } = nextOf(dispute, day, useChainNow());
  return (
    <>
      <p>{text}</p>
      {can === "judge" && <p className="muted">At most <Gen wei={refundAtMost(dispute.paidWei, day.refundedWei, promise)} /> can be refunded.</p>}
      {can && (
        <div className="actions">
          {can === "judge"
            ? <ActionButton className="button primary" make={() => judgeDispute(dispute, day, promise, court)}>Have it judged</ActionButton>
            : <ActionButton className="button primary" make={() => closeDispute(dispute, court)}>Close it</ActionButton>}
        </div>
      )}
    </>
  );
}
