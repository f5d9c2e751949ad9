import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { axisOf, heightsOf, periodMark, periodsOf, periodText, sumIn } from "../../src/domain/bars";
import { GEN } from "../../src/domain/amounts";
import { dayOfIso } from "../../src/domain/history";

const day = dayOfIso("2026-03-20"); // a Friday

describe("bars", () => {
  it("are days, or weeks from Monday, or months, as there is room", () => {
    expect(periodsOf(day - 29, day, 30)).toHaveLength(30);
    const weeks = periodsOf(day - 29, day, 29);
    expect(weeks.map((each) => periodText(each).replaceAll(/\s*–\s*/g, "–"))).toEqual(["19–22 Feb 2026", "23 Feb–1 Mar 2026", "2–8 Mar 2026", "9–15 Mar 2026", "16–20 Mar 2026"]);
    const months = periodsOf(day - 399, day, 20);
    expect(months).toHaveLength(14);
    expect(months.map((each) => periodMark(each, true)).slice(-2)).toEqual(["Feb 2026", "Mar 2026"]);
  });
  it("sum the days that they stand for", () => {
    const values = new Map([[day - 6, 1n], [day - 1, 10n], [day, 100n]]);
    expect(sumIn({ name: "", values }, { first: day - 4, last: day })).toBe(110n);
  });
  it("tell their day in full, and in short on the axis", () => {
    expect([periodText({ first: day, last: day }), periodMark({ first: day, last: day }, false)]).toEqual(["Fri, 20 Mar 2026", "20 Mar"]);
  });
});

describe("the axis", () => {
  const texts = (highest: bigint, unit: "GEN" | "calls" = "GEN") => {
    const { ticks, unit: shown, top } = axisOf(highest, unit);
    expect(top >= highest).toBe(true);
    return [shown, ...ticks.map(({ text }) => text)].join(" ");
  };
  it("has round values, whatever the amounts", () => {
    expect(texts(1n)).toBe("wei 0 1");
    expect(texts(7n)).toBe("wei 0 2 4 6 8");
    expect(texts(123_456_789n)).toBe("wei 0 50M 100M 150M");
    expect(texts(GEN / 1000n)).toBe("GEN 0 0.0005 0.001");
    expect(texts((GEN * 17n) / 10n)).toBe("GEN 0 0.5 1 1.5 2");
    expect(texts(12_345n * GEN)).toBe("GEN 0 5,000 10k 15k");
    expect(texts(10n ** 27n)).toBe("GEN 0 500M 1B");
    expect(texts(2n ** 128n - 1n)).toBe("GEN 0 100,000,000T 200,000,000T 300,000,000T 400,000,000T");
  });
  it("has whole calls", () => {
    expect(texts(3n, "calls")).toBe("calls 0 1 2 3");
    expect(texts(1_250_000n, "calls")).toBe("calls 0 500k 1M 1.5M");
  });
  it("of nothing has one line", () => {
    expect(texts(0n)).toBe("GEN 0");
  });
});

describe("the height of a bar", () => {
  const sum = (heights: readonly number[]): number => heights.reduce((total, each) => total + each, 0);

  it("is in proportion, without an error of floats", () => {
    expect(heightsOf([5n * 10n ** 26n, 25n * 10n ** 25n], 10n ** 27n, 200)).toEqual([100, 50]);
    expect(heightsOf([1n], 2n, 200)).toEqual([100]);
  });
  it("shows what is not nothing, beside what is 10^27 times as much", () => {
    const heights = heightsOf([10n ** 27n, 1n, 0n], 10n ** 27n, 200);
    expect([heights, sum(heights)]).toEqual([[198, 2, 0], 200]);
    expect(heightsOf([0n, 1n], 10n ** 27n, 200)).toEqual([0, 2]);
  });
});

describe("the colours of the chart", () => {
  const css = (name: string): string => readFileSync(new URL(`../../src/${name}.css`, import.meta.url), "utf-8");
  const pairOf = (text: string, name: string): string[] => new RegExp(`${name}: light-dark\\((#\\w{6}), (#\\w{6})\\)`).exec(text)?.slice(1) ?? [];
  const linear = (hex: string): number[] => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  const luminance = (hex: string): number => linear(hex).reduce((sum, each, i) => sum + each * ([0.2126, 0.7152, 0.0722][i] ?? 0), 0);
  /** Oklab: equal distances look equal. */
  const lab = (hex: string): number[] => {
    const [r = 0, g = 0, b = 0] = linear(hex);
    const [l = 0, m = 0, s = 0] = [
      0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b, 0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b, 0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b,
    ].map(Math.cbrt);
    return [0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s, 1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s, 0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s];
  };
  const distance = (a: string, b: string): number => Math.hypot(...lab(a).map((each, i) => each - (lab(b)[i] ?? 0)));

  it.each([["light", 0], ["dark", 1]] as const)("stand out from the panel and differ, %s", (_scheme, which) => {
    const panel = pairOf(css("styles"), "--panel")[which] ?? "";
    const series = Array.from({ length: 8 }, (_, i) => pairOf(css("ui/chart"), `--series-${i}`)[which] ?? "");
    for (const [i, color] of series.entries()) {
      const [low, high] = [luminance(color), luminance(panel)].sort((a, b) => a - b) as [number, number];
      expect((high + 0.05) / (low + 0.05), color).toBeGreaterThanOrEqual(3);
      for (const other of series.slice(i + 1)) expect(distance(color, other), `${color} and ${other}`).toBeGreaterThan(0.1);
    }
  });
});
