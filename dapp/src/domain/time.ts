// Unix seconds and UTC days, as the contract counts them.

export const DAY_SECONDS = 86_400;
/** Of the year 9999: what is later is no date. */
export const LAST_INSTANT = 253_402_300_799;
export const LAST_DAY = Math.floor(LAST_INSTANT / DAY_SECONDS);

export const dayOf = (at: number): number => Math.floor(at / DAY_SECONDS);

/** `2 h 05 min`, the two largest units; for a person. */
export function duration(seconds: number): string {
  const total = Math.max(0, Math.floor(seconds));
  if (total < 60) return `${total} s`;
  const minutes = Math.floor(total / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(hours / 24)} days`;
}

const DATE = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
const MOMENT = new Intl.DateTimeFormat("en-GB", {
  day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", timeZone: "UTC",
});
const MONTH = new Intl.DateTimeFormat("en-GB", { month: "long", timeZone: "UTC" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: "UTC" });

export const dateText = (at: number): string => DATE.format(at * 1000);
export const dateOfDay = (dayId: number): string => dateText(dayId * DAY_SECONDS);
export const dayText = (dayId: number): string => DAY.format(dayId * DAY_SECONDS * 1000);
export const momentText = (at: number): string => `${MOMENT.format(at * 1000)} UTC`;
export const monthText = (at: number): string => MONTH.format(at * 1000);
export const clockText = (at: number): string => `${CLOCK.format(at * 1000)} UTC`;

/** Value of a `datetime-local` field, in UTC. */
export const toFieldValue = (at: number): string => new Date(at * 1000).toISOString().slice(0, 16);

/** Unix seconds of such a value; NaN when it is none. */
export const fromFieldValue = (text: string): number => Math.floor(Date.parse(`${text}:00Z`) / 1000);
