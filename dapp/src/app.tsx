// The frame around every page.
import { lazy, Suspense, useEffect, useRef, useState, type ComponentType, type ReactNode } from "react";
import { ApisPage } from "./pages/apis";
import { ConnectPage } from "./pages/connect";
import { LandingPage } from "./pages/landing";
import { LinkQuestion } from "./pages/link";
import { TransactionsPage } from "./pages/transactions";
import { UsagePage } from "./pages/usage/page";
import { useDeployment } from "./state/deployment";
import { useLocation } from "./state/location";
import { usePlace } from "./state/place";
import { useTracker, useTransactions } from "./state/sending";
import { useSignerOf } from "./state/signing";
import { leftOutOf, type View } from "./state/url";
import { openCount } from "./tx/words";
import { AccountMenu } from "./ui/account_menu";
import { ExactSwitch } from "./ui/exact";
import { usePace } from "./ui/freshness";
import { Icon, type IconName } from "./ui/icons";
import { onAnnounce } from "./browser/announcing";
import { Banner, Empty, Skeleton } from "./ui/parts";
import { ThemeButton } from "./ui/theme";
import { Toasts } from "./ui/toasts";
import { Guarded } from "./ui/trouble";

/** A page that few begin with: its code comes when it is opened. */
function later<N extends string>(load: () => Promise<Record<N, ComponentType>>, name: N) {
  return lazy(() => load().then((file) => ({ default: file[name] }), () => ({ default: NotLoaded })));
}
const OperatePage = later(() => import("./pages/operate/page"), "OperatePage");
const DisputesPage = later(() => import("./pages/disputes/page"), "DisputesPage");
const StatementPage = later(() => import("./pages/statement"), "StatementPage");

function NotLoaded() {
  return (
    <>
      <h1>API billing</h1>
      <Empty title="This page could not be loaded" action={<button type="button" className="button" onClick={() => window.location.reload()}>Load it again</button>}>
        Its host does not answer, or has a newer version by now.
      </Empty>
    </>
  );
}

const NAVIGATION: readonly { view: View; label: string; icon: IconName }[] = [
  { view: "usage", label: "Usage", icon: "chart" },
  { view: "apis", label: "APIs", icon: "list" },
  { view: "operate", label: "Operate", icon: "gauge" },
  { view: "disputes", label: "Disputes", icon: "scales" },
  { view: "transactions", label: "Transactions", icon: "arrows" },
];

export function AppFrame() {
  useSignerOf();
  useTracker();
  const { location } = useLocation();
  return (
    <>
      <a className="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById("main")?.focus(); }}>Skip to the content</a>
      <header className="top">
        <div className="top-inner">
          <Brand />
          <Navigation />
          <div className="top-right">
            <ConnectionChip />
            <ThemeButton />
            <AccountMenu />
          </div>
        </div>
      </header>
      <main id="main" tabIndex={-1}>
        <LeftOut key={`${location.view}|${location.account}|${location.api}`} />
        <Guarded key={location.view}><Suspense fallback={<Skeleton />}><Page /></Suspense></Guarded>
      </main>
      <footer className="foot">Amounts are GEN, cut to six decimals. Days and months are UTC. <ExactSwitch /></footer>
      <Toasts />
      <LiveRegion />
    </>
  );
}

/** Of the link as it was followed: what is found out later is put in its place. */
function LeftOut() {
  const [names] = useState(() => leftOutOf(window.location.hash));
  return names.length > 0 && <Banner tone="warn" title="A part of the link cannot be read">{names.join(", ")}: left out, as if the link did not say it.</Banner>;
}

function Page(): ReactNode {
  const { location } = useLocation();
  const { contract, asked, settling } = usePlace();
  if (asked) return <LinkQuestion />;
  if (settling) return <Skeleton />;
  switch (location.view) {
    case "connect": return <ConnectPage />;
    case "transactions": return <TransactionsPage />;
    default:
  }
  if (!contract || (location.view === "usage" && !location.account)) return <LandingPage />;
  // Another account or contract is another page: nothing of the one before is left in it.
  const key = `${contract.url}|${contract.address}|${location.account}`;
  switch (location.view) {
    case "apis": return <ApisPage key={key} />;
    case "operate": return <OperatePage key={key} />;
    case "disputes": return <DisputesPage key={key} />;
    case "statement": return <StatementPage key={key} />;
    default: return <UsagePage key={key} />;
  }
}

function Navigation() {
  const { location, href } = useLocation();
  const transactions = useTransactions();
  const { url } = usePlace();
  const { deployment } = useDeployment();
  const count = openCount(transactions, url);
  const shown = NAVIGATION.filter(({ view }) => view !== "disputes" || location.view === view || deployment.court);
  return (
    <nav aria-label="Pages" className="navigation">
      <ul>
        {shown.map(({ view, label, icon }) => (
          <li key={view}>
            <a href={href({ view })} aria-current={location.view === view ? "page" : location.view === "statement" && view === "usage" ? "true" : undefined}>
              <Icon name={icon} />
              <span>{label}</span>
              {view === "transactions" && count > 0 && <span className="count"><span aria-hidden="true">{count}</span><span className="visually-hidden"> ({count} under way)</span></span>}
            </a>
          </li>
        ))}
      </ul>
    </nav>
  );
}

/** Leads to the first page. */
function Brand() {
  const { href } = useLocation();
  return <a className="brand" href={href({ view: "usage", account: "" })}><Icon name="logo" /> <span className="brand-name">API billing</span></a>;
}

function ConnectionChip() {
  const { location, href } = useLocation();
  const { place, contract, chainId } = usePlace();
  const pace = usePace();
  const tone = pace.trouble ? "bad" : contract && chainId ? "good" : "neutral";
  return (
    <a className="chip" href={href({ view: "connect" })} aria-current={location.view === "connect" ? "page" : undefined}>
      <span className={`dot ${tone}`} aria-hidden="true" />
      <span className="visually-hidden">Connection: </span>
      <span className="chip-place">{place}</span>
      {pace.trouble && <span className="visually-hidden"> ({pace.trouble === "busy" ? "the node limits reads" : "the node cannot be reached"})</span>}
    </a>
  );
}

/** Polite: it waits for the reader to finish. The text is set again a moment later, so that the same one is heard twice. */
function LiveRegion() {
  const [text, setText] = useState("");
  const queue = useRef<string[]>([]);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const next = (): void => {
      const first = queue.current.shift();
      timer = undefined;
      if (first === undefined) return;
      setText(first);
      timer = setTimeout(next, 700);
    };
    const stop = onAnnounce((told) => {
      queue.current.push(told);
      timer ??= setTimeout(next, 50);
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, []);
  return <div className="visually-hidden" role="status" aria-live="polite" data-testid="live">{text}</div>;
}
