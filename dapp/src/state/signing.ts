// Who signs at the node that is read.
import { useEffect, useSyncExternalStore } from "react";
import { usePlace } from "./place";
import { SignerStore, type Signer } from "./signer";

export const signers = new SignerStore();

/** ``own``: the signer's address; empty while nobody signs. */
export function useSigner(): { signer: Signer; own: string } {
  const signer = useSyncExternalStore(signers.subscribe, signers.get);
  return { signer, own: signer.kind === "none" ? "" : signer.address };
}

/** Finds who signed here before, at every other node anew. */
export function useSignerOf(): void {
  const { url, allowsKeys } = usePlace();
  useEffect(() => {
    if (url) void signers.open(url, allowsKeys);
  }, [url, allowsKeys]);
}
