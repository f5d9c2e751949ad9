// Stacked bars by day, week or month: SVG, the same in print. A day is chosen with the mouse, a finger or the arrow keys;
// what is shown of it is the value of a slider, so that it is read out. The same numbers are in a table.
import { useEffect, useId, useMemo, useRef, useState, type KeyboardEvent, type PointerEvent, type ReactNode } from "react";
import { grouped, shortGen } from "../domain/amounts";
import { axisOf, heightsOf, periodMark, periodsOf, periodText, sumIn, type ChartUnit, type Period, type Series } from "../domain/bars";
import "./chart.css";
import { Calls, Gen } from "./parts";

interface StackedBarsProps {
  /** What the bars say: "GEN spent by API". */
  label: string;
  /** UTC days since 1970, both included; grouped by weeks or months where they are more than there is room for. */
  first: number;
  last: number;
  /** The lowest first; at most seven, and the rest. */
  series: readonly Series[];
  unit: ChartUnit;
  /** Below the legend: in a word what it comes to, and what is still read. */
  children?: ReactNode;
}

interface Bar {
  period: Period;
  parts: readonly bigint[];
  sum: bigint;
}

const HEIGHT = 240;
const TOP = 22;
const BOTTOM = 24;
const PLOT = HEIGHT - TOP - BOTTOM;
const RIGHT = 8;
const CHARACTER = 8;
const LEAST_PITCH = 7;
const REST = 7;

const colorOf = (series: readonly Series[], i: number): number => (series[i]?.isRest ? REST : i);
const totalOf = (values: readonly bigint[]): bigint => values.reduce((sum, each) => sum + each, 0n);
const textOf = (value: bigint, unit: ChartUnit): string =>
  unit === "GEN" ? `${shortGen(value)} GEN` : `${grouped(value)} ${value === 1n ? "call" : "calls"}`;

export function StackedBars({ label, first, last, series, unit, children }: StackedBarsProps) {
  const [box, width] = useWidth();
  const [chosen, setChosen] = useState<number | null>(null);
  const id = useId();
  const bars = useMemo(() => {
    const room = Math.max(Math.floor((width - 64) / LEAST_PITCH), 1);
    return periodsOf(first, last, room).map((period): Bar => {
      const parts = series.map((each) => sumIn(each, period));
      return { period, parts, sum: totalOf(parts) };
    });
  }, [first, last, series, width]);
  const at = Math.min(chosen ?? bars.length - 1, bars.length - 1);
  const bar = chosen === null ? undefined : bars[at];
  const sums = series.map((_, i) => totalOf(bars.map(({ parts }) => parts[i] ?? 0n)));

  const axis = axisOf(bars.reduce((most, { sum }) => (sum > most ? sum : most), 0n), unit);
  const left = Math.max(...axis.ticks.map(({ text }) => text.length)) * CHARACTER + 8;
  const pitch = Math.max(width - left - RIGHT, 1) / bars.length;

  const choose = (next: number): void => setChosen(Math.max(0, Math.min(bars.length - 1, next)));
  const onPointer = (event: PointerEvent<HTMLDivElement>): void => {
    const { left: from, width: shown } = event.currentTarget.getBoundingClientRect();
    if (shown > 0) choose(Math.floor((((event.clientX - from) / shown) * width - left) / pitch));
  };
  const onKey = (event: KeyboardEvent): void => {
    const moves: Record<string, number> = {
      ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1, PageUp: at + 7, PageDown: at - 7, Home: 0, End: bars.length - 1,
    };
    const next = moves[event.key];
    if (event.key === "Escape") setChosen(null);
    else if (next === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    else choose(next);
    event.preventDefault();
  };
  const spoken = bars[at];
  return (
    <figure className="chart" aria-label={label}>
      <div className="chart-box" ref={box} onPointerLeave={(event) => event.pointerType === "mouse" && setChosen(null)}>
        <div
          className="chart-days" role="slider" tabIndex={0} aria-label={`${label}: choose a day with the arrow keys`}
          aria-valuemin={1} aria-valuemax={bars.length} aria-valuenow={at + 1} aria-valuetext={spoken ? spokenText(spoken, series, unit) : ""}
          onPointerDown={onPointer} onPointerMove={onPointer} onPointerCancel={() => setChosen(null)} onKeyDown={onKey}
          onFocus={() => setChosen((before) => before ?? bars.length - 1)} onBlur={() => setChosen(null)}
        >
          <svg viewBox={`0 0 ${width} ${HEIGHT}`} aria-hidden="true">
            <Patterns id={id} />
            <text x={0} y={12}>{axis.unit}</text>
            {bar && <rect className="chart-cursor" x={left + at * pitch} y={TOP} width={pitch} height={PLOT} />}
            {axis.ticks.map(({ value, text }) => {
              const y = Math.round(TOP + PLOT - (heightsOf([value], axis.top, PLOT)[0] ?? 0)) + 0.5;
              return (
                <g key={text}>
                  <line className="chart-line" x1={left} x2={width - RIGHT} y1={y} y2={y} />
                  <text x={left - 8} y={y + 4} textAnchor="end">{text}</text>
                </g>
              );
            })}
            {bars.map((each, i) => (
              <Stack key={each.period.first} bar={each} top={axis.top} x={left + i * pitch} pitch={pitch} fill={(part) => `url(#${id}-${colorOf(series, part)})`} />
            ))}
            <Marks periods={bars.map(({ period }) => period)} left={left} pitch={pitch} right={width} />
          </svg>
        </div>
        {bar && (
          <div className="chart-tip" aria-hidden="true" style={tipPlace((left + (at + 0.5) * pitch) / width)}>
            <p><span>{periodText(bar.period)}</span><span>{textOf(bar.sum, unit)}</span></p>
            {series.length > 1 && <Legend id={id} series={series} values={bar.parts} unit={unit} isTip />}
          </div>
        )}
      </div>
      {series.length > 0 && <Legend id={id} series={series} values={sums} unit={unit} />}
      {children && <figcaption>{children}</figcaption>}
      <Table label={label} bars={bars} series={series} sums={sums} unit={unit} />
    </figure>
  );
}

/** Beside the bar, on the side that has more room. */
const tipPlace = (part: number): { left: string } | { right: string } =>
  part < 0.5 ? { left: `calc(${part * 100}% + 0.75rem)` } : { right: `calc(${(1 - part) * 100}% + 0.75rem)` };

function spokenText({ period, parts, sum }: Bar, series: readonly Series[], unit: ChartUnit): string {
  const named = series.flatMap(({ name }, i) => (parts[i] ? [`${name} ${textOf(parts[i], unit)}`] : []));
  return `${periodText(period)}: ${sum === 0n ? "nothing" : textOf(sum, unit)}${series.length > 1 && named.length > 0 ? `; ${named.join(", ")}` : ""}`;
}

function Stack({ bar, top, x, pitch, fill }: { bar: Bar; top: bigint; x: number; pitch: number; fill(part: number): string }) {
  const heights = heightsOf(bar.parts, top, PLOT);
  const width = Math.min(pitch * 0.75, 40);
  return (
    <g className="chart-bar">
      {heights.map((height, i) => {
        if (height <= 0) return null;
        const y = TOP + PLOT - heights.slice(0, i + 1).reduce((sum, each) => sum + each, 0);
        // A line of the ground between two parts, where they are high enough for it.
        return <rect key={i} x={x + (pitch - width) / 2} y={y} width={width} height={height >= 4 ? height - 1 : height} fill={fill(i)} />;
      })}
    </g>
  );
}

/** From the last one on, so that today has its name. */
function Marks({ periods, left, pitch, right }: { periods: readonly Period[]; left: number; pitch: number; right: number }) {
  const isMonths = periods.some((each) => each.last - each.first > 6);
  const wide = isMonths ? 80 : 64;
  const every = Math.max(Math.ceil(wide / pitch), 1);
  return periods.map((period, i) => {
    const x = left + (i + 0.5) * pitch;
    if ((periods.length - 1 - i) % every !== 0 || x < left + wide / 4) return null;
    const isAtEdge = x + wide / 2 > right;
    return <text key={period.first} x={isAtEdge ? right - 2 : x} y={HEIGHT - 6} textAnchor={isAtEdge ? "end" : "middle"}>{periodMark(period, isMonths)}</text>;
  });
}

const SIZE = 8;
/** Drawn over the colour, in tiles of 8 pixels, so that nothing depends on colours alone. */
const PATTERNS = [
  "", "M-2,2 l4,-4 M0,8 l8,-8 M6,10 l4,-4", "M2,2 h2 v2 h-2 z M6,6 h2 v2 h-2 z", "M-2,6 l4,4 M0,0 l8,8 M6,-2 l4,4",
  "M0,4 h8", "M4,0 v8", "M0,4 h8 M4,0 v8", "M0,4 l4,-4 l4,4 l-4,4 z",
];

function Patterns({ id }: { id: string }) {
  return (
    <defs>
      {PATTERNS.map((path, i) => (
        <pattern key={i} id={`${id}-${i}`} width={SIZE} height={SIZE} patternUnits="userSpaceOnUse">
          <rect width={SIZE} height={SIZE} fill={`var(--series-${i})`} />
          {path && <path className="chart-pattern" d={path} fill="none" stroke="var(--pattern)" strokeOpacity={0.6} />}
        </pattern>
      ))}
    </defs>
  );
}

/** The largest first; of one day as its bar is stacked, and without what it has not. */
function Legend({ id, series, values, unit, isTip = false }: { id: string; series: readonly Series[]; values: readonly bigint[]; unit: ChartUnit; isTip?: boolean }) {
  return (
    <ul className="chart-legend">
      {(isTip ? [...series.entries()].reverse() : [...series.entries()]).map(([i, { name }]) => isTip && !values[i] ? null : (
        <li key={name}>
          <span className="chart-name">
            <svg className="chart-swatch" viewBox="0 0 12 12" aria-hidden="true"><rect width="12" height="12" fill={`url(#${id}-${colorOf(series, i)})`} /></svg>
            {name}
          </span>
          <span className="chart-value">{textOf(values[i] ?? 0n, unit)}</span>
        </li>
      ))}
    </ul>
  );
}

function Table({ label, bars, series, sums, unit }: { label: string; bars: readonly Bar[]; series: readonly Series[]; sums: readonly bigint[]; unit: ChartUnit }) {
  const [isOpen, setOpen] = useState(false);
  const value = (of: bigint): ReactNode => (unit === "GEN" ? <Gen wei={of} /> : <Calls count={of} />);
  const columns = series.length > 1 ? [...series.keys()] : [];
  const used = bars.filter(({ sum }) => sum !== 0n).reverse();
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Show as a table</summary>
      {isOpen && (
        <div className="table-scroll" tabIndex={0} role="region" aria-label={label}>
          <table>
            <thead>
              <tr>
                <th scope="col">Days (UTC)</th>
                <th scope="col" className="num">All</th>
                {columns.map((i) => <th key={i} scope="col" className="num chart-name">{series[i]?.name}</th>)}
              </tr>
            </thead>
            <tbody>
              {used.length === 0 && <tr><td colSpan={2 + columns.length}>Nothing on these days.</td></tr>}
              {used.map(({ period, parts, sum }) => (
                <tr key={period.first}>
                  <th scope="row">{periodText(period)}</th>
                  <td className="num">{value(sum)}</td>
                  {columns.map((i) => <td key={i} className="num">{value(parts[i] ?? 0n)}</td>)}
                </tr>
              ))}
            </tbody>
            <tfoot>
              <tr>
                <th scope="row">Together</th>
                <td className="num">{value(totalOf(sums))}</td>
                {columns.map((i) => <td key={i} className="num">{value(sums[i] ?? 0n)}</td>)}
              </tr>
            </tfoot>
          </table>
        </div>
      )}
    </details>
  );
}

/** Of an element, in whole pixels; a guess before it is laid out. */
function useWidth(): [React.RefObject<HTMLDivElement | null>, number] {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(640);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const sizes = new ResizeObserver(([entry]) => {
      const found = Math.floor(entry?.contentRect.width ?? 0);
      if (found > 0) setWidth(found);
    });
    sizes.observe(element);
    return () => sizes.disconnect();
  }, []);
  return [box, width];
}
