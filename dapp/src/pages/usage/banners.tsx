// What else there is to know, one banner for each remedy; most of it behind a button.
import { useEffect, useRef, useState } from "react";
import { announce } from "../../browser/announcing";
import type { Advice } from "../../domain/advice";
import { Banner } from "../../ui/parts";
import type { Acting } from "./acting";
import { Remedy } from "./remedy";

const SHOWN = 1;
/** The same whichever APIs it is about: an open dialog stays. */
const kindOf = ({ key }: Advice): string => key.split(":")[0] ?? "";

/** The first is told above. What is not shown has its place too: it may have been, and its dialog be open. */
export function Banners({ advice, ...acting }: Acting & { advice: readonly Advice[] }) {
  const [isAll, setAll] = useState(false);
  const hidden = advice.length - 1 - SHOWN;
  return (
    <div className="banners" hidden={advice.length < 2}>
      {advice.map((item, i) => {
        const isShown = i > 0 && (isAll || i <= SHOWN);
        const action = <Remedy about={item} isThere={isShown} {...acting} />;
        return (
          <div key={kindOf(item)} hidden={!isShown}>
            <Banner tone={item.severity} title={isShown ? item.title : ""} action={action}>{isShown && <>{item.which} {item.text}</>}</Banner>
          </div>
        );
      })}
      {hidden > 0 && (
        <button type="button" className="button quiet small more" aria-expanded={isAll} onClick={() => setAll(!isAll)}>{isAll ? "Show fewer" : `${hidden} more`}</button>
      )}
    </div>
  );
}

/** What is new is read out once; the banners themselves change with the time. */
export function useNews(advice: readonly Advice[]): void {
  const told = useRef<ReadonlySet<string>>(new Set());
  useEffect(() => {
    for (const { key, title } of advice) if (!told.current.has(key)) announce(`${title}.`);
    told.current = new Set(advice.map(({ key }) => key));
  }, [advice]);
}
