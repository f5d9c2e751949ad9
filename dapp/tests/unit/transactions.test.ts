// @vitest-environment happy-dom
import { beforeEach, describe, expect, it, vi } from "vitest";
import { NodeError } from "../../src/chain/rpc";
import type { Outcome } from "../../src/tx/outcome";
import { isFollowed, PREFIX, TxStore, type TxRecord } from "../../src/tx/store";
import { LOST_MS, Tracker } from "../../src/tx/tracker";
import { kept } from "../../src/browser/storage";
import { describe as inWords, describeChild } from "../../src/tx/words";

const URL = "http://node";
const NEW = { url: URL, contract: "0xc", account: "0xa", method: "top_up_credit", title: "Top up 5 GEN", valueWei: "5" };
const outcome = (change: Partial<Outcome> = {}): Outcome => ({
  status: "ACCEPTED", isDecided: true, isFinal: false, verdict: "done", code: "", message: "", keptWei: 0n, children: [], to: "", method: "", valueWei: 0n, fee: null, ...change,
});

let store: TxStore;
let now: number;
let node: Map<string, Outcome | NodeError>;
let asked: string[];

const sent = (hash = "0x1"): TxRecord => {
  const record = store.add(NEW);
  store.update(record.id, { hash, phase: "sent" });
  return store.all()[0] as TxRecord;
};
const first = (): TxRecord => store.all()[0] as TxRecord;
const tracker = (): Tracker =>
  new Tracker({
    store, url: URL, pollMs: 400, now: () => now,
    lookUp: async (hash) => {
      asked.push(hash);
      const found = node.get(hash) ?? new NodeError("not_found", "no such transaction");
      if (found instanceof NodeError) throw found;
      return found;
    },
  });

beforeEach(() => {
  localStorage.clear();
  store = new TxStore(kept);
  now = Date.now();
  node = new Map();
  asked = [];
});

describe("the list of transactions", () => {
  it("is there after a reload", () => {
    const record = sent();
    expect(new TxStore(kept).all()).toEqual([record]);
  });
  it("is seen by another tab", () => {
    const other = new TxStore(kept);
    sent();
    window.dispatchEvent(new StorageEvent("storage", { key: `${PREFIX}x` }));
    expect(other.all()).toHaveLength(1);
  });
  it("keeps what another tab has added meanwhile", () => {
    const other = new TxStore(kept);
    sent("0x1");
    other.add(NEW);
    expect(new TxStore(kept).all()).toHaveLength(2);
  });
  it("lasts as long as the page where the browser keeps nothing", () => {
    vi.stubGlobal("localStorage", { getItem: () => { throw new Error("blocked"); }, setItem: () => { throw new Error("blocked"); } });
    sent();
    expect(store.all()).toMatchObject([{ phase: "sent" }]);
    store.remove(first().id);
    vi.unstubAllGlobals();
  });
  it.each(["{", "5", "[]", "{}", '{"url":"http://node","children":7}'])("is not broken by an entry that is no record: %s", (garbage) => {
    localStorage.setItem(`${PREFIX}x`, garbage);
    expect(new TxStore(kept).all()).toEqual([]);
  });
  it("does not grow for ever, and keeps what is under way", () => {
    const open = sent("0xopen");
    for (let i = 0; i < 210; i++) store.update(store.add({ ...NEW, title: `${i}` }).id, { phase: "ended", verdict: "declined" });
    expect(store.all().length).toBeLessThanOrEqual(202);
    expect(store.all().some((record) => record.id === open.id)).toBe(true);
  });
});

describe("following", () => {
  it("goes from sent to accepted to finalized, and then stops", async () => {
    sent();
    const following = tracker();
    node.set("0x1", outcome({ status: "PENDING", isDecided: false, verdict: "pending" }));
    await following.step();
    expect(first().phase).toBe("sent");
    node.set("0x1", outcome());
    now += 1_000;
    await following.step();
    expect([first().phase, first().verdict]).toEqual(["accepted", "done"]);
    node.set("0x1", outcome({ status: "FINALIZED", isFinal: true }));
    now += 1_000;
    await following.step();
    expect(first().phase).toBe("finalized");
    now += 60_000;
    asked = [];
    await following.step();
    expect(asked).toEqual([]);
  });
  it("keeps what the fee was when it is final, and until then what was deposited", async () => {
    sent();
    const following = tracker();
    node.set("0x1", outcome({ fee: { depositWei: 9n, returnedWei: null, refused: "" } }));
    await following.step();
    expect([first().depositWei, first().returnedWei]).toEqual(["9", undefined]);
    node.set("0x1", outcome({ status: "FINALIZED", isFinal: true, fee: { depositWei: 9n, returnedWei: 7n, refused: "" } }));
    now += 1_000;
    await following.step();
    expect([first().depositWei, first().returnedWei]).toEqual(["9", "7"]);
  });
  it("lists children, and follows them until they are final", async () => {
    sent();
    const following = tracker();
    node.set("0x1", outcome({ status: "FINALIZED", isFinal: true, children: ["0x2"] }));
    node.set("0x2", outcome({ to: "0xa", method: "receive_credit", valueWei: 7n }));
    await following.step();
    expect(first().children).toMatchObject([{ hash: "0x2", phase: "accepted", to: "0xa", method: "receive_credit", valueWei: "7" }]);
    expect(isFollowed(first())).toBe(true);
    node.set("0x2", outcome({ status: "FINALIZED", isFinal: true }));
    now += 20_000;
    await following.step();
    expect(isFollowed(first())).toBe(false);
  });
  it("lists a child that the node does not have yet", async () => {
    sent();
    node.set("0x1", outcome({ children: ["0x2"] }));
    await tracker().step();
    expect(first().children).toMatchObject([{ hash: "0x2", phase: "sent", verdict: "pending" }]);
  });
  it("waits for a node that is away", async () => {
    sent();
    node.set("0x1", new NodeError("unreachable", "gone"));
    const following = tracker();
    for (let i = 0; i < 20; i++) {
      now += 60_000;
      await following.step();
    }
    expect(first().phase).toBe("sent");
  });
  it("gives up on what a node has not known for a minute, not before", async () => {
    sent();
    const following = tracker();
    now += 2 * LOST_MS; // so long the wallet was asked
    await following.step();
    now += LOST_MS / 2;
    await following.step();
    expect(first().phase).toBe("sent");
    now += LOST_MS;
    await following.step();
    expect([first().phase, first().verdict]).toEqual(["ended", "lost"]);
  });
  it("asks more rarely while nothing changes", async () => {
    sent();
    node.set("0x1", outcome());
    const following = tracker();
    for (let i = 0; i < 600; i++) {
      now += 100;
      await following.step();
    }
    expect(asked.length).toBeLessThan(20);
  });
  it("goes on when the machine's clock was set back", async () => {
    sent();
    node.set("0x1", outcome());
    const following = tracker();
    await following.step();
    now -= 3_600_000;
    await following.step();
    expect(asked).toEqual(["0x1", "0x1"]);
  });
  it("leaves other nodes' transactions alone", async () => {
    store.update(store.add({ ...NEW, url: "http://other" }).id, { hash: "0x9", phase: "sent" });
    await tracker().step();
    expect(asked).toEqual([]);
  });
  it("does not wait for ever for a wallet that was asked by a page that is gone", async () => {
    store.add(NEW);
    store = new TxStore(kept);
    now += 16 * 60_000;
    await tracker().step();
    expect(first().verdict).toBe("unknown");
  });
});

describe("in words", () => {
  const words = (change: Partial<TxRecord>) => inWords({ ...sent(), ...change });
  it("a refusal has the code's meaning and what to do", () => {
    expect(words({ phase: "accepted", verdict: "refused", code: "insufficient_credit" }).text).toBe(
      "Not covered by free credit or, in a session, by its hold. Nothing was changed. Top up, take less, or place a hold.",
    );
  });
  it("money that was kept is told of", () => {
    expect(words({ phase: "accepted", verdict: "kept", code: "hold_in_force", keptWei: (10n ** 18n).toString() }).text).toContain("The 1 GEN sent with it became your credit.");
  });
  it("a bond that a court returns is credit when that is final", () => {
    const returned = { method: "open_dispute", verdict: "kept", code: "day_open", keptWei: (10n ** 18n).toString() } as const;
    expect(words({ ...returned, phase: "accepted" }).text).toContain("The 1 GEN sent with it become your credit when this is final.");
    expect(words({ ...returned, phase: "finalized" }).text).toContain("became your credit.");
  });
  it("what was cancelled for its fee has lost nothing", () => {
    const cancelled = words({ phase: "finalized", verdict: "failed", message: "it was cancelled (MaxPriceExceeded)", depositWei: "5", returnedWei: "5" });
    expect(cancelled.text).toContain("What was sent and the fee came back.");
    expect(words({ phase: "finalized", verdict: "failed", message: "x", depositWei: "5", returnedWei: "4" }).text).toContain("may have stayed with the contract");
  });
  it("what is under way is not called good", () => expect(words({ phase: "accepted", verdict: "done" })).toMatchObject({ label: "Accepted", tone: "busy" }));
  it("what is final is good", () => expect(words({ phase: "finalized", verdict: "done" })).toMatchObject({ label: "Finalized", tone: "good" }));
  it("a refusal stays one when it is final", () => expect(words({ phase: "finalized", verdict: "refused", code: "no_hold" })).toMatchObject({ label: "Refused", tone: "bad" }));
  it.each([
    ["refund_by_court", 0n, "Refunds what the verdict says; the rest is the operator's"],
    ["top_up_for", 5n, "Pays 0.000000000000000005 GEN, as credit,"],
    ["", 5n, "Pays 0.000000000000000005 GEN"],
    ["anything", 0n, "Calls anything"],
    [undefined, 0n, "Message of the contract"],
  ])("what it triggered is told by what it calls: %s", (method, valueWei, text) => {
    const child = { hash: "0x2", phase: "accepted", verdict: "done", code: "", message: "", to: "0xa", valueWei: valueWei.toString(), ...(method !== undefined && { method }) } as const;
    expect(describeChild(child).text).toBe(text);
  });
});
