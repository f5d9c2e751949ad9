// The file that `api-billing usage prove` writes, checked here as `api-billing usage verify` checks it: with nothing of the
// operator's, and with the Merkle root that the contract keeps of the settlement. Loaded with the page of disputes.
import { sha256, toBytes } from "viem";
import type { Settlement } from "./answers";
import { exactGen, grouped } from "./amounts";
import { parseJson, toJson } from "./json";
import { isAddress, shortAddress } from "./names";
import { explain } from "./refusals";
import { dateOfDay, momentText } from "./time";

export interface UsageLine {
  recordId: string;
  api: string;
  account: string;
  consumer: string;
  atMs: bigint;
  units: bigint;
  chargedWei: bigint;
}

export interface Proof {
  contract: string;
  sequence: bigint;
  line: UsageLine;
  index: bigint;
  leafCount: bigint;
  path: readonly Uint8Array[];
  claimedRoot: string;
}

/** The text is no proof; the message says why. */
export class NoProof extends Error {}

/** ``forgotten``: it is consistent, but the contract keeps the last 64 settlements only. */
export interface Finding {
  status: "proven" | "false" | "forgotten";
  /** Whether all of the consumer's calls of that day in the settlement were billed. */
  billed: boolean;
  text: string;
}

const VERSION = 1n;
const MAX_LEAVES = 2n ** 40n;
export const MAX_FILE = 200_000;
const LAST_MS = 8_640_000_000_000_000n; // that a date can say
const DAY_MS = 86_400_000n;
const HASH = /^[0-9a-f]{64}$/i;
const KINDS = { version: "bigint", contract: "string", api: "string", sequence: "bigint", line: "object", index: "bigint", leaf_count: "bigint", path: "object" } as const;
const LINE = ["string", "string", "string", "string", "bigint", "bigint", "string"];

const no = (why: string): never => {
  throw new NoProof(why);
};

/** Throws NoProof. */
export function readProof(text: string): Proof {
  if (text.length > MAX_FILE) no("It is larger than any proof.");
  let parsed: unknown;
  try {
    parsed = parseJson(text.trim());
  } catch {
    no("It is not JSON, or has a number that is not whole.");
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) return no("It is not a JSON object.");
  const given = parsed as Readonly<Record<string, unknown>>;
  for (const [name, kind] of Object.entries(KINDS)) {
    const value = given[name];
    if (typeof value !== kind || (kind === "object" && !Array.isArray(value))) no(`It has no “${name}”, or one of another type.`);
  }
  const { version, contract, api, sequence, line, index, leaf_count: leafCount, path, root } = given as {
    version: bigint; contract: string; api: string; sequence: bigint; line: unknown[]; index: bigint; leaf_count: bigint; path: unknown[]; root?: unknown;
  };
  if (version !== VERSION) no(`It is of version ${version}; this page knows version ${VERSION}.`);
  if (line.length !== LINE.length || line.some((value, i) => typeof value !== LINE[i]) || !/^\d+$/.test(line[6] as string)) no("Its usage line has another form.");
  const [recordId, lineApi, account, consumer, atMs, units, charged] = line as [string, string, string, string, bigint, bigint, string];
  if (api !== lineApi || atMs < 0n || atMs > LAST_MS || leafCount < 1n || leafCount > MAX_LEAVES || sequence < 1n) no("Its numbers and names do not fit together.");
  if (!path.every((each) => typeof each === "string" && HASH.test(each))) no("Its path has something else than hashes of 32 bytes.");
  return {
    contract: contract.toLowerCase(), sequence, index, leafCount,
    path: path.map((each) => toBytes(`0x${each as string}`)),
    line: { recordId, api, account, consumer, atMs, units, chargedWei: BigInt(charged) },
    claimedRoot: typeof root === "string" ? root : "",
  };
}

/** Of whom the line is, as the contract knows them; empty for somebody who is not on the chain. */
export function consumerOf({ account }: UsageLine): string {
  const name = account.slice(account.lastIndexOf("/") + 1);
  return isAddress(name) ? name : "";
}

export const dayIdOf = ({ atMs }: UsageLine): number => Number(atMs / DAY_MS);

/** The same bytes in every language: a JSON array without spaces, the amount as a text. */
const bytesOf = ({ recordId, api, account, consumer, atMs, units, chargedWei }: UsageLine): Uint8Array =>
  new TextEncoder().encode(toJson([recordId, api, account, consumer, atMs, units, chargedWei.toString()]));

const joined = (...parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(parts.flatMap((part) => [...part]));
const leafHash = (line: Uint8Array): Uint8Array => sha256(joined(Uint8Array.of(0), line), "bytes");
const nodeHash = (left: Uint8Array, right: Uint8Array): Uint8Array => sha256(joined(Uint8Array.of(1), left, right), "bytes");

/** Whether the path leads from the line to this root: a tree as of RFC 6962. */
export function leadsTo({ line, path, ...place }: Proof, root: string): boolean {
  if (!HASH.test(root) || place.index < 0n || place.index >= place.leafCount) return false;
  let found = leafHash(bytesOf(line));
  let index = place.index;
  let used = 0;
  for (let last = place.leafCount - 1n; last > 0n; last /= 2n, index /= 2n) {
    const isRight = index % 2n === 1n;
    if (!isRight && index === last) continue;
    const sibling = path[used++];
    if (!sibling) return false;
    found = isRight ? nodeHash(sibling, found) : nodeHash(found, sibling);
  }
  return used === path.length && sha256(found) === sha256(toBytes(`0x${root}`));
}

/** What the proof is worth, by the settlement that the contract keeps. Null: it has none; ``forgotten``: none any more. */
export function judgeProof(proof: Proof, settlement: Settlement | null | "forgotten"): Finding {
  const fails = (text: string): Finding => ({ status: "false", billed: false, text });
  const { line, sequence } = proof;
  if (settlement === null) return fails(`The contract has no settlement ${sequence} of ${line.api}.`);
  if (settlement === "forgotten") {
    return leadsTo(proof, proof.claimedRoot)
      ? { status: "forgotten", billed: false, text: `The contract keeps the last 64 settlements of an API only, and settlement ${sequence} not any more: look its transaction up.` }
      : fails("The line does not lead to the root that the file itself names: the file was changed.");
  }
  if (!leadsTo(proof, settlement.usageRoot)) {
    return fails(`The line is not in settlement ${sequence}: it does not lead to the Merkle root that the contract keeps. The file was changed, or is of another settlement.`);
  }
  const mine = settlement.entries.filter((entry) => entry.consumer === consumerOf(line) && entry.dayId === dayIdOf(line));
  if (mine.length === 0) return fails(`Settlement ${sequence} has no entry of this consumer and day.`);
  const place = `It is line ${grouped(proof.index + 1n)} of ${grouped(proof.leafCount)} in settlement ${sequence}, whose Merkle root the contract keeps`;
  if (mine.some((entry) => entry.code === "")) return { status: "proven", billed: true, text: `${place}, and was billed.` };
  const reasons = [...new Set(mine.map((entry) => explain(entry.code).meaning.toLowerCase()))].join("; ");
  return { status: "proven", billed: false, text: `${place}. Of this consumer's usage of ${dateOfDay(dayIdOf(line))} a part was refused: ${reasons}.` };
}

const unitsText = (units: bigint): string => (units === 1n ? "" : ` (${grouped(units)} units)`);

/** What the line says, for a person. */
export function lineText(line: UsageLine): string {
  const { api, atMs, units, chargedWei } = line;
  const who = consumerOf(line) ? shortAddress(consumerOf(line)) : line.consumer;
  return `On ${momentText(Number(atMs / 1_000n))} ${api} counted one call${unitsText(units)} of ${who} for ${exactGen(chargedWei)} GEN.`;
}

/** The line as evidence in a claim: whoever has the file can find it there again. */
export const lineEvidence = ({ line, sequence, index, leafCount }: Proof, root: string): string =>
  `Proven usage line: request ${line.recordId}, ${new Date(Number(line.atMs)).toISOString()}, one call${unitsText(line.units)}, ${exactGen(line.chargedWei)} GEN; ` +
  `line ${index + 1n} of ${leafCount} of settlement ${sequence} of ${line.api}, usage root ${root}.`;
