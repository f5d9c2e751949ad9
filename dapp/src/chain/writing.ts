// Sending, with genlayer-js. This module and all of genlayer-js are loaded with the first transaction, not before.
import { createAccount, createClient, generatePrivateKey } from "genlayer-js";
import { localnet, studionet, testnetAsimov, testnetBradbury } from "genlayer-js/chains";
import { keccak256 } from "viem";
import { answered, outcomeOf, refusedWith, type Outcome } from "../tx/outcome";
import { decode, fromHex, type Encodable } from "./calldata";
import { SentButLost } from "./errors";
import type { Provider } from "./injected";
import type { Network } from "./networks";
import { NodeError, rpc } from "./rpc";

export type Signing = { kind: "key"; key: string } | { kind: "wallet"; provider: Provider; address: string };

export interface Sending {
  network: Network;
  url: string;
  chainId: number;
  contract: string;
  method: string;
  args: readonly Encodable[];
  valueWei: bigint;
  signing: Signing;
  /** Called as soon as the hash is known: with a key before anything leaves this machine. */
  onHash(hash: string): void;
}

const CHAINS = { localnet, studionet, testnetAsimov, testnetBradbury };
type Hex = `0x${string}`;
type Chain = NonNullable<NonNullable<Parameters<typeof createClient>[0]>["chain"]>;

/** A copy: genlayer-js writes the endpoint into the chain it is given. */
function chainOf(network: Network, url: string, chainId: number): Chain {
  const known = CHAINS[network.chain];
  return { ...known, id: chainId || known.id, rpcUrls: { default: { http: [url] } } } as Chain;
}

export const newKey = (): string => generatePrivateKey();
export const addressOfKey = (key: string): string => createAccount(key as Hex).address.toLowerCase();

export async function send(sending: Sending): Promise<string> {
  const { network, url, chainId, contract, method, args, valueWei, signing } = sending;
  let evmHash = "";
  const client = createClient({
    chain: chainOf(network, url, chainId),
    endpoint: url,
    ...(signing.kind === "key"
      ? { account: announcing(signing.key, sending.onHash) }
      : { account: signing.address as Hex, provider: noting(signing.provider, (hash) => { evmHash = hash; }) as never }),
  });
  try {
    const hash = await client.writeContract({ address: contract as Hex, functionName: method, args: args as never, value: valueWei });
    sending.onHash(hash);
    return hash;
  } catch (error) {
    throw evmHash ? new SentButLost(evmHash, error) : error;
  }
}

/** The same provider; what it sends is noted. */
function noting(provider: Provider, note: (hash: string) => void): Provider {
  return {
    request: async (call) => {
      const result = await provider.request(call);
      if (call.method === "eth_sendTransaction") note(String(result));
      return result;
    },
  };
}

/** On Studio and the localnet the hash of the signed bytes is the transaction's: kept before it is sent, it is never lost. */
function announcing(key: string, onHash: (hash: string) => void) {
  const account = createAccount(key as Hex);
  const signTransaction: typeof account.signTransaction = async (transaction, options) => {
    const raw = await account.signTransaction(transaction, options);
    onHash(keccak256(raw));
    return raw;
  };
  return { ...account, signTransaction };
}

/** A testnet's transaction is in its consensus contract, and what it returned in its trace. */
export async function lookUpOnTestnet(network: Network, url: string, hash: string): Promise<Outcome> {
  const client = createClient({ chain: chainOf(network, url, 0), endpoint: url });
  const found = await client.getTransaction({ hash: hash as never }).catch((error: unknown) => {
    throw new NodeError("unreachable", String((error as { shortMessage?: unknown }).shortMessage ?? error));
  });
  const status = String(found.statusName ?? "PENDING");
  const children = (found as { triggered_transactions?: unknown }).triggered_transactions;
  const outcome = outcomeOf({ status, type: 0, to_address: found.recipient, value: 0, triggered_transactions: children });
  const execution = String(found.txExecutionResultName ?? "");
  if (!outcome.isDecided || outcome.verdict === "failed") return outcome;
  if (!execution.startsWith("FINISHED")) return { ...outcome, verdict: "failed", message: "the node tells no result" };
  const traced = Object(await rpc(url, "gen_dbg_traceTransaction", [{ txID: hash, round: 0 }]).catch(() => null)) as {
    return_data?: unknown;
  };
  const data = fromHex(String(traced.return_data ?? ""));
  const ended = execution === "FINISHED_WITH_RETURN"
    ? data.length ? answered(decode(data)) : { verdict: "done" as const }
    : refusedWith(new TextDecoder().decode(data));
  return { ...outcome, ...ended };
}
