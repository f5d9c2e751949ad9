// Use that is metered and settled later: what pays it, and until when.
import { grouped } from "../../domain/amounts";
import { momentText } from "../../domain/time";
import { Gen } from "../../ui/parts";
import type { Acting } from "./acting";
import type { Row } from "./rows";

export function MeteredUse({ row: { metered } }: Acting & { row: Row }) {
  if (!metered) return null;
  const { kind, wei, until, calls } = metered;
  if (kind === "ended") return <p className="hold"><Gen wei={wei} /> of a hold that ended on {momentText(until)}: they pay nothing any more.</p>;
  return (
    <p className="hold">
      {kind === "session" ? "Session" : "Hold"}: <Gen wei={wei} /> until {momentText(until)}, for what is metered and settled later.
      {" "}They pay {grouped(calls)} {calls === 1n ? "call" : "calls"}{kind === "session" ? " that are signed for" : ""}.
    </p>
  );
}
