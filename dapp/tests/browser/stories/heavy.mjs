// Where there is much of everything: 40 subscriptions, 400 days, names of 64 characters, prices from 1 wei to 10^9 GEN.
import { accessible, aside, enter, fits, heavy, people, place, shot } from "../stage.mjs";

const { consumer, operator } = people;
/** Each page, what says that it is there, and a button that opens a dialog. */
const PAGES = [
  ["usage", consumer, (page) => page.getByTestId("last-month").filter({ hasText: "GEN" }), "Top up"],
  ["apis", consumer, (page) => page.getByText(heavy.apis.plans).first(), /^(Subscribe|Change)/],
  ["operate", operator, (page) => page.getByText(heavy.apis.settled).first(), "Register an API"],
  ["transactions", consumer, (page) => page.getByRole("heading", { level: 1 }), null],
  ["connect", consumer, (page) => page.getByRole("heading", { level: 1 }), null],
];

async function everythingFits(width) {
  const entered = new Map();
  for (const [view, person, isThere, opens] of PAGES) {
    if (!entered.has(person)) entered.set(person, await enter(person, view, { at: heavy, phone: width, dark: width < 390 }));
    const page = entered.get(person);
    await page.goto(place(view, { account: person.address }, heavy));
    await isThere(page).waitFor();
    // The consumers of 42 APIs come after what these earned, at the pace that nodes allow.
    await page.waitForFunction(() => !document.querySelector("main .skeleton"), null, { timeout: 75_000 });
    await fits(page, `${view} at ${width}`);
    await accessible(page, `${view} at ${width}`);
    await shot(page, `heavy-${view}-${width}`);
    if (!opens) continue;
    await page.getByRole("button", { name: opens }).first().click();
    await page.getByRole("dialog").waitFor();
    await fits(page, `the dialog of ${view} at ${width}`);
    await accessible(page, `the dialog of ${view} at ${width}`);
    await shot(page, `heavy-${view}-dialog-${width}`);
    await page.keyboard.press("Escape");
  }
}

aside("everything fits a phone of 390 pixels, whatever there is", () => everythingFits(390));
aside("everything fits a phone of 320 pixels, whatever there is", () => everythingFits(320));
