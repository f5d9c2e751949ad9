// Deploys the billing contract for `genlayer deploy`, run in the project's folder. It does what deploy/deploy.py does:
// deploys, waits, compares the code, calls the contract, and records it in deployments/<network>.json, where the
// command api-billing finds it. Run again with the same source it changes nothing.
//
// The Python of .venv makes what is deployed: the edition for the network's line of GenVM, in few bytes. The runner that it
// names can be given in API_BILLING_PIN. Only Node's own modules are imported: the script runs without a
// node_modules folder.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";

const CONTRACT = path.resolve("contracts", "api_usage_billing.py");
const PYTHON = path.resolve(".venv", "bin", "python");
const DIRECTORY = path.resolve(process.env.API_BILLING_DEPLOYMENTS || "deployments");
const RETRIES = 200;
const INTERVAL_MS = 3000;

type Hex = `0x${string}`;

interface Deployment {
  network: string;
  url: string;
  chain_id: number;
  address: string;
  transaction: string;
  deployer: string;
  deployed_at: string;
  code_sha256: string;
  code_bytes: number;
  source_sha256: string;
  source_bytes: number;
  minified: boolean;
  line?: string; // not in files of earlier versions: v0.2
}

// What of the client of genlayer-js is used here.
interface Client {
  account?: { address: string };
  chain: { id: number; name: string; rpcUrls: { default: { http: readonly string[] } } };
  deployContract(options: { code: string; args: unknown[]; leaderOnly: boolean }): Promise<Hex>;
  waitForTransactionReceipt(options: {
    hash: Hex;
    status: string;
    retries: number;
    interval: number;
  }): Promise<any>;
  readContract(options: { address: string; functionName: string; args: unknown[] }): Promise<any>;
  getContractCode?(address: string): Promise<string>;
}

export default async function main(client: Client): Promise<void> {
  const source = readFileSync(CONTRACT, "utf-8");
  const code = deployedForm(client);
  const file = path.join(DIRECTORY, `${networkName(client)}.json`);
  const earlier = readDeployment(file);
  const isThis =
    earlier?.source_sha256 === sha256(source) && (earlier.line ?? "v0.2") === lineOf(code);
  if (earlier && isThis && (await isSolvent(client, earlier.address))) {
    console.log(`\nnothing to do: this contract is at ${earlier.address}`);
    return;
  }

  console.log(
    `\nsource ${Buffer.byteLength(source)} bytes, deploying ${Buffer.byteLength(code)} bytes to ${client.chain.name}`,
  );
  const transaction = await client.deployContract({ code, args: [], leaderOnly: false });
  console.log(`transaction ${transaction}`);
  const receipt = await client.waitForTransactionReceipt({
    hash: transaction,
    status: "ACCEPTED",
    retries: RETRIES,
    interval: INTERVAL_MS,
  });

  const address = deployedAddress(receipt, transaction);
  await checkCode(client, address, code);
  if (!(await isSolvent(client, address))) {
    throw new Error(`the contract at ${address} does not answer as the billing contract`);
  }
  record(file, deployment(client, source, code, transaction, address));
  console.log(`deployed at ${address}\nrecorded in ${file}`);
}

function deployedForm(client: Client): string {
  if (!existsSync(PYTHON)) {
    throw new Error(`there is no ${PYTHON}, which makes the form that is deployed: run "make env-run" first`);
  }
  const network = ["--network", networkName(client), "--url", client.chain.rpcUrls.default.http[0]];
  return execFileSync(PYTHON, ["-m", "api_billing.contract_source", CONTRACT, ...network], { encoding: "utf-8" });
}

// Of GenVM, as the header says it that deployedForm has made.
function lineOf(code: string): string {
  return code.startsWith("# v0.3") ? "v0.3" : "v0.2";
}

// Accepted says that the validators agree; only the leader's result says that there is a contract.
function deployedAddress(receipt: any, transaction: string): string {
  const leader = [receipt.consensus_data?.leader_receipt].flat()[0];
  const result = leader?.execution_result ?? receipt.txExecutionResultName;
  if (result !== "SUCCESS" && result !== "FINISHED_WITH_RETURN") {
    throw new Error(`transaction ${transaction} did not execute: ${leader?.genvm_result?.stderr || result}`);
  }
  const address = receipt.data?.contract_address ?? receipt.txDataDecoded?.contractAddress;
  if (!address) {
    throw new Error(`transaction ${transaction} names no new contract`);
  }
  return address;
}

async function checkCode(client: Client, address: string, code: string): Promise<void> {
  let deployed: string;
  try {
    deployed = await client.getContractCode!(address);
  } catch {
    console.log("this network does not tell the code of a contract: not compared");
    return;
  }
  if (deployed !== code) {
    throw new Error(`the code at ${address} is not what was deployed`);
  }
}

async function isSolvent(client: Client, address: string): Promise<boolean> {
  try {
    const books = await client.readContract({ address, functionName: "get_solvency", args: [] });
    const surplus = books instanceof Map ? books.get("surplus_wei") : books.surplus_wei;
    return BigInt(surplus) >= 0n;
  } catch {
    return false;
  }
}

function deployment(
  client: Client,
  source: string,
  code: string,
  transaction: string,
  address: string,
): Deployment {
  return {
    network: networkName(client),
    url: client.chain.rpcUrls.default.http[0],
    chain_id: client.chain.id,
    address,
    transaction,
    deployer: client.account?.address ?? "",
    deployed_at: new Date().toISOString().replace(/\.\d+Z$/, "Z"),
    code_sha256: sha256(code),
    code_bytes: Buffer.byteLength(code),
    source_sha256: sha256(source),
    source_bytes: Buffer.byteLength(source),
    minified: true,
    line: lineOf(code),
  };
}

// The names that api-billing knows; those of genlayer-js are titles. The id tells Studio Next only among those of Studio.
function networkName(client: Client): string {
  const title = client.chain.name.toLowerCase();
  if (title.includes("bradbury")) return "testnet-bradbury";
  if (title.includes("asimov")) return "testnet-asimov";
  if (!title.includes("studio")) return "localnet";
  return client.chain.id === 61997 || title.includes("dev") ? "studio-next" : "studionet";
}

function readDeployment(file: string): Deployment | undefined {
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf-8")) : undefined;
}

function record(file: string, content: Deployment): void {
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(`${file}.new`, JSON.stringify(content, null, 2) + "\n");
  renameSync(`${file}.new`, file);
}

function sha256(text: string): string {
  return createHash("sha256").update(text, "utf-8").digest("hex");
}
