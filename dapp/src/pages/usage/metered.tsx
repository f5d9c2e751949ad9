// Use that is metered and settled later: what pays it, and until when.
import { grouped } from "../../domain/amounts";
import type { Metered } from "../../domain/left";
import { momentText } from "../../domain/time";
import { Gen } from "../../ui/parts";
import { SessionPanel } from "../sessions/panel";
import type { Acting } from "./acting";
import type { Row } from "./rows";

export function MeteredUse({ row: { line, metered }, report, apis, isOwn }: Acting & { row: Row }) {
  return (
    <>
      {metered && !line.signer && <Paid metered={metered} />}
      <SessionPanel line={line} report={report} api={apis?.find((each) => each.apiName === line.apiName)} isOwn={isOwn} />
    </>
  );
}

function Paid({ metered }: { metered: Metered }) {
  const { kind, wei, until, calls } = metered;
  if (kind === "ended") return <p className="hold"><Gen wei={wei} /> of a hold that ended on {momentText(until)}: they pay nothing any more.</p>;
  return (
    <p className="hold">
      Hold: <Gen wei={wei} /> until {momentText(until)}, for what is metered and settled later.
      {" "}They pay {grouped(calls)} {calls === 1n ? "call" : "calls"}.
    </p>
  );
}
