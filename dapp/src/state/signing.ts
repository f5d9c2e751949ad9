// Who signs at the node that is read.
import { useEffect, useSyncExternalStore } from "react";
import { WalletList, type FoundWallet } from "../chain/injected";
import { guardOf, type Guard } from "./guard";
import { go, useLocation } from "./location";
import { usePlace } from "./place";
import { SignerStore, type KeptKey, type Signer } from "./signer";
import { OF_AN_ACCOUNT } from "./url";

export const wallets = new WalletList();
export const signers = new SignerStore(wallets);

/** ``own``: the signer's address; empty while nobody signs. */
export function useSigner(): { signer: Signer; own: string } {
  const signer = useSyncExternalStore(signers.subscribe, signers.get);
  return { signer, own: signer.kind === "none" ? "" : signer.address };
}

export const useWallets = (): readonly FoundWallet[] => useSyncExternalStore(wallets.subscribe, wallets.all);
export const useKeys = (): readonly KeptKey[] => useSyncExternalStore(signers.subscribe, signers.keys);

/** Whether anything may be signed here and now, a transaction or a voucher; if not, why. */
export function useSigningGuard(): Guard {
  const { chainId } = usePlace();
  return guardOf(useSigner().signer, chainId);
}

/** Finds who signed here before, at every other node anew; a page of an account that the URL does not name is the signer's. */
export function useSignerOf(): void {
  const { url, allowsKeys } = usePlace();
  const { location: { view, account } } = useLocation();
  const { own } = useSigner();
  useEffect(() => {
    if (url) void signers.open(url, allowsKeys);
  }, [url, allowsKeys]);
  useEffect(() => {
    if (own && !account && OF_AN_ACCOUNT.includes(view)) go({ account: own }, { replace: true });
  }, [own, account, view]);
}
