// Reads the file that `api-billing usage prove` writes, and says what it proves.
import { useId, useState, type MouseEvent } from "react";
import { announce } from "../../browser/announcing";
import { NodeError } from "../../chain/rpc";
import { consumerOf, dayIdOf, judgeProof, lineEvidence, lineText, MAX_FILE, NoProof, readProof, type Finding, type Proof } from "../../domain/proof";
import { dateOfDay } from "../../domain/time";
import { useDisputableDays } from "../../state/court";
import { useLocation } from "../../state/location";
import { usePlace } from "../../state/place";
import { useView } from "../../state/queries";
import { useSigner } from "../../state/signing";
import { Banner, Section, Skeleton } from "../../ui/parts";
import { Trouble } from "../../ui/trouble";
import { OpenButton } from "./parts";

type Given = { proof: Proof } | { why: string } | null;

function given(text: string): Given {
  try {
    return text.trim() === "" ? null : { proof: readProof(text) };
  } catch (error) {
    if (!(error instanceof NoProof)) throw error;
    return { why: error.message };
  }
}

/** So that a file that has changed can be chosen once more. */
const clear = ({ currentTarget }: MouseEvent<HTMLInputElement>): void => { currentTarget.value = ""; };

export function ProofReader({ hasCourt }: { hasCourt: boolean }) {
  const id = useId();
  const [text, setText] = useState("");
  const found = given(text);
  const take = async (file: File | undefined): Promise<void> => {
    if (!file) return;
    setText(await file.slice(0, MAX_FILE + 1).text().catch(() => "?"));
    announce(`${file.name} is read.`);
  };
  return (
    <Section title="Prove a request">
      <p className="muted">The operator of an API can give you the proof that one of your requests was counted and billed: the file that <code>api-billing usage prove</code> writes. It is checked here, with what the contract keeps{hasCourt && ", and goes into your claim"}.</p>
      <div className="proof-form">
        <label htmlFor={`${id}-file`}>Choose the file, or drop it here</label>
        <input id={`${id}-file`} type="file" accept=".json,application/json" onClick={clear} onChange={(event) => void take(event.target.files?.[0])} />
        <details>
          <summary>Or paste its text</summary>
          <textarea aria-label="Text of the proof" rows={4} spellCheck={false} value={text} onChange={(event) => setText(event.target.value)} />
        </details>
      </div>
      <div aria-live="polite" data-testid="proof">
        {found && "why" in found && <Banner tone="stop" title="This is no proof">{found.why}</Banner>}
        {found && "proof" in found && <Judged proof={found.proof} />}
      </div>
    </Section>
  );
}

function Judged({ proof }: { proof: Proof }) {
  const { contract } = usePlace();
  const isHere = proof.contract === contract?.address;
  const state = useView("get_settlement", isHere ? [proof.line.api, proof.sequence] : null, { staleTime: Infinity });
  if (!isHere) return <Banner tone="stop" title="It proves nothing here">It is about the contract <span className="break">{proof.contract}</span>, not about this one.</Banner>;
  const { error } = state;
  const isRefused = error instanceof NodeError && error.failure === "refused";
  if (error && !isRefused) return <Trouble error={error} />;
  if (!state.data && !isRefused) return <Skeleton rows={1} label="Reading the settlement" />;
  const settlement = isRefused ? (error.refusalCode === "sequence_forgotten" ? "forgotten" : null) : (state.data?.settlement ?? null);
  return <Told proof={proof} finding={judgeProof(proof, settlement)} root={settlement === null || settlement === "forgotten" ? proof.claimedRoot : settlement.usageRoot} />;
}

function Told({ proof, finding, root }: { proof: Proof; finding: Finding; root: string }) {
  const { line } = proof;
  if (finding.status === "false") return <Banner tone="stop" title="It proves nothing">{finding.text}</Banner>;
  if (finding.status === "forgotten") return <Banner tone="warn" title="It cannot be checked here any more">{lineText(line)} {finding.text}</Banner>;
  return (
    <Banner tone="info" title={lineText(line)} action={<Claim proof={proof} root={root} />}>
      {finding.text}
    </Banner>
  );
}

/** The way from a proven line to a dispute of its day, or why there is none. */
function Claim({ proof, root }: { proof: Proof; root: string }) {
  const { location, href } = useLocation();
  const { own } = useSigner();
  const { line } = proof;
  const dayId = dayIdOf(line);
  const consumer = consumerOf(line);
  const isLookedAt = consumer !== "" && consumer === location.account;
  const days = useDisputableDays(line.api, isLookedAt ? consumer : "");
  if (!isLookedAt) return consumer ? <a className="button small" href={href({ account: consumer, api: line.api })}>Look at its consumer</a> : <span className="muted">Its consumer is not on the chain.</span>;
  if (!days.data) return null;
  if (days.data.now.some(({ day }) => day.dayId === dayId)) {
    if (own !== consumer) return <span className="muted">Sign as its consumer to dispute the day.</span>;
    return <OpenButton apiName={line.api} dayId={dayId} line={lineEvidence(proof, root)}>Dispute {dateOfDay(dayId)} with it</OpenButton>;
  }
  if (days.data.later.some((each) => each.dayId === dayId)) return <span className="muted">Its day can be disputed from {dateOfDay(dayId + 2)} on.</span>;
  return <span className="muted">Its day cannot be disputed, or not any more.</span>;
}
