// A consumer's page: what was spent, on what, what is left, until when, and what to do.
import { useMemo } from "react";
import { adviceFor } from "../../domain/advice";
import type { DayUsage, UsageReport } from "../../domain/answers";
import { lastDays, monthOf, sumOf, within } from "../../domain/history";
import { reportAt } from "../../domain/left";
import { atLastDays, RATE_DAYS } from "../../domain/outlook";
import { useDeployment } from "../../state/deployment";
import { useLocation } from "../../state/location";
import { useChainNow } from "../../state/now";
import { useApis, useHistory, useReport } from "../../state/queries";
import { useSigner } from "../../state/signing";
import { AccountPicker } from "../../ui/account_picker";
import { Freshness } from "../../ui/freshness";
import { usePageFocus } from "../../ui/page_focus";
import { Copy, Empty, NotAmong, Skeleton } from "../../ui/parts";
import { Trouble } from "../../ui/trouble";
import { useUnbilled } from "../sessions/signed";
import { Banners, useNews } from "./banners";
import { ChartSection } from "./chart_section";
import { Disputes, useOpenDisputes } from "./disputes";
import { Figures } from "./figures";
import { Notices } from "./notices";
import { Subscriptions } from "./subscriptions";
import "./usage.css";

export function UsagePage() {
  const { location, href } = useLocation();
  const { nameOf } = useDeployment();
  const heading = usePageFocus("Usage");
  const report = useReport(location.account);
  const name = nameOf(location.account);
  if (!location.account) {
    return (
      <>
        <h1 ref={heading} tabIndex={-1}>Usage</h1>
        <Empty title="Whose usage?" action={<a className="button primary" href={href({ view: "connect" })}>Choose an account</a>}>
          Name an address to watch it, or connect a wallet to see your own.
        </Empty>
      </>
    );
  }
  return (
    <>
      <div className="page-head">
        <div>
          <h1 ref={heading} tabIndex={-1}>Usage{name && ` of ${name}`}</h1>
          <p className="muted page-account"><span className="mono break">{location.account}</span> <Copy text={location.account} label="Copy the address" /></p>
        </div>
        <div className="page-side"><AccountPicker /><Freshness query={report} /></div>
      </div>
      {report.data ? <Report told={report.data} /> : report.error || report.failureReason ? <Trouble error={report.error ?? report.failureReason} /> : <Skeleton rows={6} label="Reading the usage report" />}
    </>
  );
}

function Report({ told }: { told: UsageReport }) {
  const { own } = useSigner();
  const now = useChainNow();
  const report = useMemo(() => reportAt(told, now), [told, now]);
  const isOwn = own !== "" && own === report.consumer;
  const isEmpty = report.total === 0;
  // Plans are needed in forms only: the list is read where somebody can act, or to tell what an account without subscriptions is.
  const apis = useApis(false, isOwn || isEmpty, report);
  const { recent, lastMonthWei, isUnreadable } = usePast(report);
  const { unbilled, signedWei } = useUnbilled(report, now);
  const rate = recent && atLastDays(report, recent, now, unbilled);
  const advice = adviceFor(report, now, rate, unbilled, useOpenDisputes(report.consumer));
  useNews(advice);
  const acting = { report, own, isOwn, apis: apis.data, now, rate };
  const isOperator = isEmpty && (apis.data ?? []).some((api) => api.operator === report.consumer);
  return (
    <>
      {isOperator && <OperatorHint />}
      {(isOwn || !isOperator || report.creditBalanceWei + report.heldWei > 0n) && (
        <>
          <Figures {...acting} first={advice[0]} lastMonthWei={lastMonthWei} isPastUnreadable={isUnreadable} isLate={told !== report} unbilled={unbilled} signedWei={signedWei} />
          <Banners {...acting} advice={advice} />
        </>
      )}
      <Disputes consumer={report.consumer} now={now} />
      <NotAmong names={report.apis.map(({ apiName }) => apiName)} what="the subscriptions of this account" />
      {!isEmpty && <ChartSection report={report} />}
      {!(isOperator && !isOwn) && <Subscriptions {...acting} unbilled={unbilled} />}
      <Notices report={report} now={now} />
    </>
  );
}

/** The days before today for the rate, and the sum of the month before this one; null until they are read. */
function usePast(report: UsageReport): { recent: readonly DayUsage[] | null; lastMonthWei: bigint | null; isUnreadable: boolean } {
  const lastMonth = monthOf(report.dayId, 1);
  const wanted = report.total > 0 ? report : undefined;
  const recent = useHistory(wanted, lastDays(report.dayId, RATE_DAYS + 1));
  const month = useHistory(wanted, lastMonth);
  return {
    isUnreadable: recent.error !== null,
    recent: recent.missing && wanted ? null : recent.usage,
    lastMonthWei: month.missing && wanted ? null : sumOf(within(month.usage, lastMonth)).spendWei,
  };
}

function OperatorHint() {
  const { href } = useLocation();
  return (
    <Empty title="This account runs APIs; it has no subscriptions" action={<a className="button primary" href={href({ view: "operate" })}>Go to Operate</a>}>
      What its APIs earn, and who uses them, is there.
    </Empty>
  );
}
