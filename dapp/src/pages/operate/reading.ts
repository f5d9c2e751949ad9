// What an operator's page reads: what the page is about at once, what is said of all APIs together when there is room for it.
import { useQueries, useQuery, useQueryClient, type QueryClient, type UseQueryResult } from "@tanstack/react-query";
import type { ArgumentsOf, BillingContract, ValueOf } from "../../chain/contract";
import type { Api, ApiDay, Earnings, SettlementHead, Subscriber, VIEWS } from "../../domain/answers";
import { refusedIn } from "../../domain/operating";
import { usePlace } from "../../state/place";
import { viewKey } from "../../state/queries";

const KEPT = 64;
export const PAGE = 100;
/** So many reads in 10 seconds are left to others. */
const MS_FOR_EACH = 3_500;

export interface ReadOfAll<T> {
  /** By API. */
  of: ReadonlyMap<string, T>;
  missing: number;
  error: unknown;
}

/** What was answered before stands until what is asked now is answered: a page that is read does not go away with each settlement. */
const formerOf = <T>(client: QueryClient, queryKey: readonly unknown[]): T | undefined =>
  client.getQueriesData<T>({ queryKey }).findLast(([, data]) => data !== undefined)?.[1];

/** One view of each API; patient where there are several. */
function useEach<M extends keyof typeof VIEWS>(
  method: M, apis: readonly Api[], argsOf: (api: Api) => ArgumentsOf<(typeof VIEWS)[M]>, times: { staleTime: number; everyMs?: number },
): ReadOfAll<ValueOf<(typeof VIEWS)[M]>> {
  type Value = ValueOf<(typeof VIEWS)[M]>;
  const { contract } = usePlace();
  const client = useQueryClient();
  const urgent = apis.length === 1;
  const results = useQueries({
    queries: apis.map((api) => ({
      queryKey: viewKey(contract, method, argsOf(api)),
      queryFn: ({ signal }: { signal: AbortSignal }): Promise<Value> =>
        contract ? contract.read(method, argsOf(api), { signal, urgent }) : Promise.reject(new Error("no contract")),
      enabled: contract !== null,
      staleTime: times.staleTime,
      placeholderData: () => formerOf<Value>(client, viewKey(contract, method, [api.apiName])),
      ...(times.everyMs ? { refetchInterval: times.everyMs } : {}),
    })),
  }) as UseQueryResult<Value>[];
  return {
    of: new Map(apis.flatMap((api, i) => (results[i]?.data === undefined ? [] : [[api.apiName, results[i].data] as const]))),
    missing: results.filter(({ data }) => data === undefined).length,
    error: results.find(({ error, data }) => error && data === undefined)?.error ?? null,
  };
}

export function useDays(apis: readonly Api[]): ReadOfAll<ApiDay[]> {
  const { network } = usePlace();
  const everyMs = Math.max(network.refreshMs * 3, apis.length * MS_FOR_EACH);
  return useEach("get_api_days", apis, ({ apiName }) => [apiName], { staleTime: everyMs, everyMs });
}

/** Of an operator of so many APIs. */
export function useEarnings(operator: string, total: number): UseQueryResult<Earnings> {
  const { contract, network } = usePlace();
  return useQuery({
    queryKey: viewKey(contract, "get_earnings", [operator, Math.ceil(total / PAGE)]),
    queryFn: ({ signal }) => (contract ? contract.earnings(operator, total, { signal }) : Promise.reject(new Error("no contract"))),
    enabled: contract !== null,
    refetchInterval: network.refreshMs * 2,
  });
}

export const lastSequence = ({ nextSequence }: Api): number => Number(nextSequence) - 1;

/** Of those that have settled; read again as soon as the API has settled again. The oldest first. */
export function useHeads(apis: readonly Api[]): ReadOfAll<SettlementHead[]> {
  return useEach("list_settlements", apis.filter((api) => lastSequence(api) > 0), (api) => {
    const last = lastSequence(api);
    return [api.apiName, Math.max(last - KEPT, 0), Math.min(last, KEPT)];
  }, { staleTime: Infinity });
}

/** What the last settlement refused, of those APIs where it did: by API and consumer the code that stopped an entry. */
export function useRefused(heads: ReadOfAll<SettlementHead[]>, apis: readonly Api[]): ReadonlyMap<string, ReadonlyMap<string, string>> {
  const refusing = apis.filter(({ apiName }) => heads.of.get(apiName)?.at(-1)?.refusedEntries);
  const { of } = useEach("get_settlement", refusing, (api) => [api.apiName, lastSequence(api)], { staleTime: Infinity });
  return new Map([...of].map(([apiName, { settlement }]) => [apiName, refusedIn(settlement)]));
}

export interface Subscribers {
  total: number;
  subscribers: readonly Subscriber[];
}

/** The first `wanted` of each, a hundred with each read. */
export function useSubscribers(apis: readonly Api[], wanted: number): ReadOfAll<Subscribers> & { isFetching: boolean } {
  const { contract, network } = usePlace();
  const client = useQueryClient();
  const urgent = apis.length === 1;
  const everyMs = Math.max(network.refreshMs * 3, apis.length * MS_FOR_EACH * 4);
  const results = useQueries({
    queries: apis.map(({ apiName }) => ({
      queryKey: [...viewKey(contract, "list_subscribers", [apiName]), wanted],
      queryFn: ({ signal }: { signal: AbortSignal }) =>
        contract ? readSubscribers(contract, apiName, wanted, { signal, urgent }) : Promise.reject(new Error("no contract")),
      enabled: contract !== null, staleTime: everyMs, refetchInterval: everyMs,
      placeholderData: () => formerOf<Subscribers>(client, viewKey(contract, "list_subscribers", [apiName])),
    })),
  });
  return {
    of: new Map(apis.flatMap(({ apiName }, i) => (results[i]?.data ? [[apiName, results[i].data] as const] : []))),
    missing: results.filter(({ data }) => data === undefined).length,
    error: results.find(({ error, data }) => error && data === undefined)?.error ?? null,
    isFetching: results.some(({ isPlaceholderData }) => isPlaceholderData),
  };
}

async function readSubscribers(contract: BillingContract, apiName: string, wanted: number, options: { signal: AbortSignal; urgent: boolean }): Promise<Subscribers> {
  const subscribers: Subscriber[] = [];
  for (;;) {
    const page = await contract.read("list_subscribers", [apiName, subscribers.length, PAGE], options);
    subscribers.push(...page.subscribers);
    if (subscribers.length >= Math.min(wanted, page.total) || page.subscribers.length === 0) return { total: page.total, subscribers };
  }
}
