// What a meter says, in words.
import { grouped } from "../domain/amounts";
import { explain } from "../domain/refusals";
import { DAY_SECONDS, dateText } from "../domain/time";
import { MeterError, type Comparison, type Reconciliation } from "./client";
import refusals from "./refusals.json";

export interface Currency {
  currency: string;
  currencyDecimals: number;
}

export const isGen = ({ currency, currencyDecimals }: Currency): boolean => currency === "GEN" && currencyDecimals === 18;

/** All digits: `1,234.5 USD`. */
export function amountText(units: bigint, { currency, currencyDecimals }: Currency): string {
  const [absolute, one] = [units < 0n ? -units : units, 10n ** BigInt(currencyDecimals)];
  const fraction = (absolute % one).toString().padStart(currencyDecimals, "0").replace(/0+$/, "");
  return `${units < 0n ? "-" : ""}${grouped(absolute / one)}${fraction && `.${fraction}`} ${currency}`;
}

const REFUSALS = new Map<string, { title: string; detail: string }>(Object.entries(refusals));

/** Why the meter refuses a request. The table is that of src/api_billing/metering/request/problems.py; a test compares them. */
export const refusalWords = (code: string): { title: string; detail: string } => REFUSALS.get(code) ?? { title: explain(code).meaning, detail: "" };

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
const dayName = (day: string): string => dateText(Number(day) * DAY_SECONDS);

/** Reasons of `metering/settlement/reconcile.py`; one that is not known is told as it is. */
const REASONS: readonly [RegExp, (...found: string[]) => string][] = [
  [/^not in a batch yet$/, () => "Waits for the next batch"],
  [/^in a batch being cut$/, () => "In a batch that is being made"],
  [/^built, not sent$/, () => "In a batch that was not sent yet"],
  [/^sent, outcome not known$/, () => "In a batch that was sent, and whose outcome is not known yet"],
  [/^refused: (\w+)$/, (code) => `Refused by the contract: ${explain(code).meaning.toLowerCase()}`],
  [/^written off$/, () => "Written off: it is never billed"],
  [/^retried on day (\d+) instead of (\d+)$/, (day, instead) => `Billed on ${dayName(day)}, used on ${dayName(instead)}`],
  [/^billed by the outbox, but not on chain$/, () => "The meter has it as billed, the chain does not: an appeal may have undone it"],
];

export function reasonWords(reason: string): string {
  const [, what = reason, batch = ""] = /^(.*?)(?: \(batch (\d+)\))?$/.exec(reason) ?? [];
  for (const [pattern, words] of REASONS) {
    const found = pattern.exec(what);
    if (found) return `${words(...found.slice(1))}${batch && ` (batch ${batch})`}`;
  }
  return capital(reason);
}

export const isZeroLine = ({ meteredCalls, chainCalls, differenceWei, unexplainedWei, why }: Comparison): boolean =>
  meteredCalls === chainCalls && differenceWei === 0n && unexplainedWei === 0n && why.length === 0;

/** What a reconciliation comes to. */
export function verdictOf({ zero, closed, lines, unknownSettlements }: Reconciliation): { tone: "info" | "warn" | "stop"; title: string } {
  const differing = lines.filter((line) => !isZeroLine(line)).length;
  const of = `${differing} of ${lines.length} ${lines.length === 1 ? "line" : "lines"}`;
  if (zero) return { tone: "info", title: "Zero: all that was counted is billed, and nothing else" };
  if (closed) return { tone: "info", title: `All that differs was written off, in ${of}` };
  if (unknownSettlements > 0n || lines.some(({ unexplainedWei }) => unexplainedWei !== 0n)) return { tone: "stop", title: `Meter and chain differ in ${of}, and not all of it is explained` };
  return { tone: "warn", title: `Meter and chain differ in ${of}, all of it explained` };
}

/** What to do where a meter is not read. `origin`: of this page. */
export function troubleOf(error: unknown, url: string, origin: string): { title: string; text: string } {
  if (!(error instanceof MeterError)) return { title: "Something went wrong in this page", text: String(error) };
  switch (error.failure) {
    case "wrong_token": return { title: "The meter does not take this token", text: "It takes its admin token, API_BILLING_ADMIN_TOKEN; not that of services, nor an API key." };
    case "closed": return { title: "The meter does not answer this page", text: `It is there, but lets no page of ${origin} ask. Start it with API_BILLING_ADMIN_ORIGINS=${origin} and an admin token.` };
    case "silent": return { title: "Nothing answers there", text: `${url} does not answer. Is the meter running, and may this browser reach it?${origin.startsWith("https:") && url.startsWith("http:") ? " Browsers keep pages of https from asking addresses of http." : ""}` };
    case "unavailable": return { title: "The meter does not work at the moment", text: error.message || "Its store does not answer. This goes on by itself when it is back." };
    case "not_a_meter": return { title: "No meter of this version answers there", text: `${url} answers, but not as an HTTP meter with an admin token does. ${error.message}`.trim() };
    case "refused": return { title: "The meter refuses", text: error.message };
  }
}
