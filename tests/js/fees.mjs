// What genlayer-js, which knows no fees, does where the network takes some; prints it as one JSON document.
// node fees.mjs URL CONTRACT

import { createAccount, createClient } from "genlayer-js";
import { localnet } from "genlayer-js/chains";

const [url, address] = process.argv.slice(2);
const client = createClient({ chain: localnet, endpoint: url, account: createAccount() });
console.error = console.warn = () => {}; // it prints each answer that is an error

await client.fundAccount({ address: client.account.address, amount: 10 });
let refusal = "";
try {
  await client.writeContract({ address, functionName: "register_api", args: ["weather", 1n, 100, 0], value: 0n });
} catch (error) {
  refusal = String(error.details ?? error.message ?? error);
}
const apis = await client.readContract({ address, functionName: "list_apis", args: [], jsonSafeReturn: true });
console.log(JSON.stringify({ refusal, apis }));
