// GenVM's calldata. genlayer-js has it too, but in one piece with all its ABIs; reading alone must load fast. A test
// compares the two.

export type Encodable = null | boolean | bigint | number | string | readonly Encodable[] | { readonly [key: string]: Encodable };
/** Addresses and bytes are decoded as 0x text, maps as records. */
export type Decoded = null | boolean | bigint | string | Decoded[] | { [key: string]: Decoded };

const NULL = 0x00, FALSE = 0x08, TRUE = 0x10, ADDRESS = 0x18;
const POSITIVE = 1n, NEGATIVE = 2n, BYTES = 3n, TEXT = 4n, LIST = 5n, MAP = 6n;
const utf8 = new TextEncoder();
const text = new TextDecoder("utf-8", { fatal: true });

function writeNumber(out: number[], value: bigint): void {
  let rest = value;
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    out.push(rest ? low | 0x80 : low);
  } while (rest);
}

const writeTyped = (out: number[], value: bigint, type: bigint): void => writeNumber(out, (value << 3n) | type);

const byCodePoints = (left: string, right: string): number => {
  const a = [...left], b = [...right];
  for (let i = 0; i < a.length && i < b.length; i++) {
    const difference = (a[i]?.codePointAt(0) ?? 0) - (b[i]?.codePointAt(0) ?? 0);
    if (difference) return difference;
  }
  return a.length - b.length;
};

function write(out: number[], value: Encodable): void {
  if (value === null) out.push(NULL);
  else if (typeof value === "boolean") out.push(value ? TRUE : FALSE);
  else if (typeof value === "bigint" || typeof value === "number") {
    const whole = BigInt(value);
    if (whole >= 0n) writeTyped(out, whole, POSITIVE);
    else writeTyped(out, -whole - 1n, NEGATIVE);
  } else if (typeof value === "string") {
    const bytes = utf8.encode(value);
    writeTyped(out, BigInt(bytes.length), TEXT);
    out.push(...bytes);
  } else if (Array.isArray(value)) {
    writeTyped(out, BigInt(value.length), LIST);
    for (const each of value as readonly Encodable[]) write(out, each);
  } else {
    const entries = Object.entries(value as { [key: string]: Encodable }).sort(([a], [b]) => byCodePoints(a, b));
    writeTyped(out, BigInt(entries.length), MAP);
    for (const [key, each] of entries) {
      const bytes = utf8.encode(key);
      writeNumber(out, BigInt(bytes.length));
      out.push(...bytes);
      write(out, each);
    }
  }
}

export function encode(value: Encodable): Uint8Array {
  const out: number[] = [];
  write(out, value);
  return Uint8Array.from(out);
}

class Reader {
  private at = 0;
  constructor(private readonly bytes: Uint8Array) {}

  get isDone(): boolean {
    return this.at === this.bytes.length;
  }

  private take(length: bigint): Uint8Array {
    const end = this.at + Number(length);
    if (length < 0n || end > this.bytes.length) throw new RangeError("calldata ends too early");
    const part = this.bytes.slice(this.at, end);
    this.at = end;
    return part;
  }

  private number(): bigint {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.take(1n)[0] ?? 0;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }

  value(): Decoded {
    const head = this.number();
    const rest = head >> 3n;
    switch (head & 7n) {
      case 0n: return this.special(Number(head));
      case POSITIVE: return rest;
      case NEGATIVE: return -1n - rest;
      case BYTES: return toHex(this.take(rest));
      case TEXT: return text.decode(this.take(rest));
      case LIST: return this.list(rest);
      case MAP: return this.map(rest);
      default: throw new RangeError("calldata has an unknown type");
    }
  }

  private special(head: number): Decoded {
    if (head === NULL) return null;
    if (head === FALSE || head === TRUE) return head === TRUE;
    if (head === ADDRESS) return toHex(this.take(20n));
    throw new RangeError("calldata has an unknown special value");
  }

  private list(length: bigint): Decoded[] {
    const list: Decoded[] = [];
    for (let i = 0n; i < length; i++) list.push(this.value());
    return list;
  }

  private map(length: bigint): { [key: string]: Decoded } {
    const map: { [key: string]: Decoded } = Object.create(null) as { [key: string]: Decoded };
    for (let i = 0n; i < length; i++) {
      const key = text.decode(this.take(this.number()));
      map[key] = this.value();
    }
    return map;
  }
}

/** Throws RangeError or TypeError for bytes that are no calldata. */
export function decode(bytes: Uint8Array): Decoded {
  const reader = new Reader(bytes);
  const value = reader.value();
  if (!reader.isDone) throw new RangeError("calldata has bytes left over");
  return value;
}

/** The text of a contract's error: v0.3 has calldata there, v0.2 the text itself. */
export function errorText(payload: Uint8Array): string {
  try {
    const value = decode(payload);
    if (typeof value === "string") return value;
  } catch {
    // It is the text.
  }
  return new TextDecoder().decode(payload);
}

export const toHex = (bytes: Uint8Array): string =>
  `0x${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;

export function fromHex(hex: string): Uint8Array {
  const digits = hex.replace(/^0x/, "");
  if (digits.length % 2 || !/^[0-9a-fA-F]*$/.test(digits)) throw new RangeError("not hexadecimal");
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

export const fromBase64 = (base64: string): Uint8Array => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

const rlpHead = (length: number, short: number): number[] => {
  if (length < 56) return [short + length];
  const size: number[] = [];
  for (let rest = length; rest; rest = Math.floor(rest / 256)) size.unshift(rest % 256);
  return [short + 55 + size.length, ...size];
};

/** `data` of gen_call: the RLP list of the calldata and "not leader only". */
export function callData(method: string, args: readonly Encodable[]): string {
  const payload = encode(args.length ? { args, method } : { method });
  const first = payload.length === 1 && (payload[0] ?? 0) < 0x80 ? [] : rlpHead(payload.length, 0x80);
  const body = [...first, ...payload, 0x00];
  return toHex(Uint8Array.from([...rlpHead(body.length, 0xc0), ...body]));
}
