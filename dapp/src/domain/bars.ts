// Bars of a chart: which days stand together, how high they are, and what the axis says. Amounts are exact until the pixel.
import { exactGen, GEN, grouped } from "./amounts";
import { DAY_SECONDS } from "./time";

/** One or more UTC days that make one bar. */
export interface Period {
  first: number;
  last: number;
}

/** What is stacked: a value for each day that has one. */
export interface Series {
  name: string;
  values: ReadonlyMap<number, bigint>;
  /** It stands for all that have no series of their own. */
  isRest?: boolean;
}

export type ChartUnit = "GEN" | "calls";

const SMALLEST_GEN = 10n ** 12n;
const LEAST_PIXELS = 2;
const STEPS = 4n;
const SUFFIXES = ["", "k", "M", "B", "T"];

/** Of a week Monday is the first day; 1970-01-01 was a Thursday. */
const weekOf = (day: number): number => Math.floor((day + 3) / 7);
const monthOf = (day: number): string => new Date(day * DAY_SECONDS * 1000).toISOString().slice(0, 7);

/** Days, or weeks or months where there is room for so many bars only. */
export function periodsOf(first: number, last: number, room: number): Period[] {
  const together = (keyOf: (day: number) => unknown): Period[] => {
    const found: Period[] = [];
    for (let day = first; day <= last; day++) {
      const current = found.at(-1);
      if (current && keyOf(current.last) === keyOf(day)) current.last = day;
      else found.push({ first: day, last: day });
    }
    return found;
  };
  const days = together((day) => day);
  if (days.length <= room) return days;
  const weeks = together(weekOf);
  return weeks.length <= room ? weeks : together(monthOf);
}

const format = (options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
const LONG_DAY = format({ weekday: "short", day: "numeric", month: "short", year: "numeric" });
const DATE = format({ day: "numeric", month: "short", year: "numeric" });
const SHORT_DAY = format({ day: "numeric", month: "short" });
const SHORT_MONTH = format({ month: "short", year: "numeric" });
const at = (day: number): number => day * DAY_SECONDS * 1000;

export const periodText = ({ first, last }: Period): string =>
  first === last ? LONG_DAY.format(at(first)) : DATE.formatRange(at(first), at(last));

/** For the axis. Of a week it is the first day. */
export const periodMark = ({ first, last }: Period, isMonths: boolean): string => (isMonths ? SHORT_MONTH.format(at(last)) : SHORT_DAY.format(at(first)));

export const sumIn = ({ values }: Series, { first, last }: Period): bigint => {
  let sum = 0n;
  for (let day = first; day <= last; day++) sum += values.get(day) ?? 0n;
  return sum;
};

export interface Axis {
  /** The value of the highest line. */
  top: bigint;
  ticks: readonly { value: bigint; text: string }[];
  unit: ChartUnit | "wei";
}

/** Lines at round values, at most five, of which the last is not below the highest bar. */
export function axisOf(highest: bigint, unit: ChartUnit): Axis {
  if (highest <= 0n) return { top: 1n, ticks: [{ value: 0n, text: "0" }], unit };
  const magnitude = 10n ** BigInt(Math.max(highest.toString().length - 2, 0));
  const step = ([1n, 2n, 5n, 10n, 20n].find((each) => each * magnitude * STEPS >= highest) ?? 25n) * magnitude;
  const count = (highest + step - 1n) / step;
  const ticks = Array.from({ length: Number(count) + 1 }, (_, i) => BigInt(i) * step);
  const isGen = unit === "GEN" && step >= SMALLEST_GEN;
  const text = (value: bigint): string => (isGen && value < 10_000n * GEN ? exactGen(value) : short(isGen ? value / GEN : value));
  return { top: count * step, ticks: ticks.map((value) => ({ value, text: text(value) })), unit: unit === "GEN" && !isGen ? "wei" : unit };
}

/** `25k`; exact for the two digits of a tick. */
function short(value: bigint): string {
  const thousands = value < 10_000n ? 0 : Math.min(Math.floor((value.toString().length - 1) / 3), SUFFIXES.length - 1);
  const tenths = (value * 10n) / 1_000n ** BigInt(thousands);
  return `${grouped(tenths / 10n)}${tenths % 10n ? `.${tenths % 10n}` : ""}${SUFFIXES[thousands]}`;
}

/**
 * Pixels of each part of a bar, where `top` is `height` high. What is not nothing is seen: it has two pixels at least, and
 * the largest part gives way, so that the bar is as high as its sum says.
 */
export function heightsOf(parts: readonly bigint[], top: bigint, height: number): number[] {
  const scaled = parts.map((part) => Number((part * BigInt(Math.round(height * 1000))) / top) / 1000);
  const seen = parts.map((part, i) => (part > 0n ? Math.max(scaled[i] ?? 0, LEAST_PIXELS) : 0));
  const sum = (of: readonly number[]): number => of.reduce((total, each) => total + each, 0);
  const least = LEAST_PIXELS * parts.filter((part) => part > 0n).length;
  const excess = sum(seen) - Math.max(sum(scaled), least);
  const largest = seen.indexOf(Math.max(...seen));
  return seen.map((each, i) => (i === largest ? each - excess : each));
}
