// All APIs of an operator, one line each.
import type { Api, ApiDay, Earnings, SettlementHead } from "../../domain/answers";
import { earnedIn, pendingOf, type Pending } from "../../domain/operating";
import { dayText } from "../../domain/time";
import { useLocation } from "../../state/location";
import { Gen, Tag } from "../../ui/parts";
import { compare, Records, type Column } from "../../ui/records";
import { CollectButton } from "./figures";
import { lastSequence, type ReadOfAll } from "./reading";

const NOTHING = <span className="muted">–</span>;

interface ApisTableProps {
  apis: readonly Api[];
  days: ReadonlyMap<string, ApiDay[]>;
  heads: ReadOfAll<SettlementHead[]>;
  earnings: Earnings | undefined;
  isOwn: boolean;
  today: number;
}

export function ApisTable({ apis, days, heads, earnings, isOwn, today }: ApisTableProps) {
  const { href } = useLocation();
  const earned = ({ apiName }: Api, count: number): bigint | undefined => {
    const known = days.get(apiName);
    return known && earnedIn(known, today, count);
  };
  const promised = ({ apiName }: Api) => earnings?.apis.find((each) => each.apiName === apiName);
  const pendingWei = (api: Api): bigint => (days.has(api.apiName) && promised(api)?.pendingWei) || 0n;
  const pending = (api: Api): Pending => pendingOf(days.get(api.apiName) ?? [], pendingWei(api), today);
  const refused = ({ apiName }: Api): number => heads.of.get(apiName)?.filter(({ refusedEntries }) => refusedEntries > 0).length ?? 0;
  const sum = (count: number) => ({
    by: (api: Api) => earned(api, count) ?? -1n,
    show: (api: Api) => {
      const wei = earned(api, count);
      return wei === undefined ? <span className="muted">…</span> : <Gen wei={wei} />;
    },
  });
  const columns: Column<Api>[] = [
    { id: "api", title: "API", isText: true, by: ({ apiName }) => apiName, show: ({ apiName }) => <a href={href({ api: apiName })}>{apiName}</a> },
    { id: "today", title: "Earned today", ...sum(1) },
    { id: "week", title: "7 days", ...sum(7) },
    { id: "month", title: "30 days", ...sum(30) },
    ...(earnings?.apis.length ? [{
      id: "pending", title: "Pending", by: pendingWei,
      show: (api: Api) => {
        const { nextDay, nextWei, lastDay } = pending(api);
        const { frozenWei = 0n } = promised(api) ?? {};
        return (
          <>
            {pendingWei(api) > 0n ? <Gen wei={pendingWei(api)} /> : NOTHING}
            {nextDay > 0 && <small><Gen wei={nextWei} /> from {dayText(nextDay)} on{lastDay > nextDay && `, all by ${dayText(lastDay)}`}</small>}
            {frozenWei > 0n && <small className="bad-text"><Gen wei={frozenWei} /> frozen</small>}
          </>
        );
      },
    }, {
      id: "collectable", title: "To collect", by: (api: Api) => pending(api).collectableWei,
      show: (api: Api) => {
        const { collectableWei } = pending(api);
        return <>{collectableWei > 0n ? <Gen wei={collectableWei} /> : NOTHING}{isOwn && <> <CollectButton apiName={api.apiName} wei={collectableWei} /></>}</>;
      },
    }] : []),
    {
      id: "settled", title: "Settlements", by: lastSequence,
      show: (api) => <>{lastSequence(api) || NOTHING}{refused(api) > 0 && <small><a href={href({ api: api.apiName, entries: "refused" })}>{refused(api)} with refused entries<span className="visually-hidden"> of {api.apiName}</span></a></small>}</>,
    },
    { id: "state", title: "State", isText: true, by: ({ active }) => (active ? 1 : 0), show: ({ active }) => <Tag tone={active ? "good" : "warn"}>{active ? "Active" : "Paused"}</Tag> },
  ];
  const isComplete = apis.every(({ apiName }) => days.has(apiName));
  const rows = isComplete ? [...apis].sort((a, b) => compare(earned(b, 30) ?? 0n, earned(a, 30) ?? 0n)) : apis;
  return <Records of="APIs" rows={rows} columns={columns} keyOf={({ apiName }) => apiName} textOf={({ apiName }) => apiName} />;
}
