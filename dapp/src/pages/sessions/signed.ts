// What a consumer has signed in sessions: as the contract knows it, and this browser.
import { useQueries, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import type { ApiUsage, Session, UsageReport } from "../../domain/answers";
import { meteredOf } from "../../domain/left";
import type { Unbilled } from "../../domain/outlook";
import { MAX_CHANNELS, openWei, withKept, type KnownChannel, type SignedVoucher } from "../../domain/session";
import { usePlace } from "../../state/place";
import { viewKey, viewQuery } from "../../state/queries";
import { useKeptVouchers } from "./kept_vouchers";

/** Of more sessions than these it is asked when they are opened. */
const MOST = 4;
const SELDOM = { staleTime: 60_000, isPatient: true };

export interface Signed {
  session: Session | undefined;
  /** Those that this session was billed of, and those that were signed for here: earlier sessions may have been billed of them. */
  channels: readonly KnownChannel[] | undefined;
  kept: readonly SignedVoucher[];
}

export const NOTHING: Signed = { session: undefined, channels: undefined, kept: [] };

/** Of the sessions of these lines. */
export function useSigned(consumer: string, lines: readonly ApiUsage[]): readonly Signed[] {
  const { contract } = usePlace();
  const client = useQueryClient();
  const apis = useQueries({ queries: lines.map(({ apiName }) => viewQuery(contract, "get_api", [apiName], SELDOM)) });
  const sessions = useQueries({ queries: lines.map(({ apiName }) => viewQuery(contract, "get_session", [consumer, apiName], SELDOM)) });
  const kept = useKeptVouchers(lines.map(({ signer }, i) => ({ asset: apis[i]?.data?.asset ?? "", payer: consumer, signer, receiver: apis[i]?.data?.operator ?? "" })));
  const others = sessions.flatMap(({ data }, i) => !data ? [] : (kept[i] ?? [])
    .filter(({ channelId }) => !data.channels.some((each) => each.channelId === channelId)).slice(-MAX_CHANNELS).map(({ channelId }) => ({ i, apiName: data.apiName, channelId })));
  const read = useQueries({ queries: others.map(({ apiName, channelId }) => viewQuery(contract, "get_session", [consumer, apiName, channelId], SELDOM)) });
  const seen = lines.map(({ apiName, settlements, holdWei, holdExpiresAt, signer }) => `${apiName} ${settlements} ${holdWei} ${holdExpiresAt} ${signer}`).join();
  useEffect(() => { // a settlement, which the report tells, has changed them
    void client.invalidateQueries({ queryKey: viewKey(contract, "get_session", [consumer]) }, { cancelRefetch: false });
  }, [client, contract, consumer, seen]);
  return lines.map((_, i) => {
    const session = sessions[i]?.data;
    const more = read.filter((_each, at) => others[at]?.i === i).map(({ data }) => data?.channels);
    const isRead = session && apis[i]?.data && more.every((each) => each);
    return { session, kept: kept[i] ?? [], channels: isRead ? withKept([...session.channels, ...more.flatMap((each) => each ?? [])], kept[i] ?? []) : undefined };
  });
}

/** What of that the sessions in force still pay, and of how much that is signed for them. */
export function useUnbilled(report: UsageReport, now: number): { unbilled: Unbilled; signedWei: bigint } {
  const lines = report.apis.filter((line) => meteredOf(line, now)?.kind === "session").slice(0, MOST);
  const signed = useSigned(report.consumer, lines);
  const unbilled = new Map(lines.flatMap(({ apiName, holdWei }, i) => {
    const channels = signed[i]?.channels;
    return channels ? [[apiName, atMost(openWei(channels), holdWei)] as const] : [];
  }));
  return { unbilled, signedWei: signed.flatMap(({ channels }) => channels ?? []).reduce((sum, each) => sum + each.signedWei, 0n) };
}

export const atMost = (wei: bigint, most: bigint): bigint => (wei < most ? wei : most);
