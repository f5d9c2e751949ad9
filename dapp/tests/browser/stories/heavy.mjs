// Where there is much of everything: 40 subscriptions, 400 days, names of 64 characters, prices from 1 wei to 10^9 GEN.
import { accessible, aside, heavy, people, place, shot, visit } from "../stage.mjs";

aside("forty subscriptions are accessible", async () => {
  const page = await (await visit()).newPage();
  await page.goto(place("usage", { account: people.consumer.address }, heavy));
  await page.getByText(heavy.apis.often).first().waitFor();
  await accessible(page, "usage with much of everything");
  await shot(page, "heavy-usage-desktop-light");
});
