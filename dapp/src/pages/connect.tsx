// Network, contract and account: all of it goes into the URL, but for keys.
import { useState, type FormEvent } from "react";
import { defaultUrl, NETWORKS, networkOf } from "../chain/networks";
import { useDeployment } from "../state/deployment";
import { go, useLocation } from "../state/location";
import { usePlace } from "../state/place";
import { signers, useSigner, useSigningGuard } from "../state/signing";
import { trust } from "../state/trust";
import { useBalance } from "../state/queries";
import { isNodeUrl } from "../state/url";
import { isAddress } from "../domain/names";
import { usePageFocus } from "../ui/page_focus";
import { announce } from "../browser/announcing";
import { GetMoney, ThrowAwayKeys } from "../ui/keys";
import { Banner, Gen, Section } from "../ui/parts";
import { SignerLine } from "../ui/signer_line";
import { WalletChoices } from "../ui/wallets";
import { KnownAccounts, LookAt } from "./landing";

export function ConnectPage() {
  const { contract } = usePlace();
  const { isLoading } = useDeployment();
  const heading = usePageFocus("Connection");
  return (
    <>
      <h1 ref={heading} tabIndex={-1}>Connection</h1>
      {!contract && !isLoading && (
        <Banner tone="info" title="Choose a billing contract">
          This page shows what a billing contract on a GenLayer network knows. Say where it is.
        </Banner>
      )}
      {contract && <Who />}
      <Where key={`${contract?.url}|${contract?.address}`} />
      {!contract && <Who />}
      <KnownAccounts />
    </>
  );
}

/** Network and contract. Applied together, so that no half-typed address is read. */
function Where() {
  const { location } = useLocation();
  const { network, url, chainId } = usePlace();
  const [id, setId] = useState<string>(network.id);
  const [rpcUrl, setRpcUrl] = useState(url);
  const [address, setAddress] = useState(location.contract);
  const [errors, setErrors] = useState<Record<string, string>>({});
  const choose = (next: string): void => {
    setId(next);
    const chosen = networkOf(next);
    setRpcUrl(chosen ? defaultUrl(chosen, window.location.href) : "");
    if (next !== network.id) setAddress("");
  };
  const apply = (event: FormEvent): void => {
    event.preventDefault();
    const wrong: Record<string, string> = {};
    if (!isNodeUrl(rpcUrl.trim())) wrong["rpc"] = "A node's URL begins with http:// or https://.";
    if (address.trim() && !isAddress(address.trim())) wrong["contract"] = "An address is 0x and 40 hex digits.";
    setErrors(wrong);
    if (Object.keys(wrong).length) return;
    const chosen = networkOf(id);
    const isDefault = chosen && rpcUrl.trim() === defaultUrl(chosen, window.location.href);
    trust.add(rpcUrl.trim(), address.trim().toLowerCase());
    go({ network: id, rpc: isDefault ? "" : rpcUrl.trim(), contract: address.trim().toLowerCase() });
    announce("Connection changed.");
  };
  return (
    <Section title="Network and contract">
      <form onSubmit={apply} noValidate className="form">
        <div className="field">
          <label htmlFor="network">Network</label>
          <select id="network" value={id} onChange={(event) => choose(event.target.value)}>
            {NETWORKS.map((each) => <option key={each.id} value={each.id}>{each.label}</option>)}
          </select>
        </div>
        <TextField id="rpc" label="URL of its node" value={rpcUrl} onChange={setRpcUrl} error={errors["rpc"]} hint={chainId && rpcUrl === url ? `It answers: chain ${chainId}.` : undefined} />
        <TextField id="contract" label="Billing contract" value={address} onChange={setAddress} error={errors["contract"]} isMono
          hint="Left empty, it is looked up in deployments/ of this site." />
        <button type="submit" className="button primary">Use these</button>
      </form>
    </Section>
  );
}

interface TextFieldProps {
  id: string;
  label: string;
  value: string;
  onChange(value: string): void;
  error?: string | undefined;
  hint?: string | undefined;
  isMono?: boolean;
}

function TextField({ id, label, value, onChange, error, hint, isMono }: TextFieldProps) {
  const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ");
  return (
    <div className={`field ${error ? "has-error" : ""}`}>
      <label htmlFor={id}>{label}</label>
      <span className="input">
        <input id={id} name={id} value={value} onChange={(event) => onChange(event.target.value)} className={isMono ? "mono" : ""}
          autoComplete="off" autoCapitalize="off" spellCheck={false} aria-invalid={Boolean(error)} {...(described ? { "aria-describedby": described } : {})} />
      </span>
      {hint && <span id={`${id}-hint`} className="hint">{hint}</span>}
      {error && <span id={`${id}-error`} className="error">{error}</span>}
    </div>
  );
}

/** Who is looked at, and who signs. */
function Who() {
  const { location } = useLocation();
  const { signer, own } = useSigner();
  const { allowsKeys } = usePlace();
  return (
    <Section title="Account">
      <LookAt key={location.account} />
      <h3>Who signs</h3>
      {signer.kind === "none" ? <p className="muted">Nobody: you are only watching.</p> : <SignerCard />}
      {signer.kind !== "wallet" && <WalletChoices onConnected={(account) => go({ account })} />}
      {signer.kind !== "none" && (
        <div className="actions">
          {location.account !== own && <button type="button" className="button small" onClick={() => go({ account: own })}>Look at my account</button>}
          <button type="button" className="button small quiet" onClick={() => signers.leave()}>Only watch</button>
        </div>
      )}
      {allowsKeys ? <ThrowAwayKeys onUse={(account) => go({ account })} /> : <p className="muted small-text">Throw-away keys are for a localnet on this machine only.</p>}
    </Section>
  );
}

function SignerCard() {
  const { signer, own } = useSigner();
  const guard = useSigningGuard();
  const { nameOf } = useDeployment();
  const balance = useBalance(own);
  if (signer.kind === "none") return null;
  return (
    <div className="signer-card" data-testid="signer">
      <div>
        <strong>{nameOf(own) || (signer.kind === "key" ? "Throw-away key of this browser" : signer.name)}</strong>
        <div className="mono break">{own}</div>
        <div className="muted">{balance.data === undefined ? "…" : <>The account has <Gen wei={balance.data} /></>}</div>
        {!guard.maySign && <SignerLine />}
      </div>
      {signer.kind === "key" && <div className="actions"><GetMoney address={own} /></div>}
    </div>
  );
}
