// Small parts of the meter's side.
import { amountText, isGen, troubleOf, type Currency } from "../../meter/words";
import { Banner, Calls, Gen } from "../../ui/parts";

/** In the meter's own currency. */
export function Amount({ units, of, big = false }: { units: bigint; of: Currency; big?: boolean }) {
  if (isGen(of)) return <>{units < 0n && "−"}<Gen wei={units < 0n ? -units : units} big={big} /></>;
  const text = amountText(units, of);
  return <data className={`amount${text.length > 24 ? " long" : ""}${big ? " amount-big" : ""}`} value={units.toString()}>{text}</data>;
}

/** So many, of what there is one or more of. */
export const Count = ({ of, one, more = `${one}s` }: { of: bigint; one: string; more?: string }) => <><Calls count={of} /> {of === 1n ? one : more}</>;

export const CallsBelow = ({ count }: { count: bigint }) => <span className="meter-below"><Count of={count} one="call" /></span>;

export function MeterTrouble({ error, url, onRetry }: { error: unknown; url: string; onRetry(): void }) {
  const { title, text } = troubleOf(error, url, window.location.origin);
  return <Banner tone="stop" title={title} isAlert action={<button type="button" className="button small" onClick={onRetry}>Try again</button>}>{text}</Banner>;
}
