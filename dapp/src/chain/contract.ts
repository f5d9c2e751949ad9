// The billing contract's views. Every read is counted by the pace of this contract.
import * as answers from "../domain/answers";
import { callData, decode, fromHex, type Decoded, type Encodable } from "./calldata";
import { paceOf, type Pace } from "./pace";
import { NodeError, rpc } from "./rpc";

export interface ReadOptions {
  /** What somebody waits for goes first. */
  urgent?: boolean;
  signal?: AbortSignal;
}

const NOBODY = `0x${"0".repeat(40)}`;
const PAGE = 100;

/** What goes wrong with a view says whether the contract is there, and whether it is the billing contract. */
function asViewFailure(error: unknown): unknown {
  if (error instanceof answers.UnexpectedAnswer || error instanceof RangeError || error instanceof TypeError) {
    return new NodeError("wrong_contract", error.message);
  }
  if (!(error instanceof NodeError)) return error;
  if (error.failure === "not_found") return new NodeError("no_contract", error.message, error.code);
  if (error.failure === "rejected" && error.code === -32000) return new NodeError("wrong_contract", error.message, error.code);
  return error;
}

export class BillingContract {
  readonly pace: Pace;

  constructor(readonly url: string, readonly address: string) {
    this.pace = paceOf(url, address);
  }

  report = (consumer: string, options?: ReadOptions) =>
    this.read("get_usage_report", [consumer], answers.readReport, options);
  account = (consumer: string, options?: ReadOptions) => this.read("get_account", [consumer], answers.readAccount, options);
  history = (consumer: string, apiName: string, fromDay: number, toDay: number, options?: ReadOptions) =>
    this.read("get_usage_history", [consumer, apiName, fromDay, toDay], answers.listOf(answers.readDay), options);
  notices = (consumer: string, after: number, options?: ReadOptions) =>
    this.read("list_notices", [consumer, after], answers.listOf(answers.readNotice), options);
  earnings = (operator: string, options?: ReadOptions) =>
    this.read("get_earnings", [operator], answers.readEarnings, options);
  settlement = (apiName: string, sequence: number, options?: ReadOptions) =>
    this.read("get_settlement", [apiName, sequence], answers.readSettlementState, options);
  solvency = (options?: ReadOptions) => this.read("get_solvency", [], answers.readSolvency, options);

  /** All APIs, a hundred with each read. */
  async apis(options?: ReadOptions): Promise<answers.Api[]> {
    const found: answers.Api[] = [];
    for (;;) {
      const page = await this.read("list_apis", [found.length, PAGE], answers.readApiPage, options);
      found.push(...page.apis);
      if (found.length >= page.total || page.apis.length === 0) return found;
    }
  }

  private async read<T>(
    method: string, args: readonly Encodable[], read: (value: Decoded) => T, { urgent = true, signal }: ReadOptions = {},
  ): Promise<T> {
    await this.pace.take(urgent, signal);
    const request = {
      type: "read", to: this.address, from: NOBODY, data: callData(method, args), transaction_hash_variant: "latest-nonfinal",
    };
    try {
      const value = read(decode(fromHex(payloadOf(await rpc(this.url, "gen_call", [request], signal)))));
      this.pace.succeeded();
      return value;
    } catch (error) {
      if (error instanceof NodeError && (error.failure === "busy" || error.failure === "unreachable")) {
        this.pace.failed(error.failure);
      } else if (!signal?.aborted) {
        this.pace.succeeded();
      }
      throw asViewFailure(error);
    }
  }
}

/** Hexadecimal text; newer nodes wrap it into a record. */
function payloadOf(result: unknown): string {
  if (typeof result === "string") return result;
  const { data, status } = Object(result) as { data?: unknown; status?: { code?: unknown; message?: unknown } };
  if (status && Number(status.code) !== 0) throw new NodeError("rejected", String(status.message), -32000);
  if (typeof data === "string") return data;
  throw new answers.UnexpectedAnswer("the node's answer to a read has an unknown form");
}
