// What the contract's views answer, checked. Amounts are bigint wei, `…At` unix seconds, days UTC. Fields beyond these are
// ignored, so that a later contract can still be read.
import { parseJson } from "./json";

/** An answer has another form than the contract's: what is at the address is no billing contract. */
export class UnexpectedAnswer extends Error {}

export interface Plan {
  planName: string;
  costPerCallWei: bigint;
  /** 0: none */
  dailyLimitCalls: bigint;
  /** 0: none */
  monthlyLimitCalls: bigint;
}

export interface Api {
  apiName: string;
  operator: string;
  /** Empty where nobody is proposed. */
  proposedOperator: string;
  active: boolean;
  plans: Plan[];
  meters: string[];
  nextSequence: bigint;
}

export interface ApiPage {
  total: number;
  apis: Api[];
}

export interface UsageLine {
  apiName: string;
  planName: string;
  callsToday: bigint;
  spendTodayWei: bigint;
  callsMonth: bigint;
  spendMonthWei: bigint;
  costPerCallWei: bigint;
  acceptedPriceWei: bigint;
  dailyLimitCalls: bigint;
  monthlyLimitCalls: bigint;
  maxDailySpendWei: bigint;
  /** null: no limit */
  callsLeftToday: bigint | null;
  spendLeftTodayWei: bigint;
  holdWei: bigint;
  holdExpiresAt: number;
  active: boolean;
  subscribed: boolean;
}

export interface UsageReport {
  consumer: string;
  dayId: number;
  creditWei: bigint;
  heldWei: bigint;
  lowCredit: boolean;
  /** How many there ever were. */
  notices: number;
  resetsAt: number;
  monthResetsAt: number;
  apis: UsageLine[];
}

export interface Account {
  creditWei: bigint;
  heldWei: bigint;
  toppedUpWei: bigint;
  alertPercent: number;
}

export interface DayUsage {
  dayId: number;
  calls: bigint;
  spendWei: bigint;
}

export interface Notice {
  number: number;
  at: number;
  kind: string;
  apiName: string;
  code: string;
  calls: bigint;
  amountWei: bigint;
}

export interface Earnings {
  earningsWei: bigint;
  withdrawnWei: bigint;
}

export interface SettledEntry {
  consumer: string;
  dayId: number;
  calls: bigint;
  spendWei: bigint;
  billedCalls: bigint;
  billedWei: bigint;
  code: string;
}

export interface Settlement {
  sequence: bigint;
  usageRoot: string;
  billedCalls: bigint;
  billedWei: bigint;
  settledAt: number;
  entries: SettledEntry[];
}

export interface SettlementState {
  nextSequence: bigint;
  settlement: Settlement | null;
}

export interface Solvency {
  balanceWei: bigint;
  owedWei: bigint;
  surplusWei: bigint;
}

class Fields {
  constructor(private readonly record: Record<string, unknown>, private readonly what: string) {}

  static of(value: unknown, what: string): Fields {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new UnexpectedAnswer(`${what} is no record`);
    }
    return new Fields(value as Record<string, unknown>, what);
  }

  private get<T>(name: string, accept: (value: unknown) => value is T): T {
    const value = this.record[name];
    if (!accept(value)) throw new UnexpectedAnswer(`${this.what} has no proper ${name}`);
    return value;
  }

  big = (name: string): bigint => this.get(name, (value) => typeof value === "bigint");
  text = (name: string): string => this.get(name, (value) => typeof value === "string");
  flag = (name: string): boolean => this.get(name, (value) => typeof value === "boolean");
  list = <T>(name: string, read: (value: unknown) => T): T[] =>
    this.get(name, (value): value is unknown[] => Array.isArray(value)).map(read);

  /** A number that is small by its nature: an instant, a day, a count of records. */
  number(name: string): number {
    const value = this.big(name);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new UnexpectedAnswer(`${this.what}: ${name} is too large`);
    return Number(value);
  }

  optional<T>(name: string, read: (value: unknown) => T): T | null {
    const value = this.record[name];
    return value === null ? null : read(value);
  }
}

const bigintOf = (value: unknown): bigint => {
  if (typeof value !== "bigint") throw new UnexpectedAnswer("a number was expected");
  return value;
};

const textOf = (value: unknown): string => {
  if (typeof value !== "string") throw new UnexpectedAnswer("a text was expected");
  return value;
};

export const listOf = <T>(read: (value: unknown) => T) => (value: unknown): T[] => {
  if (!Array.isArray(value)) throw new UnexpectedAnswer("a list was expected");
  return value.map(read);
};

const readPlan = (value: unknown): Plan => {
  const f = Fields.of(value, "a plan");
  return {
    planName: f.text("plan_name"),
    costPerCallWei: f.big("cost_per_call_wei"),
    dailyLimitCalls: f.big("daily_limit_calls"),
    monthlyLimitCalls: f.big("monthly_limit_calls"),
  };
};

export const readApi = (value: unknown): Api => {
  const f = Fields.of(value, "an API");
  return {
    apiName: f.text("api_name"),
    operator: f.text("operator"),
    proposedOperator: f.text("proposed_operator"),
    active: f.flag("active"),
    plans: f.list("plans", readPlan),
    meters: f.list("meters", textOf),
    nextSequence: f.big("next_sequence"),
  };
};

export const readApiPage = (value: unknown): ApiPage => {
  const f = Fields.of(value, "the list of APIs");
  return { total: f.number("total"), apis: f.list("apis", readApi) };
};

const readLine = (value: unknown): UsageLine => {
  const f = Fields.of(value, "a line of the report");
  return {
    apiName: f.text("api_name"),
    planName: f.text("plan_name"),
    callsToday: f.big("calls_today"),
    spendTodayWei: f.big("spend_today_wei"),
    callsMonth: f.big("calls_month"),
    spendMonthWei: f.big("spend_month_wei"),
    costPerCallWei: f.big("cost_per_call_wei"),
    acceptedPriceWei: f.big("accepted_price_wei"),
    dailyLimitCalls: f.big("api_daily_limit_calls"),
    monthlyLimitCalls: f.big("api_monthly_limit_calls"),
    maxDailySpendWei: f.big("consumer_max_daily_spend_wei"),
    callsLeftToday: f.optional("calls_left_today", bigintOf),
    spendLeftTodayWei: f.big("spend_left_today_wei"),
    holdWei: f.big("hold_wei"),
    holdExpiresAt: f.number("hold_expires_at"),
    active: f.flag("active"),
    subscribed: f.flag("subscribed"),
  };
};

/** `get_usage_report` answers JSON text. */
export function readReport(value: unknown): UsageReport {
  let parsed: unknown;
  try {
    parsed = parseJson(textOf(value));
  } catch (error) {
    if (error instanceof UnexpectedAnswer) throw error;
    throw new UnexpectedAnswer("the usage report is no JSON");
  }
  const f = Fields.of(parsed, "the usage report");
  return {
    consumer: f.text("consumer"),
    dayId: f.number("day_id"),
    creditWei: f.big("credit_balance_wei"),
    heldWei: f.big("held_wei"),
    lowCredit: f.flag("low_credit"),
    notices: f.number("notices"),
    resetsAt: f.number("resets_at"),
    monthResetsAt: f.number("month_resets_at"),
    apis: f.list("apis", readLine),
  };
}

export const readAccount = (value: unknown): Account => {
  const f = Fields.of(value, "the account");
  return {
    creditWei: f.big("credit_wei"),
    heldWei: f.big("held_wei"),
    toppedUpWei: f.big("topped_up_wei"),
    alertPercent: f.number("alert_percent"),
  };
};

export const readDay = (value: unknown): DayUsage => {
  const f = Fields.of(value, "a day");
  return { dayId: f.number("day_id"), calls: f.big("calls"), spendWei: f.big("spend_wei") };
};

export const readNotice = (value: unknown): Notice => {
  const f = Fields.of(value, "a notice");
  return {
    number: f.number("number"),
    at: f.number("at"),
    kind: f.text("kind"),
    apiName: f.text("api_name"),
    code: f.text("code"),
    calls: f.big("calls"),
    amountWei: f.big("amount_wei"),
  };
};

export const readEarnings = (value: unknown): Earnings => {
  const f = Fields.of(value, "the earnings");
  return { earningsWei: f.big("earnings_wei"), withdrawnWei: f.big("withdrawn_wei") };
};

const readEntry = (value: unknown): SettledEntry => {
  const f = Fields.of(value, "a settled entry");
  return {
    consumer: f.text("consumer"),
    dayId: f.number("day_id"),
    calls: f.big("calls"),
    spendWei: f.big("spend_wei"),
    billedCalls: f.big("billed_calls"),
    billedWei: f.big("billed_wei"),
    code: f.text("code"),
  };
};

const readSettlement = (value: unknown): Settlement => {
  const f = Fields.of(value, "a settlement");
  return {
    sequence: f.big("sequence"),
    usageRoot: f.text("usage_root"),
    billedCalls: f.big("billed_calls"),
    billedWei: f.big("billed_wei"),
    settledAt: f.number("settled_at"),
    entries: f.list("entries", readEntry),
  };
};

export const readSettlementState = (value: unknown): SettlementState => {
  const f = Fields.of(value, "the settlement");
  return { nextSequence: f.big("next_sequence"), settlement: f.optional("settlement", readSettlement) };
};

export const readSolvency = (value: unknown): Solvency => {
  const f = Fields.of(value, "the solvency");
  return { balanceWei: f.big("balance_wei"), owedWei: f.big("owed_wei"), surplusWei: f.big("surplus_wei") };
};
