// The TypeScript client of x402 as its users have it: reads orders from stdin, writes what it saw to stdout, JSON a line.

import { createInterface } from "node:readline";
import { x402Client, wrapFetchWithPayment } from "@x402/fetch";
import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/client";
import { FileClientChannelStorage } from "@x402/evm/batch-settlement/client/file-storage";
import { privateKeyToAccount } from "viem/accounts";

let scheme;
let pay;

// A client that knows nothing yet.
const begin = (told) => {
  const payer = privateKeyToAccount(told.payer);
  // A wallet that can read a chain answers for the constant contract what it is told.
  const wallet = told.reads ? { ...payer, readContract: async () => told.reads.map(BigInt) } : payer;
  const options = { voucherSigner: privateKeyToAccount(told.signer) };
  if (told.storage) options.storage = new FileClientChannelStorage({ directory: told.storage });
  if (told.salt) options.salt = told.salt;
  if (!told.deposits) options.depositStrategy = async () => false;
  scheme = new BatchSettlementEvmScheme(wallet, options);
  const client = new x402Client().register("eip155:*", scheme);
  client.setSpendControls(told.allow);
  pay = wrapFetchWithPayment(fetch, client);
  return {};
};

const ask = async ({ url, method = "GET", headers = {}, json, redirect }) => {
  const body = json === undefined ? undefined : JSON.stringify(json);
  if (body !== undefined) headers["content-type"] = "application/json";
  const answer = await pay(url, { method, headers, body, redirect });
  return { status: answer.status, fields: Object.fromEntries(answer.headers), body: await answer.text() };
};

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  let done;
  try {
    if (order.begin) done = begin(order.begin);
    else if (order.refund) done = await scheme.refund(order.refund);
    else done = await ask(order);
  } catch (error) {
    done = { error: `${error.name}: ${error.message}` };
  }
  console.log(JSON.stringify(done));
}
