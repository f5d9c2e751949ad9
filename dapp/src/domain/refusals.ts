// Why the contract refuses, in plain words. The table is that of src/api_billing/refusal_codes.py; a test compares them.
import table from "./refusals.json";

export interface Explanation {
  meaning: string;
  nextStep: string;
}

const TABLE = new Map<string, Explanation>(Object.entries(table));
const EXPECTED = /\[EXPECTED\] ([a-z0-9_]+): ?([^]*)/;

const sentence = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** A code that is not known here is shown as it is, without underscores. */
export function explain(code: string): Explanation {
  const known = TABLE.get(code);
  if (!known) return { meaning: sentence(code.replaceAll("_", " ")), nextStep: "" };
  return { meaning: sentence(known.meaning), nextStep: known.nextStep && `${sentence(known.nextStep)}.` };
}

export const isKnownCode = (code: string): boolean => TABLE.has(code);

/** Code and text of a contract's error wherever it stands in a message. */
export function splitRefusal(message: string): { code: string; text: string } | null {
  const found = EXPECTED.exec(message);
  return found ? { code: found[1] ?? "", text: (found[2] ?? "").trim() } : null;
}
