// Transactions: sent, followed until they are final, and what they make stale.
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useSyncExternalStore } from "react";
import type { Call } from "../actions/action";
import { announce } from "../browser/announcing";
import { kept } from "../browser/storage";
import { isRefusal, whyNotSent } from "../chain/errors";
import type { Fees } from "../chain/fees";
import { isStudio, type Network } from "../chain/networks";
import { rpc } from "../chain/rpc";
import { outcomeOf, type Outcome, type Raw } from "../tx/outcome";
import { TxStore, type TxRecord } from "../tx/store";
import { Tracker } from "../tx/tracker";
import { describe } from "../tx/words";
import { usePlace } from "./place";
import type { Signing } from "./guard";
import { useSigningGuard } from "./signing";

export const transactions = new TxStore(kept);

export const useTransactions = (): readonly TxRecord[] => useSyncExternalStore(transactions.subscribe, transactions.all);

/** Sends a call with what its fee may be, null where the network takes none. */
export function useSend(): (call: Call, fees: Fees | null) => void {
  const { network, url, contract } = usePlace();
  const guard = useSigningGuard();
  return (call, fees) => {
    if (!guard.maySign || !contract) return;
    const { signer, chainId } = guard;
    void sendCall({ call, fees, signer, network, url, chainId, contract: call.to ?? contract.address });
  };
}

interface Order {
  call: Call;
  fees: Fees | null;
  signer: Signing;
  network: Network;
  url: string;
  chainId: number;
  contract: string;
}

async function sendCall({ call, fees, signer, network, url, chainId, contract }: Order): Promise<void> {
  const { id } = transactions.add({
    url, contract, account: signer.address, method: call.method, title: call.title, valueWei: call.valueWei.toString(),
    ...(fees && { depositWei: fees.depositWei.toString() }),
  });
  announce(signer.kind === "wallet" ? `${call.title}: confirm it in your wallet.` : `${call.title}: sending.`);
  let hash = "";
  try {
    const { send } = await import("../chain/writing");
    await send({
      network, url, chainId, contract, method: call.method, args: call.args, valueWei: call.valueWei, fees,
      signing: signer.kind === "key" ? { kind: "key", key: signer.key } : { kind: "wallet", provider: signer.provider, address: signer.address },
      onHash: (told) => {
        hash = told;
        transactions.update(id, { hash: told, phase: "sent" });
      },
    });
  } catch (error) {
    if (hash && !isRefusal(error)) return; // it may have arrived: it is followed like any other
    const why = whyNotSent(error);
    transactions.update(id, { phase: "ended", verdict: why.verdict, message: why.message });
    announce(`${call.title}: ${why.message}`);
  }
}

/** Follows what was sent at this node, in one tab; every tab hears of it and reads anew what it changed. */
export function useTracker(): void {
  const { network, url } = usePlace();
  const client = useQueryClient();
  useEffect(() => {
    if (!url) return;
    const stop = new AbortController();
    const lookUp = async (hash: string): Promise<Outcome> => {
      if (isStudio(network)) {
        return outcomeOf(Object(await rpc(url, "eth_getTransactionByHash", [hash], stop.signal)) as Raw);
      }
      const { lookUpOnTestnet } = await import("../chain/testnet");
      return lookUpOnTestnet(network, url, hash);
    };
    const tracker = new Tracker({ store: transactions, url, pollMs: network.pollMs, lookUp });
    void tracker.run(stop.signal);
    return () => stop.abort();
  }, [network, url]);

  // Every tab sees what the one that follows has noted, says it, and reads what it changed.
  useEffect(() => {
    const known = () => new Map(transactions.all().map((record) => [record.id, { record, text: describe(record).announcement, key: progressOf(record) }]));
    let before = known();
    return transactions.subscribe(() => {
      const after = known();
      const news = [...after].map(([id, now]) => ({ was: before.get(id), now }));
      before = after;
      for (const { was, now } of news) if (was?.text !== now.text) announce(now.text);
      const stale = news.flatMap(({ was, now }) => (was === undefined || was.key === now.key ? [] : staleAfter(now.record, was.record)));
      if (stale.length) void client.invalidateQueries({ queryKey: ["contract", url], predicate: ({ queryKey }) => stale.includes(String(queryKey[3])) });
    });
  }, [client, url]);
}

const progressOf = (record: TxRecord): string =>
  [record.phase, record.verdict, ...record.children.map((child) => child.phase)].join(" ");

const OPERATING = new Set(["register_api", "set_plan", "set_api_active", "set_meter", "propose_operator", "accept_operator", "set_promise"]);
const EARNING_VIEWS = ["get_earnings", "list_subscribers", "get_paid_day", "get_api_days", "quote_call", "balance"];
const CONSUMER_VIEWS = ["get_usage_report", "get_account", "get_session", "balance"];
const DISPUTE_VIEWS = ["list_disputes", "list_disputes_of", "get_dispute", "get_paid_day", "get_earnings", ...CONSUMER_VIEWS];
const STALE: Readonly<Record<string, readonly string[]>> = {
  withdraw_earnings: EARNING_VIEWS, collect_earnings: EARNING_VIEWS, refund: EARNING_VIEWS, release_hold: [...EARNING_VIEWS, ...CONSUMER_VIEWS],
  open_dispute: DISPUTE_VIEWS, judge: DISPUTE_VIEWS, close_dispute: DISPUTE_VIEWS,
};

/**
 * Which views a transaction that got further makes stale. Reads see what is accepted: with finality only payouts arrive,
 * in the balance of the account, which is no read of the contract.
 */
function staleAfter({ phase, method, verdict }: TxRecord, before: TxRecord): readonly string[] {
  const isNew = before.phase === "signing" || before.phase === "sent";
  if (phase !== "accepted" && phase !== "finalized") return [];
  if (STALE[method] === DISPUTE_VIEWS) return DISPUTE_VIEWS; // what a court sends does its work with finality
  if (!isNew) return ["balance"];
  if (OPERATING.has(method)) return ["list_apis", "get_api", "get_promise", "balance"];
  // What was refused may have been offered from plans that are old.
  return STALE[method] ?? (verdict === "refused" || verdict === "kept" ? [...CONSUMER_VIEWS, "list_apis"] : CONSUMER_VIEWS);
}
