// Testnets, with genlayer-js, which is loaded for them alone. Only wallets sign there.
import { createClient } from "genlayer-js";
import { testnetAsimov, testnetBradbury } from "genlayer-js/chains";
import { answered, outcomeOf, refusedWith, type Outcome } from "../tx/outcome";
import { decode, fromHex } from "./calldata";
import { heardOf, SentButLost } from "./errors";
import type { Provider } from "./injected";
import type { Network } from "./networks";
import { NodeError, rpc } from "./rpc";
import type { Sending } from "./writing";

type Hex = `0x${string}`;
type Chain = NonNullable<NonNullable<Parameters<typeof createClient>[0]>["chain"]>;

/** A copy: genlayer-js writes the endpoint into the chain it is given. */
function chainOf(network: Network, url: string): Chain {
  const known = network.chain === "testnetAsimov" ? testnetAsimov : testnetBradbury;
  return { ...known, rpcUrls: { default: { http: [url] } } } as Chain;
}

export async function sendOnTestnet({ network, url, contract, method, args, valueWei, onHash }: Sending, wallet: { provider: Provider; address: string }): Promise<void> {
  let evmHash = "";
  const provider = noting(wallet.provider, (hash) => { evmHash = hash; });
  const client = createClient({ chain: chainOf(network, url), endpoint: url, account: wallet.address as Hex, provider: provider as never });
  try {
    onHash((await client.writeContract({ address: contract as Hex, functionName: method, args: args as never, value: valueWei })) as string);
  } catch (error) {
    throw evmHash ? new SentButLost(evmHash, error) : error;
  }
}

/** The same provider; what it sends is noted. */
function noting(provider: Provider, note: (hash: string) => void): Provider {
  return {
    request: async (call) => {
      if (call.method !== "eth_sendTransaction") return provider.request(call);
      const result = await provider.request(call).catch(heardOf);
      note(String(result));
      return result;
    },
  };
}

/** A testnet's transaction is in its consensus contract, and what it returned in its trace. */
export async function lookUpOnTestnet(network: Network, url: string, hash: string): Promise<Outcome> {
  const client = createClient({ chain: chainOf(network, url), endpoint: url });
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
