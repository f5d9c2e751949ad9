// A consumer's session with one API: what is signed, what of it was billed, what the hold still pays.
import { useEffect } from "react";
import { billWithoutVouchers, openSession } from "../../actions/session";
import { isHoldInForce } from "../../actions/consumer";
import { exactGen, share } from "../../domain/amounts";
import type { Api, ApiUsage, Session, UsageReport } from "../../domain/answers";
import { channelName, shortId, type SignedVoucher } from "../../domain/session";
import { momentText } from "../../domain/time";
import { useChainNow } from "../../state/now";
import { useView } from "../../state/queries";
import { useSigner } from "../../state/signing";
import { ActionButton, DialogButton } from "../../ui/action_dialog";
import { Address, Bar, Gen, Skeleton, Tag } from "../../ui/parts";
import { useKeptVouchers } from "./kept_vouchers";
import { VoucherDialog, VoucherView } from "./voucher_dialog";
import "./sessions.css";

export interface SessionPanelProps {
  line: ApiUsage;
  report: UsageReport;
  /** With its plans, where somebody can act. */
  api: Api | undefined;
  isOwn: boolean;
}

export function SessionPanel(props: SessionPanelProps) {
  const { line, isOwn } = props;
  if (!line.signer && !isOwn) return null;
  return (
    <div className="session">
      {line.signer ? <Opened {...props} /> : <None {...props} />}
    </div>
  );
}

function None({ line, report, api }: SessionPanelProps) {
  const now = useChainNow();
  const { own } = useSigner();
  if (isHoldInForce(line, now)) return <p className="muted small-text">A session can be opened when the hold has ended, on {momentText(line.holdExpiresAt)}.</p>;
  return (
    <div className="session-none">
      <p className="muted small-text">In a session {line.apiName} bills only what you sign.</p>
      {api && <ActionButton make={() => openSession(api, report, own, now)}>Open a session</ActionButton>}
    </div>
  );
}

function Opened({ line, report, api, isOwn }: SessionPanelProps) {
  const now = useChainNow();
  const { own } = useSigner();
  const details = useView("get_api", [line.apiName], { isPatient: true, staleTime: 60_000 });
  const query = useView("get_session", [report.consumer, line.apiName], { staleTime: 60_000 });
  const { refetch } = query;
  const seen = `${line.settlements} ${line.holdWei} ${line.signer}`;
  useEffect(() => void refetch({ cancelRefetch: false }), [refetch, seen]); // a settlement, which the report tells, has changed it
  const kept = useKeptVouchers(details.data?.asset ?? "", report.consumer, line.signer, details.data?.operator ?? "");
  const inForce = isHoldInForce(line, now);
  const maySign = own === line.signer;
  return (
    <>
      <h3 className="h4">Session <Tag tone={inForce ? "good" : "neutral"}>{inForce ? "In force" : "Ended"}</Tag></h3>
      <dl className="facts">
        <div><dt>Hold</dt><dd><Gen wei={line.holdWei} /> {inForce ? `left, until ${momentText(line.holdExpiresAt)}` : line.holdWei > 0n ? "to be released" : "left"}</dd></div>
        <div><dt>Signer</dt><dd><Address address={line.signer} />{maySign && <span className="muted"> (you)</span>}</dd></div>
      </dl>
      {query.data ? <Channels session={query.data} kept={kept} /> : <Skeleton rows={1} label="Reading the session" />}
      {!inForce && <p className="muted small-text">{line.apiName} bills nothing before the next session is open: it still takes vouchers only.</p>}
      {inForce && isOwn && !maySign && (
        <p className="muted small-text">To sign here, connect the account that signs; or use <code>api-billing session sign</code>.</p>
      )}
      {inForce && isOwn && (
        <p className="muted small-text">To end it earlier, ask the API to close it (<code>api-billing pay --close URL</code>): what is left becomes credit.</p>
      )}
      <div className="card-actions">
        {inForce && maySign && details.data && (
          <DialogButton className="button small primary" content={(close) => <VoucherDialog line={line} consumer={report.consumer} kept={kept} onDone={close} />}>Sign a voucher</DialogButton>
        )}
        {isOwn && api && <ActionButton make={() => openSession(api, report, own, now)}>{inForce ? "Add or prolong" : "Open the next session"}</ActionButton>}
        {isOwn && !inForce && line.subscribed && (
          <ActionButton className="button small quiet" make={() => billWithoutVouchers(line, report.creditBalanceWei, now)}>Without vouchers again</ActionButton>
        )}
      </div>
    </>
  );
}

/** Those that the contract has billed, and those that were signed for here. */
function Channels({ session, kept }: { session: Session; kept: readonly SignedVoucher[] }) {
  const onChain = session.channels.map(({ channelId, signedWei, billedWei }) => {
    const voucher = kept.find((each) => each.channelId === channelId);
    return { channelId, billedWei, voucher, signedWei: voucher && voucher.cumulativeWei > signedWei ? voucher.cumulativeWei : signedWei };
  });
  const others = kept.filter((voucher) => !onChain.some((each) => each.channelId === voucher.channelId))
    .map((voucher) => ({ channelId: voucher.channelId, billedWei: null, voucher, signedWei: voucher.cumulativeWei }));
  const all = [...onChain, ...others];
  if (all.length === 0) return <p className="muted small-text">No voucher is known yet.</p>;
  return (
    <ul className="session-channels" aria-label="Billed of what is signed">
      {all.map(({ channelId, signedWei, billedWei, voucher }) => {
        const name = voucher ? channelName(voucher) : `Channel ${shortId(channelId)}`;
        return (
          <li key={channelId} data-testid="channel">
            <Bar
              label={name} used={billedWei === null ? "nothing billed" : <><Gen wei={billedWei} /> billed</>} limit={<><Gen wei={signedWei} /> signed</>}
              thousandths={share(billedWei ?? 0n, signedWei)} left={billedWei === signedWei ? "all that is signed is billed" : `${exactGen(signedWei - (billedWei ?? 0n))} GEN not billed yet`}
            />
            {voucher && <DialogButton className="button quiet small" content={() => <VoucherView voucher={voucher} />}>Show voucher<span className="visually-hidden"> of {name}</span></DialogButton>}
          </li>
        );
      })}
    </ul>
  );
}
