// Vouchers of sessions, as src/api_billing/vouchers.py and the contract know them: EIP-712 typed data in the form of x402's
// batch settlement. Loaded when there is one to sign.
import { hashTypedData, recoverAddress, type Hex, type TypedData } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import type { ApiDetails, Session } from "../domain/answers";
import type { Voucher } from "../domain/session";
import type { Signing } from "./writing";

/** Between whom vouchers pay, and for what; ``salt`` tells the channels of a session apart. */
export interface Channel {
  payer: string;
  signer: string;
  receiver: string;
  contract: string;
  asset: string;
  chainId: number;
  salt: string;
}

/** It cannot be signed for here, or what was signed is of no use; the text says why. */
export class NoVoucher extends Error {}

const DOMAIN = { name: "x402 Batch Settlement", version: "1", verifyingContract: "0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003" } as const;
const WITHDRAW_DELAY_SECONDS = 900;
const HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n; // of secp256k1
const fields = (text: string) => text.split(",").map((each) => each.split(" ")).map(([type = "", name = ""]) => ({ type, name }));
const DOMAIN_FIELDS = fields("string name,string version,uint256 chainId,address verifyingContract");
const VOUCHER = fields("bytes32 channelId,uint128 maxClaimableAmount");
const CHANNEL = fields("address payer,address payerAuthorizer,address receiver,address receiverAuthorizer,address token,uint40 withdrawDelay,bytes32 salt");

/** Of what the contract says. Throws NoVoucher where it wants vouchers in another form, or a session has no key. */
export function channelOf(contract: string, { operator, asset, chainId, voucherDomain, apiName }: ApiDetails, { consumer, signer }: Pick<Session, "consumer" | "signer">, salt: string): Channel {
  const { name, version, verifyingContract, chainId: signedFor } = voucherDomain;
  const isOurs = name === DOMAIN.name && version === DOMAIN.version && String(verifyingContract).toLowerCase() === DOMAIN.verifyingContract.toLowerCase();
  if (!isOurs || Number(signedFor) !== chainId) throw new NoVoucher(`Vouchers of ${apiName} are signed in a form that is not known here.`);
  if (!signer) throw new NoVoucher(`There is no session with ${apiName}.`);
  return { payer: consumer, signer, receiver: operator, contract, asset, chainId, salt };
}

/** Its EIP-712 digest: 0x and 64 hex digits. */
export function channelId({ payer, signer, receiver, contract, asset, chainId, salt }: Channel): string {
  const message = {
    payer, payerAuthorizer: signer, receiver, receiverAuthorizer: contract, token: asset, withdrawDelay: WITHDRAW_DELAY_SECONDS, salt,
  };
  return hashTypedData({ domain: { ...DOMAIN, chainId }, types: { ChannelConfig: CHANNEL }, primaryType: "ChannelConfig", message });
}

/** What is signed; amounts as decimal digits, as it goes to wallets in JSON. */
export const typedVoucher = (channel: Channel, cumulativeWei: bigint) => ({
  types: { EIP712Domain: DOMAIN_FIELDS, Voucher: VOUCHER } as TypedData,
  domain: { ...DOMAIN, chainId: channel.chainId },
  primaryType: "Voucher",
  message: { channelId: channelId(channel), maxClaimableAmount: cumulativeWei.toString() },
});

/** Throws NoVoucher for a signature that the contract would not take; and what the wallet throws. */
export async function signVoucher(signing: Signing, channel: Channel, cumulativeWei: bigint): Promise<Voucher> {
  const typed = typedVoucher(channel, cumulativeWei);
  const signature = signing.kind === "key"
    ? await privateKeyToAccount(signing.key as Hex).signTypedData(typed)
    : await signing.provider.request({ method: "eth_signTypedData_v4", params: [signing.address, JSON.stringify(typed)] });
  const voucher = { salt: channel.salt, cumulativeWei, signature: inOneNotation(String(signature)) };
  if (!(await isSignedBy(channel, voucher))) {
    throw new NoVoucher(`What was signed is not the signature of ${channel.signer}. Signatures of contract wallets bill nothing: a session takes those of a key.`);
  }
  return voucher;
}

/** Whether the channel's signer signed it, by the rule of the contract: r, s in the lower half, v 27 or 28. */
export async function isSignedBy(channel: Channel, { salt, cumulativeWei, signature }: Voucher): Promise<boolean> {
  if (salt !== channel.salt || !/^0x[0-9a-f]{128}1[bc]$/.test(signature)) return false;
  if (BigInt(`0x${signature.slice(66, 130)}`) > HALF_ORDER) return false;
  const hash = hashTypedData(typedVoucher(channel, cumulativeWei));
  const signer = await recoverAddress({ hash, signature: signature as Hex }).catch(() => "");
  return signer.toLowerCase() === channel.signer.toLowerCase();
}

/** Some wallets, those of hardware above all, say v as 0 and 1. */
const inOneNotation = (signature: string): string =>
  signature.toLowerCase().replace(/^(0x[0-9a-f]{128})0([01])$/, (_all, rs: string, v: string) => rs + (v === "0" ? "1b" : "1c"));
