// What is looked at is in the fragment of the URL, so that a view can be shared and any host can serve the page.

export const VIEWS = ["usage", "apis", "operate", "transactions", "connect"] as const;
export type View = (typeof VIEWS)[number];

export interface Location {
  view: View;
  network: string;
  /** Empty: the network's own. */
  rpc: string;
  contract: string;
  account: string;
  /** The API that a view is about. */
  api: string;
  /** What the chart shows. */
  chart: "spend" | "calls";
  /** The settlement looked at; 0: the last. */
  settlement: number;
}

const ADDRESS = /^0x[0-9a-fA-F]{40}$/;
const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/;

export const START: Location = {
  view: "usage", network: "localnet", rpc: "", contract: "", account: "", api: "", chart: "spend", settlement: 0,
};

export const isAddress = (text: string): boolean => ADDRESS.test(text) && !/^0x0{40}$/.test(text);
export const isName = (text: string): boolean => NAME.test(text);
export const isNodeUrl = (text: string): boolean => {
  try {
    return ["http:", "https:"].includes(new URL(text).protocol);
  } catch {
    return false;
  }
};

/** What is not valid in a URL is left out, not guessed. */
export function parseLocation(hash: string): Location {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?");
  const given = new URLSearchParams(query);
  const text = (name: string, accept: (value: string) => boolean): string => {
    const value = (given.get(name) ?? "").trim();
    return accept(value) ? value : "";
  };
  const number = Number(given.get("settlement") ?? 0);
  return {
    view: VIEWS.find((view) => view === path) ?? START.view,
    network: text("network", isName) || START.network,
    rpc: text("rpc", isNodeUrl),
    contract: text("contract", isAddress).toLowerCase(),
    account: text("account", isAddress).toLowerCase(),
    api: text("api", isName),
    chart: given.get("chart") === "calls" ? "calls" : "spend",
    settlement: Number.isSafeInteger(number) && number > 0 ? number : 0,
  };
}

export function formatLocation(location: Location): string {
  const query = new URLSearchParams();
  query.set("network", location.network);
  for (const name of ["rpc", "contract", "account", "api"] as const) if (location[name]) query.set(name, location[name]);
  if (location.chart !== START.chart) query.set("chart", location.chart);
  if (location.settlement) query.set("settlement", String(location.settlement));
  // Colons and slashes may stand in a fragment as they are, and are easier to read so.
  return `#/${location.view}?${query.toString().replaceAll("%3A", ":").replaceAll("%2F", "/")}`;
}
