// What the meter charged for, and what the chain has of it.
import type { Api, ApiDay } from "../../domain/answers";
import { DAY_SECONDS, dateText, dayOf, monthText } from "../../domain/time";
import type { Summary } from "../../meter/client";
import { usePlace } from "../../state/place";
import { useView } from "../../state/queries";
import { Amount, CallsBelow } from "./parts";

interface Used {
  calls: bigint;
  wei: bigint;
}

const NOTHING = { calls: 0n, chargedWei: 0n };

/** What the chain has of the days that the meter means: both are UTC, but a localnet's clock may be elsewhere. */
export function onChain(days: readonly ApiDay[], today: number): { today: Used; month: Used } {
  const month = new Date(today * DAY_SECONDS * 1000).toISOString().slice(0, 7);
  const sum = (of: readonly ApiDay[]): Used => ({ calls: of.reduce((all, { calls }) => all + calls, 0n), wei: of.reduce((all, { earnedWei }) => all + earnedWei, 0n) });
  return {
    today: sum(days.filter(({ dayId }) => dayId === today)),
    month: sum(days.filter(({ dayId }) => dayId <= today && new Date(dayId * DAY_SECONDS * 1000).toISOString().startsWith(month))),
  };
}

export function Beside({ api, summary }: { api: Api; summary: Summary }) {
  const { network } = usePlace();
  const isSettling = summary.contract !== null;
  const read = useView("get_api_days", isSettling ? [api.apiName] : null, { everyMs: network.refreshMs * 3 });
  const own = summary.apis.find((each) => each.api === api.apiName);
  const at = summary.atMs / 1000;
  const chain = read.data && onChain(read.data, dayOf(at));
  const row = (label: string, when: string, { calls, chargedWei }: typeof NOTHING, there: Used | undefined) => (
    <tr>
      <th scope="row">{label} <span className="meter-below">{when}</span></th>
      <td className="num"><Amount units={chargedWei} of={summary} /><CallsBelow count={calls} /></td>
      {isSettling && <td className="num">{there ? <><Amount units={there.wei} of={summary} /><CallsBelow count={there.calls} /></> : <span className="muted">{read.error ? "not read" : "…"}</span>}</td>}
    </tr>
  );
  return (
    <>
      {!own && <p className="muted small-text">This meter has counted nothing of <strong className="break">{api.apiName}</strong> in 31 days.</p>}
      <table className="meter-beside">
        <caption className="visually-hidden">Counted of {api.apiName}</caption>
        <thead><tr><td /><th scope="col" className="num">Meter charged</th>{isSettling && <th scope="col" className="num">Chain earned</th>}</tr></thead>
        <tbody>
          {row("Today", dateText(at), own?.today ?? NOTHING, chain?.today)}
          {row("This month", monthText(at), own?.month ?? NOTHING, chain?.month)}
        </tbody>
      </table>
      {isSettling && (
        <p className="muted small-text">
          On the chain are also calls that consumers had billed one by one, and what other meters settle; refunds and what a dispute has frozen are not.
        </p>
      )}
    </>
  );
}
