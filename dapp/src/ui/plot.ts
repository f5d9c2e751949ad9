// uPlot, set up for bars by day.
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { DAY_SECONDS } from "../domain/time";

const HEIGHT = 200;

export function draw(element: HTMLElement, data: [number[], number[]], width: number, unit: string): uPlot {
  const style = getComputedStyle(element);
  const color = (name: string): string => {
    // A probe resolves light-dark(); a custom property alone is only its text.
    const probe = document.createElement("span");
    probe.style.color = `var(${name})`;
    element.append(probe);
    const resolved = getComputedStyle(probe).color;
    probe.remove();
    return resolved;
  };
  const [days, values] = data;
  const muted = color("--muted");
  const font = `12px ${style.fontFamily}`;
  const highest = Math.max(...values);
  const bars = uPlot.paths.bars?.({ size: [0.7, 40], radius: 0.2 });
  const options: uPlot.Options = {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "UTC"),
    scales: { x: { range: [(days[0] ?? 0) * DAY_SECONDS - DAY_SECONDS / 2, (days.at(-1) ?? 0) * DAY_SECONDS + DAY_SECONDS / 2] }, y: { range: [0, highest > 0 ? highest * 1.1 : 1] } },
    series: [{}, { fill: color("--accent"), width: 0, points: { show: false }, ...(bars ? { paths: bars } : {}) }],
    axes: [
      {
        stroke: muted, font, grid: { show: false }, ticks: { show: false }, space: 64, size: 32,
        values: (_plot, splits) => splits.map((at) => new Date(at * 1000).toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" })),
        incrs: [1, 2, 5, 7, 10, 14].map((count) => count * DAY_SECONDS),
      },
      {
        stroke: muted, font, grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, size: 64,
        values: (_plot, splits) => splits.map((value) => axisText(value)), label: unit, labelFont: font, labelSize: 18, labelGap: 0,
      },
    ],
  };
  return new uPlot(options, [days.map((day) => day * DAY_SECONDS), values], element);
}

const axisText = (value: number): string =>
  value === 0 ? "0" : value.toLocaleString("en-US", { maximumSignificantDigits: 3, notation: value >= 1e6 ? "compact" : "standard" });
