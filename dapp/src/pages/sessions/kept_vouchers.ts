// The highest voucher of each channel that was signed in this browser. The contract hears of a voucher when it is settled; until
// then nobody else can say what was signed.
import { useMemo, useSyncExternalStore } from "react";
import { kept as browserStorage, type Kept } from "../../browser/storage";
import type { SignedVoucher } from "../../domain/session";
import { parseJson, toJson } from "../../domain/json";
import { compare } from "../../ui/records";

export class VoucherStore {
  private readonly listeners = new Set<() => void>();

  constructor(private readonly storage: Kept = browserStorage) {}

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    window.addEventListener("storage", listener); // another tab
    return () => {
      this.listeners.delete(listener);
      window.removeEventListener("storage", listener);
    };
  };

  /** As text: the same as long as nothing has changed. ``asset`` stands for the API of one contract. */
  text = (asset: string, payer: string): string => `[${this.storage.names(nameOf(asset, payer)).sort().map((name) => this.storage.get(name)).join()}]`;

  /** Each has a name of its own, and none takes the place of a higher one: other tabs sign, too. */
  add(asset: string, voucher: SignedVoucher): void {
    const { payer, channelId, cumulativeWei } = voucher;
    const channel = `${nameOf(asset, payer)}${channelId}:`;
    this.storage.set(`${channel}${cumulativeWei}`, toJson(voucher));
    for (const name of this.storage.names(channel)) if (BigInt(name.slice(channel.length)) < cumulativeWei) this.storage.remove(name);
    for (const listener of this.listeners) listener();
  }
}

export const vouchers = new VoucherStore();

const nameOf = (asset: string, payer: string): string => `api-billing:voucher:${asset}:${payer}:`;

/** The highest one of each channel. */
export function readVouchers(text: string): SignedVoucher[] {
  try {
    const all = (parseJson(text) as SignedVoucher[]).sort((a, b) => compare(a.cumulativeWei, b.cumulativeWei));
    return [...new Map(all.map((each) => [each.channelId, each])).values()];
  } catch {
    return [];
  }
}

/** Of a session: those of other keys, or for other operators, are of no use. */
export type OfSession = { asset: string } & Pick<SignedVoucher, "payer" | "signer" | "receiver">;

/** For each of these sessions. */
export function useKeptVouchers(sessions: readonly OfSession[]): readonly (readonly SignedVoucher[])[] {
  const texts = useSyncExternalStore(vouchers.subscribe, () => toJson(sessions.map(({ asset, payer, signer, receiver }) => [signer, receiver, vouchers.text(asset, payer)])));
  return useMemo(() => (parseJson(texts) as [string, string, string][]).map(([signer, receiver, text]) =>
    readVouchers(text).filter((each) => each.signer === signer && each.receiver === receiver)), [texts]);
}
