// mppx with the smallest method `genlayer` that pays: reads orders from stdin, writes what it saw, JSON a line.
// Vouchers are signed by @x402/evm. node by_mppx.mjs CONFIGURATION

import { createInterface } from "node:readline";
import { computeChannelId, signVoucher } from "@x402/evm/batch-settlement/client";
import { Credential, Method, Receipt, z } from "mppx";
import { Mppx } from "mppx/client";
import { privateKeyToAccount } from "viem/accounts";

const told = JSON.parse(process.argv[2]);
const payer = privateKeyToAccount(told.payer);
const signer = privateKeyToAccount(told.signer);
const salt = told.salt ?? `0x${"0".repeat(64)}`;
let spent = BigInt(told.spent ?? 0);
let accepted = BigInt(told.accepted ?? 0);

const session = Method.from({
  name: "genlayer",
  intent: "session",
  schema: { credential: { payload: z.looseObject({}) }, request: z.looseObject({}) },
});
const method = Method.toClient(session, {
  context: z.object({ action: z.string() }),
  // One voucher that covers one more call, and is above all that was signed before: that may be public.
  async createCredential({ challenge, context }) {
    const { action = "voucher" } = context ?? {};
    const { amount, recipient, methodDetails: details } = challenge.request;
    const network = `eip155:${details.chainId}`;
    const config = {
      payer: payer.address,
      payerAuthorizer: signer.address,
      receiver: recipient,
      receiverAuthorizer: details.escrowContract,
      token: details.asset,
      withdrawDelay: details.withdrawDelay,
      salt,
    };
    const channelId = computeChannelId(config, network);
    let cumulative = spent + (action === "voucher" ? BigInt(amount) : 0n);
    if (cumulative <= accepted) cumulative = accepted + 1n;
    const { signature } = await signVoucher(signer, channelId, String(cumulative), network);
    const type = action === "open" ? { type: "hash" } : {};
    const payload = { action, channelId, cumulativeAmount: String(cumulative), salt, signature, ...type };
    return Credential.serialize({ challenge, payload, source: `did:pkh:${network}:${payer.address}` });
  },
});
const mppx = Mppx.create({ methods: [method], polyfill: false });

for await (const line of createInterface({ input: process.stdin })) {
  const { url, method: verb = "GET", headers = {}, json, action = "voucher" } = JSON.parse(line);
  let done;
  try {
    const body = json === undefined ? undefined : JSON.stringify(json);
    if (body !== undefined) headers["content-type"] = "application/json";
    const answer = await mppx.fetch(url, { method: verb, headers, body, context: { action } });
    const value = answer.headers.get("payment-receipt");
    if (value !== null) {
      const receipt = Receipt.deserialize(value);
      [spent, accepted] = [BigInt(receipt.spent), BigInt(receipt.acceptedCumulative)];
    }
    done = { status: answer.status, fields: Object.fromEntries(answer.headers), body: await answer.text() };
  } catch (error) {
    done = { error: `${error.name}: ${error.message}` };
  }
  console.log(JSON.stringify(done));
}
