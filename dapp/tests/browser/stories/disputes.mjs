// Disputes, on a node of their own: a promise, a court, a proven line, a dispute from its opening to the refund.
import { accessible, aside, ask, card, check, enter, finalize, fits, follow, people, place, shot, shows, stage, submit, visit } from "../stage.mjs";

const { consumer, operator } = people;
const at = stage.tribunal;
const file = (text) => ({ name: "proof.json", mimeType: "application/json", buffer: Buffer.from(text) });
const fee = (page) => shows(page.getByTestId("fee"), /Network fee: at most 0\.\d+ GEN/);
const proof = (page) => page.getByTestId("proof");

/** A page at the width, looked at and left in a picture. */
async function look(page, name, width = 0) {
  if (width) await fits(page, name);
  await accessible(page, name);
  await page.screenshot({ path: `${stage.shots}/${name}.png`, fullPage: true });
}

aside("a proof for a dispute that was changed is refused, exactly", async () => {
  const page = await (await visit({ phone: 320, node: at.url })).newPage();
  await page.goto(place("disputes", { account: consumer.address }, at));
  const choose = (text) => page.getByLabel("Choose the file").setInputFiles(file(text));
  const real = JSON.parse(await ask("prove"));
  await choose(JSON.stringify({ ...real, line: real.line.with(6, "1") }));
  await shows(proof(page), "does not lead to the Merkle root that the contract keeps");
  await look(page, "disputes-changed-320-light", 320);
  await choose(JSON.stringify({ ...real, contract: operator.address }));
  await shows(proof(page), `It is about the contract ${operator.address}`);
  await choose(JSON.stringify({ ...real, sequence: 7 }));
  await shows(proof(page), "The contract has no settlement 7 of weather");
  await choose("[]");
  await shows(proof(page), "It is not a JSON object");
  await choose(JSON.stringify(real));
  await shows(proof(page), /weather counted one call of .* for 0.02 GEN\..*line 4 of 4 in settlement 1.*and was billed/);
});

aside("a consumer claims a proven line, disputes its day, has it judged and gets a refund", async () => {
  const page = await enter(consumer, "usage", { at, chainId: at.chainId });
  await (await card(page, "weather")).getByRole("link", { name: "Promise and disputes of weather" }).click();
  await shows(page.locator("main"), "Answers within a second");
  await page.getByText("Or paste its text").click();
  await page.getByLabel("Text of the proof").fill(await ask("prove"));
  await shows(proof(page), "and was billed");
  await look(page, "disputes-desktop-light");
  await proof(page).getByRole("button", { name: "Dispute 16 Mar 2026 with it" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Open dispute" }).click();
  await dialog.getByText("Say what was not as promised.").waitFor();
  await dialog.getByLabel("Page that shows it").fill("http://carl.example");
  await dialog.getByLabel("What was not as promised").fill("It answered 503 all morning.");
  await dialog.getByText("A page begins with https://").waitFor();
  await dialog.getByLabel("Page that shows it").fill("https://carl.example/log");
  await shows(page.getByTestId("effects"), /0\.08 GEN for 4 calls, is frozen.*At most 0\.064 GEN come back, 80 %.*0\.1 GEN leave your account as a bond.*usage line that you proved/);
  await accessible(page, "the dialog of a dispute");
  await shot(page, "dispute-dialog-desktop-light");
  await fee(page);
  await submit(page, {}, "Open dispute");
  await follow(page, "Dispute 16 Mar 2026 of weather", "Accepted");
  await page.getByRole("link", { name: "Dispute 3" }).click();
  await shows(page.getByRole("heading", { level: 1 }), "Dispute 3: weather, 16 Mar 2026");
  await shows(page.getByLabel("What the consumer claims"), `It answered 503 all morning.\n\nProven usage line: request ${at.record}`);
  await shows(page.locator("main"), "It can be judged as soon as the opening is final");
  await finalize(at.url);
  await page.getByRole("button", { name: "Have it judged" }).waitFor();
  await look(page, "dispute-open-desktop-light");
  await ask("say", 100, "The log shows 503 all morning. <b>Nothing</b> speaks against it.");
  await page.getByRole("button", { name: "Have it judged" }).click();
  await fee(page);
  await submit(page, {}, "Have it judged");
  await follow(page, "Judge dispute 3 of weather", "Accepted");
  await shows(page.getByTestId("verdict"), "100 %: 0.064 GEN refunded");
  await shows(page.locator("main"), "80 % of 0.08 GEN are the most that was promised");
  await shows(page.locator("main"), "Money moves when the verdict is final.");
  await finalize(at.url);
  await shows(page.locator("main"), "The refund is in the consumer's credit");
  await page.getByRole("link", { name: /^Transactions/ }).click();
  await shows(page.getByTestId("transaction").filter({ hasText: "Judge dispute 3" }), "Refunds what the verdict says; the rest is the operator's");
  for (const title of ["Judge dispute 3", "Dispute 16 Mar 2026"]) {
    await page.getByTestId("transaction").filter({ hasText: title }).getByText(/^0\.\d+ GEN; 0\.\d+ GEN came back$/).waitFor();
  }
  await look(page, "dispute-transaction-desktop-light");
  await page.goBack();
  await shows(page.getByLabel("The reason that the judges gave"), "<b>Nothing</b> speaks against it");
  await look(page, "dispute-judged-desktop-light");
  await page.getByRole("link", { name: "All disputes of weather" }).click();
  await shows(page.getByRole("row", { name: /Dispute 3/ }), "Refund of 100 % 0.064 GEN");
  check(await page.locator("main").getByRole("button", { name: "Dispute 16 Mar 2026" }).count() === 0, "a day is disputed once");
  await page.getByRole("button", { name: "Dispute 17 Mar 2026" }).waitFor();
  check(await page.getByRole("row", { name: /Dispute 2/ }).count() === 0, "an account sees its own disputes first");
  await page.getByLabel("Also those of others (1)").check();
  await page.getByRole("row", { name: /Dispute 2/ }).waitFor();
  await look(page, "disputes-of-all-desktop-light");
  await page.goto(place("usage", { account: consumer.address }, at));
  await shows(page.getByRole("list", { name: "Disputes" }), "Dispute 3: weather, 16 Mar 2026: 0.064 GEN of 0.08 GEN back");
});

aside("an operator sees disputes against its API, and what others wrote stays text", async () => {
  const page = await enter(operator, "disputes", { at, chainId: at.chainId, phone: true, dark: true });
  await shows(page.locator("main"), /\d in all, \d open/);
  check(await page.getByText("Prove a request").count() === 0, "an operator has nothing to claim from itself");
  await look(page, "disputes-operator-phone-dark", 390);
  await page.goto(place("operate", { account: operator.address, api: "weather" }, at));
  await page.getByRole("link", { name: "Dispute 2", exact: true }).click();
  await shows(page.getByLabel("What the consumer claims"), "<img src=x onerror=alert(1)>");
  check(await page.locator("main img").count() === 0, "a claim brings no elements");
  check(await page.getByRole("link", { name: "https://weather.example/status" }).getAttribute("rel") === "noreferrer noopener", "a page is not told from where");
  await look(page, "dispute-phone-dark", 390);
  await page.getByRole("button", { name: "Have it judged" }).click();
  await shows(page.getByTestId("effects"), "at most 0.096 GEN are refunded");
  await page.keyboard.press("Escape");
  await page.goto(place("disputes", { account: operator.address, api: "weather", dispute: "77" }, at));
  await page.getByText("The court has no dispute of this number.").waitFor();
});
