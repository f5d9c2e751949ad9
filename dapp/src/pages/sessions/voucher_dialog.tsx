// Signing a voucher: what it means before the wallet asks, and the voucher afterwards. Nothing is sent.
import * as Dialog from "@radix-ui/react-dialog";
import { useQuery } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { isHoldInForce } from "../../actions/consumer";
import { checkVoucher, voucherField, type Signable } from "../../actions/session";
import { announce } from "../../browser/announcing";
import { whyNotSent } from "../../chain/errors";
import type { Channel } from "../../chain/vouchers";
import { exactGen } from "../../domain/amounts";
import type { ApiDetails, ApiUsage } from "../../domain/answers";
import { channelName, credentialOf, jsonOfVoucher, MAX_CHANNELS, newSalt, NO_SALT, openWei, VOUCHER_HEADER, type SignedVoucher } from "../../domain/session";
import { useChainNow } from "../../state/now";
import { usePlace } from "../../state/place";
import { useView } from "../../state/queries";
import { useSigningGuard } from "../../state/signing";
import { FieldInput } from "../../ui/action_dialog";
import { Banner, Copy, Skeleton } from "../../ui/parts";
import { SignerLine } from "../../ui/signer_line";
import { Trouble } from "../../ui/trouble";
import { vouchers } from "./kept_vouchers";
import type { Signed } from "./signed";

interface VoucherDialogProps extends Signed {
  line: ApiUsage;
  consumer: string;
  onDone(): void;
}

export function VoucherDialog({ onDone, ...props }: VoucherDialogProps) {
  const { line, kept } = props;
  const [another] = useState(newSalt);
  const [salt, setSalt] = useState(NO_SALT);
  const [signed, setSigned] = useState<SignedVoucher | null>(null);
  const found = useSignable(salt, props);
  if (signed) return <VoucherView voucher={signed} />;
  const choices = [
    { value: NO_SALT, label: salt === NO_SALT && found.channelId ? channelName({ salt, channelId: found.channelId }) : "Main channel" },
    ...kept.filter((each) => each.salt !== NO_SALT).map((each) => ({ value: each.salt, label: channelName(each) })),
    { value: another, label: "A new channel" },
  ];
  return (
    <div className="voucher">
      <Dialog.Title>Sign a voucher for {line.apiName}</Dialog.Title>
      <Dialog.Description className="muted">A voucher says how much {line.apiName} may bill in all. Each one replaces the one before.</Dialog.Description>
      <FieldInput
        field={{ name: "channel", label: "Channel", kind: "choice", initial: NO_SALT, choices, hint: "One is enough, unless several programs pay at the same time." }}
        value={salt} error="" onChange={setSalt} onLeave={() => undefined}
      />
      {found.ready
        ? <VoucherForm key={found.channelId} {...found.ready} channelId={found.channelId} onSigned={setSigned} onDone={onDone} />
        : (
          <>
            {found.error ? <Trouble error={found.error} /> : <Skeleton rows={3} label="Reading the channel" />}
            <div className="dialog-buttons"><button type="button" className="button quiet" onClick={onDone}>Cancel</button></div>
          </>
        )}
    </div>
  );
}

/** The channel of this salt as the contract has it now. */
function useSignable(salt: string, { line, consumer, session: known, channels, kept }: Omit<VoucherDialogProps, "onDone">) {
  const { contract } = usePlace();
  const now = useChainNow();
  const api = useView("get_api", [line.apiName], { staleTime: 60_000 });
  const key = api.data && contract ? { consumer, signer: line.signer, operator: api.data.operator, asset: api.data.asset, chainId: api.data.chainId } : null;
  const channel = useQuery({
    queryKey: ["channel", contract?.address, key, salt], enabled: key !== null, staleTime: Infinity, retry: false,
    queryFn: async () => {
      if (!api.data || !contract) throw new Error("no contract is chosen");
      const { channelId, channelOf } = await import("../../chain/vouchers");
      const made = channelOf(contract.address, api.data, { consumer, signer: line.signer }, salt);
      return { ...made, id: channelId(made) };
    },
  });
  const id = channel.data?.id ?? "";
  const session = useView("get_session", id ? [consumer, line.apiName, id] : null);
  return {
    channelId: id,
    error: api.error ?? channel.error ?? session.error,
    ready: api.data && channel.data && session.data && known && channels ? {
      channel: channel.data as Channel,
      signable: {
        api: api.data, session: session.data, priceWei: line.acceptedPriceWei, inForce: isHoldInForce(line, now) && session.data.inForce,
        hasRoom: known.channels.length < MAX_CHANNELS || known.channels.some((each) => each.channelId === id),
        keptWei: kept.find((each) => each.channelId === id)?.cumulativeWei ?? 0n, othersWei: openWei(channels, id),
      },
    } : null,
  };
}

interface VoucherFormProps {
  channel: Channel;
  channelId: string;
  signable: Signable;
  onSigned(voucher: SignedVoucher): void;
  onDone(): void;
}

function VoucherForm({ channel, channelId, signable, onSigned, onDone }: VoucherFormProps) {
  const guard = useSigningGuard();
  const [amount, setAmount] = useState("");
  const [isTouched, setTouched] = useState(false);
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<{ title: string; text: string } | null>(null);
  const { api } = signable;
  const { errors, effects, cumulativeWei } = checkVoucher(signable, { amount });
  const obstacle = obstacleOf(channel, signable, guard.maySign ? { address: guard.signer.address, chainId: guard.chainId } : null);

  const sign = async (): Promise<void> => {
    if (!guard.maySign || obstacle) return;
    const { signer } = guard;
    setBusy(true);
    setFailure(null);
    if (signer.kind === "wallet") announce("Sign the voucher in your wallet.");
    try {
      const { signVoucher } = await import("../../chain/vouchers");
      const voucher = await signVoucher(signer, channel, cumulativeWei);
      const signed = { ...voucher, payer: channel.payer, signer: channel.signer, receiver: channel.receiver, apiName: api.apiName, channelId };
      vouchers.add(channel.asset, signed);
      announce("The voucher is signed.");
      onSigned(signed);
    } catch (error) {
      const { verdict, message } = whyNotSent(error);
      setFailure(verdict === "declined" ? { title: "You declined it in the wallet", text: "Nothing was signed." } : { title: "It was not signed", text: message });
      setBusy(false);
    }
  };
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    setTouched(true);
    if (Object.keys(errors).length === 0) void sign();
    else document.querySelector<HTMLElement>('[role="dialog"] [name="amount"]')?.focus();
  };
  return (
    <form onSubmit={submit} noValidate>
      <FieldInput
        field={voucherField(signable)} value={amount} error={isTouched || cumulativeWei > 0n ? (errors["amount"] ?? "") : ""}
        onChange={setAmount} onLeave={() => { if (amount) setTouched(true); }}
      />
      <div aria-live="polite" className="effects" data-testid="effects">
        {effects.length > 0 && (
          <>
            <h3>What you sign</h3>
            <ul>{effects.map((effect) => <li key={effect}>{effect}</li>)}</ul>
            <Facts channel={channel} channelId={channelId} api={api} wei={cumulativeWei} />
          </>
        )}
      </div>
      {obstacle && <Banner tone="stop" title={obstacle.title}>{obstacle.text}</Banner>}
      {failure && <Banner isAlert tone="warn" title={failure.title}>{failure.text}</Banner>}
      <SignerLine />
      <div className="dialog-buttons">
        <button type="button" className="button quiet" onClick={onDone}>Cancel</button>
        <button type="submit" className="button primary" disabled={!guard.maySign || obstacle !== null || isBusy}>
          {isBusy ? "Confirm in your wallet…" : "Sign voucher"}
        </button>
      </div>
    </form>
  );
}

/** Beside what is in the way of any signing. */
function obstacleOf(channel: Channel, { api, session, inForce, hasRoom }: Signable, signing: { address: string; chainId: number } | null): { title: string; text: string } | null {
  if (!inForce) return { title: "The session is not in force", text: "Nothing would be billed of a voucher. Open the next session first." };
  if (!hasRoom) return { title: `The session has ${MAX_CHANNELS} channels already`, text: "The contract bills it of no other: choose one of them." };
  if (session.signer !== channel.signer) return { title: "The session has another key now", text: "Close this and look again." };
  if (signing && signing.address !== channel.signer) return { title: "Another account signs here now", text: `Vouchers of this session are signed by ${channel.signer}.` };
  if (signing && signing.chainId !== api.chainId) {
    return { title: "The contract counts on another chain", text: `It takes vouchers for chain ${api.chainId}, and the node is chain ${signing.chainId}. Nothing is signed for another chain than the node's.` };
  }
  return null;
}

/** All that the signature binds, and how a wallet shows it. */
function Facts({ channel, channelId, api, wei }: { channel: Channel; channelId: string; api: ApiDetails; wei: bigint }) {
  const facts: [string, string][] = [
    ["Payer", channel.payer], ["Receiver", `${channel.receiver}, the operator of ${api.apiName}`], ["Contract", `${channel.contract}, on chain ${channel.chainId}`],
  ];
  const shown = [...Object.entries(api.voucherDomain), ["channelId", channelId], ["maxClaimableAmount", wei]] as const;
  return (
    <>
      <dl className="facts voucher-facts">{facts.map(([name, text]) => <div key={name}><dt>{name}</dt><dd className="break">{text}</dd></div>)}</dl>
      <details>
        <summary>What the wallet shows</summary>
        <dl className="voucher-typed">{shown.map(([name, text]) => <div key={name}><dt>{name}</dt><dd className="mono break">{String(text)}</dd></div>)}</dl>
        <p className="muted small-text">The verifying contract is the form's, the same for every API, and has none of your money. The channel stands for all that is above.</p>
      </details>
    </>
  );
}

/** A signed voucher, and what to do with it. */
export function VoucherView({ voucher }: { voucher: SignedVoucher }) {
  const header = `${VOUCHER_HEADER}: ${credentialOf(voucher)}`;
  const json = jsonOfVoucher(voucher);
  return (
    <div className="voucher" data-testid="voucher">
      <Dialog.Title>Voucher for {voucher.apiName}: up to {exactGen(voucher.cumulativeWei)} GEN</Dialog.Title>
      <Dialog.Description className="muted">
        {channelName(voucher)}. Send it with requests to {voucher.apiName}; it is served until so much is used. Then sign a higher one.
      </Dialog.Description>
      <Text label="As a header" text={header} what="the header" />
      <p className="muted small-text">For example: <code className="break">curl -H &quot;{VOUCHER_HEADER}: …&quot; URL</code></p>
      <details>
        <summary>As JSON</summary>
        <Text label="As api-billing session sign prints it" text={json} what="the JSON" />
      </details>
      <Banner tone="info" title="Keep it as you would keep money">Whoever has it can be served by it as far as it covers. It is kept in this browser, too.</Banner>
      <div className="dialog-buttons">
        <a className="button" download={`voucher-${voucher.apiName}.json`} href={`data:application/json,${encodeURIComponent(json)}`}>Download JSON</a>
        <Dialog.Close asChild><button type="button" className="button primary">Done</button></Dialog.Close>
      </div>
    </div>
  );
}

function Text({ label, text, what }: { label: string; text: string; what: string }) {
  return (
    <div className="voucher-text">
      <div className="card-head"><h3>{label}</h3><Copy text={text} label={`Copy ${what}`} /></div>
      <code className="break">{text}</code>
    </div>
  );
}
