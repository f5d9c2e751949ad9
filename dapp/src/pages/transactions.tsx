// What was sent from this browser, and what became of it.
import { atMostGen } from "../domain/amounts";
import { momentText } from "../domain/time";
import { useLocation } from "../state/location";
import { usePlace } from "../state/place";
import { transactions, useTransactions } from "../state/sending";
import { isFollowed, type Child, type TxRecord } from "../tx/store";
import { describe, describeChild } from "../tx/words";
import { usePageFocus } from "../ui/page_focus";
import { Address, Copy, Empty, Gen, Tag } from "../ui/parts";


export function TransactionsPage() {
  const records = useTransactions();
  const { url } = usePlace();
  const { href } = useLocation();
  const heading = usePageFocus("Transactions");
  const here = records.filter((record) => record.url === url);
  const others = records.length - here.length;
  return (
    <>
      <h1 ref={heading} tabIndex={-1}>Transactions</h1>
      <p className="muted">Sent from this browser to this node. They are kept when the page is closed.</p>
      {here.length === 0 ? (
        <Empty title="Nothing was sent yet" action={<a className="button" href={href({ view: "usage" })}>Go to usage</a>}>
          Each action appears here, from sent to finalized.
        </Empty>
      ) : (
        <ol className="transactions">{here.map((record) => <li key={record.id}><Transaction record={record} /></li>)}</ol>
      )}
      {others > 0 && <p className="muted small-text">{others} more {others === 1 ? "was" : "were"} sent to other nodes.</p>}
    </>
  );
}

function Transaction({ record }: { record: TxRecord }) {
  const { label, tone, text } = describe(record);
  const isInterrupted = record.phase === "signing" && !transactions.isSigningHere(record);
  return (
    <article className={`transaction ${tone}`} aria-label={record.title} data-testid="transaction">
      <header className="card-head">
        <h2 className="h3">{record.title}</h2>
        <Tag tone={tone}>{label}</Tag>
      </header>
      <Steps record={record} />
      {text && <p>{text}</p>}
      {isInterrupted && <p>Another tab asks the wallet, or the page was closed while it was asked. If you confirmed it there, it is among the wallet's activities.</p>}
      <dl className="facts">
        <div><dt>{record.hash ? "Sent" : "Asked"}</dt><dd>{momentText(record.createdAt / 1000)} by <Address address={record.account} /></dd></div>
        {BigInt(record.valueWei) > 0n && <div><dt>Value</dt><dd><Gen wei={BigInt(record.valueWei)} /></dd></div>}
        {record.depositWei && record.phase !== "ended" && <div><dt>Fee</dt><dd><FeeFact record={record} depositWei={BigInt(record.depositWei)} /></dd></div>}
        {record.code && <div><dt>Code</dt><dd className="mono">{record.code}</dd></div>}
        {record.hash && <div><dt>Hash</dt><dd><span className="mono break">{record.hash}</span> <Copy text={record.hash} label="Copy the hash" /></dd></div>}
      </dl>
      {record.children.length > 0 && (
        <div className="children">
          <h3 className="h4">What it triggered</h3>
          <ul>{record.children.map((child) => <li key={child.hash}><ChildLine child={child} /></li>)}</ul>
        </div>
      )}
      {!isFollowed(record) && (record.phase !== "signing" || isInterrupted) && (
        <button type="button" className="button small quiet" onClick={() => transactions.remove(record.id)}>Remove from the list</button>
      )}
    </article>
  );
}

function FeeFact({ record, depositWei }: { record: TxRecord; depositWei: bigint }) {
  const { returnedWei: returned, phase } = record;
  if (returned === undefined) return <>at most {atMostGen(depositWei)} GEN{phase !== "finalized" && "; told when it is final"}</>;
  return <><Gen wei={depositWei - BigInt(returned)} />; <Gen wei={BigInt(returned)} /> came back</>;
}

function ChildLine({ child }: { child: Child }) {
  const { label, tone, text } = describeChild(child);
  return (
    <>
      <Tag tone={tone}>{label}</Tag> <span>{text}{child.to && (BigInt(child.valueWei) > 0n ? <> to <Address address={child.to} /></> : <> (<Address address={child.to} />)</>)}</span>{" "}
      <span className="mono muted break">{child.hash}</span>
    </>
  );
}

const STEPS = ["sent", "accepted", "finalized"] as const;

/** Where it stands, as a line of three steps. */
function Steps({ record }: { record: TxRecord }) {
  const reached = record.phase === "finalized" ? 3 : record.phase === "accepted" ? 2 : record.phase === "sent" ? 1 : 0;
  if (record.phase === "ended") return null;
  return (
    <ol className="steps" aria-label="Progress">
      {STEPS.map((step, i) => (
        <li key={step} className={i < reached ? "reached" : ""} aria-current={i === reached - 1 ? "step" : undefined}>
          {i === 1 && record.verdict !== "done" && record.verdict !== "pending" && i < reached ? "decided" : step}
        </li>
      ))}
    </ol>
  );
}
