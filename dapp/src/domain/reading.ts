// Checked answers: each reader takes what a node said and gives it back typed, or throws. Fields beyond those that a record
// names are left out, so that a later contract can still be read.
import { parseJson } from "./json";
import { isName } from "./names";
import { LAST_DAY, LAST_INSTANT } from "./time";

/** An answer has another form than the contract's: what is at the address is no billing contract. */
export class UnexpectedAnswer extends Error {}

export type Reader<T> = (value: unknown) => T;
export type AnswerOf<R> = R extends Reader<infer T> ? T : never;

type Camel<S extends string> = S extends `${infer Head}_${infer Tail}` ? `${Head}${Capitalize<Camel<Tail>>}` : S;
type Fields = Readonly<Record<string, Reader<unknown>>>;
type Record_<F extends Fields> = { [K in keyof F & string as Camel<K>]: AnswerOf<F[K]> };

const camel = (name: string): string => name.replace(/_(.)/g, (_all, letter: string) => letter.toUpperCase());

const of = <T>(what: string, accepts: (value: unknown) => value is T): Reader<T> => (value) => {
  if (!accepts(value)) throw new UnexpectedAnswer(`${what} was expected`);
  return value;
};

export const text = of("a text", (value) => typeof value === "string");
export const flag = of("yes or no", (value) => typeof value === "boolean");
/** Of an API or a plan; empty where there is none. */
export const name = of("a name", (value): value is string => value === "" || (typeof value === "string" && isName(value)));
/** Empty where there is none. */
export const address: Reader<string> = (value) => {
  if (!/^(0x[0-9a-f]{40})?$/i.test(text(value))) throw new UnexpectedAnswer("an address was expected");
  return text(value).toLowerCase();
};
const whole = of("a number", (value) => typeof value === "bigint");
export const within = <T>(least: bigint, most: bigint | number, as: (value: bigint) => T): Reader<T> => (value) => {
  if (whole(value) < least || whole(value) > BigInt(most)) throw new UnexpectedAnswer(`a number from ${least} to ${most} was expected`);
  return as(whole(value));
};
const MOST = 2n ** 256n;
/** An amount in wei, or a count that has no bound. */
export const big = within(0n, MOST, BigInt);
export const signed = within(-MOST, MOST, BigInt);
const list = of("a list", (value): value is unknown[] => Array.isArray(value));
const fieldsOf = of("a record", (value): value is Readonly<Record<string, unknown>> => typeof value === "object" && value !== null && !Array.isArray(value));

/** A number that is small by its nature: a size. */
export const number = within(0n, Number.MAX_SAFE_INTEGER, Number);
/** In unix seconds. */
export const instant = within(0n, LAST_INSTANT, Number);
/** UTC days after 1970-01-01. */
export const day = within(0n, LAST_DAY, Number);

export const anything: Reader<Readonly<Record<string, unknown>>> = fieldsOf;
export const nullable = <T>(read: Reader<T>): Reader<T | null> => (value) => (value === null ? null : read(value));
export const listOf = <T>(read: Reader<T>): Reader<T[]> => (value) => list(value).map(read);

/** Fields as the contract names them, given back in camel case. */
export const record = <F extends Fields>(what: string, fields: F): Reader<Record_<F>> => {
  const named = Object.entries(fields).map(([name, read]) => [name, camel(name), read] as const);
  return (value) => {
    const given = fieldsOf(value);
    return Object.fromEntries(named.map(([name, key, read]) => {
      try {
        return [key, read(given[name])];
      } catch (error) {
        throw error instanceof UnexpectedAnswer ? new UnexpectedAnswer(`${what}.${name}: ${error.message}`) : error;
      }
    })) as Record_<F>;
  };
};

/** For a view that answers JSON text. */
export const jsonOf = <T>(read: Reader<T>): Reader<T> => (value) => {
  let parsed: unknown;
  try {
    parsed = parseJson(text(value));
  } catch (error) {
    throw error instanceof UnexpectedAnswer ? error : new UnexpectedAnswer("the answer is no JSON");
  }
  return read(parsed);
};

export interface View<A extends readonly (string | number | bigint | undefined)[], T> {
  read: Reader<T>;
  /** The names of what it takes. */
  takes: readonly string[];
  /** What it takes; for the types alone. */
  args?: A;
}

export const view = <A extends readonly (string | number | bigint | undefined)[]>(...takes: readonly string[]) => <T>(read: Reader<T>): View<A, T> => ({ read, takes });

/** What was answered, unless that is of another account, API or day than was asked for. With 0 the contract chooses. */
export function answerTo<T>({ read, takes }: Pick<View<never, T>, "read" | "takes">, args: readonly unknown[], value: unknown): T {
  const answer = read(value);
  const told = Object(answer) as Readonly<Record<string, unknown>>;
  takes.forEach((each, i) => {
    if (args[i] && each in told && String(told[each]).toLowerCase() !== String(args[i]).toLowerCase()) throw new UnexpectedAnswer(`another ${each} was asked for`);
  });
  return answer;
}
