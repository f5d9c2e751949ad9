// The network, node and contract that the URL says, as far as a person has agreed to them.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { createContext, useContext, useEffect, useMemo, useState, useSyncExternalStore, type ReactNode } from "react";
import { offsetOn, readClock } from "../chain/clock";
import { BillingContract } from "../chain/contract";
import { chainOf } from "../chain/injected";
import { allowsThrowAwayKeys, defaultUrl, networkOf, NETWORKS, type Network } from "../chain/networks";
import { rpc } from "../chain/rpc";
import { shortAddress } from "../domain/names";
import { useDeployment } from "./deployment";
import { go, useLocation } from "./location";
import { hostOf, trust } from "./trust";

export interface Place {
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
  /** The chain to sign for; 0 until the node has told its own. ``isChainAsked``: it has not answered, nor failed, yet. */
  chainId: number;
  isChainAsked: boolean;
  /** Whether keys may be kept in this browser. */
  allowsKeys: boolean;
  /** Seconds that the chain is ahead of this machine. */
  clockOffset: number;
  /** The contract's day, as it was read at that moment of this machine, in unix seconds. */
  sawDay(dayId: number, at: number): void;
  recheckChain(): void;
}

const Context = createContext<Place | null>(null);

export function usePlace(): Place {
  const place = useContext(Context);
  if (!place) throw new Error("usePlace is for what stands within PlaceProvider");
  return place;
}

export function PlaceProvider({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const { location } = useLocation();
  const { deployment, isLoading } = useDeployment();
  const network = networkOf(location.network) ?? (NETWORKS[0] as Network);
  const ownUrl = defaultUrl(network, window.location.href);
  const named = location.rpc || ownUrl;
  const isOwnNode = named === ownUrl;
  useSyncExternalStore(trust.subscribe, trust.version);
  const isOwnContract = !location.contract || location.contract === deployment.address;
  const knowsNode = isOwnNode || trust.has(named);
  const settling = knowsNode && !isOwnContract && isLoading;
  const isKnown = knowsNode && (isOwnContract || trust.has(named, location.contract));
  const url = isKnown ? named : "";
  const allowsKeys = allowsThrowAwayKeys(network, url);
  const contract = useMemo(
    () => (location.contract && url ? new BillingContract(url, location.contract) : null), [url, location.contract],
  );
  const chain = useQuery({
    queryKey: ["chain", url], staleTime: 5 * 60_000, enabled: url !== "",
    queryFn: async ({ signal }) => chainOf(await rpc(url, "eth_chainId", [], signal)),
  });
  const clock = useQuery({
    queryKey: ["clock", url], staleTime: 60_000, enabled: allowsKeys, retry: false,
    queryFn: ({ signal }) => readClock(url, signal),
  });
  useEffect(() => {
    if (!location.contract && deployment.address) go({ contract: deployment.address }, { replace: true });
  }, [location.contract, deployment.address]);

  const chainId = chain.data ? network.chainId || chain.data : 0;
  // Where the node has no clock to ask, reports tell at least the day.
  const [seen, setSeen] = useState({ url, offset: 0 });
  const clockOffset = clock.data?.offset ?? (seen.url === url ? seen.offset : 0);
  const place = useMemo<Place>(() => ({
    network, url, contract, settling, chainId, isChainAsked: chain.isLoading && chain.failureCount === 0, allowsKeys, clockOffset,
    asked: isKnown || settling ? null : { url: named, contract: location.contract, node: !isOwnNode },
    place: [isOwnNode ? network.label : hostOf(named), ...(isOwnContract ? [] : [shortAddress(location.contract)])].join(" · "),
    sawDay: (dayId, at) => {
      const offset = offsetOn(dayId, at, clockOffset);
      if (offset === clockOffset) return;
      setSeen({ url, offset });
      void client.invalidateQueries({ queryKey: ["clock", url] });
    },
    recheckChain: () => void client.invalidateQueries({ queryKey: ["chain", url] }),
  }), [network, url, contract, settling, chainId, chain.isLoading, chain.failureCount, allowsKeys, clockOffset, isKnown, named, location.contract, isOwnNode, isOwnContract, client]);
  return <Context value={place}>{children}</Context>;
}
