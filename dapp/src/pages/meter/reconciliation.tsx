// The meter's books beside those of the contract, line by line.
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import type { Api } from "../../domain/answers";
import { isAddress } from "../../domain/names";
import { dayText, momentText } from "../../domain/time";
import type { Comparison, MeterClient, Reconciliation } from "../../meter/client";
import { isZeroLine, reasonWords, verdictOf, type Currency } from "../../meter/words";
import { Address, Banner } from "../../ui/parts";
import { Amount, CallsBelow, Count, MeterTrouble } from "./parts";

const SHOWN = 50;

export function Books({ client, api, url, currency }: { client: MeterClient; api: Api; url: string; currency: Currency }) {
  const books = useMutation({ mutationFn: () => client.reconciliation(api.apiName) });
  return (
    <div className="meter-part">
      <div className="section-head">
        <h3>Reconciliation</h3>
        <button type="button" className="button small" disabled={books.isPending} onClick={() => books.mutate()}>{books.data ? "Reconcile again" : "Reconcile"}</button>
      </div>
      {books.isPending ? <p role="status">The meter reads the chain for each consumer…</p> : books.error ? (
        <MeterTrouble error={books.error} url={url} onRetry={() => books.mutate()} />
      ) : books.data ? <Compared found={books.data} currency={currency} /> : (
        <p className="muted small-text">What was counted, posted and billed in 400 days, by consumer and day, and why it differs.</p>
      )}
    </div>
  );
}

function Compared({ found, currency }: { found: Reconciliation; currency: Currency }) {
  const [isAll, setAll] = useState(false);
  const differing = found.lines.filter((line) => !isZeroLine(line));
  const equal = found.lines.length - differing.length;
  const lines = isAll ? [...differing, ...found.lines.filter(isZeroLine)] : differing.slice(0, SHOWN);
  const { tone, title } = verdictOf(found);
  return (
    <>
      <div role="status">
        <Banner tone={tone === "good" ? "info" : tone} title={title}>
          As of {momentText(found.atMs / 1000)}.{" "}
          {found.lines.length === 0 ? "There is nothing to compare: nothing was counted in 400 days." : equal > 0 && `${equal} ${equal === 1 ? "line agrees" : "lines agree"} to the last wei.`}
          {found.unknownSettlements > 0n && ` The contract has ${found.unknownSettlements} settlements that this meter did not make: they are another one's, or its store was lost.`}
        </Banner>
      </div>
      {lines.length > 0 && (
        <div className="table-scroll" tabIndex={0} role="region" aria-label="Lines of the reconciliation">
          <table className="stacking">
            <thead><tr><th scope="col">Consumer</th><th scope="col">Day (UTC)</th><th scope="col" className="num">Counted</th><th scope="col" className="num">On the chain</th><th scope="col" className="num">Difference</th><th scope="col">Why</th></tr></thead>
            <tbody>{[...lines].sort((a, b) => b.day - a.day).map((line) => <Line key={`${line.consumer} ${line.day}`} line={line} currency={currency} />)}</tbody>
          </table>
        </div>
      )}
      {found.lines.length > lines.length || isAll ? (
        <p><button type="button" className="button quiet small" aria-expanded={isAll} onClick={() => setAll(!isAll)}>{isAll ? "Show only what differs" : `Show all ${found.lines.length} lines`}</button></p>
      ) : null}
    </>
  );
}

function Line({ line, currency }: { line: Comparison; currency: Currency }) {
  return (
    <tr>
      <th scope="row"><Whose consumer={line.consumer} /></th>
      <td data-label="Day">{dayText(line.day)}</td>
      <td data-label="Counted" className="num"><Amount units={line.meteredWei} of={currency} /><CallsBelow count={line.meteredCalls} /></td>
      <td data-label="On the chain" className="num"><Amount units={line.chainWei} of={currency} /><CallsBelow count={line.chainCalls} /></td>
      <td data-label="Difference" className="num">{line.differenceWei === 0n ? "zero" : <Amount units={line.differenceWei} of={currency} />}</td>
      <td data-label="Why">
        <ul className="meter-why">
          {line.why.map(({ reason, calls, amountWei }, i) => <li key={i}>{reasonWords(reason)}: <Count of={calls} one="call" />, <Amount units={amountWei} of={currency} /></li>)}
          {line.unexplainedWei !== 0n && <li className="bad-text">Not explained: <Amount units={line.unexplainedWei} of={currency} /></li>}
          {line.receiptCalls > 0n && <li className="muted"><Count of={line.receiptCalls} one="call with a receipt" more="calls with receipts" />, billed one by one by the consumer</li>}
          {isZeroLine(line) && line.receiptCalls === 0n && <li className="muted">agrees</li>}
        </ul>
      </td>
    </tr>
  );
}

/** A meter on a contract knows its consumers by address, another by any name. */
const Whose = ({ consumer }: { consumer: string }) => (isAddress(consumer) ? <Address address={consumer} /> : <span className="break">{consumer}</span>);
