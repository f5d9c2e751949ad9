// Money is bigint wei everywhere; GEN appears only in what is shown and typed.

export const GEN = 10n ** 18n;
export const MAX_WEI = 2n ** 128n - 1n;
const DECIMALS = 18;
const SHOWN_DECIMALS = 6;
const SHOWN_OF_THOUSANDS = 2;
const SHOWN_WEI = 10n ** 12n;
const WRITTEN = /^(?:(\d{1,40})|(\d{1,3}(?:,\d{3}){1,12}))?(?:\.(\d{0,40}))?$/;

export class AmountError extends Error {}

const group = (digits: string): string => digits.replace(/\B(?=(\d{3})+$)/g, ",");

/** All digits, in GEN: `1,234.5`. */
export function exactGen(wei: bigint): string {
  const sign = wei < 0n ? "-" : "";
  const absolute = wei < 0n ? -wei : wei;
  const fraction = (absolute % GEN).toString().padStart(DECIMALS, "0").replace(/0+$/, "");
  return sign + group((absolute / GEN).toString()) + (fraction && `.${fraction}`);
}

/** All digits, each with as many decimals as the longest of these needs: for a column. */
export function alignedGen(all: readonly bigint[]): (wei: bigint) => string {
  const decimalsOf = (wei: bigint): string => exactGen(wei).split(".")[1] ?? "";
  const most = Math.max(0, ...all.map((wei) => decimalsOf(wei).length));
  return (wei) => `${exactGen(wei).split(".")[0]}${most ? "." : ""}${decimalsOf(wei).padEnd(most, "0")}`;
}

/**
 * In GEN with at most six decimals, two from a thousand on, cut off, never rounded up: what is shown is really there.
 * An amount too small for that is shown as "<0.000001".
 */
export function shortGen(wei: bigint): string {
  const [whole = "0", fraction = ""] = exactGen(wei).split(".");
  const shown = fraction.slice(0, whole.includes(",") ? SHOWN_OF_THOUSANDS : SHOWN_DECIMALS).replace(/0+$/, "");
  if (wei > 0n && whole === "0" && shown === "" && fraction !== "") return "<0.000001";
  return whole + (shown && `.${shown}`);
}

/** In GEN with at most six decimals, rounded up: no more than this. */
export const atMostGen = (wei: bigint): string => exactGen(((wei + SHOWN_WEI - 1n) / SHOWN_WEI) * SHOWN_WEI);

/** `12,345 wei` */
export const exactWei = (wei: bigint): string => `${wei < 0n ? "-" : ""}${group((wei < 0n ? -wei : wei).toString())} wei`;

/** Reads what a person types as GEN. Throws AmountError with what is wrong. */
export function parseGen(text: string): bigint {
  const trimmed = text.trim().replace(/\s*gen$/i, "");
  const match = WRITTEN.exec(trimmed);
  if (trimmed === "") throw new AmountError("Enter an amount in GEN.");
  const [, plain, grouped, fraction = ""] = match ?? [];
  if (!match || (plain === undefined && grouped === undefined && fraction === "")) {
    throw new AmountError("This is not an amount. Write it as 1.25.");
  }
  const decimals = fraction.replace(/0+$/, "");
  if (decimals.length > DECIMALS) throw new AmountError("GEN has 18 decimal places at most.");
  const whole = (plain ?? grouped ?? "0").replaceAll(",", "");
  const wei = BigInt(whole) * GEN + BigInt(decimals.padEnd(DECIMALS, "0"));
  if (wei > MAX_WEI) throw new AmountError("This is more than the contract can count.");
  return wei;
}

/** For an input field: no thousands separators. */
export const editableGen = (wei: bigint): string => exactGen(wei).replaceAll(",", "");

/** `part` of `whole` in thousandths, 0 to 1000; for bars only. Nothing but nothing is 0. */
export function share(part: bigint, whole: bigint): number {
  if (part <= 0n) return 0;
  const thousandths = whole > 0n ? (part * 1000n) / whole : 1000n;
  return Number(thousandths < 1n ? 1n : thousandths > 1000n ? 1000n : thousandths);
}

export const grouped = (count: bigint | number): string => group(count.toString());
