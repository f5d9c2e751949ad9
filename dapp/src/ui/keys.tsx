// Keys that sign without a wallet: throw-away ones of this browser, and those of accounts that a localnet's deployment tells.
import { useState, type FormEvent } from "react";
import { announce } from "../browser/announcing";
import { rpc } from "../chain/rpc";
import { GEN } from "../domain/amounts";
import { firstName } from "../domain/names";
import { useDeployment, type KnownAccount } from "../state/deployment";
import { go } from "../state/location";
import { usePlace } from "../state/place";
import { useBalance } from "../state/queries";
import { signers, useKeys, useSigner } from "../state/signing";
import { Address, Banner, Copy, Tag } from "./parts";
import { messageOf } from "./wallets";

const FAUCET_WEI = 100n * GEN;

/** Accounts that anybody here can act as: a localnet on this machine tells their keys. */
export function useActing(): readonly KnownAccount[] {
  const { allowsKeys } = usePlace();
  const { known } = useDeployment();
  return allowsKeys ? known.filter(({ key }) => key !== "") : [];
}

/** Of those one becomes the one that signs. */
export function ActAs({ onDone }: { onDone?(): void }) {
  const { own } = useSigner();
  const acting = useActing().filter(({ address }) => address !== own);
  if (acting.length === 0) return null;
  return (
    <div className="wallet-choices">
      <h3 className="h4">Or act as {own ? "another" : "an"} account of this localnet</h3>
      {acting.map((each) => <ActButton key={each.address} account={each} onDone={onDone} />)}
    </div>
  );
}

export function ActButton({ account, isSmall = false, onDone }: { account: KnownAccount; isSmall?: boolean; onDone?: (() => void) | undefined }) {
  const { address, name, role, key } = account;
  const act = (): void => {
    signers.useKey(address, key);
    announce(`You act as ${name} now.`);
    go({ account: address, view: role === "operator" ? "operate" : "usage" });
    onDone?.();
  };
  return <button type="button" className={`button ${isSmall ? "small" : ""}`} onClick={act}>Act as {firstName(name)}{!isSmall && ` (${role})`}</button>;
}

/** A localnet's money, for the asking. */
export function GetMoney({ address }: { address: string }) {
  const { url } = usePlace();
  const balance = useBalance(address);
  const fund = async (): Promise<void> => {
    try {
      await rpc(url, "sim_fundAccount", [address, FAUCET_WEI]);
      await balance.refetch();
      announce("100 GEN arrived.");
    } catch (error) {
      announce(`No GEN: ${messageOf(error)}`);
    }
  };
  return <button type="button" className="button small" onClick={() => void fund()}>Get 100 GEN</button>;
}

/** The keys of this browser: made, brought, copied and used. */
export function ThrowAwayKeys({ onUse }: { onUse(address: string): void }) {
  const keys = useKeys();
  const { own } = useSigner();
  const { url } = usePlace();
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState("");
  const use = (address: string, key: string): void => {
    signers.useKey(address, key);
    announce("A throw-away key signs now.");
    onUse(address);
  };
  const attempt = async (work: (writing: typeof import("../chain/writing")) => void | Promise<void>): Promise<void> => {
    setBusy(true);
    setFailure("");
    try {
      await work(await import("../chain/writing"));
    } catch (error) {
      setFailure(messageOf(error));
    } finally {
      setBusy(false);
    }
  };
  const make = (): Promise<void> => attempt(async ({ newKey, addressOfKey }) => {
    const { key: { address, key }, isNew } = await signers.makeKey(keys.length, () => {
      const made = newKey();
      return { key: made, address: addressOfKey(made) };
    });
    if (isNew) await rpc(url, "sim_fundAccount", [address, FAUCET_WEI]);
    use(address, key);
  });
  const bring = (key: string): Promise<void> => attempt(({ addressOfKey }) => {
    const kept = signers.importKey({ key, address: addressOfKey(key) });
    use(kept.address, kept.key);
  });
  return (
    <>
      <h3>Throw-away keys</h3>
      <p className="muted small-text">
        For a localnet on this machine only. They are kept in this browser: when its site data is cleared, they and what their accounts hold are lost. Copy a key to keep it.
      </p>
      {keys.length > 0 && (
        <ul className="signer-keys" data-testid="keys">
          {keys.map(({ address, key }) => (
            <li key={address}>
              <Address address={address} />
              <span className="actions">
                {address === own ? <Tag tone="good">Signs</Tag> : <button type="button" className="button small" onClick={() => use(address, key)}>Use</button>}
                <Copy text={key} label={`Copy key of ${address.slice(0, 6)}…${address.slice(-4)}`}>Copy key</Copy>
              </span>
            </li>
          ))}
        </ul>
      )}
      <div className="actions">
        <button type="button" className="button" disabled={isBusy} onClick={() => void make()}>{keys.length ? "Make another key" : "Make a throw-away key"}</button>
      </div>
      <ImportKey onKey={(key) => void bring(key)} />
      {failure && <Banner isAlert tone="stop" title="That did not work">{failure}</Banner>}
    </>
  );
}

function ImportKey({ onKey }: { onKey(key: string): void }) {
  const [text, setText] = useState("");
  const [error, setError] = useState("");
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const key = text.trim();
    if (!/^0x[0-9a-fA-F]{64}$/.test(key)) return setError("A key is 0x and 64 hex digits.");
    setError("");
    setText("");
    onKey(key.toLowerCase());
  };
  return (
    <details>
      <summary>Import a key</summary>
      <form onSubmit={submit} noValidate className="form">
        <div className={`field ${error ? "has-error" : ""}`}>
          <label htmlFor="import-key">Key</label>
          <span className="input">
            <input id="import-key" type="password" value={text} onChange={(event) => setText(event.target.value)} autoComplete="off" spellCheck={false}
              aria-invalid={error !== ""} aria-describedby="import-key-hint" className="mono" />
          </span>
          <span id="import-key-hint" className={error ? "error" : "hint"}>{error || "Only one that guards no money elsewhere: it is kept here as it is."}</span>
        </div>
        <button type="submit" className="button">Import</button>
      </form>
    </details>
  );
}
