// The wallets of this browser, to choose from.
import { useEffect, useState } from "react";
import { announce } from "../browser/announcing";
import type { FoundWallet } from "../chain/injected";
import { signers, useWallets, wallets } from "../state/signing";
import { Banner } from "./parts";
import "./wallets.css";

export const messageOf = (error: unknown): string => String((error as { message?: unknown }).message ?? error);

/** ``onConnected`` gets the account that the wallet shows. */
export function WalletChoices({ onConnected }: { onConnected(account: string): void }) {
  const found = useWallets();
  const [asked, setAsked] = useState("");
  const [failure, setFailure] = useState("");
  useEffect(() => wallets.ask(), []);
  const connect = async (wallet: FoundWallet): Promise<void> => {
    setAsked(wallet.id);
    setFailure("");
    try {
      const account = await signers.useWallet(wallet);
      if (!account) return;
      announce(`${wallet.name} is connected.`);
      onConnected(account);
    } catch (error) {
      const { code } = Object(error) as { code?: unknown };
      setFailure(code === 4001 ? "You declined it in the wallet." : code === -32002 ? "The wallet asks you already: open it." : messageOf(error));
    } finally {
      setAsked((now) => (now === wallet.id ? "" : now));
    }
  };
  return (
    <div className="wallet-choices">
      {found.length === 0 && <p className="muted small-text">No wallet was found. One that is installed or switched on while this page is open appears here.</p>}
      {found.map((wallet) => (
        <button key={wallet.id} type="button" className="button wallet-choice" disabled={asked === wallet.id} onClick={() => void connect(wallet)}>
          {wallet.icon ? <img src={wallet.icon} alt="" width={24} height={24} /> : <span className="wallet-blank" aria-hidden="true" />}
          <span>{wallet.name}</span>
        </button>
      ))}
      <p className="muted small-text" role="status">{asked && `Confirm it in ${found.find(({ id }) => id === asked)?.name ?? "the wallet"}…`}</p>
      {failure && <Banner isAlert tone="stop" title="Not connected">{failure}</Banner>}
    </div>
  );
}
