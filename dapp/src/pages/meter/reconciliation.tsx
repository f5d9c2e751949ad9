// The meter's books beside those of the contract, line by line.
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { grouped } from "../../domain/amounts";
import type { Api } from "../../domain/answers";
import { isAddress } from "../../domain/names";
import { dayText, momentText } from "../../domain/time";
import type { Comparison, MeterClient, Reconciliation } from "../../meter/client";
import { isZeroLine, reasonWords, verdictOf, type Currency } from "../../meter/words";
import { Address, Banner } from "../../ui/parts";
import { Records, type Column } from "../../ui/records";
import { Amount, CallsBelow, Count, MeterTrouble } from "./parts";

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
  const { tone, title } = verdictOf(found);
  const lines = [...(isAll ? found.lines : differing)].sort((a, b) => b.day - a.day);
  return (
    <>
      <div role="status">
        <Banner tone={tone} title={title}>
          As of {momentText(found.atMs / 1000)}.{" "}
          {found.lines.length === 0 ? "There is nothing to compare: nothing was counted in 400 days." : equal > 0 && `${grouped(equal)} ${equal === 1 ? "line agrees" : "lines agree"} to the last wei.`}
          {found.unknownSettlements > 0n && ` The contract has ${grouped(found.unknownSettlements)} settlements that this meter did not make: they are another one's, or its store was lost.`}
        </Banner>
      </div>
      {lines.length > 0 && (
        <Records of="lines" rows={lines} keyOf={({ consumer, day }) => `${consumer} ${day}`} textOf={({ consumer }) => consumer.toLowerCase()} columns={columnsOf(currency)} />
      )}
      {equal > 0 && <button type="button" className="button quiet small records-more" onClick={() => setAll(!isAll)}>{isAll ? "Hide what agrees" : "Show what agrees, too"}</button>}
    </>
  );
}

const columnsOf = (currency: Currency): Column<Comparison>[] => [
  { id: "consumer", title: "Consumer", isText: true, by: ({ consumer }) => consumer, show: ({ consumer }) => <Whose consumer={consumer} /> },
  { id: "day", title: "Day (UTC)", isText: true, by: ({ day }) => day, show: ({ day }) => dayText(day) },
  { id: "metered", title: "Counted", by: ({ meteredWei }) => meteredWei, show: ({ meteredWei, meteredCalls }) => <><Amount units={meteredWei} of={currency} /><CallsBelow count={meteredCalls} /></> },
  { id: "chain", title: "On the chain", by: ({ chainWei }) => chainWei, show: ({ chainWei, chainCalls }) => <><Amount units={chainWei} of={currency} /><CallsBelow count={chainCalls} /></> },
  { id: "difference", title: "Difference", by: ({ differenceWei }) => differenceWei, show: ({ differenceWei }) => (differenceWei === 0n ? "zero" : <Amount units={differenceWei} of={currency} />) },
  { id: "why", title: "Why", isText: true, by: ({ why }) => why[0]?.reason ?? "", show: (line) => <Why line={line} currency={currency} /> },
];

function Why({ line, currency }: { line: Comparison; currency: Currency }) {
  return (
    <ul className="meter-why">
      {line.why.map(({ reason, calls, amountWei }, i) => <li key={i}>{reasonWords(reason)}: <Count of={calls} one="call" />, <Amount units={amountWei} of={currency} /></li>)}
      {line.unexplainedWei !== 0n && <li className="bad-text">{line.unexplainedWei < 0n ? "Billed on the chain, and not by this meter" : "Not explained"}: <Amount units={line.unexplainedWei} of={currency} /></li>}
      {line.receiptCalls > 0n && <li className="muted"><Count of={line.receiptCalls} one="call with a receipt" more="calls with receipts" />, billed one by one by the consumer</li>}
      {isZeroLine(line) && line.receiptCalls === 0n && <li className="muted">agrees</li>}
    </ul>
  );
}

/** A meter on a contract knows its consumers by address, another by any name. */
const Whose = ({ consumer }: { consumer: string }) => (isAddress(consumer) ? <Address address={consumer} /> : <>{consumer}</>);
