// What a network with fees (consensus v0.6) takes for a transaction: asked of its node, and written down for the consensus
// contract. What is deposited and not used comes back when the transaction is final. Loaded when a dialog is opened.
import { encodeFunctionData, parseAbi } from "viem";
import { UnexpectedAnswer } from "../domain/reading";
import { callData, type Encodable } from "./calldata";
import { NodeError, rpc } from "./rpc";

export interface Prices {
  timeUnitWei: bigint;
  storageUnitWei: bigint;
  receiptGasWei: bigint;
  overlayBps: bigint;
  /** The least that may be set aside for execution. */
  floorWei: bigint;
}

type Distribution = Readonly<Record<(typeof DISTRIBUTION)[number], bigint | readonly bigint[]>>;

/** What a transaction deposits, and for what. */
export interface Fees {
  depositWei: bigint;
  distribution: Distribution;
  /** In the order of the consensus contract. */
  allocations: readonly (readonly unknown[])[];
}

/** In the order of the consensus contract. */
const DISTRIBUTION = [
  "leaderTimeunitsAllocation", "validatorTimeunitsAllocation", "appealRounds", "executionBudgetPerRound", "executionConsumed",
  "totalMessageFees", "rotations", "maxPriceGenPerTimeUnit", "storageFeeMaxGasPrice", "receiptFeeMaxGasPrice",
] as const;
const VALIDATORS = 5n, ROTATIONS = 3n, LEADER_TIME_UNITS = 100n, VALIDATOR_TIME_UNITS = 200n;
const WHOLE_BPS = 10_000n;
const EXECUTION_GAS = 100_000_000n;
const LEAST_EXECUTION_BUDGET = 500_000n;
const ROOT = 2n ** 256n - 1n;
/** Keccak of nothing: whatever is called. */
const ANY_CALL = "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470";

const WITHOUT = {
  5: parseAbi(["function addTransaction(address, address, uint256, uint256, bytes)"]),
  6: parseAbi(["function addTransaction(address, address, uint256, uint256, bytes, uint256)"]),
};
const WITH = parseAbi([
  "function addTransaction((address, address, uint256, uint256, uint256, uint256, uint256, (uint256, uint256, uint256, uint256, uint256, uint256, uint256[], uint256, uint256, uint256), bytes, (uint8, bool, uint256, address, bytes32, uint256, bytes)[]))",
]);
const NONE: Fees = {
  depositWei: 0n, allocations: [],
  distribution: Object.fromEntries(DISTRIBUTION.map((name) => [name, name === "rotations" ? [0n] : 0n])) as Distribution,
};

/** An integer or its text, decimal or with 0x. Throws UnexpectedAnswer. */
function whole(value: unknown): bigint {
  const text = String(value);
  if (["bigint", "number", "string"].includes(typeof value) && /^(\d+|0x[0-9a-f]+)$/i.test(text)) return BigInt(text);
  throw new UnexpectedAnswer(`the node tells fees in a form that is not known here: ${text.slice(0, 40)}`);
}

const fieldsOf = (value: unknown): Readonly<Record<string, unknown>> | null =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>) : null;

/** Null where there are no fees. Throws UnexpectedAnswer. */
export function readPrices(config: unknown): Prices | null {
  const told = fieldsOf(config);
  const policy = fieldsOf(told?.["policy"]);
  if (!told || told["enabled"] === false || (!policy && !told["enabled"])) return null;
  const receiptGasWei = whole(policy?.["receiptGasPrice"]);
  const floor = policy?.["messageFeeParamsBudgetFloor"] ?? told["messageFeeParamsBudgetFloor"];
  const prices: Prices = {
    timeUnitWei: whole(policy?.["genPerTimeUnit"]), storageUnitWei: whole(policy?.["storageUnitPrice"]), receiptGasWei,
    overlayBps: whole(policy?.["timeUnitOverlayBps"] ?? 0), floorWei: floor === undefined || floor === null ? 0n : whole(floor),
  };
  if (prices.overlayBps >= WHOLE_BPS) throw new UnexpectedAnswer(`the node tells an overlay of ${prices.overlayBps} ten thousandths`);
  return told["enabled"] || prices.timeUnitWei || prices.storageUnitWei || receiptGasWei ? prices : null;
}

/** What a node recommends. Throws UnexpectedAnswer. */
export function readFees(preset: unknown): Fees {
  const told = fieldsOf(preset);
  const distribution = fieldsOf(told?.["distribution"]);
  const allocations = told?.["messageAllocations"] ?? [];
  if (!distribution || !Array.isArray(allocations)) throw new UnexpectedAnswer("the node recommends no fees");
  const rotations = distribution["rotations"];
  return {
    depositWei: whole(told?.["feeValue"]),
    distribution: Object.fromEntries(DISTRIBUTION.map((name) =>
      [name, name === "rotations" ? (Array.isArray(rotations) ? rotations.map(whole) : [0n]) : whole(distribution[name] ?? 0)],
    )) as Distribution,
    allocations: allocations.map((each) => {
      const { messageType, onAcceptance, parentIndex, recipient, callKey, budget, feeParams } = fieldsOf(each) ?? {};
      return [
        /^(1|internal)$/i.test(String(messageType)) ? 1 : 0, Boolean(onAcceptance), whole(parentIndex ?? ROOT),
        String(recipient).toLowerCase(), String(callKey ?? ANY_CALL), whole(budget ?? 0), String(feeParams ?? "0x"),
      ];
    }),
  };
}

const withHeadroom = (wei: bigint): bigint => (wei * 12n + 9n) / 10n;
const most = (...all: readonly bigint[]): bigint => all.reduce((a, b) => (a > b ? a : b));

/** What it takes for the first round with all its rotations, its messages and no appeal. */
export function depositOf(distribution: Distribution, { overlayBps }: Prices): bigint {
  const [rotations = 0n] = distribution.rotations as readonly bigint[];
  const of = (name: (typeof DISTRIBUTION)[number]): bigint => distribution[name] as bigint;
  const units = of("leaderTimeunitsAllocation") + VALIDATORS * of("validatorTimeunitsAllocation");
  const time = (rotations + 1n) * units * (of("maxPriceGenPerTimeUnit") || 1n);
  const overlay = (time * overlayBps) / (WHOLE_BPS - overlayBps);
  return time + overlay + (rotations + 1n) * of("executionBudgetPerRound") + of("totalMessageFees");
}

/** What is offered for a call of which nothing is known yet. */
function proposal(prices: Prices): { distribution: Distribution; messageAllocations: []; feeValue: bigint } {
  const distribution: Distribution = {
    ...NONE.distribution,
    leaderTimeunitsAllocation: LEADER_TIME_UNITS,
    validatorTimeunitsAllocation: VALIDATOR_TIME_UNITS,
    executionBudgetPerRound: most(LEAST_EXECUTION_BUDGET, prices.floorWei, prices.receiptGasWei * EXECUTION_GAS),
    rotations: [ROTATIONS],
    maxPriceGenPerTimeUnit: withHeadroom(prices.timeUnitWei),
    storageFeeMaxGasPrice: withHeadroom(prices.storageUnitWei),
    receiptFeeMaxGasPrice: withHeadroom(prices.receiptGasWei),
  };
  return { distribution, messageAllocations: [], feeValue: depositOf(distribution, prices) };
}

/** The node's prices; null where it takes no fees, as one that does not know of any. */
export async function askPrices(url: string, signal?: AbortSignal): Promise<Prices | null> {
  try {
    return readPrices(await rpc(url, "sim_getFeeConfig", [], signal));
  } catch (error) {
    if (error instanceof NodeError && !error.isTransient) return null;
    throw error;
  }
}

export interface Planned {
  account: string;
  contract: string;
  method: string;
  args: readonly Encodable[];
  valueWei: bigint;
}

/** What to deposit for a call: the node simulates it. Throws NodeError, also what the contract would refuse. */
export async function askFees(url: string, planned: Planned, prices: Prices, signal?: AbortSignal): Promise<Fees> {
  const { account, contract, method, args, valueWei } = planned;
  const request = {
    type: "write", to: contract, from: account, data: callData(method, args), transaction_hash_variant: "latest-nonfinal",
    fees: proposal(prices), ...(valueWei ? { value: `0x${valueWei.toString(16)}` } : {}),
  };
  const told = fieldsOf(await rpc(url, "sim_estimateTransactionFees", [request], signal));
  return readFees(told?.["recommendedPreset"]);
}

export interface Added {
  sender: string;
  recipient: string;
  /** 0x text, as `callData` makes it. */
  data: string;
  valueWei: bigint;
  /** Unix seconds; after that a transaction with fees that still waits is cancelled, and all comes back. */
  validUntil: number;
}

/** The call of the consensus contract, whose method takes so many parameters. Where there are fees it takes one. */
export function addTransaction(added: Added, parameters: number, fees: Fees | null): `0x${string}` {
  const { sender, recipient, data, valueWei, validUntil } = added;
  const plain = [sender, recipient, VALIDATORS, ROTATIONS, data];
  if (!fees && parameters === 5) return encodeFunctionData({ abi: WITHOUT[5], args: plain as never });
  if (!fees && parameters === 6) return encodeFunctionData({ abi: WITHOUT[6], args: [...plain, 0n] as never });
  const { distribution, allocations } = fees ?? NONE;
  const values = [
    sender, recipient, VALIDATORS, ROTATIONS, BigInt(validUntil), 0n, valueWei,
    DISTRIBUTION.map((name) => distribution[name]), data, allocations,
  ];
  return encodeFunctionData({ abi: WITH, args: [values] as never });
}
