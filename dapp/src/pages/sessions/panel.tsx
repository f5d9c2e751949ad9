// A consumer's session with one API: what is signed, what of it was billed, what the hold still pays.
import { billWithoutVouchers, openSession } from "../../actions/session";
import { isHoldInForce } from "../../actions/consumer";
import { exactGen, share } from "../../domain/amounts";
import type { Api, ApiUsage, UsageReport } from "../../domain/answers";
import { channelName, openWei, shortId, type KnownChannel } from "../../domain/session";
import { momentText } from "../../domain/time";
import { useChainNow } from "../../state/now";
import { useSigner } from "../../state/signing";
import { ActionButton, DialogButton } from "../../ui/action_dialog";
import { Address, Bar, Gen, Skeleton, Tag } from "../../ui/parts";
import { atMost, NOTHING, useSigned } from "./signed";
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
  const [signed = NOTHING] = useSigned(report.consumer, [line]);
  const { channels } = signed;
  const inForce = isHoldInForce(line, now);
  const maySign = own === line.signer;
  const signedForWei = openWei(channels ?? []);
  return (
    <>
      <h3 className="h4">Session <Tag tone={inForce ? "good" : "neutral"}>{inForce ? "In force" : "Ended"}</Tag></h3>
      <dl className="facts">
        <div><dt>Hold</dt><dd><Gen wei={line.holdWei} /> {inForce ? `left, until ${momentText(line.holdExpiresAt)}` : line.holdWei > 0n ? "to be released" : "left"}</dd></div>
        {inForce && signedForWei > 0n && <div><dt>Signed</dt><dd><Gen wei={atMost(signedForWei, line.holdWei)} /> of it can be billed by what is signed</dd></div>}
        <div><dt>Signer</dt><dd><Address address={line.signer} />{maySign && <span className="muted"> (you)</span>}</dd></div>
      </dl>
      {channels ? <Channels channels={channels} inForce={inForce} /> : <Skeleton rows={1} label="Reading the session" />}
      {!inForce && <p className="muted small-text">{line.apiName} bills nothing before the next session is open: it still takes vouchers only.</p>}
      {inForce && isOwn && !maySign && (
        <p className="muted small-text">To sign here, connect the account that signs; or use <code>api-billing session sign</code>.</p>
      )}
      {inForce && isOwn && (
        <p className="muted small-text">To end it earlier, ask the API to close it (<code>api-billing pay --close URL</code>): what is left becomes credit.</p>
      )}
      <div className="card-actions">
        <DialogButton className="button small primary" isThere={inForce && maySign} content={(close) => <VoucherDialog line={line} consumer={report.consumer} {...signed} onDone={close} />}>Sign a voucher</DialogButton>
        {isOwn && api && <ActionButton make={() => openSession(api, report, own, now)}>{inForce ? "Add or prolong" : "Open the next session"}</ActionButton>}
        {isOwn && !inForce && line.subscribed && (
          <ActionButton className="button small quiet" make={() => billWithoutVouchers(line, report.creditBalanceWei, now)}>Without vouchers again</ActionButton>
        )}
      </div>
    </>
  );
}

function Channels({ channels, inForce }: { channels: readonly KnownChannel[]; inForce: boolean }) {
  if (channels.length === 0) return <p className="muted small-text">No voucher is known yet.</p>;
  return (
    <ul className="session-channels" aria-label="Billed of what is signed">
      {channels.map(({ channelId, signedWei, billedWei, voucher }) => {
        const name = voucher ? channelName(voucher) : `Channel ${shortId(channelId)}`;
        return (
          <li key={channelId} data-testid="channel">
            <Bar
              label={name} used={billedWei === 0n ? "nothing billed" : <><Gen wei={billedWei} /> billed</>} limit={<><Gen wei={signedWei} /> signed</>} thousandths={share(billedWei, signedWei)}
              left={billedWei === signedWei ? "all that is signed is billed" : `${exactGen(signedWei - billedWei)} GEN not billed${inForce ? " yet" : ""}`}
            />
            {voucher && <DialogButton className="button quiet small" content={() => <VoucherView voucher={voucher} />}>Show voucher<span className="visually-hidden"> of {name}</span></DialogButton>}
          </li>
        );
      })}
    </ul>
  );
}
