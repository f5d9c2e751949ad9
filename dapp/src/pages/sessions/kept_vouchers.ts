// The highest voucher of each channel that was signed in this browser. The contract hears of a voucher when it is settled; until
// then nobody else can say what was signed.
import { useMemo, useSyncExternalStore } from "react";
import { kept as browserStorage, type Kept } from "../../browser/storage";
import type { SignedVoucher } from "../../domain/session";
import { parseJson, toJson } from "../../domain/json";

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
  text = (asset: string, payer: string): string => this.storage.get(nameOf(asset, payer)) ?? "[]";

  add(asset: string, voucher: SignedVoucher): void {
    const others = readVouchers(this.text(asset, voucher.payer)).filter((each) => each.channelId !== voucher.channelId);
    this.storage.set(nameOf(asset, voucher.payer), toJson([...others, voucher]));
    for (const listener of this.listeners) listener();
  }
}

export const vouchers = new VoucherStore();

const nameOf = (asset: string, payer: string): string => `api-billing:vouchers:${asset}:${payer}`;

export function readVouchers(text: string): SignedVoucher[] {
  try {
    return parseJson(text) as SignedVoucher[];
  } catch {
    return [];
  }
}

/** Of one key for one operator: those of others are of no use. */
export function useKeptVouchers(asset: string, payer: string, signer: string, receiver: string): readonly SignedVoucher[] {
  const text = useSyncExternalStore(vouchers.subscribe, () => vouchers.text(asset, payer));
  return useMemo(() => readVouchers(text).filter((each) => each.signer === signer && each.receiver === receiver), [text, signer, receiver]);
}
