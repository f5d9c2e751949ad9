// The page in a real browser, told as stories. tests/dapp/test_dapp.py has the list of them from this file.
import {
  accessible, act, aside, ask, check, contract, enter, finalize, fits, follow, GEN, origin, people, place, rpc, shot, shows, stage, story, submit, tellAll, url, visit,
} from "./stage.mjs";

const { operator, consumer, newcomer } = people;
const VIEWS = ["usage", "apis", "operate", "transactions", "connect"];

aside("the bare address fills in the contract, and shows who is known", async () => {
  const context = await visit();
  const page = await context.newPage();
  await page.goto(`${origin}/app`);
  await page.getByRole("heading", { name: "Usage" }).waitFor();
  await page.getByRole("link", { name: "Choose an account" }).waitFor();
  check(page.url().includes(contract), "the contract is in the URL");
  await page.getByRole("link", { name: "Choose an account" }).click();
  await page.getByRole("link", { name: /Carl/ }).click();
  await page.getByRole("heading", { name: "Usage of Carl" }).waitFor();
  await shows(page.getByTestId("held"), "GEN");
});

story("a consumer with a throw-away key tops up, subscribes, holds, withdraws and leaves", async () => {
  const context = await visit();
  const page = await context.newPage();
  await page.goto(place("connect"));
  await page.getByRole("button", { name: "Make a throw-away key" }).click();
  await shows(page.getByTestId("signer"), "100 GEN");
  const account = new URL(page.url().replace("#/", "")).searchParams.get("account");
  await page.getByRole("link", { name: "Usage" }).click();
  await page.getByText("No subscriptions yet").waitFor();

  await page.getByRole("button", { name: "Top up" }).click();
  await submit(page, { Amount: "5" }, "Top up");
  await follow(page, "Top up 5 GEN", "Accepted");
  await shows(page.getByTestId("free-credit"), "5 GEN");

  await page.getByRole("link", { name: "Subscribe to an API" }).click();
  await page.getByRole("button", { name: "Subscribe maps" }).click();
  await shows(page.getByTestId("effects"), "You accept 0.02 GEN a call");
  await submit(page, { Plan: "pro", "Daily cap": "3", "Deposit with it": "2.5" }, "Subscribe");
  await follow(page, "Subscribe to maps (pro)", "Accepted");
  await page.getByRole("link", { name: "Usage" }).click();
  await shows(page.getByTestId("free-credit"), "7.5 GEN");

  await page.getByRole("button", { name: "Place hold" }).click();
  await submit(page, { Amount: "1.5" }, "Place hold");
  await shows(page.getByTestId("held"), "1.5 GEN");
  await page.getByRole("button", { name: "Alert level" }).click();
  await submit(page, { Percent: "40" }, "Set alert level");
  await page.getByText("40 % of").waitFor();
  const report = await ask("cli", "report", account);
  check(report.credit_balance_wei === Number(6n * GEN), "api-billing report has the credit");
  check(report.apis.some((api) => api.api_name === "maps" && api.plan_name === "pro"), "api-billing report has the subscription");

  await page.getByRole("button", { name: "Withdraw" }).click();
  await submit(page, { Amount: "6" }, "Withdraw");
  await follow(page, "Withdraw 6 GEN", "Accepted");
  await shows(page.getByTestId("free-credit"), "0 GEN");
  await page.reload();
  await page.getByRole("link", { name: "Transactions" }).click();
  const withdrawal = page.getByTestId("transaction").filter({ hasText: "Withdraw 6 GEN" });
  await withdrawal.getByText("Accepted", { exact: true }).waitFor();
  check((await page.getByTestId("transaction").count()) === 5, "a reload loses no transaction");
  await finalize();
  await withdrawal.getByText("Pays 6 GEN").waitFor();
  await withdrawal.getByText("Finalized", { exact: true }).first().waitFor();
  await shot(page, "transactions-list-desktop-light");

  await page.getByRole("link", { name: "Usage" }).click();
  await page.getByRole("button", { name: "End", exact: true }).click();
  await shows(page.getByTestId("effects"), "stay on hold until");
  await submit(page, {}, "End subscription");
  await page.getByText("Ended", { exact: true }).waitFor();
});

story("anybody tops up a consumer who is watched", async () => {
  const page = await enter(newcomer, "usage");
  await page.goto(place("usage", { account: consumer.address }));
  const before = (await ask("cli", "report", consumer.address)).credit_balance_wei;
  await page.getByRole("button", { name: "Top up" }).first().click();
  await shows(page.getByTestId("effects").or(page.getByRole("dialog")), "Anybody can top up anybody");
  await submit(page, { Amount: "1.25" }, "Top up");
  await follow(page, "Top up 1.25 GEN for", "Accepted");
  const after = (await ask("cli", "report", consumer.address)).credit_balance_wei;
  check(BigInt(after) - BigInt(before) > (12n * GEN) / 10n, "api-billing report has the top-up");
  check((await page.getByRole("button", { name: "Change plan or cap" }).count()) === 0, "nobody changes another's subscription");
});

story("a consumer accepts a price that rose, and a hold keeps the plan", async () => {
  const page = await enter(consumer);
  await page.getByText("The price of weather rose", { exact: true }).waitFor();
  await page.locator(".plot canvas").waitFor();
  await shot(page, "usage-desktop-light-notice");
  // On demand the picture of the README: DAPP_IMAGE=docs/images/dapp.png
  if (process.env.DAPP_IMAGE) {
    await page.setViewportSize({ width: 1080, height: 1440 });
    await page.waitForTimeout(500);
    await page.screenshot({ path: process.env.DAPP_IMAGE });
  }
  await page.getByRole("button", { name: "Accept the new price" }).click();
  await shows(page.getByTestId("effects"), "You accept 0.012 GEN a call");
  await submit(page, {}, "Change subscription");
  await page.getByText("The price of weather rose", { exact: true }).waitFor({ state: "hidden" });
  await page.getByRole("article", { name: "maps" }).getByRole("button", { name: "Change plan or cap" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Plan").selectOption("pro");
  await dialog.getByLabel("Daily cap").fill("0.1");
  await dialog.getByRole("button", { name: "Change subscription" }).click();
  await dialog.getByText("The plan cannot change while a hold is in force.").waitFor();
  await dialog.getByText("The cap cannot be lowered while a hold is in force.").waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
});

aside("notices and chart tell what was refused and used", async () => {
  const context = await visit();
  const page = await context.newPage();
  await page.goto(place("usage", { account: consumer.address, chart: "calls", api: "maps" }));
  await page.getByLabel("Refused calls by reason").getByText(/calls refused: the client's own cap/).waitFor();
  check((await page.getByRole("button", { name: "Calls" }).getAttribute("aria-pressed")) === "true", "the chart is what the URL says");
  check((await page.getByLabel("Which API").inputValue()) === "maps", "the API is what the URL says");
  await page.locator(".plot canvas").waitFor();
  await page.getByText("Show as a table").click();
  check((await page.getByRole("region", { name: "Usage by day" }).locator("tbody tr").count()) > 10, "each day with usage has a row");
});

story("an operator runs an API: plans, pause, meters, hand-over", async () => {
  const page = await enter(operator, "operate");
  const card = page.getByRole("article", { name: "weather" });
  await card.getByRole("button", { name: "Change plan standard of weather" }).click();
  await page.getByRole("dialog").getByLabel("Price of a call").fill("0.02");
  await shows(page.getByTestId("effects"), "until they subscribe again");
  await page.getByRole("dialog").getByLabel("Calls a day").fill("10");
  await shows(page.getByTestId("effects"), "gets no further one");
  await accessible(page, "the dialog");
  await shot(page, "dialog-desktop-light");
  await submit(page, { "Price of a call": "0.011", "Calls a day": "200" }, "Change plan");
  await shows(card, "0.011 GEN");
  await card.getByRole("button", { name: "Add a plan" }).click();
  await submit(page, { "Name of the plan": "free", "Price of a call": "0", "Calls a day": "5" }, "Add plan");
  await shows(card, "free");
  await card.getByRole("button", { name: "Pause" }).click();
  await submit(page, {}, "Pause API");
  await shows(card, "Paused");
  await card.getByRole("button", { name: "Resume" }).click();
  await submit(page, {}, "Resume API");
  await shows(card, "Active");
  await card.getByRole("button", { name: "Allow a meter" }).click();
  await submit(page, { "Address of the meter": newcomer.address }, "Allow meter");
  await card.getByRole("button", { name: `Forbid meter ${newcomer.address} of weather` }).click();
  await submit(page, {}, "Forbid meter");
  await shows(card, "None: only the operator reports usage");
  await card.getByRole("button", { name: "Hand over" }).click();
  await submit(page, { "New operator": newcomer.address }, "Propose operator");
  await shows(card, "who has not accepted yet");

  const heir = await enter(newcomer, "operate");
  await heir.getByRole("button", { name: "Take it over" }).click();
  await submit(heir, {}, "Take over");
  await heir.getByRole("article", { name: "weather" }).waitFor();
});

story("an operator registers an API, sees settlements, and withdraws earnings", async () => {
  const page = await enter(operator, "operate");
  await page.getByText(/entries refused in part or whole/).waitFor();
  await page.getByText(/calls: the client's own cap for the day was reached/).waitFor();
  await page.getByRole("button", { name: "Earlier" }).click();
  await page.getByText("Number 15 of 16").waitFor();
  check(page.url().includes("settlement=15"), "the settlement is in the URL");
  await shot(page, "operate-desktop-light");
  await page.getByRole("button", { name: "Register an API" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Register API" }).click();
  await dialog.getByText("Enter a name.").waitFor();
  check(await dialog.getByLabel("Name").evaluate((field) => field === document.activeElement), "the first wrong field has the focus");
  await submit(page, { Name: "tides", "Price of a call": "0.004", "Calls a day": "1,000" }, "Register API");
  await page.getByRole("article", { name: "tides" }).waitFor();
  await page.getByRole("button", { name: "Withdraw earnings" }).click();
  await submit(page, { Amount: "1" }, "Withdraw");
  await follow(page, "Withdraw 1 GEN of earnings", "Accepted");
  await shows(page.locator(".figure"), "Withdrawn so far1 GEN");
});

story("a refused transaction says why in plain words", async () => {
  const page = await enter(newcomer, "operate");
  await page.getByRole("button", { name: "Register an API" }).click();
  await page.getByRole("dialog").getByLabel("Name").fill("taken");
  await act(operator, "register_api", ["taken", 1, 1, 0]);
  await submit(page, { "Price of a call": "1", "Calls a day": "1" }, "Register API");
  await follow(page, "Register taken", "Refused");
  await shows(page.getByTestId("toast"), "The account is not the operator of this API. Nothing was changed.");
  await page.getByRole("link", { name: "Transactions" }).click();
  await shows(page.getByTestId("transaction"), "not_operator");
  await accessible(page, "a refused transaction");
});

story("money of a refused deposit is told to be credit", async () => {
  await act(newcomer, "subscribe", ["maps", GEN, 2n * GEN, "standard"], 2n * GEN);
  const page = await enter(newcomer);
  await page.getByRole("article", { name: "maps" }).getByRole("button", { name: "Change plan or cap" }).click();
  await page.getByRole("dialog").getByLabel("Daily cap").fill("0.5");
  const { timestamp } = await rpc("sim_getTime");
  await act(newcomer, "place_hold", ["maps", GEN, Math.floor(timestamp) + 86_400]);
  await submit(page, { "Deposit with it": "0.75" }, "Change subscription");
  await follow(page, "Change subscription to maps", "Refused, money kept as credit");
  await shows(page.getByTestId("toast"), "The 0.75 GEN sent with it became your credit.");
});

story("an answer that is lost on the way loses no transaction", async () => {
  const context = await visit({ tolerate: ["Failed to load resource", "GenLayer RPC error", "ERR_"] });
  const page = await context.newPage();
  await page.goto(place("connect"));
  await page.getByRole("button", { name: "Make a throw-away key" }).click();
  await page.getByTestId("signer").waitFor();
  await page.route(url, async (route) => {
    const body = route.request().postDataJSON();
    if (body.method !== "eth_sendRawTransaction") return route.continue();
    await rpc(body.method, body.params);
    return route.abort();
  });
  await page.getByRole("link", { name: "Usage" }).click();
  await page.getByRole("button", { name: "Top up" }).click();
  await submit(page, { Amount: "3" }, "Top up");
  await follow(page, "Top up 3 GEN", "Accepted");
  await shows(page.getByTestId("free-credit"), "3 GEN");
});

story("a wallet that declines, and one on another network", async () => {
  const page = await enter(newcomer, "usage", { chainId: 1 });
  await page.getByRole("button", { name: "Top up" }).first().click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("Your wallet is on another network").waitFor();
  check(await dialog.getByRole("button", { name: "Top up" }).isDisabled(), "nothing is sent to another network");
  await shot(page, "wrong-network-desktop-light");
  await dialog.getByRole("button", { name: "Switch the wallet" }).click();
  await dialog.getByText("Your wallet is on another network").waitFor({ state: "hidden" });
  await page.evaluate(() => { window.testWallet.declines = true; });
  await submit(page, { Amount: "1" }, "Top up");
  await follow(page, "Top up 1 GEN", "Declined");
  await shows(page.getByTestId("toast"), "Nothing was sent.");
});

story("on a network with fees, the fee is told before, and what it was after", async () => {
  const node = stage.paid.url;
  const app = `${node.replace(/\/api$/, "")}/app/`;
  const fee = (page) => shows(page.getByTestId("fee"), /Network fee: at most 0\.0\d+ GEN; what is not used comes back/);
  const paid = async (page, title) => {
    await follow(page, title, "Accepted");
    await page.getByRole("link", { name: "Transactions" }).click();
    const sent = page.getByTestId("transaction").filter({ hasText: title });
    await sent.getByText(/at most 0\.0\d+ GEN; told when it is final/).waitFor();
    await finalize(node);
    await sent.getByText(/^0\.0\d+ GEN; 0\.0\d+ GEN came back$/).waitFor();
  };
  const page = await (await visit()).newPage();
  await page.goto(`${app}#/connect?network=localnet`);
  await page.getByRole("button", { name: "Make a throw-away key" }).click();
  await shows(page.getByTestId("signer"), "100 GEN");
  await page.getByRole("link", { name: "Usage" }).click();
  await page.getByRole("button", { name: "Top up" }).click();
  await page.getByRole("dialog").getByLabel("Amount").fill("5");
  await fee(page);
  await accessible(page, "a dialog with a fee");
  await shot(page, "fee-desktop-light");
  await submit(page, {}, "Top up");
  await paid(page, "Top up 5 GEN");
  await accessible(page, "a transaction with its fee");
  await shot(page, "fee-paid-desktop-light");

  const other = await (await visit({ owner: newcomer, chainId: 61997, node, phone: true })).newPage();
  await other.goto(`${app}#/connect?network=studio-next&rpc=${node}&contract=${stage.paid.contract}`);
  await other.getByRole("button", { name: "Use them" }).click();
  await other.getByRole("button", { name: "Connect a wallet" }).click();
  await other.getByTestId("signer").waitFor();
  await other.getByRole("link", { name: "Usage" }).click();
  await other.getByRole("button", { name: "Top up" }).click();
  await other.getByRole("dialog").getByLabel("Amount").fill("1.5");
  await fee(other);
  await fits(other, "a dialog with a fee on a phone");
  await shot(other, "fee-phone-light");
  await submit(other, {}, "Top up");
  await paid(other, "Top up 1.5 GEN");
  await other.getByRole("link", { name: "Operate" }).click();
  await other.getByRole("button", { name: "Register an API" }).click();
  const dialog = other.getByRole("dialog");
  await dialog.getByLabel("Name").fill("taken");
  await ask("register", "taken");
  await dialog.getByLabel("Price of a call").fill("1");
  await dialog.getByLabel("Calls a day").fill("1");
  await shows(dialog.getByRole("alert"), "The account is not the operator of this API.");
  check(await dialog.getByRole("button", { name: "Register API" }).isDisabled(), "what the contract refuses is not sent");
  await dialog.getByRole("alert").scrollIntoViewIfNeeded();
  await shot(other, "fee-refused-phone-light");
});

aside("wrong places are named: no contract, another contract, no node", async () => {
  const context = await visit({ tolerate: ["Failed to load resource", "CORS", "ERR_"] });
  const page = await context.newPage();
  const at = async (more) => {
    await page.goto(place("usage", { account: consumer.address, ...more }));
    if (Object.keys(more).length) await page.getByRole("button", { name: "Use them" }).click();
  };
  await at({ contract: `0x${"12".repeat(20)}` });
  await page.getByText("There is no contract at this address").waitFor();
  await accessible(page, "an error");
  await at({ contract: stage.otherContract });
  await page.getByText("This is not the billing contract").waitFor();
  await at({ rpc: `${origin}/app/index.html` });
  await page.getByText("No GenLayer node answers there").waitFor();
  await shot(page, "not-a-node-desktop-light");
  await at({ rpc: "http://127.0.0.1:9/api" });
  await page.getByText("The node cannot be reached", { exact: true }).waitFor();
  await at({});
  await page.getByRole("heading", { name: "Usage of Carl" }).waitFor();
  await page.getByTestId("free-credit").waitFor();
});

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

aside("a link with a node or a contract of its own shows them and asks first", async () => {
  const context = await visit();
  const page = await context.newPage();
  const requests = [];
  page.on("request", (request) => requests.push(request.url()));
  await page.goto(place("usage", { account: consumer.address, rpc: stage.fickle }));
  await shows(page.getByTestId("link"), new URL(stage.fickle).host);
  check(!requests.some((each) => each.startsWith(stage.fickle)), "nothing was asked of the node");
  await accessible(page, "the question about a link");
  await shot(page, "link-desktop-light");
  await page.getByRole("link", { name: "Do not use them" }).click();
  await page.getByRole("heading", { name: "Connection" }).waitFor();
  await page.goto(place("usage", { account: consumer.address, contract: operator.address }));
  await shows(page.getByTestId("link"), operator.address.toLowerCase());
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
  for (let i = 0; i < 12; i++) {
    await second.goto(place(VIEWS[i % 3], { account: i % 2 ? consumer.address : operator.address }));
    await second.waitForTimeout(100);
  }
  const most = Math.max(...reads.map((from) => reads.filter((at) => at >= from && at < from + 10_000).length));
  check(reads.length > 5 && most <= 20, `at most 20 reads in 10 s (${most} of ${reads.length})`);
});

aside("a refresh of the report is one read", async () => {
  const context = await visit();
  const page = await context.newPage();
  await page.goto(place("usage", { account: consumer.address }));
  await page.locator(".plot canvas").waitFor();
  await page.getByText(/Reading \d+ more/).waitFor({ state: "hidden" });
  let reads = 0;
  page.on("request", (request) => { if (request.postData()?.includes("gen_call")) reads++; });
  await page.waitForRequest((request) => request.postData()?.includes("gen_call") ?? false);
  await page.waitForTimeout(700);
  check(reads === 1, `one read, not ${reads}`);
});

story("the keyboard alone is enough", async () => {
  const page = await enter(newcomer);
  await page.reload();
  await page.getByTestId("free-credit").waitFor();
  await page.keyboard.press("Tab");
  check(await page.getByText("Skip to the content").evaluate((link) => link === document.activeElement), "the first stop skips to the content");
  await page.keyboard.press("Enter");
  const button = page.getByRole("button", { name: "Top up" }).first();
  for (let i = 0; i < 12 && !(await button.evaluate((element) => element === document.activeElement)); i++) await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  check(await dialog.evaluate((element) => element.contains(document.activeElement)), "the focus is in the dialog");
  for (let i = 0; i < 8; i++) await page.keyboard.press("Tab");
  check(await dialog.evaluate((element) => element.contains(document.activeElement)), "and stays in it");
  await dialog.getByLabel("Amount").focus();
  await page.keyboard.type("0.25");
  await page.keyboard.press("Enter");
  await dialog.waitFor({ state: "hidden" });
  await page.getByTestId("live").getByText(/Top up 0.25 GEN: Accepted/).waitFor();
  check(await button.evaluate((element) => element === document.activeElement), "the focus returns to the button");
});

aside("every page is accessible and fits, on a phone and a desk, light and dark", async () => {
  for (const [device, phone] of [["desktop", false], ["phone", true]]) {
    const page = await enter(consumer, "usage", { phone });
    for (const view of VIEWS) {
      await page.goto(place(view, { account: view === "operate" ? operator.address : consumer.address }));
      await page.getByRole("heading", { level: 1 }).waitFor();
      await page.locator(".skeleton").first().waitFor({ state: "hidden" });
      for (const scheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme: scheme });
        // Colours are what differs in the dark, and they are the same on a phone.
        if (scheme === "light" || !phone) await accessible(page, `${view} on a ${device}, ${scheme}`, scheme === "dark" ? ["color-contrast"] : null);
        await fits(page, `${view} on a ${device}`);
        await shot(page, `${view}-${device}-${scheme}`);
      }
    }
    await page.goto(place("usage", { account: consumer.address }));
    await page.getByRole("article", { name: "weather" }).getByRole("button", { name: "Place hold" }).click();
    await page.getByRole("dialog").getByLabel("Amount").fill("0.5");
    await accessible(page, `a dialog on a ${device}`);
    await fits(page, `a dialog on a ${device}`);
    await shot(page, `dialog-${device}-dark`);
  }
});

await tellAll();
