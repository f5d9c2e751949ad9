// What every page needs: where we are in the URL, the node and contract that says, who signs, and what was sent.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { createContext, useCallback, useContext, useEffect, useMemo, useState, useSyncExternalStore, type ReactNode } from "react";
import { BillingContract } from "../chain/contract";
import { allowsThrowAwayKeys, defaultUrl, isStudio, networkOf, NETWORKS, type Network } from "../chain/networks";
import { NodeError, rpc } from "../chain/rpc";
import type { Action, Call } from "../actions/action";
import { readClock, REAL } from "../chain/clock";
import { NotTaken, whyNotSent } from "../chain/errors";
import type { Fees } from "../chain/fees";
import { outcomeOf, type Outcome, type Raw } from "../tx/outcome";
import { TxStore, type TxRecord } from "../tx/store";
import { Tracker } from "../tx/tracker";
import { announce } from "../ui/live";
import { describe } from "../tx/words";
import { SignerStore, type Signer } from "./signer";
import { kept } from "./storage";
import { hostOf, TrustStore } from "./trust";
import { formatLocation, parseLocation, type Location } from "./url";

export interface KnownAccount {
  address: string;
  name: string;
  role: string;
}

interface Deployment {
  address: string;
  accounts: KnownAccount[];
}

export interface App {
  location: Location;
  go(change: Partial<Location>, options?: { replace?: boolean }): void;
  href(change: Partial<Location>): string;
  network: Network;
  /** The node that is read; empty as long as there is a question. */
  url: string;
  contract: BillingContract | null;
  /** What a link names and nobody has agreed to yet. ``node``: not the network's own one. */
  asked: { url: string; contract: string; node: boolean } | null;
  /** Whether it is still to be found out if a contract is this site's own. */
  settling: boolean;
  /** Where the figures are from: the network when it is its own node and the site's contract. */
  place: string;
  trust: TrustStore;
  /** The chain to sign for; 0 until the node has told its own. */
  chainId: number;
  /** Seconds that the chain is ahead of this machine. */
  clockOffset: number;
  recheckClock(): void;
  known: readonly KnownAccount[];
  nameOf(address: string): string;
  signer: Signer;
  signers: SignerStore;
  allowsKeys: boolean;
  transactions: readonly TxRecord[];
  store: TxStore;
  /** With what its fee may be, null where the network takes none. */
  send(call: Call, fees: Fees | null): void;
  action: Action | null;
  open(action: Action | null): void;
}

const Context = createContext<App | null>(null);

const store = new TxStore(kept);
const signers = new SignerStore();
const trust = new TrustStore();

export function useApp(): App {
  const app = useContext(Context);
  if (!app) throw new Error("useApp is for what stands within AppProvider");
  return app;
}

const onHash = (listener: () => void): (() => void) => {
  window.addEventListener("hashchange", listener);
  return () => window.removeEventListener("hashchange", listener);
};

function useLocation() {
  const hash = useSyncExternalStore(onHash, () => window.location.hash);
  const location = useMemo(() => parseLocation(hash), [hash]);
  const href = useCallback((change: Partial<Location>) => formatLocation({ ...location, ...change }), [location]);
  const go = useCallback((change: Partial<Location>, options?: { replace?: boolean }) => {
    const next = formatLocation({ ...parseLocation(window.location.hash), ...change });
    if (next === window.location.hash) return;
    if (options?.replace) {
      window.history.replaceState(null, "", next);
      window.dispatchEvent(new HashChangeEvent("hashchange"));
    } else {
      window.location.hash = next;
    }
  }, []);
  return { location, href, go };
}

/** `deployments/<network>.json` beside the page, where it is served. A host may answer with anything else instead. */
async function readDeployment(network: string, signal: AbortSignal): Promise<Deployment | null> {
  try {
    const response = await fetch(`deployments/${network}.json`, { signal });
    if (!response.ok) return null;
    const found = (await response.json()) as { address?: unknown; accounts?: unknown };
    if (typeof found.address !== "string" || !/^0x[0-9a-fA-F]{40}$/.test(found.address)) return null;
    return { address: found.address.toLowerCase(), accounts: Array.isArray(found.accounts) ? found.accounts.filter(isAccount) : [] };
  } catch (error) {
    if (signal.aborted) throw error;
    return null;
  }
}

const isAccount = (value: unknown): value is KnownAccount => {
  const { address, name, role } = Object(value) as Partial<KnownAccount>;
  return typeof address === "string" && typeof name === "string" && typeof role === "string";
};

const shortOf = (address: string): string => `${address.slice(0, 6)}…${address.slice(-4)}`;

const NO_ACCOUNTS: readonly KnownAccount[] = [];

export function AppProvider({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const { location, href, go } = useLocation();
  const network = networkOf(location.network) ?? (NETWORKS[0] as Network);
  const ownUrl = defaultUrl(network, window.location.href);
  const named = location.rpc || ownUrl;
  const isOwnNode = named === ownUrl;
  const deployment = useQuery({
    queryKey: ["deployment", network.id], staleTime: Infinity, enabled: network.id !== "custom",
    queryFn: ({ signal }) => readDeployment(network.id, signal),
  });
  useSyncExternalStore(trust.subscribe, trust.version);
  const isOwnContract = !location.contract || location.contract === deployment.data?.address;
  const knowsNode = isOwnNode || trust.has(named);
  const settling = knowsNode && !isOwnContract && deployment.isLoading;
  const isKnown = knowsNode && (isOwnContract || trust.has(named, location.contract));
  const url = isKnown ? named : "";
  const allowsKeys = allowsThrowAwayKeys(network, url);
  const signer = useSyncExternalStore(signers.subscribe, signers.get);
  const transactions = useSyncExternalStore(store.subscribe, store.all);
  const [action, open] = useState<Action | null>(null);
  const contract = useMemo(
    () => (location.contract && url ? new BillingContract(url, location.contract) : null), [url, location.contract],
  );

  const chain = useQuery({
    queryKey: ["chain", url], staleTime: 5 * 60_000, enabled: url !== "",
    queryFn: async ({ signal }) => Number(await rpc(url, "eth_chainId", [], signal)),
  });
  const clock = useQuery({
    queryKey: ["clock", url], staleTime: 60_000, enabled: allowsKeys, retry: false,
    queryFn: ({ signal }) => readClock(url, signal),
  });

  useEffect(() => {
    if (!location.contract && deployment.data) go({ contract: deployment.data.address }, { replace: true });
  }, [location.contract, deployment.data, go]);
  useEffect(() => {
    if (url) void signers.open(url, allowsKeys);
  }, [url, allowsKeys]);
  const readAnew = useCallback((views: readonly string[]) => {
    void client.invalidateQueries({ queryKey: ["contract", url], predicate: ({ queryKey }) => views.includes(String(queryKey[3])) });
  }, [client, url]);
  useTracker(network, url, readAnew);

  const chainId = chain.data === undefined ? 0 : network.chainId || chain.data;
  const send = useCallback((call: Call, fees: Fees | null) => {
    if (signer.kind === "none" || !contract) return;
    void sendCall({ call, fees, signer, network, url, chainId, contract: contract.address });
  }, [signer, contract, network, url, chainId]);

  const known = deployment.data?.accounts ?? NO_ACCOUNTS;
  const app = useMemo<App>(() => ({
    location, go, href, network, url, contract, settling, trust,
    asked: isKnown || settling ? null : { url: named, contract: location.contract, node: !isOwnNode },
    place: [isOwnNode ? network.label : hostOf(named), ...(isOwnContract ? [] : [shortOf(location.contract)])].join(" · "),
    chainId,
    clockOffset: (clock.data ?? REAL).offset,
    recheckClock: () => void client.invalidateQueries({ queryKey: ["clock", url] }),
    known,
    nameOf: (address) => known.find((each) => each.address.toLowerCase() === address.toLowerCase())?.name ?? "",
    signer, signers, allowsKeys, transactions, store, send, action, open,
  }), [location, go, href, network, url, named, isKnown, isOwnNode, isOwnContract, settling, contract, chainId, clock.data, client, known, signer, allowsKeys, transactions, send, action]);
  return <Context value={app}>{children}</Context>;
}

interface Order {
  call: Call;
  fees: Fees | null;
  signer: Exclude<Signer, { kind: "none" }>;
  network: Network;
  url: string;
  chainId: number;
  contract: string;
}

async function sendCall({ call, fees, signer, network, url, chainId, contract }: Order): Promise<void> {
  const { id } = store.add({
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
        store.update(id, { hash: told, phase: "sent" });
      },
    });
  } catch (error) {
    if (hash && !(error instanceof NotTaken) && (await mayHaveArrived(url, hash))) return; // it is followed like any other
    const why = whyNotSent(error);
    store.update(id, { phase: "ended", verdict: why.verdict, message: why.message });
    announce(`${call.title}: ${why.message}`);
  }
}

/** After a failure: whether the node has it, or cannot be asked now. Then the tracker finds out. */
async function mayHaveArrived(url: string, hash: string): Promise<boolean> {
  try {
    return (await rpc(url, "eth_getTransactionByHash", [hash])) !== null;
  } catch (error) {
    return !(error instanceof NodeError && error.failure === "not_found");
  }
}

function useTracker(network: Network, url: string, onStale: (views: readonly string[]) => void): void {
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
    const tracker = new Tracker({ store, url, pollMs: network.pollMs, lookUp });
    void tracker.run(stop.signal);
    return () => stop.abort();
  }, [network, url]);

  // Every tab sees what the one that follows has noted, says it, and reads what it changed.
  useEffect(() => {
    const known = () => new Map(store.all().map((record) => [record.id, { record, text: describe(record).announcement, key: progressOf(record) }]));
    let before = known();
    return store.subscribe(() => {
      const after = known();
      const news = [...after].map(([id, now]) => ({ was: before.get(id), now }));
      before = after;
      for (const { was, now } of news) if (was?.text !== now.text) announce(now.text);
      const stale = news.flatMap(({ was, now }) => (was === undefined || was.key === now.key ? [] : staleAfter(now.record, was.record)));
      if (stale.length) onStale(stale);
    });
  }, [onStale]);
}

const progressOf = (record: TxRecord): string =>
  [record.phase, record.verdict, ...record.children.map((child) => child.phase)].join(" ");

const OPERATING = new Set(["register_api", "set_plan", "set_api_active", "set_meter", "propose_operator", "accept_operator"]);

/**
 * Which views a transaction that got further makes stale. Reads see what is accepted: with finality only payouts arrive,
 * in the balance of the account, which is no read of the contract.
 */
function staleAfter({ phase, method }: TxRecord, before: TxRecord): readonly string[] {
  const isNew = before.phase === "signing" || before.phase === "sent";
  if (phase !== "accepted" && phase !== "finalized") return [];
  if (!isNew) return ["balance"];
  if (OPERATING.has(method)) return ["apis", "balance"];
  return method === "withdraw_earnings" ? ["earnings", "balance"] : ["report", "account", "balance"];
}
