// The last 30 days as bars. uPlot is loaded when a chart is shown; the same numbers are in a table for who cannot see it.
import { useEffect, useRef, useState } from "react";
import type uPlot from "uplot";
import { exactGen } from "../domain/amounts";
import { CHART_DAYS, type History } from "../domain/history";
import { dayText } from "../domain/time";
import { Calls, Gen } from "./parts";

interface ChartProps {
  history: History;
  today: number;
  show: "spend" | "calls";
}

/** For the height of a bar only; every number that is shown comes from the bigint. */
const height = (wei: bigint): number => Number(wei / 10n ** 9n) / 1e9;

export function UsageChart({ history, today, show }: ChartProps) {
  const days = Array.from({ length: CHART_DAYS }, (_, i) => today - CHART_DAYS + 1 + i);
  const used = days.filter((day) => history.days.has(day));
  const sum = used.reduce((total, day) => total + (history.days.get(day)?.[show === "spend" ? "spendWei" : "calls"] ?? 0n), 0n);
  const text = show === "spend" ? `${exactGen(sum)} GEN spent` : `${sum} calls made`;
  return (
    <figure className="chart">
      <Bars history={history} days={days} show={show} />
      <figcaption>
        {text} in the last {CHART_DAYS} days, on {used.length} {used.length === 1 ? "day" : "days"}.
        {history.loaded < history.total && <span role="status"> Reading {history.total - history.loaded} more…</span>}
      </figcaption>
      <details>
        <summary>Show as a table</summary>
        <div className="table-scroll" tabIndex={0} role="region" aria-label="Usage by day">
          <table>
            <thead><tr><th scope="col">Day (UTC)</th><th scope="col" className="num">Calls</th><th scope="col" className="num">Spent</th></tr></thead>
            <tbody>
              {used.length === 0 && <tr><td colSpan={3}>Nothing was used.</td></tr>}
              {[...used].reverse().map((day) => (
                <tr key={day}>
                  <th scope="row">{dayText(day)}</th>
                  <td className="num"><Calls count={history.days.get(day)?.calls ?? 0n} /></td>
                  <td className="num"><Gen wei={history.days.get(day)?.spendWei ?? 0n} /></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </figure>
  );
}

function Bars({ history, days, show }: { history: History; days: number[]; show: "spend" | "calls" }) {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const [theme, setTheme] = useState(0);
  const values = days.map((day) => {
    const usage = history.days.get(day);
    return usage ? (show === "spend" ? height(usage.spendWei) : Number(usage.calls)) : 0;
  });
  const data = JSON.stringify([days, values]);

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const sizes = new ResizeObserver(([entry]) => setWidth(Math.floor(entry?.contentRect.width ?? 0)));
    sizes.observe(element);
    const themes = new MutationObserver(() => setTheme((count) => count + 1));
    themes.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const onDark = (): void => setTheme((count) => count + 1);
    dark.addEventListener("change", onDark);
    return () => {
      sizes.disconnect();
      themes.disconnect();
      dark.removeEventListener("change", onDark);
    };
  }, []);

  useEffect(() => {
    const element = box.current;
    if (!element || width === 0) return;
    let plot: uPlot | null = null;
    let isGone = false;
    void import("./plot").then(({ draw }) => {
      if (!isGone) plot = draw(element, JSON.parse(data) as [number[], number[]], width, show === "spend" ? "GEN" : "calls");
    });
    return () => {
      isGone = true;
      plot?.destroy();
    };
  }, [data, width, theme, show]);

  return <div ref={box} className="plot" aria-hidden="true" />;
}
