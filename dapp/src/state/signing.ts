// Who signs at the node that is read.
import { useEffect, useSyncExternalStore } from "react";
import { usePlace } from "./place";
import { guardOf, type Guard } from "./guard";
import { SignerStore, type Signer } from "./signer";

export const signers = new SignerStore();

/** ``own``: the signer's address; empty while nobody signs. */
export function useSigner(): { signer: Signer; own: string } {
  const signer = useSyncExternalStore(signers.subscribe, signers.get);
  return { signer, own: signer.kind === "none" ? "" : signer.address };
}

/** Whether anything may be signed here and now, a transaction or a voucher; if not, why. */
export function useSigningGuard(): Guard {
  const { chainId } = usePlace();
  return guardOf(useSigner().signer, chainId);
}

/** Finds who signed here before, at every other node anew. */
export function useSignerOf(): void {
  const { url, allowsKeys } = usePlace();
  useEffect(() => {
    if (url) void signers.open(url, allowsKeys);
  }, [url, allowsKeys]);
}
