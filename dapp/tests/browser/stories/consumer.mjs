// A consumer's page and actions.
import { accessible, aside, ask, card, check, enter, fits, finalize, follow, GEN, heavy, people, place, shot, shows, story, submit, view, visit } from "../stage.mjs";

const { consumer, newcomer } = people;

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

  await (await card(page, "maps")).getByRole("button", { name: "Place hold" }).click();
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
  await (await card(page, "maps")).getByRole("button", { name: "End", exact: true }).click();
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
  await page.locator(".chart-bar rect").first().waitFor();
  await shot(page, "usage-desktop-light-notice");
  await page.getByRole("button", { name: "Accept the new price" }).click();
  await shows(page.getByTestId("effects"), "You accept 0.012 GEN a call");
  await submit(page, {}, "Change subscription");
  await page.getByText("The price of weather rose", { exact: true }).waitFor({ state: "hidden" });
  await (await card(page, "maps")).getByRole("button", { name: "Change plan or cap" }).click();
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
  await page.getByLabel("Refused calls by reason").getByText(/calls refused: the daily spending cap/).waitFor();
  check((await page.getByRole("button", { name: "Calls" }).getAttribute("aria-pressed")) === "true", "the chart is what the URL says");
  check((await page.getByLabel("Which API").inputValue()) === "maps", "the API is what the URL says");
  await page.locator(".chart-bar rect").first().waitFor();
  await page.getByText("Show as a table").click();
  await page.getByRole("region", { name: "Calls, by API" }).locator("tbody tr").nth(10).waitFor();
});

aside("forty subscriptions: the answer is on the first screen, in order and searchable", async () => {
  for (const [name, options] of [["desktop", {}], ["phone", { phone: true }], ["narrow", { phone: 320 }], ["desktop-dark", { dark: true }]]) {
    const context = await visit({ ...options, node: heavy.url });
    const page = await context.newPage();
    const reads = new Set(); // a busy machine may have refreshed the report meanwhile
    page.on("request", (request) => { if (request.postData()?.includes("gen_call")) reads.add(request.postDataJSON().params[0].data); });
    await page.goto(place("usage", { account: heavy.consumer }, heavy));
    await page.getByTestId("free-credit").waitFor();
    const { width, height } = page.viewportSize();
    for (const answer of ["free-credit", "signed", "spent", "most", "runs-out"]) {
      const box = await page.getByTestId(answer).boundingBox();
      check(box.y + box.height < height && box.x + box.width <= width, `${answer} is on the first screen of a ${name}`);
    }
    await shows(page.getByTestId("last-month"), "GEN in February");
    check(reads.size <= 6, `the report, two of the past, the notices and two of the session are all that is read (${reads.size})`);
    await fits(page, `usage on a ${name}`);
    await shot(page, `heavy-usage-${name}`);
    await accessible(page, `usage on a ${name}`);
  }
});

aside("what is left of each of forty subscriptions is what the contract would bill", async () => {
  const page = await (await visit({ node: heavy.url })).newPage();
  await page.goto(place("usage", { account: heavy.consumer }, heavy));
  await page.getByRole("button", { name: "Show 32 more of 42 subscriptions" }).click();
  const rows = await page.locator("tr.records-line").evaluateAll((lines) =>
    lines.map((line) => [line.querySelector("th").textContent, line.querySelector("[data-testid=left]").firstChild.textContent]));
  check(rows.length === 42, `all rows are there (${rows.length})`);
  const isAllowed = async (name, calls) => (await view("quote_call", [name, heavy.consumer, calls], heavy)).allowed;
  for (const [name, left] of rows) {
    const calls = left === "none" || name === heavy.apis.session ? 0n : BigInt(left.replace(/\D/g, "")); // a session bills what is metered
    if (calls > 0n) check(await isAllowed(name, calls), `${calls} calls of ${name} are allowed`);
    check(!(await isAllowed(name, calls + 1n)), `no more than ${calls} calls of ${name} are allowed`);
  }
});

aside("a table of subscriptions is sorted, searched and opened by the keyboard", async () => {
  const page = await (await visit({ node: heavy.url })).newPage();
  await page.goto(place("usage", { account: heavy.consumer }, heavy));
  const spend = page.getByRole("columnheader", { name: "Spend" });
  await spend.getByRole("button").focus();
  await page.keyboard.press("Enter");
  check((await spend.getAttribute("aria-sort")) === "descending" && page.url().includes("sort=-spend"), "the largest come first, and the URL has it");
  await page.getByLabel("Find subscriptions").fill(heavy.apis.held);
  await page.getByText("1 of 42").waitFor();
  await page.getByRole("button", { name: heavy.apis.held, exact: true }).focus();
  await page.keyboard.press("Enter");
  await shows(page.getByRole("article", { name: heavy.apis.held }), "for what is metered and settled later");
  await page.getByRole("button", { name: "Exact amounts and full addresses" }).click();
  await shows(page.getByTestId("held"), /\.\d{18} GEN/);
  await accessible(page, "a card with exact amounts");
  await page.getByRole("article").scrollIntoViewIfNeeded();
  await shot(page, "heavy-card-desktop");
  for (const phone of [390, 320]) {
    const small = await (await visit({ node: heavy.url, phone })).newPage();
    await small.goto(place("usage", { account: heavy.consumer, sort: "-left", api: heavy.apis.held }, heavy));
    await small.getByRole("button", { name: "Exact amounts and full addresses" }).click();
    await small.getByRole("button", { name: /^Show \d+ more of 42/ }).click();
    await small.getByRole("article", { name: heavy.apis.held }).waitFor();
    await fits(small, `a card with exact amounts at ${phone} px`);
    await small.getByRole("article", { name: heavy.apis.held }).scrollIntoViewIfNeeded();
    await shot(small, `heavy-card-${phone}`);
  }
});
