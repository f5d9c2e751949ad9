// The meter that the operator looked at has in this browser.
import { useMemo, useSyncExternalStore } from "react";
import { meters, nameOf, placeOf } from "../../meter/known";
import { useLocation } from "../../state/location";
import { usePlace } from "../../state/place";

export function useKnownMeter() {
  const { contract } = usePlace();
  const { location } = useLocation();
  const name = nameOf(contract?.url ?? "", contract?.address ?? "", location.account);
  const text = useSyncExternalStore(meters.subscribe, () => meters.text(name));
  return { name, text, place: useMemo(() => placeOf(text), [text]) };
}
