// Tables as files for spreadsheets: RFC 4180. Column names are those of `api-billing`.
import { editableGen } from "./amounts";
import type { DayUsage } from "./answers";
import { isoDay } from "./history";

/** What a spreadsheet would take for a formula is a text. */
const field = (value: string | number | bigint): string => {
  const text = String(value);
  const harmless = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
};

export type Row = readonly (string | number | bigint)[];

export const csv = (heading: readonly string[], rows: readonly Row[]): string => [heading, ...rows].map((row) => `${row.map(field).join(",")}\r\n`).join("");

/** Usage of a consumer by day and API. */
export const usageCsv = (consumer: string, usage: readonly DayUsage[]): string =>
  csv(
    ["day", "consumer", "api", "calls", "spend_wei", "spend GEN"],
    usage.map(({ dayId, apiName, calls, spendWei }) => [isoDay(dayId), consumer, apiName, calls, spendWei, editableGen(spendWei)]),
  );
