// Where GenLayer networks are. Tests compare them with genlayer-js, and with the table of src/api_billing/networks.py.

export interface Network {
  id: "localnet" | "studionet" | "studio-next" | "testnet-asimov" | "testnet-bradbury" | "custom";
  label: string;
  /** Empty for a network whose URL has to be given. */
  url: string;
  /** What is signed for it is signed for this chain, whatever a node says of itself. 0: what the node says. */
  chainId: number;
  /** Which chain of genlayer-js it is, or is like. */
  chain: "localnet" | "studionet" | "testnetAsimov" | "testnetBradbury";
  /** How often data is refreshed while somebody looks. */
  refreshMs: number;
  /** The first pause between looks at a transaction. */
  pollMs: number;
}

export const NETWORKS: readonly Network[] = [
  { id: "localnet", label: "Localnet", url: "http://127.0.0.1:4000/api", chainId: 0, chain: "localnet", refreshMs: 5_000, pollMs: 400 },
  { id: "studionet", label: "Studionet", url: "https://studio.genlayer.com/api", chainId: 61999, chain: "studionet", refreshMs: 20_000, pollMs: 3_000 },
  { id: "studio-next", label: "Studio Next", url: "https://studio-dev.genlayer.com/api", chainId: 61997, chain: "studionet", refreshMs: 20_000, pollMs: 3_000 },
  { id: "testnet-asimov", label: "Testnet Asimov", url: "https://rpc-asimov.genlayer.com", chainId: 4221, chain: "testnetAsimov", refreshMs: 30_000, pollMs: 5_000 },
  { id: "testnet-bradbury", label: "Testnet Bradbury", url: "https://rpc-bradbury.genlayer.com", chainId: 4221, chain: "testnetBradbury", refreshMs: 30_000, pollMs: 5_000 },
  { id: "custom", label: "Own URL", url: "", chainId: 0, chain: "localnet", refreshMs: 10_000, pollMs: 1_000 },
];

const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/** Studio's clients call a localnet so. */
const OTHER_GENLAYER_CHAINS = [61127];

export const isGenLayerChain = (chainId: number): boolean =>
  OTHER_GENLAYER_CHAINS.includes(chainId) || NETWORKS.some((each) => each.chainId !== 0 && each.chainId === chainId);

export const networkOf = (id: string): Network | undefined => NETWORKS.find((each) => each.id === id.replaceAll("_", "-"));

/** Studio's kind, as localnets are: its node signs nothing, simulates calls, and may take fees. */
export const isStudio = ({ chain }: Network): boolean => chain === "localnet" || chain === "studionet";

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
