// mppx with the smallest method `genlayer` that pays: reads orders from stdin, writes what it saw, JSON a line.
// Vouchers are signed by @x402/evm.

import { createInterface } from "node:readline";
import { computeChannelId, signVoucher } from "@x402/evm/batch-settlement/client";
import { Credential, Method, Receipt, z } from "mppx";
import { Mppx } from "mppx/client";
import { privateKeyToAccount } from "viem/accounts";

const salt = `0x${"0".repeat(64)}`;
let payer, signer, spent, accepted, required; // whose the session is; what receipts and a problem have told

const session = Method.from({
  name: "genlayer",
  intent: "session",
  schema: { credential: { payload: z.looseObject({}) }, request: z.looseObject({}) },
});
const method = Method.toClient(session, {
  context: z.object({ action: z.string() }),
  // One voucher that covers one more call, and is above all that was signed before: that may be public.
  async createCredential({ challenge, context: { action } }) {
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
    for (const least of [accepted + 1n, required]) if (cumulative < least) cumulative = least;
    const { signature } = await signVoucher(signer, channelId, String(cumulative), network);
    const payload = { action, channelId, cumulativeAmount: String(cumulative), salt, signature };
    return Credential.serialize({ challenge, payload, source: `did:pkh:${network}:${payer.address}` });
  },
});
const mppx = Mppx.create({ methods: [method], polyfill: false });

const begin = (told) => {
  payer = privateKeyToAccount(told.payer);
  signer = privateKeyToAccount(told.signer);
  spent = accepted = BigInt(told.accepted ?? 0);
  required = 0n;
  return {};
};

const ask = async ({ url, method: verb = "GET", headers = {}, json, action = "voucher" }) => {
  const body = json === undefined ? undefined : JSON.stringify(json);
  if (body !== undefined) headers["content-type"] = "application/json";
  const answer = await mppx.fetch(url, { method: verb, headers, body, context: { action } });
  const value = answer.headers.get("payment-receipt");
  if (value !== null) {
    const receipt = Receipt.deserialize(value);
    [spent, accepted] = [BigInt(receipt.spent), BigInt(receipt.acceptedCumulative)];
  }
  return { status: answer.status, fields: Object.fromEntries(answer.headers), body: await answer.text() };
};

const obey = async (order) => {
  const done = await ask(order);
  const told = done.status === 402 && JSON.parse(done.body).requiredCumulative;
  if (!told) return done;
  required = BigInt(told); // a stream has cost what its headers could not tell
  return ask(order);
};

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  let done;
  try {
    done = order.begin ? begin(order.begin) : await obey(order);
  } catch (error) {
    done = { error: `${error.name}: ${error.message}` };
  }
  console.log(JSON.stringify(done));
}
