// Transactions under way, in a corner of every page but their own.
import { useState } from "react";
import { useLocation } from "../state/location";
import { usePlace } from "../state/place";
import { useTransactions } from "../state/sending";
import { useTicking } from "../state/now";
import type { TxRecord } from "../tx/store";
import { describe } from "../tx/words";
import { Icon } from "./icons";
import { Tag } from "./parts";

const SHOWN = 3;
/** What has gone well, if not yet for good, is shown so long; what has not, until it is closed. */
const SHOWN_MS = 45_000;

const isWell = (record: TxRecord): boolean =>
  (record.phase === "accepted" || record.phase === "finalized") && describe(record).tone !== "bad";

export function Toasts() {
  const transactions = useTransactions();
  const { url } = usePlace();
  const { location, href } = useLocation();
  const [openedAt] = useState(() => Date.now());
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set());
  const recent = transactions.filter((record) => record.url === url && record.createdAt >= openedAt && !closed.has(record.id));
  const now = useTicking(recent.length > 0);
  const shown = recent.filter((record) => !isWell(record) || now - record.createdAt < SHOWN_MS).slice(0, SHOWN);
  if (location.view === "transactions" || shown.length === 0) return null;
  return (
    <aside className="toasts" aria-label="Transactions under way">
      {shown.map((record) => {
        const { label, tone, text } = describe(record);
        return (
          <div key={record.id} className={`toast ${tone}`} data-testid="toast">
            <div className="toast-head">
              <a href={href({ view: "transactions" })}>{record.title}</a>
              <Tag tone={tone}>{label}</Tag>
              <button type="button" className="icon-button" aria-label={`Close: ${record.title}`} onClick={() => setClosed(new Set(closed).add(record.id))}><Icon name="close" /></button>
            </div>
            {tone !== "busy" && text && <p>{text}</p>}
          </div>
        );
      })}
    </aside>
  );
}
