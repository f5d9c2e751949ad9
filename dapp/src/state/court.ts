// What the pages of disputes read: of the billing contract, and of the courts that an API has promised.
import { partialMatchKey, useQueries, useQuery, type UseQueryResult } from "@tanstack/react-query";
import { useMemo } from "react";
import { CourtContract, type ArgumentsOf, type BillingContract, type ValueOf } from "../chain/contract";
import { disputableDays, disputesOf, disputesOfConsumer, promisesBack, type DisputableDays, type Disputes } from "../chain/court";
import { NodeError } from "../chain/rpc";
import type { COURT_VIEWS, DisputeHead, Promise as ApiPromise } from "../domain/answers";
import { dayOf } from "../domain/time";
import { useDeployment } from "./deployment";
import { useChainNow } from "./now";
import { usePlace } from "./place";
import { viewKey } from "./queries";

const NO_CONTRACT = new NodeError("no_contract", "no contract is chosen");
const SELDOM_MS = 10 * 60_000;
export const MOST_APIS = 16;
/** Of a court, so many are looked through at first: two reads. */
export const MOST_DISPUTES = 128;

export const useToday = (): number => dayOf(useChainNow());

const useCourt = (address: string): CourtContract | null => {
  const { url } = usePlace();
  return useMemo(() => (url && address ? new CourtContract(url, address) : null), [url, address]);
};

/** What a view of a court answers; it is not read as long as the address is empty. `isWatched`: it is read anew while it is shown. */
export function useCourtView<M extends keyof typeof COURT_VIEWS>(
  address: string, method: M, args: ArgumentsOf<(typeof COURT_VIEWS)[M]>, isWatched: boolean | ((value: ValueOf<(typeof COURT_VIEWS)[M]>) => boolean) = false,
): UseQueryResult<ValueOf<(typeof COURT_VIEWS)[M]>> {
  const court = useCourt(address);
  const { network } = usePlace();
  return useQuery({
    queryKey: viewKey(court, method, args),
    queryFn: ({ signal }) => (court ? court.read(method, args, { signal }) : Promise.reject(NO_CONTRACT)),
    enabled: court !== null,
    refetchInterval: ({ state: { data } }) => ((typeof isWatched === "function" ? data !== undefined && isWatched(data) : isWatched) ? network.refreshMs * 2 : false),
  });
}

/** Of an API, those among the last `most` disputes of a court. */
export function useDisputes(address: string, apiName: string, most = MOST_DISPUTES): UseQueryResult<Disputes> {
  const court = useCourt(address);
  const { network, contract } = usePlace();
  const ofApi = viewKey(court, "list_disputes", [apiName]);
  return useQuery({
    ...disputesQuery(court, contract, apiName, most),
    refetchInterval: network.refreshMs * 4,
    placeholderData: (before, query) => (query && partialMatchKey(query.queryKey, ofApi) ? before : undefined),
  });
}

const disputesQuery = (court: CourtContract | null, contract: BillingContract | null, apiName: string, most: number, urgent = true) => ({
  queryKey: [...viewKey(court, "list_disputes", [apiName]), most],
  queryFn: ({ signal }: { signal: AbortSignal }): Promise<Disputes> =>
    court && contract ? disputesOf(court, contract.address, apiName, most, { signal, urgent }) : Promise.reject(NO_CONTRACT),
  enabled: court !== null && apiName !== "",
});

/** Those of several APIs, the latest first, at the court that this site names. */
export function useDisputesAbout(apiNames: readonly string[]): { court: string; disputes: readonly DisputeHead[] } {
  const { contract } = usePlace();
  const address = useOwnCourt();
  const court = useCourt(address);
  const disputes = useQueries({
    queries: apiNames.slice(0, MOST_APIS).map((apiName) => ({ ...disputesQuery(court, contract, apiName, MOST_DISPUTES, false), staleTime: SELDOM_MS })),
    combine: (results) => results.flatMap(({ data }) => data?.list ?? []).sort((a, b) => b.disputeId - a.disputeId),
  });
  return { court: address, disputes };
}

/** Those of a consumer, the latest first, at the court that this site names; none where it names none, or one of another contract. */
export function useDisputesOf(consumer: string): { court: string; disputes: readonly DisputeHead[] } {
  const { contract } = usePlace();
  const { address, court: named } = useDeployment().deployment;
  const court = useCourt(contract?.address === address ? named : "");
  const { data } = useQuery({
    queryKey: viewKey(court, "list_disputes_of", [consumer]),
    queryFn: ({ signal }) => (court ? disputesOfConsumer(court, consumer, { signal, urgent: false }) : Promise.reject(NO_CONTRACT)),
    enabled: court !== null, staleTime: SELDOM_MS,
  });
  return { court: named, disputes: data ?? [] };
}

/** The days of a consumer that can be disputed now, and those that can be later. */
export function useDisputableDays(apiName: string, consumer: string): { data: DisputableDays | undefined; error: unknown } {
  const { contract } = usePlace();
  const today = useToday();
  const days = viewKey(contract, "get_paid_day", [apiName, consumer, "days until"]);
  const { data, error } = useQuery({
    queryKey: [...days, String(today)],
    queryFn: ({ signal }) => (contract ? disputableDays(contract, apiName, consumer, today, { signal }) : Promise.reject(NO_CONTRACT)),
    enabled: contract !== null && apiName !== "" && consumer !== "",
    staleTime: SELDOM_MS,
    // At midnight nobody loses a claim that is half written.
    placeholderData: (before, query) => (query && partialMatchKey(query.queryKey, days) ? before : undefined),
  });
  // What was disputed a moment ago is frozen with finality only.
  const disputes = useDisputes(data?.now[0]?.promise.court ?? "", apiName);
  const isDisputed = (dayId: number): boolean => disputes.data?.list.some((each) => each.consumer === consumer && each.dayId === dayId) ?? false;
  return { data: data && { ...data, now: data.now.filter(({ day }) => !isDisputed(day.dayId)) }, error };
}

/** Which of these APIs promise something today; what is not read yet is not among them. */
export function usePromises(apiNames: readonly string[]): { promised: ReadonlySet<string>; isLoading: boolean } {
  const { contract } = usePlace();
  const today = useToday();
  return useQueries({
    queries: apiNames.slice(0, MOST_APIS).map((apiName) => ({
      queryKey: viewKey(contract, "get_promise", [apiName, today]),
      queryFn: ({ signal }: { signal: AbortSignal }): Promise<ApiPromise> => (contract ? contract.read("get_promise", [apiName, today], { signal, urgent: false }) : Promise.reject(NO_CONTRACT)),
      enabled: contract !== null, staleTime: SELDOM_MS,
    })),
    combine: (results) => ({
      promised: new Set(results.flatMap(({ data }) => (data?.court ? [data.apiName] : []))), isLoading: results.some((result) => result.isLoading),
    }),
  });
}

/** The court that this site names for the contract that is looked at. */
export function useOwnCourt(): string {
  const { deployment } = useDeployment();
  return usePlace().contract?.address === deployment.address ? deployment.court : "";
}

/** What an API promises and has promised, the latest first, and which courts that are; with the one that this site names. */
export function useCourts(apiName: string): { promises: readonly ApiPromise[] | undefined; courts: readonly string[]; error: unknown } {
  const { contract } = usePlace();
  const own = useOwnCourt();
  const today = useToday();
  const { data: promises, error } = useQuery({
    queryKey: viewKey(contract, "get_promise", [apiName, "all until", today]),
    queryFn: ({ signal }) => (contract ? promisesBack(contract, apiName, today, 0, { signal }) : Promise.reject(NO_CONTRACT)),
    enabled: contract !== null && apiName !== "", staleTime: SELDOM_MS,
  });
  const courts = [...new Set([...(promises ?? []).map(({ court }) => court), own])].filter(Boolean);
  return { promises, courts, error };
}
