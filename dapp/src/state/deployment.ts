// What a site says of the contract it is about: `deployments/<network>.json` beside the page, where it is served.
import { useQuery } from "@tanstack/react-query";
import { isAddress } from "../domain/names";
import { useLocation } from "./location";

export interface KnownAccount {
  address: string;
  name: string;
  role: string;
  /** Of a throw-away account of a localnet; else empty. */
  key: string;
}

/** The meter of an operator, as the demo runs one on this machine. */
export interface KnownMeter {
  url: string;
  adminToken: string;
}

export interface Deployment {
  /** The billing contract; empty where the site names none. */
  address: string;
  /** The court that disputes go to, where the site names one. */
  court: string;
  meter: KnownMeter | null;
  accounts: readonly KnownAccount[];
}

export const NO_DEPLOYMENT: Deployment = { address: "", court: "", meter: null, accounts: [] };

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
const addressOf = (value: unknown): string => (isAddress(textOf(value)) ? textOf(value).toLowerCase() : "");

/** A host may answer with anything else instead: what is not of the form is left out. */
export function deploymentOf(found: unknown): Deployment {
  const { address, court, meter, accounts } = Object(found) as Record<string, unknown>;
  if (!addressOf(address)) return NO_DEPLOYMENT;
  const { url, admin_token: adminToken } = Object(meter) as Record<string, unknown>;
  return {
    address: addressOf(address),
    court: addressOf(court),
    meter: textOf(url) ? { url: textOf(url), adminToken: textOf(adminToken) } : null,
    accounts: (Array.isArray(accounts) ? accounts : []).flatMap((each: unknown) => {
      const account = Object(each) as Record<string, unknown>;
      if (!addressOf(account["address"]) || !textOf(account["name"]) || !textOf(account["role"])) return [];
      const key = /^0x[0-9a-fA-F]{64}$/.test(textOf(account["key"])) ? textOf(account["key"]) : "";
      return [{ address: addressOf(account["address"]), name: textOf(account["name"]), role: textOf(account["role"]), key }];
    }),
  };
}

async function readDeployment(network: string, signal: AbortSignal): Promise<Deployment> {
  try {
    const response = await fetch(`deployments/${network}.json`, { signal });
    return response.ok ? deploymentOf(await response.json()) : NO_DEPLOYMENT;
  } catch (error) {
    if (signal.aborted) throw error;
    return NO_DEPLOYMENT;
  }
}

/** ``isLoading``: it is still to be found out. ``viewOf``: on which page an account is at home. */
export function useDeployment(): { deployment: Deployment; isLoading: boolean; known: readonly KnownAccount[]; nameOf(address: string): string; viewOf(address: string): "usage" | "operate" } {
  const { network } = useLocation().location;
  const query = useQuery({
    queryKey: ["deployment", network], staleTime: Infinity, enabled: network !== "custom",
    queryFn: ({ signal }) => readDeployment(network, signal),
  });
  const deployment = query.data ?? NO_DEPLOYMENT;
  const known = deployment.accounts;
  const find = (address: string) => known.find((each) => each.address === address.toLowerCase());
  return {
    deployment, isLoading: query.isLoading, known,
    nameOf: (address) => find(address)?.name ?? "",
    viewOf: (address) => (find(address)?.role === "operator" ? "operate" : "usage"),
  };
}
