// The operator's own meter beside the chain.
import { accessible, ask, aside, check, fits, people, place, shot, shows, stage, visit } from "../stage.mjs";

const { operator } = people;
const section = (page) => page.getByRole("region", { name: "Your meter", exact: true });

/** The operator's page of the API that a meter counts. */
async function open(options = {}) {
  const metered = await ask("meter");
  const context = await visit({ node: metered.url, ...options });
  const page = await context.newPage();
  await page.goto(place("operate", { account: operator.address, api: metered.api }, metered));
  await page.getByRole("link", { name: "HTTP meter" }).first().click();
  await section(page).waitFor();
  return { page, metered };
}

async function give(page, { meter, token }) {
  await section(page).getByLabel("Address of the meter").fill(meter);
  await section(page).getByLabel("Admin token").fill(token);
  await section(page).getByRole("button", { name: "Use this meter" }).click();
}

async function reconciled(page) {
  const meter = section(page);
  await meter.getByRole("button", { name: "Reconcile" }).click();
  await meter.getByText("Meter and chain differ in 1 of 1 line, all of it explained").waitFor();
  await meter.getByLabel("Requests of").selectOption({ index: 1 });
  await meter.getByText("25 requests, there are more").waitFor();
  return meter;
}

aside("an operator puts the meter beside the chain, reconciles, and reads the audit log", async () => {
  const { page, metered } = await open();
  const asked = [];
  page.context().on("request", (request) => { if (request.headers()["authorization"]) asked.push(new URL(request.url()).origin); });
  await accessible(page, "the form of the meter");
  await section(page).screenshot({ path: `${stage.shots}/meter-form-desktop-light.png` });
  await give(page, { meter: `${metered.meter}/`, token: metered.token });
  const meter = section(page);
  await meter.getByText("All is well").waitFor();
  const today = meter.getByRole("row", { name: /^Today/ });
  await shows(today, "0.0265 GEN27 calls"); // by the meter
  await shows(today, "0.026 GEN26 calls"); // on the chain
  await shows(meter.getByTestId("meter-unsettled"), "0.0005 GEN");
  await meter.getByText("1 call in no batch yet").waitFor();
  await meter.getByText("1 request is being served").waitFor();
  await meter.getByText("1 Not subscribed: This request may cost more than the price accepted for a call.").waitFor();
  await reconciled(page);
  await meter.getByText("Waits for the next batch: 1 call, 0.0005 GEN").waitFor();
  const log = meter.getByRole("table", { name: /^Requests of Carl/ });
  await shows(log.getByRole("row").nth(1), /Refused.*This request may cost more/);
  await shows(log.getByRole("row").nth(2), "Being served");
  await shows(log.getByRole("row").nth(3), "Not charged");
  await accessible(page, "the meter");
  await section(page).screenshot({ path: `${stage.shots}/meter-desktop-light.png` });
  await meter.getByRole("button", { name: "Older" }).click();
  await meter.getByText("30 requests, all there are").waitFor();
  check((await log.getByRole("row").count()) === 31, "every request is a row");
  check(asked.length > 4 && asked.every((origin) => origin === metered.meter), `the token goes to the meter alone: ${[...new Set(asked)]}`);
  check(!page.url().includes(metered.token) && !page.url().includes(new URL(metered.meter).host), "nothing of it is in the URL");
  await page.reload();
  await meter.getByText("All is well").waitFor();
  const glance = page.getByRole("region", { name: "At a glance" });
  await glance.getByText("The meter refused 1 call today: not subscribed").waitFor();
  await glance.getByText("and has 0.0005 GEN to settle").waitFor();
  await meter.getByRole("button", { name: "Forget" }).click();
  await meter.getByLabel("Admin token").waitFor();
  const left = await page.evaluate(() => JSON.stringify({ ...localStorage }));
  check(!left.includes(metered.token), `nothing is left of it: ${left}`);
});

aside("the meter of the demo is one button, on phones and in the dark", async () => {
  for (const [phone, dark] of [[390, false], [320, true]]) {
    const { page } = await open({ phone, dark });
    await section(page).getByRole("button", { name: "Use the demo's meter" }).click();
    await section(page).getByText("All is well").waitFor();
    const meter = await reconciled(page);
    await fits(page, `the meter on ${phone}`);
    await accessible(page, `the meter on ${phone}`);
    for (const part of ["Your meter", "Reconciliation", "Audit log"]) {
      await section(page).getByRole("heading", { name: part }).evaluate((heading) => heading.scrollIntoView());
      await shot(page, `meter-phone-${phone}-${dark ? "dark" : "light"}-${part.split(" ")[0].toLowerCase()}`);
    }
    await meter.getByLabel("Requests of", { exact: true }).selectOption({ index: 2 });
    await meter.getByText("The meter has no requests of zz <img").waitFor();
    await fits(page, `a name of 200 characters on ${phone}`);
  }
});

aside("a meter that does not answer says why, and what to do", async () => {
  const { page, metered } = await open({ tolerate: ["401", "CORS", "ERR_", "Failed to load resource"] });
  const meter = section(page);
  const again = async (wanted) => {
    await meter.getByRole("button", { name: "Change" }).click();
    await give(page, { meter: metered.meter, token: metered.token, ...wanted });
  };
  await meter.getByRole("button", { name: "Use this meter" }).click();
  await meter.getByText("An admin token has at least 16").waitFor();
  check(await meter.getByLabel("Address of the meter").evaluate((field) => field === document.activeElement), "the first wrong field has the focus");
  await meter.getByLabel("Address of the meter").fill("http://meter.example");
  await meter.getByText("can read the token").waitFor();
  await give(page, { meter: metered.meter, token: "none-of-its-tokens" });
  await meter.getByText("The meter does not take this token").waitFor();
  await accessible(page, "a token that is refused");
  await shot(page, "meter-wrong-token");
  await again({ meter: "http://127.0.0.1:9" });
  await meter.getByText("Nothing answers there").waitFor();
  await again({ meter: `${metered.origin}/app` });
  await meter.getByText("No meter of this version answers there").waitFor();

  const other = `0x${"ab".repeat(20)}`;
  const changed = { contract: other };
  await page.route(`${metered.meter}/v1/summary*`, async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: { ...(await response.json()), ...changed } });
  });
  await again({});
  await meter.getByText("This meter settles on another contract").waitFor();
  await meter.getByText(other).waitFor();
  Object.assign(changed, { contract: metered.contract, network: "testnet-asimov" });
  await again({});
  await meter.getByText("This meter settles on another network").waitFor();
  changed.contract = null;
  await again({});
  await meter.getByText("This meter settles on no contract").waitFor();
  check((await meter.getByText("Chain earned").count()) === 0, "there is nothing beside it");
  check((await meter.getByRole("button", { name: "Reconcile" }).count()) === 0, "there is nothing to reconcile");

  await page.unroute(`${metered.meter}/v1/summary*`);

  // Another origin, which the meter was not told of.
  await page.goto(place("operate", { account: operator.address, api: "maps" }));
  await give(page, metered);
  await shows(meter, `API_BILLING_ADMIN_ORIGINS=${stage.origin}`);
  await meter.screenshot({ path: `${stage.shots}/meter-closed-desktop-light.png` });
});
