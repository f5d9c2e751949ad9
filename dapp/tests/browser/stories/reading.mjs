// How the page reads: stale data, busy nodes, several tabs.
import { accessible, aside, ask, check, enter, finalize, people, place, shot, shows, stage, story, submit, url, visit } from "../stage.mjs";

const { consumer, newcomer } = people;
const VIEWS = ["usage", "apis", "operate", "transactions", "connect"];
const FIRST_LOAD_BYTES = 170_000;

aside("a node goes away and comes back: data stays, is called stale, and is renewed", async () => {
  const context = await visit({ node: stage.fickle, tolerate: ["Failed to load resource", "ERR_"] });
  const page = await context.newPage();
  await page.goto(place("usage", { account: consumer.address, rpc: stage.fickle }));
  await page.getByRole("button", { name: "Use them" }).click();
  await page.getByTestId("free-credit").waitFor();
  await ask("stop");
  await page.evaluate(() => window.dispatchEvent(new Event("visibilitychange")));
  await page.getByTestId("freshness").getByText(/Stale.*the node cannot be reached/).waitFor();
  check(await page.getByTestId("free-credit").isVisible(), "what was read stays");
  await accessible(page, "stale data");
  await shot(page, "stale-desktop-light");
  await ask("start");
  // It tries again by itself, too, and may do so while the button is being pressed.
  const renewed = page.getByTestId("freshness").getByText(/Stale/).waitFor({ state: "hidden" });
  await Promise.any([page.getByRole("button", { name: "Try now" }).click(), renewed]);
  await renewed;
});

aside("a busy node is given time", async () => {
  const context = await visit();
  const page = await context.newPage();
  const asked = [];
  await page.route(url, async (route) => {
    if (route.request().postDataJSON().params[0]?.type !== "read") return route.continue();
    asked.push(Date.now());
    if (asked.length > 2) return route.continue();
    return route.fulfill({ json: { jsonrpc: "2.0", id: 1, error: { code: -32005, message: "rate limit" } } });
  });
  await page.goto(place("usage", { account: consumer.address }));
  await page.getByText("The node asks for patience").waitFor();
  await page.getByTestId("free-credit").waitFor();
  const pauses = asked.slice(1, 3).map((at, i) => at - asked[i]);
  check(pauses[0] >= 700 && pauses[1] >= 1_400, `it waits, longer each time: ${pauses.join(", ")} ms`);
});

story("two tabs see the same transactions, and together do not read too often", async () => {
  const first = await enter(newcomer);
  const context = first.context();
  const second = await context.newPage();
  const reads = [];
  context.on("request", (request) => { if (request.method() === "POST" && request.postData()?.includes("gen_call")) reads.push(Date.now()); });
  await second.goto(place("transactions", { account: newcomer.address }));
  await second.getByText("Nothing was sent yet").waitFor();
  await first.getByRole("button", { name: "Top up" }).first().click();
  await submit(first, { Amount: "0.5" }, "Top up");
  const seen = second.getByTestId("transaction").filter({ hasText: "Top up 0.5 GEN" });
  await seen.getByText("Accepted", { exact: true }).waitFor();
  await first.close();
  await finalize();
  await seen.getByText("Finalized", { exact: true }).first().waitFor();
  for (let i = 10; i < 26; i++) {
    await second.goto(place(VIEWS[i % 3], { account: `0x${"0".repeat(38)}${i}` }));
    await second.waitForTimeout(250);
  }
  const most = Math.max(...reads.map((from) => reads.filter((at) => at >= from && at < from + 10_000).length));
  check(reads.length > 5 && most <= 20, `at most 20 reads in 10 s (${most} of ${reads.length})`);
});

aside("a refresh of the report is one read", async () => {
  const context = await visit();
  const page = await context.newPage();
  await page.goto(place("usage", { account: consumer.address }));
  await page.locator(".chart-bar rect").first().waitFor();
  await shows(page.getByTestId("last-month"), "GEN in February");
  await page.getByText(/Reading \d+ more/).waitFor({ state: "hidden" });
  let reads = 0;
  page.on("request", (request) => { if (request.postData()?.includes("gen_call")) reads++; });
  await page.waitForRequest((request) => request.postData()?.includes("gen_call") ?? false);
  await page.waitForTimeout(700);
  check(reads === 1, `one read, not ${reads}`);
});

aside("the first load is small on the wire", async () => {
  const context = await visit();
  await context.setExtraHTTPHeaders({ "accept-encoding": "gzip" }); // brotli is for secure contexts only
  const page = await context.newPage();
  const files = [];
  page.on("requestfinished", (request) => { if (request.url().includes("/app/")) files.push(request); });
  await page.goto(place("usage", { account: consumer.address }));
  await page.getByTestId("free-credit").waitFor();
  await page.waitForLoadState("networkidle");
  const sizes = await Promise.all(files.map(async (request) => [request.url(), (await request.sizes()).responseBodySize]));
  const bytes = sizes.reduce((sum, [, size]) => sum + size, 0);
  check(sizes.length > 3 && bytes > 50_000, `everything is counted: ${sizes}`);
  check(bytes < FIRST_LOAD_BYTES, `${bytes} bytes are less than ${FIRST_LOAD_BYTES}: ${sizes}`);
});

aside("five tabs make about as many reads as one", async () => {
  const context = await visit();
  const readsOf = async (count) => {
    const from = reads.length;
    const pages = await Promise.all(Array.from({ length: count }, () => context.newPage()));
    await Promise.all(pages.map((page) => page.goto(place("usage", { account: consumer.address }))));
    await Promise.all(pages.map((page) => page.getByTestId("free-credit").waitFor()));
    await pages[0].waitForTimeout(6_000); // a refresh
    await Promise.all(pages.map((page) => page.close()));
    return reads.length - from;
  };
  const reads = [];
  context.on("request", (request) => { if (request.postData()?.includes("gen_call")) reads.push(request); });
  const one = await readsOf(1);
  const five = await readsOf(5);
  check(one >= 3 && five <= one + 3, `five tabs make ${five} reads, one makes ${one}`);
});
