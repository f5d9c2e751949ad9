// Asked before anything is read from a node or a contract that only a link has named.
import { useLocation } from "../state/location";
import { usePlace } from "../state/place";
import { trust } from "../state/trust";
import { hostOf } from "../state/trust";
import { usePageFocus } from "../ui/page_focus";
import { Banner } from "../ui/parts";

export function LinkQuestion() {
  const { asked, network } = usePlace();
  const { href } = useLocation();
  const heading = usePageFocus("Use this link?");
  if (!asked) return null;
  const host = hostOf(asked.url);
  return (
    <>
      <h1 ref={heading} tabIndex={-1}>Use this link?</h1>
      <Banner tone="warn" title={asked.node ? `It shows what ${host} says, not ${network.label} as this page knows it` : "It names a contract that this page does not know"}>
        Whoever made the link chose {asked.node ? "this node: it can show whatever it likes" : "this contract"}. Go on if you know where the link is from.
      </Banner>
      <dl className="facts" data-testid="link">
        <div><dt>Host</dt><dd><strong className="break">{host}</strong></dd></div>
        <div><dt>Node</dt><dd className="mono break">{asked.url}</dd></div>
        {asked.contract && <div><dt>Contract</dt><dd className="mono break">{asked.contract}</dd></div>}
      </dl>
      <div className="actions">
        <button type="button" className="button primary" onClick={() => trust.add(asked.url, asked.contract)}>Use them</button>
        <a className="button" href={href({ view: "connect", rpc: "", contract: "", account: "" })}>Do not use them</a>
      </div>
    </>
  );
}
