// An operator's page and actions.
import { accessible, aside, check, enter, fits, follow, heavy, people, place, shot, shows, stage, story, submit, visit } from "../stage.mjs";

const { operator, newcomer } = people;
const COURT = `0x${"c0".repeat(20)}`;

/** At one API of the operator. */
async function enterApi(api, at = undefined) {
  const page = await enter(operator, "operate", at ? { at } : {});
  await page.goto(place("operate", { account: operator.address, api }, at));
  await page.getByRole("heading", { level: 1, name: api }).waitFor();
  return page;
}
const section = (page, name) => page.getByRole("region", { name, exact: true });

story("an operator runs an API: plans, pause, meters, hand-over", async () => {
  const page = await enter(operator, "operate");
  await page.getByRole("link", { name: "weather", exact: true }).click();
  await page.getByRole("heading", { level: 1, name: "weather" }).waitFor();
  const plans = section(page, "Plans");
  await plans.getByRole("button", { name: "Change plan standard of weather" }).click();
  await page.getByRole("dialog").getByLabel("Price of a call").fill("0.02");
  await shows(page.getByTestId("effects"), "until they subscribe again");
  await page.getByRole("dialog").getByLabel("Calls a day").fill("10");
  await shows(page.getByTestId("effects"), "gets no further one");
  await accessible(page, "the dialog");
  await shot(page, "dialog-desktop-light");
  await submit(page, { "Price of a call": "0.011", "Calls a day": "200" }, "Change plan");
  await shows(plans, "0.011 GEN");
  await plans.getByRole("button", { name: "Add a plan" }).click();
  await submit(page, { "Name of the plan": "free", "Price of a call": "0", "Calls a day": "5" }, "Add plan");
  await shows(plans, "5 calls a day");
  await page.getByRole("button", { name: "Pause" }).click();
  await submit(page, {}, "Pause API");
  await page.getByRole("button", { name: "Resume" }).click();
  await submit(page, {}, "Resume API");
  await page.getByRole("button", { name: "Pause" }).waitFor();
  const meters = section(page, "Meters and operator");
  await meters.getByRole("button", { name: "Allow a meter" }).click();
  await submit(page, { "Address of the meter": newcomer.address }, "Allow meter");
  await meters.getByRole("button", { name: `Forbid meter ${newcomer.address} of weather` }).click();
  await submit(page, {}, "Forbid meter");
  await shows(meters, "only the operator reports usage");
  await meters.getByRole("button", { name: "Hand over" }).click();
  await submit(page, { "New operator": newcomer.address }, "Propose operator");
  await shows(meters, "who has not accepted yet");

  const heir = await enter(newcomer, "operate");
  await heir.getByRole("button", { name: "Take it over" }).click();
  await submit(heir, {}, "Take over");
  await shows(section(heir, "Plans"), "0.011 GEN");
});

story("an operator registers an API, sees what was refused, and withdraws earnings", async () => {
  const page = await enterApi("maps");
  const settlements = section(page, "Settlements");
  await settlements.getByRole("button", { name: "Number 16" }).click();
  await shows(settlements, "calls: the daily spending cap was reached");
  check(page.url().includes("settlement=16"), "the settlement is in the URL");
  await page.reload();
  await shows(settlements, "calls: the daily spending cap was reached");
  await settlements.getByLabel(/With refused entries/).check();
  await settlements.getByRole("button", { name: "Number 15" }).waitFor({ state: "hidden" });
  check((await settlements.getByRole("button", { name: /^Number \d/ }).count()) === 1, "one settlement had refused entries");
  await page.getByRole("region", { name: "At a glance" }).getByText(/: the daily spending cap was reached$/).waitFor();
  await shot(page, "operate-desktop-light");
  await page.getByRole("link", { name: "All 3 APIs" }).or(page.getByRole("link", { name: "All 2 APIs" })).click();
  await page.getByRole("link", { name: "1 with refused entries of maps" }).click();
  await settlements.getByRole("button", { name: "Number 16" }).waitFor();
  check(await settlements.getByLabel(/With refused entries/).isChecked(), "the link leads to those with refused entries");
  await page.goBack();
  await page.getByRole("button", { name: "Register an API" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Register API" }).click();
  await dialog.getByText("Enter a name.").waitFor();
  check(await dialog.getByLabel("Name").evaluate((field) => field === document.activeElement), "the first wrong field has the focus");
  await submit(page, { Name: "tides", "Price of a call": "0.004", "Calls a day": "1,000" }, "Register API");
  await page.getByRole("link", { name: "tides", exact: true }).waitFor();
  await page.getByRole("button", { name: "Withdraw earnings" }).click();
  await submit(page, { Amount: "1" }, "Withdraw");
  await follow(page, "Withdraw 1 GEN of earnings", "Accepted");
  await shows(page.getByText("withdrawn so far"), "1 GEN");
});

story("an operator refunds from a consumer's line, and releases its hold", async () => {
  const page = await enter(operator, "operate");
  const consumers = section(page, "Consumers");
  await consumers.getByRole("row", { name: /Carl.*maps/ }).getByRole("button").click();
  await shows(consumers, "A call now");
  await consumers.getByRole("button", { name: "Refund" }).click();
  await shows(page.getByRole("dialog"), "public for ever");
  await submit(page, { Amount: "0.25", Reason: "an outage" }, "Refund");
  await follow(page, "Refund 0.25 GEN", "Accepted");
  await shows(page.getByText("so far"), "0.25 GEN refunded");
  await consumers.getByRole("link", { name: "maps" }).click();
  await page.getByRole("heading", { level: 1, name: "maps" }).waitFor();
  check(!(await page.getByTestId("earnings").isVisible()), "what all APIs earned is not told as if one had");
  await consumers.getByRole("button", { name: /Carl/ }).click();
  await consumers.getByRole("button", { name: "Release the hold" }).click();
  await shows(page.getByTestId("effects"), "Nothing secures what is not settled yet");
  await page.keyboard.press("Escape");
});

story("an operator promises something, and is told from when on it holds", async () => {
  const page = await enterApi("archive");
  const promise = section(page, "Promise");
  await promise.getByRole("button", { name: "Promise something" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Court").fill(COURT);
  await dialog.getByLabel("Terms").fill("Answers within 250 ms.\nOn 99.9 percent of the minutes of a day.");
  await shows(page.getByTestId("effects"), "What is earned on 21 Mar can be collected from 29 Mar on");
  await accessible(page, "the dialog of a promise");
  await shot(page, "promise-dialog");
  await submit(page, {}, "Promise");
  await shows(promise, "From 21 Mar on");
  await shows(promise, "A change is ahead: the next one can be made from 21 Mar on");
  await section(page, "Meters and operator").getByRole("button", { name: "Hand over" }).click();
  await page.getByRole("dialog").getByLabel("New operator").fill(newcomer.address);
  await shows(page.getByTestId("effects"), "It cannot be accepted yet: a promise begins on 21 Mar");
});

aside("an operator of 42 APIs sees what came in, who uses them, and what was refused", async () => {
  const page = await (await visit()).newPage();
  const reads = [];
  page.on("request", (request) => { if (request.postData()?.includes("gen_call")) reads.push(request); });
  await page.goto(place("operate", { account: operator.address }, heavy));
  await page.getByTestId("earned").locator("data").waitFor();
  check(reads.length < 20, `the first figures come after few reads, not ${reads.length}`);
  await page.getByText(/of 42 APIs so far/).first().waitFor();
  await page.getByRole("link", { name: heavy.apis.settled }).first().waitFor();
  await accessible(page, "the APIs of an operator");
  await shot(page, "heavy-operate-desktop-light");
  await page.goto(place("operate", { account: operator.address, api: heavy.apis.settled }, heavy));
  const consumers = section(page, "Consumers");
  await shows(consumers, "These are 100 of 121");
  await consumers.getByLabel("Find consumers").fill("b0b00077");
  await consumers.getByRole("button", { name: "Read more" }).click();
  await shows(consumers, "1 of 121");
  await consumers.getByRole("button", { name: /0x0000/ }).click();
  await shows(consumers, "free credit");
  await section(page, "Settlements").getByRole("button", { name: "Number 80" }).click();
  await shows(section(page, "Settlements"), "What was refused");
  await page.getByTestId("refused").getByText("call").waitFor();
  await accessible(page, "an API with 121 consumers");
  await page.screenshot({ path: `${stage.shots}/heavy-operate-api-desktop.png`, fullPage: true });
});

aside("an operator sees what has matured, and what a day's refund can be at most", async () => {
  const page = await enterApi(heavy.apis.often, heavy);
  await shows(page.getByText("to collect now"), "GEN");
  await page.getByRole("button", { name: "Collect" }).click();
  await shows(page.getByTestId("effects"), "no court can give them back any more");
  await page.keyboard.press("Escape");
  const consumers = section(page, "Consumers");
  await consumers.getByRole("button", { name: /Carl/ }).click();
  await consumers.getByLabel("Refund from").selectOption({ label: "20 Mar, whose earnings wait" });
  await shows(consumers, "at most 0.56 GEN");
  await consumers.getByRole("button", { name: "Refund" }).click();
  await page.getByRole("dialog").getByLabel("Amount").fill("0.57");
  await page.getByRole("dialog").getByLabel("Reason").fill("an outage");
  await shows(page.getByRole("dialog"), "At most 0.56 GEN: what was paid that day and is not given back");
  await page.getByRole("dialog").getByLabel("Amount").fill("0.5");
  await shows(page.getByTestId("effects"), "They come from what waits of 20 Mar");
  await page.keyboard.press("Escape");
  await section(page, "Promise").getByRole("button", { name: "End it" }).click();
  await shows(page.getByTestId("effects"), "From 4 Apr on nothing is promised");
});

async function apisFit(phone) {
  const page = await (await visit({ phone, dark: phone === 320 })).newPage();
  await page.goto(place("operate", { account: operator.address }, heavy));
  await page.getByTestId("earned").locator("data").waitFor();
  await fits(page, "the APIs");
  await shot(page, `heavy-operate-${phone}`);
  for (const api of [heavy.apis.settled, heavy.apis.plans, heavy.apis.often]) {
    await page.goto(place("operate", { account: operator.address, api }, heavy));
    await page.getByRole("heading", { level: 1, name: api }).waitFor();
    await page.waitForFunction(() => !document.querySelector("main .skeleton"));
    await fits(page, api);
    await page.screenshot({ path: `${stage.shots}/heavy-operate-${api.slice(0, 6)}${api.slice(-3)}-${phone}.png`, fullPage: true });
  }
}

aside("an operator's APIs fit a phone of 390 pixels", () => apisFit(390));
aside("an operator's APIs fit a phone of 320 pixels, in the dark", () => apisFit(320));
