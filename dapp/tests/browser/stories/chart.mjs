// The chart of usage by day, statements, and what is printed.
import { accessible, act, aside, ask, check, fits, heavy, people, place, shot, shows, stage, story, visit } from "../stage.mjs";

const { consumer, operator } = people;
/** A4, less its margins, at 96 dots an inch. */
const PAPER = { width: 680, height: 960 };
const days = (page) => page.getByRole("slider");
const valueOf = (page) => days(page).getAttribute("aria-valuetext");
const tip = (page) => page.locator(".chart-tip");
const complete = (page) => page.getByText(/Reading \d+ more/).waitFor({ state: "hidden" });

async function chart(options, at = {}, where = stage) {
  const page = await (await visit(options)).newPage();
  await page.goto(place("usage", { account: consumer.address, ...at }, where));
  await page.locator(".chart-bar rect").first().waitFor();
  await complete(page);
  await days(page).scrollIntoViewIfNeeded();
  return page;
}

aside("the chart is read with the keyboard: days are chosen and told", async () => {
  const page = await chart({});
  await days(page).focus();
  const today = await valueOf(page);
  check(today.startsWith("Fri, 20 Mar 2026: ") && today.includes("weather") && today.includes("maps"), `today first: ${today}`);
  await shows(tip(page), "Fri, 20 Mar 2026");
  await page.keyboard.press("ArrowLeft");
  check((await valueOf(page)).startsWith("Thu, 19 Mar 2026: "), "the day before");
  await page.keyboard.press("Home");
  check((await valueOf(page)).startsWith("Thu, 19 Feb 2026: nothing"), `the first day: ${await valueOf(page)}`);
  await page.keyboard.press("ArrowLeft");
  check((await days(page).getAttribute("aria-valuenow")) === "1", "there is none before it");
  await page.keyboard.press("End");
  check((await valueOf(page)) === today, "and today again");
  await accessible(page, "the chart with a day chosen");
  await shot(page, "chart-desktop-light-tip");
  await page.keyboard.press("Escape");
  await tip(page).waitFor({ state: "hidden" });
  await page.getByText("Show as a table").click();
  await shows(page.getByRole("region", { name: "GEN spent, by API" }).getByRole("row"), "Thu, 19 Mar 2026");
});

aside("the chart is read with the mouse and a finger", async () => {
  const page = await chart({});
  const { x, y, width, height } = await days(page).boundingBox();
  await page.mouse.move(x + width - 20, y + height / 2);
  await shows(tip(page), "Fri, 20 Mar 2026");
  await page.mouse.move(x + width - 20, y - 40);
  await tip(page).waitFor({ state: "hidden" });

  const phone = await chart({ phone: true });
  await days(phone).tap();
  await tip(phone).waitFor();
  await shot(phone, "chart-phone-light-tip");
  await phone.getByRole("heading", { name: "Usage by day" }).tap();
  await tip(phone).waitFor({ state: "hidden" });
  await days(phone).dispatchEvent("pointerdown", { pointerType: "touch" });
  await tip(phone).waitFor();
  await days(phone).dispatchEvent("pointercancel", { pointerType: "touch" });
  await tip(phone).waitFor({ state: "hidden" }); // the finger scrolls the page
});

aside("the chart has its days and its file from the URL", async () => {
  const page = await chart({ dark: true }, { days: "90", chart: "calls" });
  check((await page.getByRole("button", { name: "90 days" }).getAttribute("aria-pressed")) === "true", "90 days are chosen");
  check((await days(page).getAttribute("aria-valuemax")) === "90", "a bar for each day");
  await page.getByRole("button", { name: "From–until" }).click();
  await page.getByLabel("From", { exact: true }).focus();
  await page.keyboard.type("03012026");
  await page.getByLabel("Until", { exact: true }).fill("2026-03-07");
  await page.getByText("2026-03-01 to 2026-03-07 (UTC)").waitFor();
  await shot(page, "chart-desktop-dark");
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: /^CSV of usage/ }).click()]);
  check(file.suggestedFilename() === "usage 2026-03-01 to 2026-03-07.csv", file.suggestedFilename());
  const lines = (await (await file.createReadStream()).toArray()).join("").split("\r\n");
  check(lines[0] === "day,consumer,api,calls,spend_wei,spend GEN", lines[0]);
  check(lines.slice(1, -1).every((line) => /^2026-03-0[1-7],/.test(line)), lines.join("\n"));
  check(lines.includes(`2026-03-06,${consumer.address},weather,99,990000000000000000,0.99`), lines.join("\n"));
});

/** Reads of history that a page makes. */
function historyReads(page) {
  const found = [];
  const named = Buffer.from("get_usage_history").toString("hex");
  page.on("request", (request) => { if (request.postData()?.includes(named)) found.push(request); });
  return found;
}

story("usage of yesterday that is settled late comes into the chart, with one read", async () => {
  const page = await chart({}, { api: "maps", chart: "calls" });
  const reads = historyReads(page);
  await days(page).focus();
  await page.keyboard.press("ArrowLeft");
  check((await valueOf(page)).endsWith(": 9 calls"), `before: ${await valueOf(page)}`);
  const { next_sequence: next } = await ask("cli", "api", "show", "maps");
  const yesterday = Math.floor(Date.parse("2026-03-19") / 86_400_000);
  await act(people.meter, "settle_usage", ["maps", BigInt(next), [{ consumer: consumer.address, day_id: BigInt(yesterday), calls: 2n, spend_wei: 2n }]]);
  await page.waitForFunction(() => document.querySelector("[role=slider]").getAttribute("aria-valuetext").endsWith(": 11 calls"));
  check(reads.length === 1, `${reads.length} reads`);
});

aside("the chart of much of everything is readable, 320 px wide too", async () => {
  const page = await chart({}, {}, heavy);
  const reads = historyReads(page);
  await page.getByRole("button", { name: "400 days" }).click();
  await page.getByText(/Reading \d+ more/).waitFor();
  await complete(page);
  check(reads.length <= 12, `13 reads for 400 days, and one was made: ${reads.length}`);
  await page.getByText("others").first().waitFor();
  check((await days(page).getAttribute("aria-valuemax")) === "58", "weeks on a desk");
  await accessible(page, "400 days");
  await shot(page, "chart-desktop-light-400");
  const phone = await chart({ phone: true, dark: true }, { days: "90" }, heavy);
  await phone.setViewportSize({ width: 320, height: 700 });
  await days(phone).scrollIntoViewIfNeeded();
  await phone.waitForFunction(() => document.querySelector("[role=slider]").getAttribute("aria-valuemax") === "14");
  await days(phone).focus();
  await accessible(phone, "90 days on a small phone");
  const section = phone.locator("section").filter({ has: days(phone) });
  check(await section.evaluate((each) => each.scrollWidth <= each.clientWidth), "it fits the small phone");
  await shot(phone, "chart-phone-320-dark");
});

aside("the chart needs no colours: forced colours have patterns", async () => {
  const page = await chart({});
  await page.emulateMedia({ forcedColors: "active" });
  await shot(page, "chart-desktop-forced-colors");
  const fills = await page.locator(".chart-legend .chart-swatch rect").evaluateAll((all) => new Set(all.map((each) => each.getAttribute("fill"))).size);
  check(fills === 2, "each API has a pattern of its own");
});

aside("a statement of a month has all of it to print", async () => {
  const page = await chart({});
  await page.getByRole("link", { name: "Statement of a month" }).click();
  await page.getByRole("heading", { level: 1, name: "Statement of Carl for February 2026" }).waitFor();
  check((await page.title()) === "Statement of Carl, 2026-02 · API billing", "a printed file is named after account and month");
  check(await page.getByRole("link", { name: "Usage" }).getAttribute("aria-current") === "true", "it is one of usage's pages");
  await page.getByLabel("Month").selectOption("March 2026");
  await shows(page.getByRole("listitem"), "The month was not over when this was made.");
  await page.getByLabel("Month").selectOption("February 2026");
  await page.getByRole("heading", { level: 1, name: "for February 2026" }).waitFor();
  const row = (section, name) => page.getByRole("region", { name: section }).getByRole("row", { name });
  await shows(row("By API", /^weather/), "3.15");
  check((await row("By API", /^Together/).innerText()) === (await row("By day", /^Together/).innerText()), "the same sum in both tables");
  await shows(page.getByRole("region", { name: "Refused calls" }), "No refusal is on record.");
  await shows(page.getByRole("region", { name: "Account and period" }), consumer.address);
  await accessible(page, "a statement");
  await page.evaluate(() => { window.print = () => { document.title = "printed"; }; });
  await page.getByRole("button", { name: "Print" }).click();
  check((await page.title()) === "printed", "the button prints");
});

aside("a long statement fits a small phone and is printed on several pages", async () => {
  const context = await visit({ phone: true });
  const page = await context.newPage();
  await page.setViewportSize({ width: 320, height: 700 });
  await page.goto(place("statement", { account: consumer.address, month: "2026-02" }, heavy));
  await page.getByRole("rowheader", { name: "tides-039" }).waitFor();
  await page.getByText("Reading…").waitFor({ state: "hidden" });
  await accessible(page, "a long statement");
  await fits(page, "a long statement");
  await shot(page, "statement-phone-320-light");
  const pages = (await page.pdf({ format: "A4", path: `${stage.shots}/statement.pdf` })).toString("latin1").match(/\/Type\s*\/Page\b/g).length;
  check(pages > 1 && pages < 6, `${pages} pages`);
});

aside("every page is ink on white in print, without what can be pressed", async () => {
  const context = await visit({ dark: true });
  const page = await context.newPage();
  for (const [view, account] of [["usage", consumer], ["statement", consumer], ["apis", consumer], ["operate", operator], ["transactions", consumer]]) {
    await page.goto(place(view, { account: account.address }));
    await page.getByRole("heading", { level: 1 }).waitFor();
    await page.locator(".skeleton").first().waitFor({ state: "hidden" });
    await page.emulateMedia({ media: "print", colorScheme: "dark" });
    await page.setViewportSize(PAPER);
    const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    check(ground === "rgb(255, 255, 255)", `${view}: ${ground}`);
    for (const pressed of [page.getByRole("navigation"), page.locator(".button, select")]) {
      check((await pressed.filter({ visible: true }).count()) === 0, `${view}: nothing to press`);
    }
    await fits(page, `${view} on paper`);
    await shot(page, `${view}-print`);
    await page.emulateMedia({ media: "screen", colorScheme: "dark" });
  }
});
