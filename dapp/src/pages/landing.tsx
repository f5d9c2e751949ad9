// What one sees who opens the bare address: what this is, and the ways in.
import { useState, type FormEvent } from "react";
import { isAddress, shortAddress } from "../domain/names";
import { useDeployment } from "../state/deployment";
import { go, useLocation } from "../state/location";
import { usePlace } from "../state/place";
import { useSigner } from "../state/signing";
import { ActButton, useActing } from "../ui/keys";
import { usePageFocus } from "../ui/page_focus";
import { Address, Empty, Section, Skeleton } from "../ui/parts";
import { WalletChoices } from "../ui/wallets";

export function LandingPage() {
  const { href } = useLocation();
  const { place, url, contract } = usePlace();
  const { isLoading } = useDeployment();
  const { own } = useSigner();
  const heading = usePageFocus("API billing");
  return (
    <>
      <div>
        <h1 ref={heading} tabIndex={-1}>API billing</h1>
        <p className="muted landing-lead">
          Prepaid APIs on GenLayer, billed by the call: what was spent and on what, what is left, when it runs out.
          {contract && <> This page reads the billing contract <span className="mono">{shortAddress(contract.address)}</span> on {place}; it keeps nothing elsewhere.</>}
        </p>
      </div>
      {contract ? (
        <>
          <KnownAccounts />
          <div className="landing">
            <Section title={own ? "Your account" : "Connect a wallet"}>
              {own ? (
                <div className="actions">
                  <Address address={own} />
                  <a className="button primary" href={href({ view: "usage", account: own })}>My usage</a>
                  <a className="button" href={href({ view: "operate", account: own })}>My APIs</a>
                </div>
              ) : <WalletChoices onConnected={(account) => go({ account })} />}
            </Section>
            <Section title="Look at an address">
              <LookAt />
            </Section>
          </div>
        </>
      ) : isLoading ? <Skeleton label="Looking for the site's contract" /> : (
        <Empty title="Not connected yet" action={<a className="button primary" href={href({ view: "connect" })}>Choose a contract</a>}>
          No billing contract is known for {place}{url && ` (${url})`}.
        </Empty>
      )}
    </>
  );
}

/** Anybody's usage can be looked at. */
export function LookAt() {
  const { location } = useLocation();
  const [address, setAddress] = useState(location.account);
  const [error, setError] = useState("");
  const look = (event: FormEvent): void => {
    event.preventDefault();
    const wanted = address.trim();
    if (!isAddress(wanted)) return setError("An address is 0x and 40 hex digits.");
    setError("");
    go({ account: wanted.toLowerCase(), view: "usage" });
  };
  return (
    <form onSubmit={look} noValidate className="form">
      <div className={`field ${error ? "has-error" : ""}`}>
        <label htmlFor="account">Address to look at</label>
        <span className="look-at">
          <span className="input">
            <input id="account" value={address} onChange={(event) => setAddress(event.target.value)} className="mono" autoComplete="off" autoCapitalize="off"
              spellCheck={false} aria-invalid={error !== ""} aria-describedby="account-hint" />
          </span>
          <button type="submit" className="button">Look at it</button>
        </span>
        <span id="account-hint" className={error ? "error" : "hint"}>{error || "Anybody's usage can be looked at; nothing is signed for that."}</span>
      </div>
    </form>
  );
}

/** Accounts that the deployment names, as the demo does: to look at, and on a localnet to act as. */
export function KnownAccounts() {
  const { known } = useDeployment();
  const { href } = useLocation();
  const acting = useActing();
  const { own } = useSigner();
  if (known.length === 0) return null;
  const roles = [...new Set(known.map((each) => each.role))];
  return (
    <Section title={acting.length > 0 ? "Try it as one of these accounts" : "Known accounts"}>
      {acting.length > 0 && <p className="muted">A name leads to what that account sees. Acting as one, you can also pay, sign and change things: they are test accounts of this localnet, whose keys anybody may know.</p>}
      {roles.map((role) => (
        <div key={role}>
          <h3 className="capitalize">{role}s</h3>
          <ul className="known-accounts">
            {known.filter((each) => each.role === role).map((each) => (
              <li key={each.address}>
                <a href={href({ view: role === "operator" ? "operate" : "usage", account: each.address })}><Address address={each.address} /></a>
                {acting.includes(each) && each.address !== own && <ActButton account={each} isSmall />}
              </li>
            ))}
          </ul>
        </div>
      ))}
    </Section>
  );
}
