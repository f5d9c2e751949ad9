// The status page in Chromium, as a person uses it: node status_page.mjs FACTS; tells what it saw as one line of JSON.
import { createRequire } from "node:module";

const facts = JSON.parse(process.argv[2]);
const { chromium } = createRequire(facts.modules)("playwright-core");
const browser = await chromium.launch({ executablePath: facts.chromium, args: ["--no-sandbox"] });
const seen = { problems: [], outside: [], wide: [] };

async function open(options) {
  const context = await browser.newContext({ reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  const expected = /401 \(Unauthorized\)|503 \(Service/;
  page.on("console", (message) => message.type() === "error" && !expected.test(message.text()) && seen.problems.push(message.text()));
  await page.clock.install();
  page.on("pageerror", (error) => seen.problems.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith(facts.url) && !request.url().startsWith("data:")) seen.outside.push(request.url());
  });
  await page.goto(`${facts.url}/`);
  return page;
}

async function signIn(page, token) {
  await page.getByLabel("Admin token").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
}

const page = await open({ viewport: { width: 1280, height: 900 }, colorScheme: "light" });
await signIn(page, "not the admin token at all");
seen.refused = await page.getByRole("alert").filter({ hasText: "not the admin token" }).textContent();
await signIn(page, facts.token);
await page.getByText("Serves requests").waitFor();
seen.today = await page.locator("#sums div").first().innerText();
seen.bars = await page.locator("#bars svg").getAttribute("aria-label");
seen.health = await page.locator("#wrong").innerText();
seen.refusals = await page.locator("#refusals").innerText();
seen.about = await page.locator("#about").innerText();
seen.first = await page.locator("#consumers tbody tr").count();
await page.getByRole("button", { name: "More consumers" }).click();
await page.waitForFunction((first) => document.querySelectorAll("#consumers tbody tr").length > first, seen.first);
seen.all = await page.locator("#consumers tbody tr").count();
await page.getByRole("searchbox").fill("ACME");
await page.getByRole("button", { name: "Search" }).click();
await page.waitForFunction(() => document.querySelectorAll("#consumers tbody tr").length === 1);
seen.found = await page.locator("#consumers tbody td").first().innerText();
seen.keys = await page.locator("#keys tbody").innerText();
seen.scripted = await page.evaluate(() => globalThis.broken === true);
seen.stored = await page.evaluate(() => [Object.keys(sessionStorage).length, Object.keys(localStorage).length, document.cookie]);
const { AxeBuilder } = { AxeBuilder: facts.axe };
await page.addInitScript({ path: AxeBuilder });
await page.reload();
await page.getByText("Serves requests").waitFor();
seen.faults = await page.evaluate(async () => (await axe.run(document)).violations.map((each) => `${each.id}: ${each.nodes[0].html}`));

for (const colorScheme of ["light", "dark"]) {
  for (const [name, width, height] of [["desktop", 1280, 900], ["phone", 360, 740]]) {
    const each = await open({ viewport: { width, height }, colorScheme });
    await each.screenshot({ path: `${facts.shots}/${name}-${colorScheme}-sign-in.png` });
    await signIn(each, facts.token);
    await each.getByText("Serves requests").waitFor();
    await each.screenshot({ path: `${facts.shots}/${name}-${colorScheme}.png`, fullPage: true });
    const over = await each.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (over > 0) seen.wide.push(`${name} ${colorScheme}: ${over}`);
  }
}

const problem = { status: 503, contentType: "application/problem+json", body: JSON.stringify({ detail: "Away." }) };
await page.route("**/v1/status", (route) => route.fulfill(problem));
await page.clock.fastForward(15_000);
await page.getByText("Not up to date").waitFor();
seen.away = await page.locator("#wrong").innerText();
await page.getByRole("button", { name: "Sign out" }).click();
seen.after = await page.evaluate(() => [document.getElementById("shown").hidden, sessionStorage.length]);
await browser.close();
console.log(JSON.stringify(seen));
