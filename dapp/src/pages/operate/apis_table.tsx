// All APIs of an operator, one line each.
import type { Api, ApiDay, Earnings } from "../../domain/answers";
import { earnedIn } from "../../domain/operating";
import { useLocation } from "../../state/location";
import { Gen, Tag } from "../../ui/parts";
import { compare, Records, type Column } from "../../ui/records";
import { lastSequence } from "./reading";

interface ApisTableProps {
  apis: readonly Api[];
  days: ReadonlyMap<string, ApiDay[]>;
  earnings: Earnings | undefined;
  today: number;
}

export function ApisTable({ apis, days, earnings, today }: ApisTableProps) {
  const { href } = useLocation();
  const earned = ({ apiName }: Api, count: number): bigint | undefined => {
    const known = days.get(apiName);
    return known && earnedIn(known, today, count);
  };
  const waiting = ({ apiName }: Api) => earnings?.apis.find((each) => each.apiName === apiName);
  const sum = (count: number) => ({
    by: (api: Api) => earned(api, count) ?? -1n,
    show: (api: Api) => {
      const wei = earned(api, count);
      return wei === undefined ? <span className="muted">…</span> : <Gen wei={wei} />;
    },
  });
  const columns: Column<Api>[] = [
    { id: "api", title: "API", isText: true, by: ({ apiName }) => apiName, show: ({ apiName }) => <a href={href({ api: apiName, settlement: 0 })}>{apiName}</a> },
    { id: "today", title: "Earned today", ...sum(1) },
    { id: "week", title: "7 days", ...sum(7) },
    { id: "month", title: "30 days", ...sum(30) },
    {
      id: "waits", title: "Waits", by: (api) => waiting(api)?.pendingWei ?? 0n,
      show: (api) => {
        const { pendingWei = 0n, frozenWei = 0n } = waiting(api) ?? {};
        return <>{pendingWei > 0n ? <Gen wei={pendingWei} /> : <span className="muted">–</span>}{frozenWei > 0n && <small className="bad-text"><Gen wei={frozenWei} /> frozen</small>}</>;
      },
    },
    { id: "settled", title: "Settlements", by: lastSequence, show: (api) => lastSequence(api) || <span className="muted">–</span> },
    { id: "state", title: "State", isText: true, by: ({ active }) => (active ? 1 : 0), show: ({ active }) => <Tag tone={active ? "good" : "warn"}>{active ? "Active" : "Paused"}</Tag> },
  ];
  const isComplete = apis.every(({ apiName }) => days.has(apiName));
  const rows = isComplete ? [...apis].sort((a, b) => compare(earned(b, 30) ?? 0n, earned(a, 30) ?? 0n)) : apis;
  return <Records of="APIs" rows={rows} columns={columns} keyOf={({ apiName }) => apiName} textOf={({ apiName }) => apiName} />;
}
