// Sessions: opened, signed for in the wallet, settled by the operator, ended.
import { accessible, act, ask, card, check, enter, fits, follow, GEN, people, place, rpc, shot, shows, story, submit } from "../stage.mjs";

const { operator, newcomer } = people;
const DAY = 86_400;

const channel = (page) => page.getByTestId("channel").first();

async function opened(api) {
  await act(operator, "register_api", [api, GEN / 100n, 200, 0]);
  const { timestamp } = await rpc("sim_getTime");
  await act(newcomer, "open_session", [api, 2n * GEN, GEN, Math.floor(timestamp) + DAY, newcomer.address, "standard", GEN / 100n], GEN);
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
  const download = page.waitForEvent("download");
  await dialog.getByRole("link", { name: "Download JSON" }).click();
  check((await download).suggestedFilename() === "voucher-tiles.json", "the file is named after the API");
  await dialog.getByRole("button", { name: "Done" }).click();
  await shows(channel(page), "0.5 GEN signed and not billed");

  const served = await ask("settle", "tiles", header, String(GEN / 5n));
  check(served.status === 200 && served.settled === "done", `the meter takes the voucher as it is: ${JSON.stringify(served)}`);
  await shows(channel(page), "0.3 GEN signed and not billed");
  await shows(channel(page), "Main channel");
  const after = await ask("cli", "session", "status", "tiles", "--consumer", newcomer.address);
  check(after.channels.length === 1 && BigInt(after.channels[0].billed_wei) === GEN / 5n && after.channels[0].signed_wei === Number(GEN / 2n), "the contract has billed 0.2 of 0.5 GEN");
  await shot(page, "session-card-desktop-light");
  await accessible(page, "a session in its card");

  await signing(page, "tiles", "0.4");
  await dialog.getByRole("button", { name: "Sign voucher" }).click();
  await dialog.getByText("0.5 GEN are signed already").waitFor();
  await dialog.getByLabel("Up to, in all").fill("1.1");
  await dialog.getByText("The hold pays up to 1 GEN on this channel.").waitFor();
  await dialog.getByLabel("Channel").selectOption({ label: "A new channel" });
  await dialog.getByText("On this channel 0 GEN are signed and 0 GEN billed so far; the hold pays up to 0.8 GEN.").waitFor();
  await dialog.getByLabel("Up to, in all").fill("0.1");
  await dialog.getByRole("button", { name: "Sign voucher" }).click();
  await dialog.getByRole("button", { name: "Done" }).click();
  await page.reload();
  await shows(page.getByTestId("channel"), "0.1 GEN signed and not billed");
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
