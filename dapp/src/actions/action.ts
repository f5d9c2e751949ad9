// An action is a form: its fields, what they must be, what will be sent, and what that brings about. No I/O.
import type { Encodable } from "../chain/calldata";
import { AmountError, exactGen, parseGen } from "../domain/amounts";
import { fromFieldValue } from "../domain/time";
import { isAddress, isName, isPage } from "../domain/names";

export interface Choice {
  value: string;
  label: string;
}

export interface Field {
  name: string;
  label: string;
  /** ``text``: of several lines; its reader is `FormReader.words`. */
  kind: "gen" | "count" | "name" | "address" | "choice" | "moment" | "text" | "url";
  initial: string;
  hint?: string;
  choices?: readonly Choice[];
  /** Of a text, in characters as the contract counts them. */
  maxLength?: number;
  /** What an amount can be at most: a button fills it in. ``balance``: what the signer has, but for the network's fee. */
  max?: bigint | "balance";
  /** Price of a call: besides an amount stands how many calls it pays. */
  priceWei?: bigint;
  /** Whose calls those are. */
  priceName?: string;
}

export interface Call {
  /** Another contract than the billing contract: a court. */
  to?: string;
  method: string;
  args: readonly Encodable[];
  valueWei: bigint;
  /** What it does, for the list of transactions: "Top up 5 GEN". */
  title: string;
}

export interface Checked {
  errors: Readonly<Record<string, string>>;
  /** What will happen, sentence by sentence. */
  effects: readonly string[];
  call: Call | null;
}

export interface Action {
  title: string;
  intro: string;
  submit: string;
  isDangerous?: boolean;
  fields: readonly Field[];
  /** Views whose answers it offers: they are read anew when its form opens. */
  views?: readonly string[];
  check(values: Readonly<Record<string, string>>): Checked;
}

const MAX_CALLS = 2n ** 48n - 1n;

/** Reads the fields of a form and collects what is wrong with them. */
export class FormReader {
  readonly errors: Record<string, string> = {};

  constructor(private readonly values: Readonly<Record<string, string>>) {}

  text = (name: string): string => (this.values[name] ?? "").trim();

  /** Wei of an amount in GEN; 0n besides an error. */
  gen(name: string, least: bigint, tooLittle: string, empty?: bigint): bigint {
    if (this.text(name) === "" && empty !== undefined) return empty;
    try {
      const wei = parseGen(this.text(name));
      if (wei < least) this.fail(name, tooLittle);
      return wei;
    } catch (error) {
      if (!(error instanceof AmountError)) throw error;
      this.fail(name, error.message);
      return 0n;
    }
  }

  /** A text of several lines. */
  words(name: string, most: number, empty = ""): string {
    const text = this.text(name);
    if (text === "" && empty) this.fail(name, empty);
    if (lengthOf(text) > most) this.fail(name, `These are ${number(BigInt(lengthOf(text)))} characters; ${number(BigInt(most))} are the most.`);
    return text;
  }

  count(name: string, least: bigint, tooLittle: string): bigint {
    const text = this.text(name).replaceAll(",", "") || "0";
    if (!/^\d{1,20}$/.test(text)) return this.fail(name, "Enter a whole number.");
    const value = BigInt(text);
    if (value < least) return this.fail(name, tooLittle);
    if (value > MAX_CALLS) return this.fail(name, "This is more than the contract counts.");
    return value;
  }

  name(name: string): string {
    const text = this.text(name).toLowerCase();
    if (text === "") this.fail(name, "Enter a name.");
    else if (!isName(text)) this.fail(name, "Use a-z, 0-9, dot, dash and underscore; begin with a letter or digit; 64 at most.");
    return text;
  }

  address(name: string): string {
    const text = this.text(name);
    if (!isAddress(text)) this.fail(name, "An address is 0x and 40 hex digits.");
    return text.toLowerCase();
  }

  moment(name: string, now: number, latest: number, tooLate: string): number {
    const at = fromFieldValue(this.text(name));
    if (Number.isNaN(at)) this.fail(name, "Enter date and time.");
    else if (at <= now) this.fail(name, "This is in the past.");
    else if (at > latest) this.fail(name, tooLate);
    return at;
  }

  /** An https page, as the contracts take them, or nothing. */
  page(name: string): string {
    const text = this.text(name);
    if (!isPage(text)) this.fail(name, "A page begins with https:// and has 200 characters at most, none of them a space.");
    return text;
  }

  fail(name: string, text: string): bigint {
    this.errors[name] ??= text;
    return 0n;
  }

  /** The call and its effects, or the errors alone. */
  result(make: () => { call: Call; effects: readonly string[] }): Checked {
    if (Object.keys(this.errors).length) return { errors: this.errors, effects: [], call: null };
    return { errors: {}, ...make() };
  }
}

/** In characters, as the contract counts them: those beyond the first plane once. */
export const lengthOf = (text: string): number => [...text].length;
export const gen = (wei: bigint): string => `${exactGen(wei)} GEN`;
export const number = (count: bigint): string => count.toString().replace(/\B(?=(\d{3})+$)/g, ",");
export const limitText = (count: bigint, period: string): string =>
  count === 0n ? `no limit a ${period}` : `${number(count)} ${count === 1n ? "call" : "calls"} a ${period}`;
