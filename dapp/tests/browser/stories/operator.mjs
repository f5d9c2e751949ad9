// An operator's page and actions.
import { accessible, check, enter, follow, people, shot, shows, story, submit } from "../stage.mjs";

const { operator, newcomer } = people;

story("an operator runs an API: plans, pause, meters, hand-over", async () => {
  const page = await enter(operator, "operate");
  const card = page.getByRole("article", { name: "weather" });
  await card.getByRole("button", { name: "Change plan standard of weather" }).click();
  await page.getByRole("dialog").getByLabel("Price of a call").fill("0.02");
  await shows(page.getByTestId("effects"), "until they subscribe again");
  await page.getByRole("dialog").getByLabel("Calls a day").fill("10");
  await shows(page.getByTestId("effects"), "gets no further one");
  await accessible(page, "the dialog");
  await shot(page, "dialog-desktop-light");
  await submit(page, { "Price of a call": "0.011", "Calls a day": "200" }, "Change plan");
  await shows(card, "0.011 GEN");
  await card.getByRole("button", { name: "Add a plan" }).click();
  await submit(page, { "Name of the plan": "free", "Price of a call": "0", "Calls a day": "5" }, "Add plan");
  await shows(card, "free");
  await card.getByRole("button", { name: "Pause" }).click();
  await submit(page, {}, "Pause API");
  await shows(card, "Paused");
  await card.getByRole("button", { name: "Resume" }).click();
  await submit(page, {}, "Resume API");
  await shows(card, "Active");
  await card.getByRole("button", { name: "Allow a meter" }).click();
  await submit(page, { "Address of the meter": newcomer.address }, "Allow meter");
  await card.getByRole("button", { name: `Forbid meter ${newcomer.address} of weather` }).click();
  await submit(page, {}, "Forbid meter");
  await shows(card, "None: only the operator reports usage");
  await card.getByRole("button", { name: "Hand over" }).click();
  await submit(page, { "New operator": newcomer.address }, "Propose operator");
  await shows(card, "who has not accepted yet");

  const heir = await enter(newcomer, "operate");
  await heir.getByRole("button", { name: "Take it over" }).click();
  await submit(heir, {}, "Take over");
  await heir.getByRole("article", { name: "weather" }).waitFor();
});

story("an operator registers an API, sees settlements, and withdraws earnings", async () => {
  const page = await enter(operator, "operate");
  await page.getByText(/entries refused in part or whole/).waitFor();
  await page.getByText(/calls: the client's own cap for the day was reached/).waitFor();
  await page.getByRole("button", { name: "Earlier" }).click();
  await page.getByText("Number 15 of 16").waitFor();
  check(page.url().includes("settlement=15"), "the settlement is in the URL");
  await shot(page, "operate-desktop-light");
  await page.getByRole("button", { name: "Register an API" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Register API" }).click();
  await dialog.getByText("Enter a name.").waitFor();
  check(await dialog.getByLabel("Name").evaluate((field) => field === document.activeElement), "the first wrong field has the focus");
  await submit(page, { Name: "tides", "Price of a call": "0.004", "Calls a day": "1,000" }, "Register API");
  await page.getByRole("article", { name: "tides" }).waitFor();
  await page.getByRole("button", { name: "Withdraw earnings" }).click();
  await submit(page, { Amount: "1" }, "Withdraw");
  await follow(page, "Withdraw 1 GEN of earnings", "Accepted");
  await shows(page.locator(".figure"), "Withdrawn so far1 GEN");
});
