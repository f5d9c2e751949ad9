// Errors of reading, each with what it means and what to do.
import { Component, type ReactNode } from "react";
import { NodeError } from "../chain/rpc";
import { explain } from "../domain/refusals";
import { useLocation } from "../state/location";
import { usePlace } from "../state/place";
import { Empty } from "./parts";

interface Told {
  title: string;
  text: string;
}

function tell(error: unknown, url: string): Told {
  if (!(error instanceof NodeError)) return { title: "Something went wrong in this page", text: String(error) };
  switch (error.failure) {
    case "no_contract":
    case "not_found":
      return {
        title: "There is no contract at this address",
        text: "Not on this network. Check address and network. A localnet that was started anew without its state has lost it.",
      };
    case "wrong_contract":
      return {
        title: "This is not the billing contract",
        text: "There is a contract at this address, but it does not answer as this edition of the billing contract does. Check the address.",
      };
    case "not_a_node":
      return { title: "No GenLayer node answers there", text: `${url} answers, but not as a GenLayer node. Check network and URL.` };
    case "refused": {
      const { meaning, nextStep } = explain(error.refusalCode);
      return { title: `${meaning}.`, text: nextStep };
    }
    case "busy":
      return { title: "The node asks for patience", text: "It limits how often it is read. This goes on by itself." };
    case "unreachable":
      return { title: "The node cannot be reached", text: `Nothing answers at ${url}. This goes on by itself when it is back.` };
    case "rejected":
      return { title: "The node does not take the request", text: error.message };
  }
}

/** What fails in a page leaves the others, and the way to them. */
export class Guarded extends Component<{ children: ReactNode }, { error: unknown }> {
  override state = { error: null };

  static getDerivedStateFromError = (error: unknown): { error: unknown } => ({ error });

  override render(): ReactNode {
    return this.state.error === null ? this.props.children : <><h1>API billing</h1><Trouble error={this.state.error} /></>;
  }
}

/** What stands where data would be. */
export function Trouble({ error }: { error: unknown }) {
  const { url, contract } = usePlace();
  const { href } = useLocation();
  const { title, text } = tell(error, url);
  const isTransient = error instanceof NodeError && error.isTransient;
  return (
    <div role="alert">
      <Empty
        title={title}
        action={
          isTransient ? (
            <button type="button" className="button" onClick={() => contract?.pace.resume()}>Try now</button>
          ) : (
            <a className="button" href={href({ view: "connect" })}>Check the connection</a>
          )
        }
      >
        {text}
      </Empty>
    </div>
  );
}
