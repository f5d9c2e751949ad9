// Who signs, at the top right of every page: to connect, and what one does with one's own account.
import { useEffect, useRef, useState, type FocusEvent, type KeyboardEvent } from "react";
import { announce } from "../browser/announcing";
import { firstName } from "../domain/names";
import { useDeployment } from "../state/deployment";
import { go, useLocation } from "../state/location";
import { usePlace } from "../state/place";
import { useBalance } from "../state/queries";
import { signers, useSigner, useSigningGuard } from "../state/signing";
import { ActAs, GetMoney } from "./keys";
import { Copy, Gen } from "./parts";
import { SignerLine } from "./signer_line";
import { WalletChoices } from "./wallets";

export function AccountMenu() {
  const { signer, own } = useSigner();
  const { nameOf } = useDeployment();
  const [isOpen, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const panel = useRef<HTMLElement>(null);
  const whole = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!isOpen) return;
    const close = (): void => setOpen(false);
    const onPress = (event: PointerEvent): void => {
      if (!whole.current?.contains(event.target as Node)) close();
    };
    window.addEventListener("hashchange", close);
    document.addEventListener("pointerdown", onPress);
    return () => {
      window.removeEventListener("hashchange", close);
      document.removeEventListener("pointerdown", onPress);
    };
  }, [isOpen]);
  const done = (): void => {
    setOpen(false);
    button.current?.focus();
  };
  const leave = (): void => {
    signers.leave();
    announce("Nobody signs now: you are only watching.");
    panel.current?.focus(); // it stays open, to choose who is next
  };
  const onKey = (event: KeyboardEvent): void => {
    if (event.key === "Escape" && isOpen) done();
  };
  const onLeave = (event: FocusEvent): void => {
    if (event.relatedTarget && !whole.current?.contains(event.relatedTarget)) setOpen(false);
  };
  return (
    // Keys and focus of what is in it; it is no control itself.
    <div ref={whole} className="account-menu" role="presentation" onKeyDown={onKey} onBlur={onLeave}>
      <button ref={button} type="button" className={`button small ${own ? "" : "primary"}`} aria-expanded={isOpen} aria-controls="account-panel" onClick={() => setOpen(!isOpen)}>
        {own ? <><span className="visually-hidden">Your account: </span><span>{firstName(nameOf(own)) || <span className="mono">{`${own.slice(0, 6)}…${own.slice(-4)}`}</span>}</span></> : <span>Connect<span className="brief"> wallet</span></span>}
      </button>
      {isOpen && (
        <section ref={panel} tabIndex={-1} id="account-panel" className="account-panel" aria-label={own ? "Your account" : "Connect"} data-testid="account-menu">
          {signer.kind === "none" ? <Connect onDone={done} /> : <Account address={own} title={nameOf(own) || (signer.kind === "key" ? "Throw-away key" : signer.name)} onDone={done} onLeave={leave} />}
        </section>
      )}
    </div>
  );
}

function Connect({ onDone }: { onDone(): void }) {
  const { location, href } = useLocation();
  const { allowsKeys } = usePlace();
  const onConnected = (account: string): void => {
    if (!location.account) go({ account });
    onDone();
  };
  return (
    <>
      <h2>Connect a wallet</h2>
      <WalletChoices onConnected={onConnected} />
      <ActAs onDone={onDone} />
      {allowsKeys && <a href={href({ view: "connect" })}>Throw-away keys of this browser</a>}
    </>
  );
}

function Account({ address, title, onDone, onLeave }: { address: string; title: string; onDone(): void; onLeave(): void }) {
  const { href } = useLocation();
  const { signer } = useSigner();
  const guard = useSigningGuard();
  const balance = useBalance(address);
  return (
    <>
      <div>
        <h2>{title}</h2>
        <div><span className="mono break">{address}</span> <Copy text={address} label="Copy your address" /></div>
        <div className="actions">{balance.data === undefined ? "…" : <Gen wei={balance.data} />}{signer.kind === "key" && <GetMoney address={address} />}</div>
      </div>
      {!guard.maySign && <SignerLine />}
      <div className="account-links">
        <a href={href({ account: address, view: "usage" })} onClick={onDone}>My usage</a>
        <a href={href({ account: address, view: "operate" })} onClick={onDone}>My APIs</a>
        <a href={href({ view: "transactions" })} onClick={onDone}>My transactions</a>
      </div>
      <button type="button" className="button" onClick={onLeave}>Disconnect</button>
      <ActAs onDone={onDone} />
    </>
  );
}
