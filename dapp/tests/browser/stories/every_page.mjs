// What holds of every page.
import { accessible, aside, card, check, enter, fits, people, place, shot, story } from "../stage.mjs";

const { operator, consumer, newcomer } = people;
const VIEWS = ["usage", "statement", "apis", "operate", "transactions", "connect"];

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
    await (await card(page, "weather")).getByRole("button", { name: "Place hold" }).click();
    await page.getByRole("dialog").getByLabel("Amount").fill("0.5");
    await accessible(page, `a dialog on a ${device}`);
    await fits(page, `a dialog on a ${device}`);
    await shot(page, `dialog-${device}-dark`);
  }
});
