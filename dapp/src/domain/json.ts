// JSON with integers of any size: amounts are beyond what a double holds.

const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
// Not to be guessed by who writes a text: it would pass for an integer.
const NAME = `int${String(Math.random()).slice(2)}:`;
const MARK = `\u0000${NAME}`;
const MARKED = new RegExp(`"\\\\u0000${NAME}(-?\\d+)"`, "g");

/** Every integer becomes a bigint. Throws SyntaxError, also for numbers that are no integers. */
export function parseJson(text: string): unknown {
  JSON.parse(text); // what is no JSON can take long to look through
  const marked = text.replace(TOKEN, (token) => {
    if (token.startsWith('"')) return token;
    if (!/^-?\d+$/.test(token)) throw new SyntaxError(`${token} is not an integer`);
    return JSON.stringify(MARK + token);
  });
  return JSON.parse(marked, (_key, value: unknown) =>
    typeof value === "string" && value.startsWith(MARK) ? BigInt(value.slice(MARK.length)) : value,
  );
}

/** The reverse: a bigint is written as an integer, whatever its size. */
export function toJson(value: unknown): string {
  const marked = JSON.stringify(value, (_key, each: unknown) => (typeof each === "bigint" ? MARK + each : each));
  return marked.replace(MARKED, "$1");
}
