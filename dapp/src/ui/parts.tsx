// Small parts that every page is made of.
import { Fragment, useId, useState, type ReactNode, type Ref } from "react";
import { announce } from "../browser/announcing";
import { exactGen, exactWei, grouped, shortGen } from "../domain/amounts";
import { shortAddress } from "../domain/names";
import { useDeployment } from "../state/deployment";
import { useLocation } from "../state/location";
import { useExact } from "./exact";

/** GEN, cut to six decimals, or exact where that is wanted; the title has the wei in any case. Long ones may break at a comma. */
export function Gen({ wei, big = false }: { wei: bigint; big?: boolean }) {
  const text = (useExact() ? exactGen : shortGen)(wei);
  const isLong = text.length > (big ? 9 : 14);
  return (
    <data className={`amount${big ? " amount-big" : ""}${isLong ? " long" : ""}`} value={wei.toString()} title={`${exactGen(wei)} GEN = ${exactWei(wei)}`}>
      {isLong ? text.split(/(?<=,)/).map((part, i) => <Fragment key={i}>{i > 0 && <wbr />}{part}</Fragment>) : text}
      <span className="unit"> GEN</span>
    </data>
  );
}

/** ``link``: to the page of this account, the one for operators where the site knows it as one, or where the caller does. */
export function Address({ address, link = false, view }: { address: string; link?: boolean; view?: "usage" | "operate" }) {
  const { nameOf, viewOf } = useDeployment();
  const { href } = useLocation();
  const exact = useExact();
  const name = nameOf(address);
  const text = (
    <>
      {name && <span className="account-name">{name} </span>}
      <span className="mono">{exact ? address : shortAddress(address)}</span>
    </>
  );
  return link ? (
    <a className="address" title={address} href={href({ view: view ?? viewOf(address), account: address.toLowerCase() })}>{text}</a>
  ) : (
    <span className="address" title={address}>{text}</span>
  );
}

export function Copy({ text, label, children = "Copy" }: { text: string; label: string; children?: ReactNode }) {
  const [isCopied, setCopied] = useState(false);
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
      setTimeout(() => setCopied(false), 2_000);
    } catch {
      announce("The browser does not let this page copy.");
    }
  };
  if (!("clipboard" in navigator)) return null;
  return (
    <button type="button" className="button quiet small" onClick={() => void copy()} aria-label={isCopied ? undefined : label}>
      {isCopied ? "Copied" : children}
    </button>
  );
}

export interface BarProps {
  label: string;
  /** 0 to 1000 */
  thousandths: number;
  /** What is used, and of how much. */
  used: ReactNode;
  limit: ReactNode;
  left: ReactNode;
  isOver?: boolean;
}

/** How much of a limit is used. The bar itself is for the eye: the text beside it says the same. */
export function Bar({ label, thousandths, used, limit, left, isOver }: BarProps) {
  const level = isOver || thousandths >= 1000 ? "full" : thousandths >= 800 ? "high" : "fine";
  return (
    <div className="bar">
      <div className="bar-head">
        <span className="bar-label">{label}</span>
        <span className="bar-numbers">{used}<span className="of"> of </span>{limit}</span>
      </div>
      <div className={`bar-track ${level}`} aria-hidden="true">
        {thousandths > 0 && <div className="bar-fill" style={{ width: `${thousandths / 10}%` }} />}
      </div>
      <div className="bar-left">{left}</div>
    </div>
  );
}

export function Calls({ count }: { count: bigint }) {
  return <span className="number">{grouped(count)}</span>;
}

interface BannerProps {
  tone: "stop" | "warn" | "info";
  title: string;
  children?: ReactNode;
  action?: ReactNode;
  /** Read out at once: for what a person has just caused. Texts that change with time would be read again and again. */
  isAlert?: boolean;
}

export function Banner({ tone, title, children, action, isAlert }: BannerProps) {
  return (
    <div className={`banner ${tone}`} role={isAlert ? "alert" : undefined}>
      <div className="banner-text">
        <strong>{title}</strong>
        {children && <div>{children}</div>}
      </div>
      {action && <div className="banner-action">{action}</div>}
    </div>
  );
}

/** A link names an API that is not there. */
export function NotAmong({ names, what }: { names: readonly string[]; what: string }) {
  const { api } = useLocation().location;
  return api !== "" && !names.includes(api) && <Banner tone="info" title={`${api} is not among ${what}`} />;
}

export function Empty({ title, children, action }: { title: string; children?: ReactNode; action?: ReactNode }) {
  return (
    <div className="empty">
      <strong>{title}</strong>
      {children && <p>{children}</p>}
      {action}
    </div>
  );
}

/** Stands where something is being loaded, in its size, so that nothing jumps. */
export function Skeleton({ rows = 3, label = "Loading" }: { rows?: number; label?: string }) {
  return (
    <div className="skeleton" role="status" aria-label={label}>
      {Array.from({ length: rows }, (_, i) => <div key={i} className="skeleton-row" />)}
    </div>
  );
}

export function Section({ title, actions, children, className = "", ref }: { title: string; actions?: ReactNode; children: ReactNode; className?: string; ref?: Ref<HTMLElement> }) {
  const id = useId();
  return (
    <section ref={ref} aria-labelledby={id} className={`section ${className}`}>
      <div className="section-head">
        <h2 id={id}>{title}</h2>
        {actions && <div className="actions">{actions}</div>}
      </div>
      {children}
    </section>
  );
}

export function Tag({ tone, children }: { tone: "good" | "bad" | "busy" | "neutral" | "warn"; children: ReactNode }) {
  return <span className={`tag ${tone}`}>{children}</span>;
}
