import * as chains from "genlayer-js/chains";
import { describe, expect, it } from "vitest";
import { allowsThrowAwayKeys, defaultUrl, networkOf, NETWORKS, type Network } from "../../src/chain/networks";

const network = (id: string): Network => networkOf(id) as Network;

describe("networks", () => {
  it.each(NETWORKS.filter((each) => each.url && each.id !== "studio-next"))("have the URL of genlayer-js: $id", ({ chain, url }) => {
    expect(url).toBe(chains[chain].rpcUrls.default.http[0]);
  });
  it.each(NETWORKS.filter((each) => each.chainId && each.id !== "studio-next"))("are signed for the chain of genlayer-js: $id", ({ chain, chainId }) => {
    expect(chainId).toBe(chains[chain].id);
  });
  it("are found with dashes and underscores", () => expect(network("testnet_asimov").id).toBe("testnet-asimov"));
  it("allow throw-away keys on a localnet of this machine only", () => {
    expect(allowsThrowAwayKeys(network("localnet"), "http://127.0.0.1:4000/api")).toBe(true);
    expect(allowsThrowAwayKeys(network("custom"), "http://[::1]:4000/api")).toBe(true);
    expect(allowsThrowAwayKeys(network("localnet"), "https://example.org/api")).toBe(false);
    expect(allowsThrowAwayKeys(network("localnet"), "http://127.0.0.1.example.org/api")).toBe(false);
    expect(allowsThrowAwayKeys(network("studionet"), "http://localhost:4000/api")).toBe(false);
  });
  it("ask the localnet that serves the page", () => {
    expect(defaultUrl(network("localnet"), "http://127.0.0.1:4123/app/#/usage")).toBe("http://127.0.0.1:4123/api");
    expect(defaultUrl(network("localnet"), "http://127.0.0.1:8080/")).toBe("http://127.0.0.1:4000/api");
    expect(defaultUrl(network("localnet"), "https://example.org/app/")).toBe("http://127.0.0.1:4000/api");
    expect(defaultUrl(network("studionet"), "http://127.0.0.1:4123/app/")).toBe("https://studio.genlayer.com/api");
  });
});
