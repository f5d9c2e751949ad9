// Network, contract and account: all of it goes into the URL, but for keys.
import { useState, type FormEvent, type ReactNode } from "react";
import { findWallets, type FoundWallet } from "../chain/injected";
import { defaultUrl, NETWORKS, networkOf } from "../chain/networks";
import { rpc } from "../chain/rpc";
import { useDeployment } from "../state/deployment";
import { go, useLocation } from "../state/location";
import { usePlace } from "../state/place";
import { signers, useSigner } from "../state/signing";
import { trust } from "../state/trust";
import { useBalance } from "../state/queries";
import { isNodeUrl } from "../state/url";
import { isAddress } from "../domain/names";
import { GEN } from "../domain/amounts";
import { usePageFocus } from "../ui/page_focus";
import { announce } from "../browser/announcing";
import { Address, Banner, Empty, Gen, Section } from "../ui/parts";

const FAUCET_WEI = 100n * GEN;

export function ConnectPage() {
  const { contract } = usePlace();
  const heading = usePageFocus("Connection");
  return (
    <>
      <h1 ref={heading} tabIndex={-1}>Connection</h1>
      {!contract && (
        <Banner tone="info" title="Choose a billing contract">
          This page shows what a billing contract on a GenLayer network knows. Say where it is.
        </Banner>
      )}
      {contract && <Who />}
      <Where key={`${contract?.url}|${contract?.address}`} />
      {!contract && <Who />}
      <Known />
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
    go({ network: id, rpc: isDefault ? "" : rpcUrl.trim(), contract: address.trim().toLowerCase(), api: "", settlement: 0 });
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
  const { signer } = useSigner();
  const { allowsKeys } = usePlace();
  const [address, setAddress] = useState(location.account);
  const [error, setError] = useState("");
  const [failure, setFailure] = useState("");
  const [wallets, setWallets] = useState<FoundWallet[] | null>(null);

  const watch = (event: FormEvent): void => {
    event.preventDefault();
    const wanted = address.trim();
    if (!isAddress(wanted)) return setError("An address is 0x and 40 hex digits.");
    setError("");
    go({ account: wanted.toLowerCase(), view: "usage", api: "" });
  };
  const attempt = (work: () => Promise<void>) => (): void => {
    setFailure("");
    work().catch((reason: unknown) => setFailure(String((reason as { message?: unknown }).message ?? reason)));
  };
  const connect = (wallet: FoundWallet) => attempt(async () => {
    const account = await signers.useWallet(wallet);
    setAddress(account);
    go({ account });
  });
  const look = attempt(async () => {
    const found = findWallets();
    setWallets(found);
    const only = found.length === 1 ? found[0] : undefined;
    if (only) {
      const account = await signers.useWallet(only);
      setAddress(account);
      go({ account });
    }
  });
  return (
    <Section title="Account">
      <form onSubmit={watch} noValidate className="form">
        <TextField id="account" label="Address to look at" value={address} onChange={setAddress} error={error} isMono hint="Anybody's usage can be looked at; nothing is signed for that." />
        <button type="submit" className="button">Look at it</button>
      </form>
      <h3>Who signs</h3>
      {signer.kind === "none" ? (
        <p className="muted">Nobody: you are only watching.</p>
      ) : (
        <SignerCard>
          {location.account !== signer.address && <button type="button" className="button small" onClick={() => { setAddress(signer.address); go({ account: signer.address }); }}>Look at my account</button>}
          <button type="button" className="button small quiet" onClick={() => signers.leave()}>Only watch</button>
        </SignerCard>
      )}
      <div className="actions">
        {signer.kind !== "wallet" && <button type="button" className="button" onClick={look}>Connect a wallet</button>}
        {wallets && wallets.length > 1 && signer.kind !== "wallet" && wallets.map((wallet) => (
          <button key={wallet.id} type="button" className="button" onClick={connect(wallet)}>{wallet.name}</button>
        ))}
        {allowsKeys && signer.kind !== "key" && <KeyButton onKey={(account) => { setAddress(account); go({ account }); }} onFailure={setFailure} />}
      </div>
      {wallets?.length === 0 && <Banner isAlert tone="warn" title="No wallet was found">This browser has no wallet extension that pages can ask (EIP-1193).</Banner>}
      {failure && <Banner isAlert tone="stop" title="That did not work">{failure}</Banner>}
      {!allowsKeys && <p className="muted small-text">Throw-away keys are for a localnet on this machine only.</p>}
    </Section>
  );
}

function SignerCard({ children }: { children: ReactNode }) {
  const { signer } = useSigner();
  const { url, chainId, place } = usePlace();
  const address = signer.kind === "none" ? "" : signer.address;
  const balance = useBalance(address);
  const fund = async (): Promise<void> => {
    await rpc(url, "sim_fundAccount", [address, FAUCET_WEI]);
    await balance.refetch();
    announce("100 GEN arrived.");
  };
  if (signer.kind === "none") return null;
  return (
    <div className="signer-card" data-testid="signer">
      <div>
        <strong>{signer.kind === "key" ? "Throw-away key of this browser" : signer.name}</strong>
        <div className="mono break">{address}</div>
        <div className="muted">{balance.data === undefined ? "…" : <>The account has <Gen wei={balance.data} /></>}</div>
        {signer.kind === "wallet" && chainId !== 0 && signer.chainId !== chainId && (
          <div className="bad-text">The wallet is on chain {signer.chainId}, {place} is chain {chainId}.</div>
        )}
      </div>
      <div className="actions">
        {signer.kind === "key" && <button type="button" className="button small" onClick={() => void fund()}>Get 100 GEN</button>}
        {children}
      </div>
    </div>
  );
}

/** Makes a key, or takes the one that was made here before, and gives it money to play with. */
function KeyButton({ onKey, onFailure }: { onKey(address: string): void; onFailure(text: string): void }) {
  const { url } = usePlace();
  const [isBusy, setBusy] = useState(false);
  const kept = signers.keptKey();
  const use = async (): Promise<void> => {
    setBusy(true);
    onFailure("");
    try {
      const { newKey, addressOfKey } = await import("../chain/writing");
      const key = kept?.key ?? newKey();
      const address = addressOfKey(key);
      if (!kept) await rpc(url, "sim_fundAccount", [address, FAUCET_WEI]);
      signers.useKey(address, key);
      onKey(address);
      announce("A throw-away key signs now.");
    } catch (error) {
      onFailure(String((error as { message?: unknown }).message ?? error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <button type="button" className="button" disabled={isBusy} onClick={() => void use()}>
      {kept ? "Use my throw-away key" : "Make a throw-away key"}
    </button>
  );
}

/** Accounts that the deployment names, as the demo does. */
function Known() {
  const { known } = useDeployment();
  const { href } = useLocation();
  if (known.length === 0) return null;
  const roles = [...new Set(known.map((each) => each.role))];
  return (
    <Section title="Known accounts">
      {roles.map((role) => (
        <div key={role}>
          <h3 className="capitalize">{role}s</h3>
          <ul className="known">
            {known.filter((each) => each.role === role).map((each) => (
              <li key={each.address}><a href={href({ view: role === "operator" ? "operate" : "usage", account: each.address.toLowerCase(), api: "" })}><Address address={each.address} /></a></li>
            ))}
          </ul>
        </div>
      ))}
    </Section>
  );
}

export function NotConnected() {
  const { href } = useLocation();
  const { place, url } = usePlace();
  return (
    <Empty title="Not connected yet" action={<a className="button primary" href={href({ view: "connect" })}>Choose a contract</a>}>
      No billing contract is known for {place}{url && ` (${url})`}.
    </Empty>
  );
}
