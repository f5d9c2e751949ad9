// Transactions: signed, refused, lost, paid for.
import { accessible, act, ask, card, check, enter, finalize, fits, follow, GEN, people, place, rpc, shot, shows, stage, story, submit, url, visit } from "../stage.mjs";

const { operator, newcomer } = people;

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
  await (await card(page, "maps")).getByRole("button", { name: "Change plan or cap" }).click();
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

story("a node that does not say its chain gets nothing signed, and a wallet that moved on while the dialog was open sends nothing", async () => {
  const page = await enter(newcomer, "usage", { chainId: 1, tolerate: ["Failed to load resource", "ERR_"] });
  let isSilent = true;
  await page.route(url, (route) => (isSilent && route.request().postDataJSON().method === "eth_chainId" ? route.abort() : route.continue()));
  await page.reload();
  await page.getByRole("button", { name: "Top up" }).first().click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Amount").fill("1");
  await dialog.getByText("The node has not said which chain it is").waitFor();
  const button = dialog.getByRole("button", { name: "Top up" });
  check(await button.isDisabled(), "nothing is signed for a chain that nobody knows");
  await accessible(page, "a dialog that waits for the node's chain");
  isSilent = false;
  // It asks again by itself, too, and may have its answer while the button is being pressed.
  const known = dialog.getByRole("button", { name: "Switch the wallet" }).waitFor();
  await Promise.any([dialog.getByRole("button", { name: "Ask the node again" }).click(), known]);
  await known;
  await dialog.getByRole("button", { name: "Switch the wallet" }).click();
  await dialog.getByText(/^Signed by/).waitFor();
  await page.evaluate(() => { window.testWallet.chainId = 1; });
  await submit(page, {}, "Top up");
  await follow(page, "Top up 1 GEN", "Not sent");
  await shows(page.getByTestId("toast"), "The wallet is on chain 1, not on chain 61999. Nothing was sent.");
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
  await other.getByRole("button", { name: "Test wallet" }).click();
  await other.getByTestId("signer").waitFor();
  await other.getByRole("link", { name: "Usage" }).click();
  await other.getByRole("button", { name: "Top up" }).click();
  await other.getByRole("dialog").getByLabel("Amount").fill("1.5");
  await fee(other);
  await fits(other, "a dialog with a fee on a phone");
  await shot(other, "fee-phone-light");
  await submit(other, {}, "Top up");
  await other.getByTestId("toast").getByText("Top up 1.5 GEN").waitFor();
  await other.getByRole("button", { name: "Top up" }).first().click();
  await other.getByRole("dialog").getByLabel("Amount").fill("0.5");
  await fee(other);
  await submit(other, {}, "Top up");
  await other.getByTestId("toast").getByText("Top up 0.5 GEN").waitFor();
  check(await other.getByTestId("toast").locator("visible=true").count() === 1, "on a phone the newest transaction alone takes room");
  await paid(other, "Top up 0.5 GEN");
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
