// The meter's own side is for operators that run one: nobody else loads it.
import { lazy, Suspense } from "react";
import type { Api } from "../../domain/answers";
import { useLocation } from "../../state/location";
import { Banner, Skeleton } from "../../ui/parts";
import { useKnownMeter } from "./known";

const NotLoaded = () => <Banner tone="warn" title="The part of this page about meters could not be loaded">Load the page anew.</Banner>;

const Loaded = lazy(() => import("./section").then(({ MeterSection }) => ({ default: MeterSection }), () => ({ default: NotLoaded })));

export const MeterSide = (props: { api: Api }) => <Suspense fallback={<Skeleton rows={1} label="Loading" />}><Loaded {...props} /></Suspense>;

const LoadedGlance = lazy(() => import("./section").then(({ MeterGlance: Glance }) => ({ default: Glance }), () => ({ default: () => null })));

/** Of the operator's meter, where this browser knows one. */
export function MeterGlance() {
  const { text, place } = useKnownMeter();
  return place && <Suspense fallback={null}><LoadedGlance key={text} place={place} /></Suspense>;
}

/** To the meter's side, which is the last of an API's page. */
export function MeterLink({ api, className = "" }: { api: Api; className?: string }) {
  const { href } = useLocation();
  // Who has followed it before stays at the same URL.
  return <a className={className} href={href({ api: api.apiName, part: "meter" })} onClick={() => document.querySelector(".section.meter")?.scrollIntoView()}>HTTP meter</a>;
}
