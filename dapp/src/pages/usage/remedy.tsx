// The button of what remedies an advice, for whoever can do that.
import { useState } from "react";
import type { Advice } from "../../domain/advice";
import type { ApiUsage } from "../../domain/answers";
import { useOwnCourt } from "../../state/court";
import { useLocation } from "../../state/location";
import { ActionButton, DialogButton } from "../../ui/action_dialog";
import { useSigned } from "../sessions/signed";
import { VoucherDialog } from "../sessions/voucher_dialog";
import { remedyFor, type Acting } from "./acting";

interface RemedyProps extends Acting {
  about: Advice | undefined;
  className?: string;
  /** There may be nothing to press while what was opened is still open. */
  isThere?: boolean;
}

export function Remedy({ about, className = "button small", isThere = true, ...acting }: RemedyProps) {
  const { report, own } = acting;
  const { href } = useLocation();
  const court = useOwnCourt();
  const line = report.apis.find(({ apiName }) => apiName === about?.apiNames[0]);
  const maySign = about?.remedy === "sign" && own !== "" && line?.signer === own;
  return (
    <>
      {isThere && about?.disputeId !== undefined && <a className={className} href={href({ view: "disputes", api: about.apiNames[0] ?? "", dispute: about.disputeId, court })}>{about.button}</a>}
      <ActionButton className={className} about={about} make={(opened) => (opened ? remedyFor(opened, acting) : null)} isThere={isThere}>{about?.button}</ActionButton>
      <DialogButton className={className} isThere={isThere && maySign} content={(close) => <Signing line={line} consumer={report.consumer} onDone={close} />}>{about?.button}</DialogButton>
    </>
  );
}

/** Of the session for which it was opened, whatever is advised by then. */
function Signing({ line, consumer, onDone }: { line: ApiUsage | undefined; consumer: string; onDone(): void }) {
  const [lines] = useState(line ? [line] : []);
  const [signed] = useSigned(consumer, lines);
  const [opened] = lines;
  return opened && signed && <VoucherDialog line={opened} consumer={consumer} {...signed} onDone={onDone} />;
}
