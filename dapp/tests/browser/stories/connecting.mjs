// Who signs: wallets, early and late, accounts of the localnet, throw-away keys.
import { accessible, aside, check, fits, origin, people, place, rpc, shot, shows, story, submit, url, visit } from "../stage.mjs";

const { operator, consumer, newcomer } = people;
const short = ({ address }) => `${address.slice(0, 6)}…${address.slice(-4)}`;
const menu = (page) => page.getByTestId("account-menu");

aside("a wallet is connected from any page, at the top right, and shows its account's things there", async () => {
  for (const [device, phone] of [["desktop", false], ["phone", true]]) {
    const page = await (await visit({ owner: newcomer, phone })).newPage();
    await page.goto(place("apis"));
    if (phone) await page.setViewportSize({ width: 320, height: 640 });
    const opener = page.getByRole("banner").getByRole("button", { name: "Connect wallet" });
    await opener.click();
    await menu(page).getByRole("button", { name: "Test wallet" }).waitFor();
    await accessible(page, `the menu to connect, on a ${device}`);
    await fits(page, `the menu to connect, on a ${device}`);
    await shot(page, `connect-menu-${device}-light`);
    await page.keyboard.press("Escape");
    check(await opener.evaluate((element) => element === document.activeElement), "Escape closes it, and gives the focus back");
    await opener.click();
    await menu(page).getByRole("button", { name: "Test wallet" }).click();
    await menu(page).waitFor({ state: "hidden" });
    check(page.url().includes("#/apis") && page.url().includes(newcomer.address), "it stays on the page, now one's own");
    await page.getByRole("banner").getByRole("button", { name: short(newcomer) }).click();
    await shows(menu(page), "GEN");
    await shows(menu(page), newcomer.address);
    await accessible(page, `the account's menu on a ${device}`);
    await fits(page, `the account's menu on a ${device}`);
    await page.emulateMedia({ colorScheme: "dark" });
    await shot(page, `account-menu-${device}-dark`);
    await accessible(page, `the account's menu on a ${device}, dark`, ["color-contrast"]);
    await menu(page).getByRole("link", { name: "My APIs" }).click();
    await page.getByRole("heading", { level: 1, name: /APIs|Operate/ }).waitFor();
    await menu(page).waitFor({ state: "hidden" });
    await page.getByRole("banner").getByRole("button", { name: short(newcomer) }).click();
    await menu(page).getByRole("button", { name: "Disconnect" }).click();
    await opener.waitFor();
    await page.reload();
    await opener.waitFor();
  }
});

aside("a wallet that comes late is there after a reload, and in the open menu", async () => {
  const page = await (await visit({ owner: newcomer, isLate: true })).newPage();
  await page.goto(place("apis"));
  const opener = page.getByRole("banner").getByRole("button", { name: "Connect wallet" });
  await opener.click();
  await shows(menu(page), "No wallet was found.");
  await accessible(page, "the menu without a wallet");
  await page.evaluate(() => window.testWallet.announce());
  await menu(page).getByRole("button", { name: "Test wallet" }).click();
  const own = page.getByRole("banner").getByRole("button", { name: short(newcomer) });
  await own.waitFor();
  await page.reload();
  await opener.waitFor();
  await page.evaluate(() => window.testWallet.announce());
  await own.waitFor();
});

aside("who opens the bare address sees who is there, and acts as one of them", async () => {
  for (const [device, phone] of [["desktop", false], ["phone", true]]) {
    const page = await (await visit({ phone })).newPage();
    await page.goto(`${origin}/app`);
    await page.getByRole("button", { name: "Act as Olga" }).waitFor();
    await accessible(page, `the first page on a ${device}`);
    await fits(page, `the first page on a ${device}`);
    await shot(page, `landing-${device}-light`);
    await page.getByRole("button", { name: "Act as Carl" }).click();
    await page.getByRole("heading", { name: "Usage of Carl" }).waitFor();
    await page.getByRole("button", { name: "Top up" }).first().waitFor();
    await page.reload();
    await page.getByRole("banner").getByRole("button", { name: "Carl" }).waitFor();
    check(!(await page.evaluate((key) => Object.entries(localStorage).some(([name, value]) => !name.includes("127.0.0.1") && value.includes(key)), consumer.key)), "the key is kept for this node alone");
    await page.goto(place("operate", { account: operator.address }));
    await page.getByRole("heading", { level: 1, name: "Operate" }).waitFor();
    await page.getByRole("banner").getByRole("button", { name: "Carl" }).click();
    await menu(page).getByRole("button", { name: "Act as Olga (operator)" }).click();
    await page.getByRole("banner").getByRole("button", { name: "Olga" }).click();
    await menu(page).getByRole("button", { name: "Disconnect" }).click();
    await menu(page).getByRole("button", { name: "Act as Carl (consumer)" }).click();
    await page.getByRole("banner").getByRole("button", { name: "Carl" }).waitFor();
  }
});

story("two tabs that make a throw-away key at the same moment have one, and none is ever lost", async () => {
  const context = await visit();
  const tabs = [await context.newPage(), await context.newPage()];
  for (const page of tabs) await page.goto(place("connect"));
  const [page, other] = tabs;
  const third = await context.newPage();
  await third.goto(place("transactions"));
  await third.evaluate((name) => new Promise((held) => navigator.locks.request(name, () => new Promise((release) => { window.release = release; held(); }))), `api-billing:key:${url}`);
  for (const tab of tabs) await tab.getByRole("button", { name: "Make a throw-away key" }).click();
  await third.evaluate(() => window.release());
  for (const tab of tabs) await shows(tab.getByTestId("signer"), "100 GEN");
  const address = (tab) => tab.getByTestId("signer").locator(".mono").innerText();
  check((await address(page)) === (await address(other)), "both have the same key");
  await other.getByRole("button", { name: "Make another key" }).click();
  await page.getByTestId("keys").getByRole("listitem").nth(1).waitFor();
  await page.getByRole("link", { name: "Usage" }).click();
  await page.getByRole("button", { name: "Top up" }).click();
  await submit(page, { Amount: "7" }, "Top up");
  await shows(page.getByTestId("free-credit"), "7 GEN");
  const key = `0x${"5a".repeat(32)}`;
  await other.getByText("Import a key").click();
  await other.getByLabel("Key", { exact: true }).fill("0x12");
  await other.getByRole("button", { name: "Import", exact: true }).click();
  await other.getByText("A key is 0x and 64 hex digits.").waitFor();
  await accessible(other, "a wrong key");
  await other.getByLabel("Key", { exact: true }).fill(key);
  await other.getByRole("button", { name: "Import", exact: true }).click();
  await other.getByTestId("keys").getByRole("listitem").nth(2).waitFor();
  await accessible(other, "the list of keys");
  await shot(other, "keys-desktop-light");
  await other.getByRole("button", { name: "Get 100 GEN" }).click();
  await shows(other.getByTestId("signer"), "100 GEN");
  await other.getByTestId("keys").getByRole("listitem").first().getByRole("button", { name: "Use" }).click();
  await shows(other.getByTestId("signer"), await address(other));
  check(BigInt(await rpc("eth_getBalance", [await address(other), "latest"])) < 100n * 10n ** 18n, "the first key is the one that has paid");
});
