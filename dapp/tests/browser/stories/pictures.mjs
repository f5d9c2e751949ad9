// The pictures of docs/dapp.md, which tools/dapp_pictures.sh puts there; a test like the others keeps them possible.
import { aside, fits, origin, people, place, shot, stage, visit } from "../stage.mjs";

const { consumer, operator } = people;
const PAGES = {
  landing: `${origin}/app/`,
  connect: place("connect"),
  usage: place("usage", { account: consumer.address }),
  statement: place("statement", { account: consumer.address }),
  apis: place("apis"),
  operate: place("operate", { account: operator.address }),
  disputes: place("disputes", { account: consumer.address }, stage.tribunal),
  transactions: place("transactions"),
};

aside("each page has its picture, on a desk and on a phone", async () => {
  for (const phone of [false, true]) {
    const context = await visit({ phone });
    const page = await context.newPage();
    for (const [name, url] of Object.entries(PAGES)) {
      await page.goto("about:blank");
      await page.goto(url);
      await page.getByRole("heading", { level: 1 }).waitFor();
      await page.locator(".skeleton").first().waitFor({ state: "hidden" });
      await page.waitForFunction(() => !/ APIs? so far/.test(document.querySelector("main").innerText)); // at the pace of reads
      await page.waitForLoadState("networkidle");
      await fits(page, name);
      const file = `dapp-${name}${phone ? "-phone" : ""}`;
      if (stage.pictures) await page.screenshot({ path: `${stage.pictures}/${file}.png` });
      else await shot(page, file);
    }
  }
});
