// Whether the signer may sign for the node that is read, and if not, why. What is not known is never taken for right.
import { isGenLayerChain } from "../chain/networks";
import type { Signer } from "./signer";

export type Signing = Exclude<Signer, { kind: "none" }>;

export type Guard =
  | { maySign: true; signer: Signing; chainId: number }
  | { maySign: false; why: "nobody" | "node_silent" | "foreign_chain" | "wallet_silent" | "other_chain"; title: string; text: string };

const not = (why: Exclude<Guard, { maySign: true }>["why"], title: string, text: string): Guard => ({ maySign: false, why, title, text });

/** ``chainId``: of the node; 0 as long as it has not said it. */
export function guardOf(signer: Signer, chainId: number): Guard {
  if (signer.kind === "none") return not("nobody", "You are only watching", "To send this, choose who signs.");
  if (!(chainId > 0)) {
    return not("node_silent", "The node has not said which chain it is", "Nothing is signed before it has: it could count on another chain.");
  }
  if (signer.kind === "wallet") {
    // A node may call itself whatever it likes: Ethereum too, where a wallet has money of another kind.
    if (!isGenLayerChain(chainId)) {
      return not("foreign_chain", `The node says that it is chain ${chainId}`, "That is no chain of GenLayer, so a wallet is asked for nothing here.");
    }
    if (!(signer.chainId > 0)) {
      return not("wallet_silent", "Your wallet does not say which network it is on", "Nothing is signed before it has: it could count on another chain.");
    }
    if (signer.chainId !== chainId) {
      return not("other_chain", "Your wallet is on another network", `It is on chain ${signer.chainId}, this node on chain ${chainId}. Sent from there, it would be lost.`);
    }
  }
  return { maySign: true, signer, chainId };
}
