// The TypeScript client of x402 as its users have it: reads orders from stdin, writes what it saw to stdout, JSON a line.
// node by_x402.mjs CONFIGURATION

import { createInterface } from "node:readline";
import { x402Client, wrapFetchWithPayment } from "@x402/fetch";
import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/client";
import { FileClientChannelStorage } from "@x402/evm/batch-settlement/client/file-storage";
import { privateKeyToAccount } from "viem/accounts";

const told = JSON.parse(process.argv[2]);
const payer = privateKeyToAccount(told.payer);
// A wallet that can read a chain answers for the constant contract what it is told.
const wallet = told.reads ? { ...payer, readContract: async () => told.reads.map(BigInt) } : payer;
const options = { voucherSigner: privateKeyToAccount(told.signer) };
if (told.storage) options.storage = new FileClientChannelStorage({ directory: told.storage });
if (told.salt) options.salt = told.salt;
if (!told.deposits) options.depositStrategy = async () => false;
const scheme = new BatchSettlementEvmScheme(wallet, options);
const client = new x402Client().register("eip155:*", scheme);
if (told.allow !== undefined) client.setSpendControls(told.allow);
const pay = wrapFetchWithPayment(fetch, client);

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  let done;
  try {
    if (order.refund) done = await scheme.refund(order.refund);
    else {
      const { method = "GET", headers = {} } = order;
      const body = order.json === undefined ? undefined : JSON.stringify(order.json);
      if (body !== undefined) headers["content-type"] = "application/json";
      const answer = await pay(order.url, { method, headers, body });
      done = { status: answer.status, fields: Object.fromEntries(answer.headers), body: await answer.text() };
    }
  } catch (error) {
    done = { error: `${error.name}: ${error.message}` };
  }
  console.log(JSON.stringify(done));
}
