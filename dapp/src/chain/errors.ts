// Why something was not sent, in plain words: errors of wallets, of genlayer-js and of the node.
import { NodeError } from "./rpc";

interface Layer {
  code?: unknown;
  message?: unknown;
  shortMessage?: unknown;
  details?: unknown;
  cause?: unknown;
}

/** The wallet has sent it, but then the way to the GenLayer transaction was lost. */
export class SentButLost extends Error {
  constructor(readonly evmHash: string, cause: unknown) {
    super(`It was sent as EVM transaction ${evmHash}, but its GenLayer transaction is not known.`, { cause });
  }
}

/** It was sent, and the consensus contract has not taken it: it never becomes a GenLayer transaction. */
export class NotTaken extends Error {}

/** The wallet was asked to send it, and has lost its node's answer: it may have been sent. */
class Unheard extends Error {}

const UNREACHED = /failed to fetch|networkerror|load failed|fetch failed/i;

/** For what a wallet that was asked to send something fails with. */
export function heardOf(error: unknown): never {
  throw textsOf(error).some((text) => UNREACHED.test(text) || /timed? ?out/i.test(text)) ? new Unheard("its node's answer was lost", { cause: error }) : error;
}

/** Whether a node has said that it does not take it. Without an answer it may have: then it is followed like any other. */
export const isRefusal = (error: unknown): boolean =>
  error instanceof NotTaken || (error instanceof NodeError && error.failure !== "unreachable" && error.failure !== "not_a_node");

export interface NotSent {
  verdict: "declined" | "unsent" | "unknown";
  message: string;
}

function* layers(error: unknown): Generator<Layer> {
  let layer: unknown = error;
  for (let depth = 0; layer && typeof layer === "object" && depth < 10; depth++) {
    yield layer as Layer;
    layer = (layer as Layer).cause;
  }
}

const textsOf = (error: unknown): string[] =>
  [...layers(error)].flatMap((layer) => [layer.details, layer.shortMessage, layer.message]).filter((text) => typeof text === "string");

export function whyNotSent(error: unknown): NotSent {
  if (error instanceof SentButLost) return { verdict: "unknown", message: error.message };
  const all = [...layers(error)];
  if (all.some((layer) => layer instanceof Unheard)) {
    return { verdict: "unknown", message: "The wallet lost its node's answer: it may have been sent. Look at the wallet's activities before you send it again." };
  }
  const has = (code: number): boolean => all.some((layer) => layer.code === code);
  if (has(4001)) return { verdict: "declined", message: "You declined it in the wallet. Nothing was sent." };
  if (has(-32002) && all.some((layer) => /already pending/i.test(String(layer.message)))) {
    return { verdict: "unsent", message: "The wallet still waits for an earlier request. Open it and answer that first." };
  }
  const texts = textsOf(error);
  if (texts.some((text) => UNREACHED.test(text))) {
    return { verdict: "unsent", message: "The node could not be reached." };
  }
  return { verdict: "unsent", message: texts.find((text) => text !== "") ?? String(error) };
}
