// What is looked at is in the fragment of the URL, so that a view can be shared and any host can serve the page.
import { networkOf } from "../chain/networks";
import { isAddress, isName } from "../domain/names";

export const VIEWS = ["usage", "apis", "operate", "disputes", "statement", "transactions", "connect"] as const;
export type View = (typeof VIEWS)[number];
/** They are of an account: of the one that acts, where the URL names none. Usage without one is the first page. */
export const OF_AN_ACCOUNT: readonly View[] = ["operate", "disputes", "statement"];

export const isNodeUrl = (text: string): boolean => {
  try {
    return ["http:", "https:"].includes(new URL(text).protocol);
  } catch {
    return false;
  }
};

const oneOf = <const T extends string>(first: T, ...others: readonly T[]) => ({ start: first, read: (text: string): T => [first, ...others].find((each) => each === text) ?? first });
const textThat = (accepts: (text: string) => boolean, start = "") => ({ start, read: (text: string): string => (accepts(text) ? text : start) });
const addressText = { start: "", read: (text: string): string => (isAddress(text) ? text.toLowerCase() : "") };
/** It means something on these pages alone, and is chosen there. */
const on = <P extends object>(views: readonly View[], parameter: P) => ({ ...parameter, views });
const positive = { start: 0, read: (text: string): number => (/^\d{1,15}$/.test(text) ? Number(text) : 0) };

/** The parameters of the URL: what each is where it is not given, and how its text is read. What is not valid is left out, not guessed. */
const PARAMETERS = {
  network: textThat((text) => networkOf(text) !== undefined, "localnet"),
  /** Empty: the network's own. */
  rpc: textThat(isNodeUrl),
  contract: addressText,
  account: addressText,
  /** The API that a view is about. */
  api: on(["usage", "apis", "operate", "disputes"], textThat(isName)),
  /** What the chart shows. */
  chart: oneOf("spend", "calls"),
  /** The last so many days of the chart; 0: from `from` until `until`. */
  days: { start: 30, read: (text: string): number => [0, 7, 30, 90, 400].find((each) => String(each) === text) ?? 30 },
  /** UTC days since 1970, 0: not given. */
  from: positive,
  until: positive,
  /** By which column a table is sorted, with a minus from the largest; empty: as the page thinks best. */
  sort: on(["usage"], textThat((text) => /^-?[a-z]{1,16}$/.test(text))),
  /** Of a statement, as 2026-11; empty: the last one with something in it that is over. */
  month: on(["statement"], textThat((text) => /^\d{4}-(0[1-9]|1[0-2])$/.test(text))),
  /** The settlement looked at; 0: none. */
  settlement: on(["operate"], positive),
  /** Which settlements of an API are listed. */
  entries: on(["operate"], oneOf("all", "refused")),
  /** What of an API's page a link is about. */
  part: on(["operate"], oneOf("", "meter")),
  /** The dispute looked at; 0: none. */
  dispute: on(["disputes"], positive),
  /** At which court, where the API has promised several. */
  court: on(["disputes"], addressText),
};

type Parameters = { -readonly [K in keyof typeof PARAMETERS]: ReturnType<(typeof PARAMETERS)[K]["read"]> };
export type Location = { view: View } & Parameters;

const NAMES = Object.keys(PARAMETERS) as (keyof Parameters)[];
const viewsOf = (name: keyof Parameters): readonly View[] | undefined => (PARAMETERS[name] as { views?: readonly View[] }).views;
const isOn = (view: View, name: keyof Parameters): boolean => viewsOf(name)?.includes(view) ?? true;
const read = (textOf: (name: keyof Parameters) => string): Parameters =>
  Object.fromEntries(NAMES.map((name) => [name, PARAMETERS[name].read(textOf(name))])) as Parameters;

export const START: Location = { view: "usage", ...read(() => "") };
const NOTHING_CHOSEN = Object.fromEntries(NAMES.filter(viewsOf).map((name) => [name, START[name]]));
const OF_AN_API = { settlement: START.settlement, entries: START.entries, part: START.part };

/** On another page, or with another account in place of one, nothing is chosen yet; and nothing of another API. */
export function changed(location: Location, change: Partial<Location>): Location {
  const { view, account, api } = { ...location, ...change };
  const isElsewhere = view !== location.view || (location.account !== "" && account !== location.account);
  return { ...location, ...(isElsewhere && NOTHING_CHOSEN), ...(api !== location.api && OF_AN_API), ...change };
}

const partsOf = (hash: string): [path: string, view: View, textOf: (name: keyof Parameters) => string] => {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?");
  const given = new URLSearchParams(query);
  const view = VIEWS.find((each) => each === path) ?? START.view;
  return [path, view, (name) => (isOn(view, name) ? given.get(name) ?? "" : "").trim()];
};

export function parseLocation(hash: string): Location {
  const [, view, textOf] = partsOf(hash);
  return { view, ...read(textOf) };
}

/** What was given and left out, by the names of the URL. */
export function leftOutOf(hash: string): string[] {
  const [path, view, textOf] = partsOf(hash);
  const values = read(textOf);
  const differs = (given: string, value: string | number): boolean => given !== "" && given.toLowerCase() !== String(value).toLowerCase();
  return [...(differs(path, view) ? ["page"] : []), ...NAMES.filter((name) => differs(textOf(name), values[name]))];
}

export function formatLocation(location: Location): string {
  const query = new URLSearchParams({ network: location.network });
  for (const name of NAMES) if (isOn(location.view, name) && location[name] !== START[name]) query.set(name, String(location[name]));
  // Colons and slashes may stand in a fragment as they are, and are easier to read so.
  return `#/${location.view}?${query.toString().replaceAll("%3A", ":").replaceAll("%2F", "/")}`;
}
