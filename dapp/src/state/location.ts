// Where we are: the URL, and going elsewhere.
import { useMemo, useSyncExternalStore } from "react";
import { changed, formatLocation, parseLocation, type Location } from "./url";

const onHash = (listener: () => void): (() => void) => {
  window.addEventListener("hashchange", listener);
  return () => window.removeEventListener("hashchange", listener);
};

/** ``replace``: without a step in the browser's history. */
export function go(change: Partial<Location>, options?: { replace?: boolean }): void {
  const next = formatLocation(changed(parseLocation(window.location.hash), change));
  if (next === window.location.hash) return;
  if (options?.replace) {
    window.history.replaceState(null, "", next);
    window.dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    window.location.hash = next;
  }
}

export function useLocation(): { location: Location; href(change: Partial<Location>): string } {
  const hash = useSyncExternalStore(onHash, () => window.location.hash);
  return useMemo(() => {
    const location = parseLocation(hash);
    return { location, href: (change) => formatLocation(changed(location, change)) };
  }, [hash]);
}
