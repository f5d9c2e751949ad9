// A consumer's way through the billing contract with genlayer-js; prints what it saw as one JSON document.
// node billing.mjs URL CONTRACT_FILE

import { readFileSync } from "node:fs";
import { createAccount, createClient } from "genlayer-js";
import { localnet } from "genlayer-js/chains";

const [url, contractFile] = process.argv.slice(2);
const GEN = 10n ** 18n;
const PRICE = GEN / 100n;

const wait = { status: "ACCEPTED", interval: 100, retries: 100 };
const operator = createClient({ chain: localnet, endpoint: url, account: createAccount() });
const consumer = createClient({ chain: localnet, endpoint: url, account: createAccount() });
const who = consumer.account.address;

await consumer.fundAccount({ address: who, amount: 10 });
const deployment = await operator.deployContract({ code: readFileSync(contractFile, "utf-8"), args: [] });
const deployed = await operator.waitForTransactionReceipt({ hash: deployment, ...wait });
const address = deployed.data.contract_address;

const write = async (client, functionName, args, value = 0n) => {
  const hash = await client.writeContract({ address, functionName, args, value });
  return client.waitForTransactionReceipt({ hash, ...wait });
};
const read = (functionName, args) =>
  consumer.readContract({ address, functionName, args, jsonSafeReturn: true });

await write(operator, "register_api", ["weather", PRICE, 100, 0]);
const subscribed = await write(consumer, "subscribe", ["weather", GEN, 5n * GEN], 5n * GEN);
const billed = await write(consumer, "consume_credit", ["weather", who, 3]);
const refused = await write(consumer, "consume_credit", ["weather", who, 101]);
const withdrawal = await consumer.writeContract({
  address,
  functionName: "withdraw_credit",
  args: [GEN],
  value: 0n,
});
const withdrawn = await consumer.waitForTransactionReceipt({ hash: withdrawal, ...wait, status: "FINALIZED" });
let rejection = "";
try {
  await read("get_api", ["nobodys"]);
} catch (error) {
  rejection = String(error.details ?? error.message ?? error);
}

const execution = (receipt) => [receipt.consensus_data.leader_receipt].flat()[0].execution_result;
console.log(
  JSON.stringify({
    address,
    executions: [subscribed, billed, refused, withdrawn].map(execution),
    report: JSON.parse(await read("get_usage_report", [who])),
    api: await read("get_api", ["weather"]),
    triggered: withdrawn.triggered_transactions?.length ?? 0,
    methods: Object.keys((await consumer.getContractSchema(address)).methods).length,
    code: (await consumer.getContractCode(address)).length,
    rejection,
  }),
);
