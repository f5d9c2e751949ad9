// A wallet's day with ethers: connect, pay, wait, speed up, cancel, follow logs, walk blocks; prints what it saw.
// node ethers.mjs URL

import { Contract, Interface, JsonRpcProvider, NonceManager, Wallet } from "ethers";

const MAIN = "0xb7278A61aa25c888815aFC32Ad3cC52fF24fE575";
const RECIPIENT = "0x7777777777777777777777777777777777777777";
const GEN = 10n ** 18n;
// Answers are not kept: what was just sent counts.
const provider = new JsonRpcProvider(process.argv[2], undefined, { pollingInterval: 20, cacheTimeout: -1 });
const unlocked = await provider.getSigner(0);
const wallet = Wallet.createRandom(provider);
const received = () => provider.getBalance(RECIPIENT);
const codeOf = async (work) => {
  try {
    await work();
    return "nothing";
  } catch (error) {
    return error.code;
  }
};
const seen = { chain: Number((await provider.getNetwork()).chainId) };

// The transaction that an unlocked account sends is looked for until it is found.
const funding = await unlocked.sendTransaction({ to: wallet.address, value: GEN });
await funding.wait();
seen.funding = [funding.from === unlocked.address, funding.value === GEN, funding.data];
seen.balance = (await provider.getBalance(wallet.address)) === GEN;

const payment = await wallet.sendTransaction({ to: RECIPIENT, value: 5n });
const receipt = await payment.wait();
const found = await provider.getTransaction(payment.hash);
seen.payment = {
  fields: [found.from === wallet.address, found.to, Number(found.value), found.nonce, found.data, Number(found.chainId)],
  signature: found.signature.serialized === payment.signature.serialized,
  block: [found.blockNumber === receipt.blockNumber, found.blockHash === receipt.blockHash, found.index],
  confirmed: (await found.confirmations()) > 0,
};

seen.speedUp = await codeOf(() => wallet.sendTransaction({ to: RECIPIENT, value: 5n, nonce: 0, gasPrice: 9n }));
seen.cancel = await codeOf(() => wallet.sendTransaction({ to: wallet.address, value: 0n, nonce: 0, gasPrice: 9n }));
seen.otherChain = await codeOf(async () => {
  const fields = { to: RECIPIENT, value: 5n, nonce: 1, gasLimit: 21_000n, gasPrice: 0n, chainId: 1 };
  await provider.broadcastTransaction(await wallet.signTransaction(fields));
});
seen.receivedOnce = (await received()) === 5n;

// What cannot be paid fails, and is paid once when it can: also if it is sent again.
const large = await wallet.signTransaction(await wallet.populateTransaction({ to: RECIPIENT, value: 2n * GEN, gasLimit: 21_000n }));
seen.tooMuch = await codeOf(() => provider.broadcastTransaction(large));
await (await unlocked.sendTransaction({ to: wallet.address, value: 2n * GEN })).wait();
for (let time = 0; time < 2; time++) await provider.broadcastTransaction(large);
seen.paidAfterwards = (await received()) === 2n * GEN + 5n;
seen.tooMuchUnlocked = await codeOf(() => unlocked.sendTransaction({ to: RECIPIENT, value: 10n ** 30n }));

const main = new Contract(MAIN, ["event NewTransaction(bytes32 indexed txId, address indexed recipient, address indexed activator)"], provider);
const toRecipient = main.filters.NewTransaction(null, RECIPIENT);
const past = await main.queryFilter(toRecipient, 0);
seen.past = past.map((log) => log.args.txId === log.transactionHash);
const filter = await provider.send("eth_newFilter", [{ address: MAIN, topics: await toRecipient.getTopicFilter() }]);
const sender = new NonceManager(wallet);
const sent = [await sender.sendTransaction({ to: RECIPIENT, value: 1n }), await sender.sendTransaction({ to: RECIPIENT, value: 1n })];
for (const one of sent) await one.wait();
const changes = await provider.send("eth_getFilterChanges", [filter]);
seen.filter = [changes.map((log) => sent.findIndex((one) => one.hash === log.transactionHash)), await provider.send("eth_uninstallFilter", [filter])];
const event = new Promise((resolve) => main.once(toRecipient, resolve));
const block = new Promise((resolve) => provider.once("block", resolve));
// Polling has begun when the provider has asked for a filter and a block; the payments go on until one is seen.
let followed = null;
while (followed === null) {
  await (await wallet.sendTransaction({ to: RECIPIENT, value: 1n })).wait();
  followed = await Promise.race([event, provider.getBlockNumber().then(() => null)]);
}
seen.followed = [followed.args.recipient === RECIPIENT, (await block) > 0];

// A payment with data.
const data = new Interface(["function hello(uint256)"]).encodeFunctionData("hello", [5]);
seen.data = (await (await unlocked.sendTransaction({ to: RECIPIENT, value: 1n, data })).wait()).status === 1;

let number = await provider.getBlockNumber();
let child = null;
while (number >= 0) {
  const one = await provider.getBlock(number, true);
  const fits = one.prefetchedTransactions.every((inside) => inside.blockHash === one.hash && inside.blockNumber === number);
  if (!fits || (child !== null && child.parentHash !== one.hash)) break;
  child = one;
  number -= 1;
}
seen.walkedTo = number;
const unknown = "0x" + "ab".repeat(32);
seen.unknown = [await provider.getTransaction(unknown), await provider.getTransactionReceipt(unknown), await provider.getBlock(9_999_999)];
console.log(JSON.stringify(seen));
process.exit(0);
