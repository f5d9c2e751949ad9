// A wallet's day with viem: connect, pay, wait, speed up, cancel, follow logs, walk blocks; prints what it saw.
// node viem.mjs URL

import { createPublicClient, createWalletClient, defineChain, http, parseAbi } from "viem";
import { generatePrivateKey, nonceManager, privateKeyToAccount } from "viem/accounts";

const MAIN = "0xb7278A61aa25c888815aFC32Ad3cC52fF24fE575";
const RECIPIENT = "0x8888888888888888888888888888888888888888";
const GEN = 10n ** 18n;
const url = process.argv[2];
const chain = defineChain({
  id: 61_999,
  name: "localnet",
  nativeCurrency: { name: "GEN", symbol: "GEN", decimals: 18 },
  rpcUrls: { default: { http: [url] } },
});
const transport = http(url, { retryCount: 0 });
const node = createPublicClient({ chain, transport, pollingInterval: 20, cacheTime: 0 });
const server = createWalletClient({ chain, transport });
const account = privateKeyToAccount(generatePrivateKey());
const wallet = createWalletClient({ account, chain, transport });
const received = () => node.getBalance({ address: RECIPIENT });
const wait = (hash) => node.waitForTransactionReceipt({ hash });
const nameOf = async (work) => {
  try {
    await work();
    return "nothing";
  } catch (error) {
    const names = [];
    for (let cause = error; cause; cause = cause.cause) names.push(cause.name);
    return names;
  }
};
const [unlocked] = await server.getAddresses();
const seen = { chain: await node.getChainId() };

seen.funding = (await wait(await server.sendTransaction({ account: unlocked, to: account.address, value: GEN }))).status;
seen.balance = (await node.getBalance({ address: account.address })) === GEN;

const hash = await wallet.sendTransaction({ to: RECIPIENT, value: 5n });
const receipt = await wait(hash);
const found = await node.getTransaction({ hash });
seen.payment = {
  fields: [found.from.toLowerCase() === account.address.toLowerCase(), found.to, Number(found.value), found.nonce, found.input, found.chainId, found.type],
  block: [found.blockNumber === receipt.blockNumber, found.blockHash === receipt.blockHash, found.transactionIndex],
  byIndex: (await node.getTransaction({ blockNumber: receipt.blockNumber, index: 0 })).hash === hash,
  count: await node.getBlockTransactionCount({ blockHash: receipt.blockHash }),
  confirmed: (await node.getTransactionConfirmations({ hash })) > 0n,
};

seen.speedUp = await nameOf(() => wallet.sendTransaction({ to: RECIPIENT, value: 5n, nonce: 0, maxFeePerGas: 9n, maxPriorityFeePerGas: 9n }));
seen.cancel = await nameOf(() => wallet.sendTransaction({ to: account.address, value: 0n, nonce: 0, gasPrice: 9n }));
seen.receivedOnce = (await received()) === 5n;

// What cannot be paid fails, and is paid once when it can: also if it is sent again.
const request = await wallet.prepareTransactionRequest({ to: RECIPIENT, value: 2n * GEN, gas: 21_000n });
const serializedTransaction = await wallet.signTransaction(request);
seen.tooMuch = await nameOf(() => wallet.sendTransaction({ to: RECIPIENT, value: 2n * GEN }));
await wait(await server.sendTransaction({ account: unlocked, to: account.address, value: 2n * GEN }));
for (let time = 0; time < 2; time++) await node.sendRawTransaction({ serializedTransaction });
seen.paidAfterwards = (await received()) === 2n * GEN + 5n;

const abi = parseAbi(["event NewTransaction(bytes32 indexed txId, address indexed recipient, address indexed activator)"]);
const wanted = { address: MAIN, abi, eventName: "NewTransaction", args: { recipient: RECIPIENT } };
const filter = await node.createContractEventFilter({ ...wanted, fromBlock: 0n });
const blocks = await node.createBlockFilter();
const past = await node.getFilterLogs({ filter });
const other = privateKeyToAccount(generatePrivateKey(), { nonceManager });
await wait(await server.sendTransaction({ account: unlocked, to: other.address, value: 100n }));
const many = createWalletClient({ account: other, chain, transport });
const sent = await Promise.all([1n, 2n, 3n].map((value) => many.sendTransaction({ to: RECIPIENT, value })));
const logs = await node.getFilterChanges({ filter });
seen.filter = [past.length, logs.map((log) => log.args.txId).toSorted().join() === sent.toSorted().join()];
seen.blocks = (await node.getFilterChanges({ filter: blocks })).length;
seen.uninstalled = await node.uninstallFilter({ filter });

let follow;
const followed = new Promise((resolve) => (follow = resolve));
const stop = node.watchContractEvent({ ...wanted, onLogs: (found) => follow(found[0].args.recipient === RECIPIENT) });
seen.followed = null;
while (seen.followed === null) {
  await wait(await wallet.sendTransaction({ to: RECIPIENT, value: 1n }));
  seen.followed = await Promise.race([followed, node.getBlockNumber().then(() => null)]);
}
stop();

let number = await node.getBlockNumber();
let child = null;
while (number >= 0n) {
  const one = await node.getBlock({ blockNumber: number, includeTransactions: true });
  const fits = one.transactions.every((inside) => inside.blockHash === one.hash && inside.blockNumber === number);
  if (!fits || (child !== null && child.parentHash !== one.hash)) break;
  child = one;
  number -= 1n;
}
seen.walkedTo = Number(number);
const unknown = "0x" + "ab".repeat(32);
seen.unknown = [
  await nameOf(() => node.getTransaction({ hash: unknown })),
  await nameOf(() => node.getTransactionReceipt({ hash: unknown })),
];
console.log(JSON.stringify(seen));
process.exit(0);
