// Where GenLayer networks are. Ids and URLs are those of genlayer-js; a test compares them.

export interface Network {
  id: "localnet" | "studionet" | "testnet-asimov" | "testnet-bradbury" | "custom";
  label: string;
  /** Empty for a network whose URL has to be given. */
  url: string;
  /** Which chain of genlayer-js it is. */
  chain: "localnet" | "studionet" | "testnetAsimov" | "testnetBradbury";
  /** How often data is refreshed while somebody looks. */
  refreshMs: number;
  /** The first pause between looks at a transaction. */
  pollMs: number;
}

export const NETWORKS: readonly Network[] = [
  { id: "localnet", label: "Localnet", url: "http://127.0.0.1:4000/api", chain: "localnet", refreshMs: 5_000, pollMs: 400 },
  { id: "studionet", label: "Studionet", url: "https://studio.genlayer.com/api", chain: "studionet", refreshMs: 20_000, pollMs: 3_000 },
  { id: "testnet-asimov", label: "Testnet Asimov", url: "https://rpc-asimov.genlayer.com", chain: "testnetAsimov", refreshMs: 30_000, pollMs: 5_000 },
  { id: "testnet-bradbury", label: "Testnet Bradbury", url: "https://rpc-bradbury.genlayer.com", chain: "testnetBradbury", refreshMs: 30_000, pollMs: 5_000 },
  { id: "custom", label: "Own URL", url: "", chain: "localnet", refreshMs: 10_000, pollMs: 1_000 },
];

const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

export const networkOf = (id: string): Network | undefined => NETWORKS.find((each) => each.id === id.replaceAll("_", "-"));

/** Whether a URL leads to this very machine. */
export function isLoopback(url: string): boolean {
  try {
    return LOOPBACK.test(new URL(url).hostname);
  } catch {
    return false;
  }
}

/** Keys may be kept in the browser only where money is worthless: a localnet on this machine. */
export const allowsThrowAwayKeys = (network: Network, url: string): boolean =>
  (network.id === "localnet" || network.id === "custom") && isLoopback(url);

/** The node's address where none is named: the localnet serves this page at /app, beside its own /api. */
export function defaultUrl(network: Network, page: string): string {
  if (network.id !== "localnet") return network.url;
  const { origin, pathname } = new URL(page);
  return isLoopback(page) && /^\/app(\/|$)/.test(pathname) ? `${origin}/api` : network.url;
}
