// The meter's own side is for operators that run one: nobody else loads it.
import { lazy, Suspense } from "react";
import type { Api } from "../../domain/answers";
import { Banner, Skeleton } from "../../ui/parts";

const NotLoaded = () => <Banner tone="warn" title="The part of this page about meters could not be loaded">Load the page anew.</Banner>;

const Loaded = lazy(() => import("./section").then(({ MeterSection }) => ({ default: MeterSection }), () => ({ default: NotLoaded })));

export const MeterSide = (props: { api: Api }) => <Suspense fallback={<Skeleton rows={1} label="Loading" />}><Loaded {...props} /></Suspense>;
