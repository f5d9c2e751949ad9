// Sessions: opened, signed for in the wallet, settled by the operator, ended.
import { accessible, act, ask, card, check, enter, finalize, fits, follow, GEN, people, place, rpc, shot, shows, stage, story, submit, visit } from "../stage.mjs";

const { operator, newcomer } = people;
const DAY = 86_400;

const channel = (page) => page.getByTestId("channel").first();

async function opened(api, seconds = DAY) {
  await act(operator, "register_api", [api, GEN / 100n, 200, 0]);
  const { timestamp } = await rpc("sim_getTime");
  await act(newcomer, "open_session", [api, 2n * GEN, GEN, Math.floor(timestamp) + seconds, newcomer.address, "standard", GEN / 100n], GEN);
}

async function signing(page, api, amount) {
  await (await card(page, api)).getByRole("button", { name: "Sign a voucher" }).click();
  await page.getByRole("dialog").getByLabel("Up to, in all").fill(amount);
}

story("a session is opened, a voucher signed in the wallet, settled by the operator, and seen", async () => {
  await act(operator, "register_api", ["tiles", GEN / 5n, 200, 0]);
  const page = await enter(newcomer, "apis");
  await page.getByRole("button", { name: "Open a session with tiles" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Amount").fill("50");
  await dialog.getByRole("button", { name: "Open session" }).click();
  await dialog.getByText(/Deposit at least .* GEN/).waitFor();
  await dialog.getByLabel("Amount").fill("1");
  await dialog.getByLabel("Deposit with it").fill("1");
  await shows(page.getByTestId("effects"), "You subscribe to tiles (standard) for 0.2 GEN a call, at most 20 GEN a day.");
  await shows(page.getByTestId("effects"), "tiles can bill only what you sign.");
  await accessible(page, "the dialog that opens a session");
  await shot(page, "session-open-desktop-light");
  await submit(page, {}, "Open session");
  await follow(page, "Open a session with tiles: 1 GEN", "Accepted");
  const report = await ask("cli", "session", "status", "tiles", "--consumer", newcomer.address);
  check(report.signer === newcomer.address && report.in_force, "api-billing session status has the session");

  await page.goto(place("usage", { account: newcomer.address, api: "tiles" }));
  await (await card(page, "tiles")).getByText("In force").waitFor();
  await signing(page, "tiles", "0.5");
  await shows(page.getByTestId("effects"), "tiles may bill up to 0.5 GEN in all on this channel: 0.5 GEN more than is billed so far.");
  await page.getByText("What the wallet shows").click();
  await accessible(page, "the dialog that signs a voucher");
  await shot(page, "voucher-sign-desktop-light");
  await dialog.getByRole("button", { name: "Sign voucher" }).click();
  await dialog.getByRole("heading", { name: "Voucher for tiles: up to 0.5 GEN" }).waitFor();
  await accessible(page, "a voucher");
  await shot(page, "voucher-signed-desktop-light");
  const header = await page.getByTestId("voucher").getByText(/^Payment-Voucher: /).first().textContent();
  await dialog.getByText("As JSON").click();
  const download = page.waitForEvent("download");
  await dialog.getByRole("link", { name: "Download JSON" }).click();
  check((await download).suggestedFilename() === "voucher-tiles.json", "the file is named after the API");
  await dialog.getByRole("button", { name: "Done" }).click();
  await shows(channel(page), "0.5 GEN not billed yet");

  const served = await ask("settle", "tiles", header, String(GEN / 5n));
  check(served.status === 200 && served.settled === "done", `the meter takes the voucher as it is: ${JSON.stringify(served)}`);
  await shows(channel(page), "0.3 GEN not billed yet");
  await shows(page.getByTestId("signed"), "0.3 GEN of 0.5 GEN signed for tiles are not billed yet");
  await shows(channel(page), "Main channel");
  const after = await ask("cli", "session", "status", "tiles", "--consumer", newcomer.address);
  check(after.channels.length === 1 && BigInt(after.channels[0].billed_wei) === GEN / 5n && after.channels[0].signed_wei === Number(GEN / 2n), "the contract has billed 0.2 of 0.5 GEN");
  await shot(page, "session-card-desktop-light");
  await accessible(page, "a session in its card");

  await signing(page, "tiles", "0.4");
  await dialog.getByText("0.5 GEN are signed already").waitFor();
  await dialog.getByLabel("Up to, in all").fill("1.1");
  await dialog.getByText("The hold pays up to 1 GEN on this channel.").waitFor();
  await dialog.getByLabel("Channel").selectOption({ label: "A new channel" });
  await dialog.getByText("On this channel 0 GEN are billed so far, and 0 GEN known to be signed; the hold pays up to 0.5 GEN.").waitFor();
  await dialog.getByLabel("Up to, in all").fill("0.1");
  await dialog.getByRole("button", { name: "Sign voucher" }).click();
  await dialog.getByRole("button", { name: "Done" }).click();
  await page.reload();
  await shows(page.getByTestId("channel"), "0.1 GEN not billed yet");
  await (await card(page, "tiles")).getByRole("button", { name: "Show voucher of Main channel" }).click();
  check((await page.getByTestId("voucher").getByText(/^Payment-Voucher: /).first().textContent()) === header, "a reload loses no voucher");
});

story("a voucher is declined, and not signed for another network", async () => {
  await opened("routes");
  const page = await enter(newcomer, "usage", { chainId: 1 });
  await page.goto(place("usage", { account: newcomer.address, api: "routes" }));
  await signing(page, "routes", "0.25");
  const dialog = page.getByRole("dialog");
  await dialog.getByText("Your wallet is on another network").waitFor();
  check(await dialog.getByRole("button", { name: "Sign voucher" }).isDisabled(), "nothing is signed for another network");
  await dialog.getByRole("button", { name: "Switch the wallet" }).click();
  await dialog.getByText("Your wallet is on another network").waitFor({ state: "hidden" });
  await page.evaluate(() => { window.testWallet.declines = true; });
  await dialog.getByRole("button", { name: "Sign voucher" }).click();
  await shows(dialog.getByRole("alert"), "You declined it in the wallet");
  await shows(dialog.getByRole("alert"), "Nothing was signed.");
  await accessible(page, "a voucher that was declined");
  await page.evaluate(() => { window.testWallet.declines = false; });
  await dialog.getByRole("button", { name: "Sign voucher" }).click();
  await page.getByTestId("voucher").waitFor();
});

story("a session and its voucher on a phone", async () => {
  for (const width of [390, 320]) {
    const api = `a-name-that-is-long-enough-to-be-a-trouble-on-every-phone-${width}`;
    await opened(api);
    const page = await enter(newcomer, "usage", { phone: width, dark: width === 320 });
    await page.goto(place("usage", { account: newcomer.address, api }));
    await (await card(page, api)).getByText("In force").waitFor();
    await signing(page, api, "0.123456789012345678");
    await page.getByText("What the wallet shows").click();
    await fits(page, "signing a voucher");
    await accessible(page, "signing on a phone");
    await shot(page, `voucher-sign-phone-${width}`);
    await page.getByRole("dialog").getByRole("button", { name: "Sign voucher" }).click();
    await page.getByTestId("voucher").waitFor();
    await fits(page, "a voucher");
    await shot(page, `voucher-signed-phone-${width}`);
    await page.getByRole("dialog").getByRole("button", { name: "Done" }).click();
    await (await card(page, api)).getByTestId("channel").scrollIntoViewIfNeeded();
    await fits(page, "a session's card");
    await shot(page, `session-card-phone-${width}`);
  }
});

story("a session that has ended gives way to a plain hold", async () => {
  await opened("moods", 900);
  await rpc("sim_increaseTime", [901]);
  const page = await enter(newcomer, "usage");
  await page.goto(place("usage", { account: newcomer.address, api: "moods" }));
  const panel = await card(page, "moods");
  await panel.getByText("Ended", { exact: true }).waitFor();
  await panel.getByText("it still takes vouchers only").waitFor();
  check((await panel.getByRole("button", { name: "Sign a voucher" }).count()) === 0, "nothing is signed for a session that has ended");
  await accessible(page, "a session that has ended");
  await shot(page, "session-ended-desktop-light");
  await panel.getByRole("button", { name: "Open the next session" }).click();
  await page.getByRole("dialog").getByLabel("Amount").fill("0.5");
  await shows(page.getByTestId("effects"), "a new key rules that out");
  await page.keyboard.press("Escape");
  await panel.getByRole("button", { name: "Without vouchers again" }).click();
  await submit(page, { Amount: "0.5" }, "Place plain hold");
  await follow(page, "Hold 0.5 GEN for moods, without vouchers", "Accepted");
  await panel.getByText("A session can be opened when the hold has ended").waitFor();
  const { signer, hold_wei: held } = await ask("cli", "session", "status", "moods", "--consumer", newcomer.address);
  check(signer === "" && held === Number(GEN / 2n), "the contract has a plain hold");
});

story("on a network with fees, a session is opened and signed for with a throw-away key", async () => {
  const node = stage.paid.url;
  await ask("register", "metered");
  const page = await (await visit()).newPage();
  await page.goto(`${node.replace(/\/api$/, "")}/app/#/connect?network=localnet`);
  await page.getByRole("button", { name: "Make a throw-away key" }).click();
  await shows(page.getByTestId("signer"), "100 GEN");
  await page.getByRole("link", { name: "APIs" }).click();
  await page.getByRole("button", { name: "Open a session with metered" }).click();
  const dialog = page.getByRole("dialog");
  for (const [label, value] of Object.entries({ Amount: "2", "Deposit with it": "2", "Daily cap": "1" })) await dialog.getByLabel(label, { exact: true }).fill(value);
  await shows(page.getByTestId("fee"), /Network fee: at most 0\.0\d+ GEN; what is not used comes back/);
  await submit(page, {}, "Open session");
  await follow(page, "Open a session with metered: 2 GEN", "Accepted");
  await page.getByRole("link", { name: "Transactions" }).click();
  const sent = page.getByTestId("transaction").filter({ hasText: "Open a session with metered" });
  await finalize(node);
  await sent.getByText(/^0\.0\d+ GEN; 0\.0\d+ GEN came back$/).waitFor();
  await page.getByRole("link", { name: "Usage" }).click();
  await signing(page, "metered", "1.5");
  check((await page.getByTestId("fee").count()) === 0, "a voucher has no fee");
  await page.getByText("What the wallet shows").waitFor();
  await dialog.getByRole("button", { name: "Sign voucher" }).click();
  await page.getByTestId("voucher").waitFor();
});
