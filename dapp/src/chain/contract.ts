// The views of the contracts. Every read is counted by the pace of its contract.
import { COURT_VIEWS, VIEWS, type Api, type DayUsage, type Earnings, type UsageReport } from "../domain/answers";
import { answerTo, UnexpectedAnswer, type View } from "../domain/reading";
import { callData, decode, fromHex, type Encodable } from "./calldata";
import { paceOf, type Pace } from "./pace";
import { NodeError, rpc } from "./rpc";

export interface ReadOptions {
  /** What somebody waits for goes first. */
  urgent?: boolean;
  signal?: AbortSignal;
}

const NOBODY = `0x${"0".repeat(40)}`;
const PAGE = 100;
/** What is summed of a part would be told as that of all. */
const TORN = new NodeError("rejected", "Its answers do not fit together: there should be more.");

/** What goes wrong with a view says whether the contract is there, and whether it is the billing contract. */
function asViewFailure(error: unknown): unknown {
  if (error instanceof UnexpectedAnswer || error instanceof RangeError || error instanceof TypeError) {
    return new NodeError("wrong_contract", error.message);
  }
  if (!(error instanceof NodeError)) return error;
  if (error.failure === "not_found") return new NodeError("no_contract", error.message, error.code);
  if (error.failure === "rejected" && error.code === -32000) return new NodeError("wrong_contract", error.message, error.code);
  return error;
}

type Views = Readonly<Record<string, View<readonly (string | number | bigint | undefined)[], unknown>>>;
export type ArgumentsOf<V> = V extends { args?: infer A } ? NonNullable<A> : never;
export type ValueOf<V> = V extends { read: (value: unknown) => infer T } ? T : never;

/** The views of a contract by their names, each with what it takes and answers. */
class ContractReader<V extends Views> {
  readonly pace: Pace;

  constructor(readonly url: string, readonly address: string, private readonly views: V) {
    this.pace = paceOf(url, address);
  }

  async read<M extends keyof V & string>(method: M, args: ArgumentsOf<V[M]>, { urgent = true, signal }: ReadOptions = {}): Promise<ValueOf<V[M]>> {
    await this.pace.take(urgent, signal);
    const request = {
      type: "read", to: this.address, from: NOBODY, data: callData(method, args as unknown as readonly Encodable[]), transaction_hash_variant: "latest-nonfinal",
    };
    try {
      const told = decode(fromHex(payloadOf(await rpc(this.url, "gen_call", [request], signal))));
      const value = answerTo(this.views[method] as V[M], args as unknown as readonly Encodable[], told) as ValueOf<V[M]>;
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

export class BillingContract extends ContractReader<typeof VIEWS> {
  constructor(url: string, address: string) {
    super(url, address, VIEWS);
  }

  /** With all subscriptions, a hundred with each read. */
  async report(consumer: string, options?: ReadOptions): Promise<UsageReport> {
    const report = await this.read("get_usage_report", [consumer], options);
    while (report.apis.length < report.total) {
      const page = await this.read("get_usage_report", [consumer, report.apis.length], options);
      if (page.apis.length === 0) throw TORN;
      report.apis.push(...page.apis);
    }
    return report;
  }

  /** Of at most 31 days, of all `total` subscriptions, a hundred with each read. */
  async history(consumer: string, first: number, last: number, total: number, options?: ReadOptions): Promise<DayUsage[]> {
    const found = await this.read("get_usage_history", [consumer, "", first, last], options);
    for (let offset = PAGE; offset < total; offset += PAGE) found.push(...(await this.read("get_usage_history", [consumer, "", first, last, offset], options)));
    return found;
  }

  /** With what waits of all `total` APIs of the operator, a hundred with each read. */
  async earnings(operator: string, total: number, options?: ReadOptions): Promise<Earnings> {
    const found = await this.read("get_earnings", [operator], options);
    for (let offset = PAGE; offset < total; offset += PAGE) found.apis.push(...(await this.read("get_earnings", [operator, offset], options)).apis);
    return found;
  }

  /** All APIs, a hundred with each read. */
  async apis(options?: ReadOptions): Promise<Api[]> {
    const found: Api[] = [];
    for (;;) {
      const page = await this.read("list_apis", [found.length, PAGE], options);
      found.push(...page.apis);
      if (found.length >= page.total) return found;
      if (page.apis.length === 0) throw TORN;
    }
  }
}

export class CourtContract extends ContractReader<typeof COURT_VIEWS> {
  constructor(url: string, address: string) {
    super(url, address, COURT_VIEWS);
  }
}

/** Hexadecimal text; newer nodes wrap it into a record. */
function payloadOf(result: unknown): string {
  if (typeof result === "string") return result;
  const { data, status } = Object(result) as { data?: unknown; status?: { code?: unknown; message?: unknown } };
  if (status && Number(status.code) !== 0) throw new NodeError("rejected", String(status.message), -32000);
  if (typeof data === "string") return data;
  throw new UnexpectedAnswer("the node's answer to a read has an unknown form");
}
