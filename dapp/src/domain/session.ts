// Vouchers as a person gets them: what they say, and in which form an API takes them.
import type { Session } from "./answers";
import { toJson } from "./json";

/** That so much in all may be billed of its channel since that began. */
export interface Voucher {
  /** 0x and 64 lower-case hex digits. */
  salt: string;
  cumulativeWei: bigint;
  /** 0x and 130 lower-case hex digits. */
  signature: string;
}

/** A voucher with what tells whose it is. */
export interface SignedVoucher extends Voucher {
  payer: string;
  signer: string;
  /** The operator, whom it pays. */
  receiver: string;
  apiName: string;
  channelId: string;
}

/** What is known of a channel: the contract hears of a voucher when it is settled. */
export interface KnownChannel {
  channelId: string;
  signedWei: bigint;
  billedWei: bigint;
  /** The highest that was signed here. */
  voucher: SignedVoucher | undefined;
}

export const withKept = (channels: Session["channels"], kept: readonly SignedVoucher[]): KnownChannel[] =>
  channels.map(({ channelId, signedWei, billedWei }) => {
    const voucher = kept.find((each) => each.channelId === channelId);
    return { channelId, billedWei, voucher, signedWei: voucher && voucher.cumulativeWei > signedWei ? voucher.cumulativeWei : signedWei };
  });

/** What can still be billed of them, but for one. */
export const openWei = (channels: readonly KnownChannel[], but = ""): bigint =>
  channels.reduce((sum, { channelId, signedWei, billedWei }) => (channelId === but ? sum : sum + signedWei - billedWei), 0n);

/** So many channels a session is billed of at most. */
export const MAX_CHANNELS = 16;
/** Of the main channel, which needs no remembering. */
export const NO_SALT = `0x${"0".repeat(64)}`;
export const VOUCHER_HEADER = "Payment-Voucher";

/** What a meter takes as the value of its header. */
export const credentialOf = ({ payer, salt, cumulativeWei, signature }: SignedVoucher): string => `${payer}.${salt}.${cumulativeWei}.${signature}`;

/** As `api-billing session sign` prints it; `settle_usage` takes its `voucher` as it is. */
export const jsonOfVoucher = (signed: SignedVoucher): string => toJson({
  channel_id: signed.channelId, signer: signed.signer,
  voucher: { salt: signed.salt, cumulative_wei: signed.cumulativeWei, signature: signed.signature },
  credential: credentialOf(signed),
});

export function newSalt(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  return `0x${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

export const channelName = ({ salt, channelId }: { salt: string; channelId: string }): string =>
  `${salt === NO_SALT ? "Main channel" : "Channel"} ${shortId(channelId)}`;
export const shortId = (channelId: string): string => `${channelId.slice(0, 8)}…${channelId.slice(-6)}`;
