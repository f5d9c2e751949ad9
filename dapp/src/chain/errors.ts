// Why something was not sent, in plain words: errors of wallets, of genlayer-js and of the node.

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

export function whyNotSent(error: unknown): NotSent {
  if (error instanceof SentButLost) return { verdict: "unknown", message: error.message };
  const all = [...layers(error)];
  const has = (code: number): boolean => all.some((layer) => layer.code === code);
  if (has(4001)) return { verdict: "declined", message: "You declined it in the wallet. Nothing was sent." };
  if (has(-32002) && all.some((layer) => /already pending/i.test(String(layer.message)))) {
    return { verdict: "unsent", message: "The wallet still waits for an earlier request. Open it and answer that first." };
  }
  const texts = all.flatMap((layer) => [layer.details, layer.shortMessage, layer.message]).filter((text) => typeof text === "string");
  if (texts.some((text) => /failed to fetch|networkerror|load failed|fetch failed/i.test(text))) {
    return { verdict: "unsent", message: "The node could not be reached." };
  }
  return { verdict: "unsent", message: texts.find((text) => text !== "") ?? String(error) };
}
