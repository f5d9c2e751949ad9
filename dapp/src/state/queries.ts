// What pages read. A refresh of a page is one read of the contract; the rest is read when it changes, or when asked for.
import { keepPreviousData, partialMatchKey, QueryClient, useQueries, useQuery, useQueryClient, type UseQueryOptions, type UseQueryResult } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import type { Call } from "../actions/action";
import type { Fees } from "../chain/fees";
import { isStudio } from "../chain/networks";
import { rpc, NodeError } from "../chain/rpc";
import type { ArgumentsOf, BillingContract, ValueOf } from "../chain/contract";
import type { Api, DayUsage, Notice, UsageReport, VIEWS } from "../domain/answers";
import { toJson } from "../domain/json";
import type { Period } from "../domain/bars";
import { revisionOf, usageOf, windowsOf } from "../domain/history";
import { usePlace } from "./place";
import { useSigner } from "./signing";

export const queryClient = (): QueryClient =>
  new QueryClient({
    defaultOptions: {
      queries: {
        // The node may be on this machine, whatever the browser thinks of the internet.
        networkMode: "always",
        staleTime: 2_000,
        gcTime: 10 * 60_000,
        refetchOnWindowFocus: true,
        // What may get better by itself is tried again for ever: how often, the pace of the contract decides.
        retry: (_count, error) => error instanceof NodeError && error.isTransient,
        retryDelay: (count) => Math.min(250 * 2 ** count, 5_000),
      },
    },
  });

const NO_CONTRACT = new NodeError("no_contract", "no contract is chosen");

interface ReadingOptions {
  /** How often it is read anew while it is shown; never where not given. */
  everyMs?: number;
  /** How long an answer is taken as it is. */
  staleTime?: number;
  /** Nobody waits for it. */
  isPatient?: boolean;
  /** What is shown of other arguments until these are answered. */
  keepsFormer?: boolean;
}

/** What a view answers; it is not read as long as ``args`` is null. An accepted transaction makes some views stale, by their names. */
export function useView<M extends keyof typeof VIEWS>(
  method: M, args: ArgumentsOf<(typeof VIEWS)[M]> | null, options: ReadingOptions = {},
): UseQueryResult<ValueOf<(typeof VIEWS)[M]>> {
  return useQuery(viewQuery(usePlace().contract, method, args, options));
}

/** The same for several at once. */
export function viewQuery<M extends keyof typeof VIEWS>(
  contract: BillingContract | null, method: M, args: ArgumentsOf<(typeof VIEWS)[M]> | null, { everyMs, staleTime, isPatient = false, keepsFormer = false }: ReadingOptions = {},
): UseQueryOptions<ValueOf<(typeof VIEWS)[M]>> {
  return {
    queryKey: viewKey(contract, method, args ?? []),
    queryFn: ({ signal }) => (contract && args ? contract.read(method, args, { signal, urgent: !isPatient }) : Promise.reject(NO_CONTRACT)),
    enabled: contract !== null && args !== null,
    ...(everyMs === undefined ? {} : { refetchInterval: everyMs }),
    ...(staleTime === undefined ? {} : { staleTime }),
    ...(keepsFormer ? { placeholderData: keepPreviousData } : {}),
  } as UseQueryOptions<ValueOf<(typeof VIEWS)[M]>>;
}

/** Of a view with these arguments: where, of which contract, which view. */
export const viewKey = (contract: { url: string; address: string } | null, method: string, args: readonly unknown[]): readonly unknown[] =>
  ["contract", contract?.url ?? "", contract?.address ?? "", method, ...args.map(String)];

export function useReport(consumer: string): UseQueryResult<UsageReport> {
  const { contract, network, sawDay } = usePlace();
  const query = useQuery({
    queryKey: viewKey(contract, "get_usage_report", [consumer]),
    queryFn: ({ signal }) => (contract ? contract.report(consumer, { signal }) : Promise.reject(NO_CONTRACT)),
    enabled: contract !== null && consumer !== "",
    refetchInterval: network.refreshMs,
  });
  const day = query.data?.dayId;
  const { dataUpdatedAt } = query;
  useEffect(() => {
    if (day !== undefined) sawDay(day, dataUpdatedAt / 1000);
  }, [day, dataUpdatedAt, sawDay]);
  return query;
}

/** The notices up to number `count`, which the report tells; there is nothing to read while that stays the same. */
export function useNotices(consumer: string, count: number): UseQueryResult<Notice[]> {
  const { contract } = usePlace();
  return useQuery({
    queryKey: viewKey(contract, "list_notices", [consumer, count]),
    queryFn: ({ signal }) => (contract ? contract.read("list_notices", [consumer, 0], { signal }) : Promise.reject(NO_CONTRACT)),
    enabled: contract !== null && count > 0,
    staleTime: Infinity,
    placeholderData: (before) => before,
  });
}

export interface History {
  /** The oldest day first; also days beyond those asked for, as they came with them. */
  usage: readonly DayUsage[];
  /** How many reads have not been answered yet. */
  missing: number;
  error: unknown;
}

/** What a consumer used in these days. Past days are read once, today is in the report: a refresh reads nothing here. */
export function useHistory(report: UsageReport | undefined, days: Period): History {
  const { contract } = usePlace();
  const question = ({ first, last }: Period) => viewKey(contract, "get_usage_history", [report?.consumer, "", first, last]);
  const reading = ({ first, last }: Period, revision = "") => ({
    queryKey: [...question({ first, last }), report?.total, revision],
    queryFn: ({ signal }: { signal: AbortSignal }) =>
      contract && report ? contract.history(report.consumer, first, last, report.total, { signal, urgent: false }) : Promise.reject(NO_CONTRACT),
    enabled: contract !== null && report !== undefined,
    staleTime: Infinity,
  });
  const [newest = { first: 0, last: 0 }, ...older] = report ? windowsOf(days, report.dayId) : [];
  // Yesterday's usage may still change: what is shown of the same days stays until it is read anew.
  const first = useQuery({
    ...reading(newest, report && revisionOf(report)),
    placeholderData: (before, query) => (query && partialMatchKey(query.queryKey, question(newest)) ? before : undefined),
  });
  const results = [first, ...useQueries({ queries: older.map((each) => reading(each)) })];
  return {
    usage: report ? usageOf(results.map(({ data }) => data ?? []), report) : [],
    missing: results.filter(({ data }) => data === undefined).length,
    error: results.find(({ error }) => error)?.error ?? null,
  };
}

/** `isWatched`: it is what the page is about, and is refreshed. Else it is read anew when a report knows other prices. */
export function useApis(isWatched: boolean, isWanted = true, report?: UsageReport): UseQueryResult<Api[]> {
  const { contract, network } = usePlace();
  const client = useQueryClient();
  const query = useQuery({
    queryKey: viewKey(contract, "list_apis", []),
    queryFn: ({ signal }) => (contract ? contract.apis({ signal }) : Promise.reject(NO_CONTRACT)),
    enabled: contract !== null && isWanted,
    staleTime: isWatched ? 2_000 : 60_000,
    refetchInterval: isWatched ? network.refreshMs * 2 : false,
  });
  const other = query.data && report ? otherPrices(report, query.data) : "";
  useEffect(() => {
    if (other) void client.invalidateQueries({ queryKey: viewKey(contract, "list_apis", []) });
  }, [client, contract, other]);
  return query;
}

/** The prices of a report that are not those of the plans as they were read. */
const otherPrices = (report: UsageReport, apis: readonly Api[]): string =>
  report.apis.filter((line) => line.subscribed).flatMap(({ apiName, planName, costPerCallWei }) => {
    const plan = apis.find((api) => api.apiName === apiName)?.plans.find((each) => each.planName === planName);
    return plan?.costPerCallWei === costPerCallWei ? [] : [`${apiName} ${planName} ${costPerCallWei}`];
  }).join();

/** Reads these views once more, whatever their arguments, where they are shown. */
export function useReadAnew(views: readonly string[]): void {
  const client = useQueryClient();
  const { contract } = usePlace();
  const wanted = views.join();
  useEffect(() => {
    for (const method of wanted ? wanted.split(",") : []) void client.refetchQueries({ queryKey: viewKey(contract, method, []), type: "active" });
  }, [client, contract, wanted]);
}

/** GEN in the account itself, outside the contract; no read of the contract. */
export function useBalance(address: string) {
  const { url } = usePlace();
  return useQuery({
    queryKey: viewKey({ url, address: "" }, "balance", [address]),
    queryFn: async ({ signal }) => BigInt(String(await rpc(url, "eth_getBalance", [address, "latest"], signal))),
    enabled: url !== "" && address !== "",
  });
}

/** What the network may take for a call. ``free``: it takes nothing, or nothing is to be sent yet. */
export type Fee =
  | { state: "free" | "asking" }
  | { state: "known"; fees: Fees }
  | { state: "failed"; error: unknown; retry(): void };

const TYPING_MS = 300;

/** Asked of the node before it is signed, as soon as nobody types any more; never again from what was kept. */
export function useFee(call: Call | null): Fee {
  const { url, network, contract } = usePlace();
  const { own: account } = useSigner();
  const mayTake = isStudio(network) && url !== "" && account !== "";
  const prices = useQuery({
    queryKey: ["prices", url], enabled: mayTake, retry: false, staleTime: 60_000,
    queryFn: async ({ signal }) => (await import("../chain/fees")).askPrices(url, signal),
  });
  const wanted = call ? toJson([call.method, call.args, call.valueWei]) : "";
  const settled = useSettled(wanted, TYPING_MS);
  const isAsked = mayTake && Boolean(prices.data) && contract !== null && call !== null && wanted === settled;
  const fees = useQuery({
    queryKey: ["fees", url, call?.to ?? contract?.address, account, settled], enabled: isAsked, retry: false, gcTime: 0,
    queryFn: async ({ signal }) =>
      isAsked && prices.data
        ? (await import("../chain/fees")).askFees(url, { ...call, account, contract: call?.to ?? contract.address }, prices.data, signal)
        : Promise.reject(NO_CONTRACT),
  });
  if (!mayTake || call === null) return { state: "free" };
  if (prices.isFetching && prices.data === undefined) return { state: "asking" };
  if (prices.isError) return { state: "failed", error: prices.error, retry: () => void prices.refetch() };
  if (prices.data === null) return { state: "free" };
  if (!isAsked || (fees.isFetching && fees.data === undefined)) return { state: "asking" };
  if (fees.isError) return { state: "failed", error: fees.error, retry: () => void fees.refetch() };
  return fees.data ? { state: "known", fees: fees.data } : { state: "asking" };
}

/** The value, as soon as it has stayed the same for a while. */
function useSettled<T>(value: T, ms: number): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return settled;
}
