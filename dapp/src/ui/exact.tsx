// Whether amounts are written out to the last wei and addresses in full: for everybody who cannot point at them, too.
import { useSyncExternalStore } from "react";
import { kept } from "../browser/storage";

const NAME = "api-billing:exact";
const listeners = new Set<() => void>();
const subscribe = (listener: () => void): (() => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};
const isOn = (): boolean => kept.get(NAME) !== null;

export const useExact = (): boolean => useSyncExternalStore(subscribe, isOn);

export function ExactSwitch() {
  const exact = useExact();
  const change = (): void => {
    if (exact) kept.remove(NAME);
    else kept.set(NAME, "1");
    for (const listener of listeners) listener();
  };
  return <button type="button" className="button quiet small" aria-pressed={exact} onClick={change}>Exact amounts and full addresses</button>;
}
