// Who signs; or what is in the way of it, and how to get it out of there.
import { useState } from "react";
import { switchChain } from "../chain/injected";
import { useDeployment } from "../state/deployment";
import { useLocation } from "../state/location";
import { usePlace } from "../state/place";
import { signers, useSigner, useSigningGuard } from "../state/signing";
import { Address, Banner } from "./parts";
import { messageOf, WalletChoices } from "./wallets";

export function SignerLine() {
  const { allowsKeys, chainId, isChainAsked, place, url, recheckChain } = usePlace();
  const { href } = useLocation();
  const { signer } = useSigner();
  const { nameOf } = useDeployment();
  const guard = useSigningGuard();
  const [failure, setFailure] = useState("");
  if (guard.maySign) {
    return (
      <p className="muted signer-line">
        Signed by <Address address={guard.signer.address} />, {guard.signer.kind === "wallet" ? guard.signer.name : nameOf(guard.signer.address) ? "whose key this localnet tells" : "a throw-away key of this browser"}.
      </p>
    );
  }
  const { why, title, text } = guard;
  if (why === "nobody") {
    return (
      <Banner tone="info" title={title} action={<a className="button small" href={href({ view: "connect" })}>{allowsKeys ? "Other ways to sign" : "Who signs"}</a>}>
        {text}
        <WalletChoices onConnected={() => undefined} />
      </Banner>
    );
  }
  if (why === "node_silent" && isChainAsked) return <p className="muted signer-line" role="status">Asking the node which chain it is…</p>;
  const change = async (): Promise<void> => {
    setFailure("");
    try {
      if (signer.kind === "wallet") await switchChain(signer.provider, chainId, `GenLayer ${place}`, url);
      await signers.recheckChain();
    } catch (error) {
      setFailure(messageOf(error));
    }
  };
  const [remedy, label] = why === "other_chain" ? [() => void change(), "Switch the wallet"] as const
    : why === "wallet_silent" ? [() => void signers.recheckChain(), "Ask the wallet again"] as const
    : [recheckChain, "Ask the node again"] as const;
  return (
    <Banner isAlert={why !== "node_silent"} tone={why === "node_silent" ? "warn" : "stop"} title={title} action={<button key={why} type="button" className="button small" onClick={remedy}>{label}</button>}>
      {text}
      {failure && <div>{failure}</div>}
    </Banner>
  );
}
