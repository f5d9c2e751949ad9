// Sending. Loaded with the first transaction, not before; so is genlayer-js, which is needed for testnets alone.
import { keccak256, toEventSelector } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { alone } from "../browser/alone";
import { callData, type Encodable } from "./calldata";
import { readClock, REAL } from "./clock";
import { heardOf, NotTaken, SentButLost } from "./errors";
import { addTransaction, type Fees } from "./fees";
import { chainOf, confirmChain, type Provider } from "./injected";
import { isStudio, type Network } from "./networks";
import { NodeError, rpc } from "./rpc";

export type Signing = { kind: "key"; key: string } | { kind: "wallet"; provider: Provider; address: string };

export interface Sending {
  network: Network;
  url: string;
  chainId: number;
  contract: string;
  method: string;
  args: readonly Encodable[];
  valueWei: bigint;
  /** Null where the network takes none. */
  fees: Fees | null;
  signing: Signing;
  /** Called as soon as the hash is known: with a key before anything leaves this machine. */
  onHash(hash: string): void;
}

type Hex = `0x${string}`;

/** Of Studio and localnets, where they do not tell it themselves. */
export const KNOWN_CONSENSUS = { address: "0xb7278A61aa25c888815aFC32Ad3cC52fF24fE575", parameters: 5 };
const TAKEN = ["NewTransaction(bytes32,address,address)", "CreatedTransaction(bytes32,uint256)"].map((event) => toEventSelector(event) as string);
const VALID_SECONDS = 3_600;
const RECEIPT_MS = 120_000;

export const newKey = (): string => generatePrivateKey();
export const addressOfKey = (key: string): string => privateKeyToAccount(key as Hex).address.toLowerCase();

export async function send(sending: Sending): Promise<void> {
  const { network, url, chainId, signing, onHash } = sending;
  if (chainOf(chainId) === 0) throw new Error("The node has not said which chain it is. Nothing was sent.");
  if (isStudio(network)) {
    const sent = await inTurn(sending, () => (signing.kind === "key" ? sendSigned(sending, signing.key) : sendByWallet(sending, signing)));
    onHash(sent);
    const id = await idOf(url, sent, network.pollMs);
    if (id !== sent) onHash(id);
  } else if (signing.kind === "wallet") {
    const { sendOnTestnet } = await import("./testnet");
    await inTurn(sending, () => sendOnTestnet(sending, signing));
  } else {
    throw new Error("Keys of this browser are for localnets only.");
  }
}

/** An account's transactions have numbers: each is handed over before the next one asks for its own. */
const inTurn = <T>({ url, chainId, signing }: Sending, work: () => Promise<T>): Promise<T> =>
  alone(`api-billing:sending:${url}|${signing.kind === "key" ? addressOfKey(signing.key) : signing.address}`, async () => {
    if (signing.kind === "wallet") await confirmChain(signing.provider, chainId);
    return work();
  });

/** On Studio and the localnet the hash of the signed bytes is the transaction's: kept before it is sent, it is never lost. */
async function sendSigned(sending: Sending, key: string): Promise<string> {
  const { to, data, value, nonce, gas, chainId } = await prepared(sending, addressOfKey(key));
  const transaction = { type: "legacy", to, data, value, nonce, gas, chainId, gasPrice: 0n } as const;
  const raw = await privateKeyToAccount(key as Hex).signTransaction(transaction);
  sending.onHash(keccak256(raw));
  return String(await rpc(sending.url, "eth_sendRawTransaction", [raw]));
}

async function sendByWallet(sending: Sending, { provider, address }: { provider: Provider; address: string }): Promise<string> {
  const { to, data, value, nonce, gas, chainId } = await prepared(sending, address);
  const numbers = { value: hex(value), nonce: hex(nonce), gas: hex(gas), chainId: hex(chainId), gasPrice: "0x0", type: "0x0" };
  return String(await provider.request({ method: "eth_sendTransaction", params: [{ from: address, to, data, ...numbers }] }).catch(heardOf));
}

const hex = (number: bigint | number): string => `0x${number.toString(16)}`;

async function prepared({ url, chainId, contract, method, args, valueWei, fees }: Sending, sender: string) {
  const { address, parameters } = await consensusContract(url);
  const { offset } = await readClock(url).catch(orIfRefused(REAL));
  // The clock of a localnet may be ahead.
  const validUntil = Math.floor(Date.now() / 1_000) + Math.max(offset, 0) + VALID_SECONDS;
  const data = addTransaction({ sender, recipient: contract, data: callData(method, args), valueWei, validUntil }, parameters, fees);
  const value = valueWei + (fees?.depositWei ?? 0n);
  const nonce = Number(await rpc(url, "eth_getTransactionCount", [sender, "latest"]));
  const gas = BigInt(String(await rpc(url, "eth_estimateGas", [{ from: sender, to: address, data, value: hex(value) }])));
  return { to: address as Hex, data, value, nonce, gas, chainId };
}

/** Its address, and how many parameters its method takes. */
async function consensusContract(url: string): Promise<{ address: string; parameters: number }> {
  const told = Object(await rpc(url, "sim_getConsensusContract", ["ConsensusMain"]).catch(orIfRefused(null))) as {
    address?: unknown;
    abi?: { name?: unknown; inputs?: unknown[] }[];
  };
  const forms = told.abi?.filter(({ name }) => name === "addTransaction").map(({ inputs }) => inputs?.length ?? 0) ?? [];
  return typeof told.address === "string" && forms.length ? { address: told.address, parameters: Math.max(...forms) } : KNOWN_CONSENSUS;
}

/** What counts where the node does not know a method. */
const orIfRefused = <T>(otherwise: T) => (error: unknown): T => {
  if (error instanceof NodeError && !error.isTransient) return otherwise;
  throw error;
};

/** The id that the consensus contract has given it. */
async function idOf(url: string, sent: string, pollMs: number): Promise<string> {
  const receipt = await receiptOf(url, sent, pollMs).catch((error: unknown) => { throw new SentButLost(sent, error); });
  if (Number(receipt.status) !== 1) {
    throw new NotTaken(String(receipt.revertReason ?? receipt.error ?? "The consensus contract did not take it."));
  }
  const logged = receipt.logs?.find(({ topics }) => TAKEN.includes(String(topics?.[0]).toLowerCase()));
  return String(logged?.topics?.[1] ?? sent);
}

interface Receipt {
  status?: unknown;
  revertReason?: unknown;
  error?: unknown;
  logs?: { topics?: unknown[] }[];
}

async function receiptOf(url: string, sent: string, pollMs: number): Promise<Receipt> {
  for (const deadline = Date.now() + RECEIPT_MS; Date.now() < deadline; ) {
    const receipt = await rpc(url, "eth_getTransactionReceipt", [sent]);
    if (receipt) return receipt;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  throw new Error("there is no receipt");
}
