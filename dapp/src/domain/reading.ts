// Checked answers: each reader takes what a node said and gives it back typed, or throws. Fields beyond those that a record
// names are left out, so that a later contract can still be read.
import { parseJson } from "./json";

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
/** An amount in wei, or a count that has no bound. */
export const big = of("a number", (value) => typeof value === "bigint");
const list = of("a list", (value): value is unknown[] => Array.isArray(value));
const fieldsOf = of("a record", (value): value is Readonly<Record<string, unknown>> => typeof value === "object" && value !== null && !Array.isArray(value));

/** A number that is small by its nature: an instant in unix seconds, a UTC day, a size. */
export const number: Reader<number> = (value) => {
  const whole = big(value);
  if (whole > BigInt(Number.MAX_SAFE_INTEGER)) throw new UnexpectedAnswer("a number is too large");
  return Number(whole);
};

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
  /** What it takes; for the types alone. */
  args?: A;
}

export const view = <A extends readonly (string | number | bigint | undefined)[]>() => <T>(read: Reader<T>): View<A, T> => ({ read });
