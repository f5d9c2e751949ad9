// What every story needs: the browser, pages that are watched for errors, a wallet, a second hand on the chain, axe.
import { AsyncLocalStorage } from "node:async_hooks";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { createAccount, createClient } from "genlayer-js";
import { localnet } from "genlayer-js/chains";
import { chromium } from "playwright-core";
import { privateKeyToAccount } from "viem/accounts";

export const stage = JSON.parse(process.env.STAGE);
export const { people, contract, url, origin, heavy } = stage;
export const GEN = 10n ** 18n;

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf-8");
const WAIT_MS = 25_000; // for a machine that has much else to do
const stories = [];
const lines = createInterface({ input: process.stdin });
const answers = [];
lines.on("line", (line) => answers.shift()?.(JSON.parse(line)));

const tell = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

/** Ask the test: stop or start the fickle node, run a command of api-billing, register an API on the node with fees. */
export async function ask(what, ...args) {
  const { answer, failure } = await new Promise((resolve) => {
    answers.push(resolve);
    tell({ ask: what, args });
  });
  if (failure) throw new Error(`${what} ${args.join(" ")}: ${failure}`);
  return answer;
}

/** A story that changes what is on the chain: these are told one after the other. */
export const story = (name, tellIt) => stories.push({ name, tellIt, lane: "chain" });

/** One that only looks: these are told at the same time as the others, since they wait a lot. */
export const aside = (name, tellIt) => stories.push({ name, tellIt, lane: "aside" });

export function check(fact, text) {
  if (!fact) throw new Error(`it is not so: ${text}`);
}

export async function rpc(method, params = [], node = url) {
  const response = await fetch(node, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }) });
  const { result, error } = await response.json();
  if (error) throw new Error(`${method}: ${error.message}`);
  return result;
}

/** Everything that is accepted becomes final. */
export const finalize = (node = url) => rpc("sim_increaseTime", [stage.finalitySeconds + 1], node);

/** What a view answers, as the contract at a node does. */
export const view = (functionName, args, at = stage) =>
  createClient({ chain: { ...localnet, id: 61999, rpcUrls: { default: { http: [at.url] } } }, endpoint: at.url }).readContract({ address: at.contract, functionName, args });

/** Somebody else does something on the chain, not through the page. */
export async function act(person, functionName, args, value = 0n) {
  const chain = { ...localnet, id: 61999, rpcUrls: { default: { http: [url] } } };
  const client = createClient({ chain, endpoint: url, account: createAccount(person.key) });
  await client.writeContract({ address: contract, functionName, args, value });
}

/** `at`: the stage itself, or `heavy`, where there is much of everything. */
export const place = (view, more = {}, at = stage) => {
  const where = new URLSearchParams({ network: "localnet", rpc: at.url, contract: at.contract, ...more });
  return `${at.origin}/app/#/${view}?${where}`;
};

/** A wallet as extensions put it into pages: EIP-1193, announced by EIP-6963, a late one when it is told to. The node signs for it; vouchers its owner's key. */
function wallet({ address, node, chainId, isLate }) {
  const ICON = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 2 2'%3E%3Crect width='2' height='2' fill='%23c60'/%3E%3C/svg%3E";
  const listeners = new Map();
  const state = { chainId, declines: false };
  const request = async ({ method, params = [] }) => {
    if (method === "eth_requestAccounts" || method === "eth_accounts") return [address];
    if (method === "eth_chainId") return `0x${state.chainId.toString(16)}`;
    if (method === "wallet_switchEthereumChain") {
      state.chainId = Number(params[0].chainId);
      for (const listener of listeners.get("chainChanged") ?? []) listener(params[0].chainId);
      return null;
    }
    const isSigning = ["eth_sendTransaction", "eth_signTypedData_v4"].includes(method);
    if (isSigning && state.declines) throw Object.assign(new Error("User rejected the request."), { code: 4001 });
    if (method === "eth_signTypedData_v4") {
      const { domain } = JSON.parse(params[1]);
      if (domain.chainId !== state.chainId) throw Object.assign(new Error(`Provided chainId "${domain.chainId}" must match the active chainId "${state.chainId}"`), { code: -32603 });
      return window.signTypedData(params[1]);
    }
    const response = await fetch(node, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }) });
    const { result, error } = await response.json();
    if (error) throw Object.assign(new Error(error.message), { code: error.code });
    return result;
  };
  const provider = {
    request,
    on: (event, listener) => listeners.set(event, [...(listeners.get(event) ?? []), listener]),
    removeListener: (event, listener) => listeners.set(event, (listeners.get(event) ?? []).filter((each) => each !== listener)),
  };
  const detail = Object.freeze({ info: { uuid: "1", rdns: "test.wallet", name: "Test wallet", icon: ICON }, provider });
  state.announce = () => window.dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail }));
  window.testWallet = state;
  if (!isLate) window.addEventListener("eip6963:requestProvider", state.announce);
}

let browser;

/** A context of its own: storage, and what went wrong in its pages. `phone`: true, or its width. */
export async function visit({ phone = false, dark = false, owner = null, isLate = false, chainId = 61999, node = url, tolerate = [] } = {}) {
  const context = await browser.newContext({
    viewport: phone ? { width: phone === true ? 390 : phone, height: 844 } : { width: 1280, height: 900 },
    colorScheme: dark ? "dark" : "light", reducedMotion: "reduce", hasTouch: Boolean(phone), isMobile: Boolean(phone), deviceScaleFactor: 1,
  });
  context.setDefaultTimeout(WAIT_MS);
  if (owner) await context.exposeFunction("signTypedData", (json) => privateKeyToAccount(owner.key).signTypedData(JSON.parse(json)));
  if (owner) await context.addInitScript(wallet, { address: owner.address, node, chainId, isLate });
  const faults = [];
  context.on("page", (page) => {
    page.on("pageerror", (error) => faults.push(`page error: ${error.message}`));
    page.on("console", (message) => {
      if (message.type() === "error" && !tolerate.some((text) => message.text().includes(text))) faults.push(`console: ${message.text()}`);
    });
  });
  told.getStore().push({ context, faults });
  return context;
}

/** What the present story has opened. */
const told = new AsyncLocalStorage();

/** A page with a wallet that is connected, at its owner's usage. */
export async function enter(owner, view = "usage", { at = stage, ...options } = {}) {
  const context = await visit({ owner, node: at.url, ...options });
  const page = await context.newPage();
  await page.goto(place("connect", {}, at));
  await page.getByRole("button", { name: "Test wallet" }).click();
  await page.getByTestId("signer").waitFor();
  await page.goto(place(view, { account: owner.address }, at));
  return page;
}

/** Opens a subscription's card on the usage page. */
export async function card(page, apiName) {
  const line = page.getByRole("button", { name: apiName, exact: true });
  await line.waitFor();
  if ((await line.getAttribute("aria-expanded")) === "false") await line.click();
  return page.getByRole("article", { name: apiName, exact: true });
}

/** Fills the open dialog and sends it. */
export async function submit(page, fields, button) {
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  for (const [label, value] of Object.entries(fields)) {
    const field = dialog.getByLabel(label, { exact: true });
    if (await field.evaluate((element) => element.tagName === "SELECT")) await field.selectOption(value);
    else await field.fill(value);
  }
  await dialog.getByRole("button", { name: button, exact: true }).click();
  await dialog.waitFor({ state: "hidden" });
}

/** Waits until the newest transaction of this title says so. */
export async function follow(page, title, label) {
  const toast = page.getByTestId("toast").filter({ hasText: title }).first();
  await toast.getByText(label, { exact: true }).waitFor();
}

export const shows = (locator, text) => locator.filter({ hasText: text }).first().waitFor();

/** No violation of WCAG 2 A and AA, nor of good practice. */
export async function accessible(page, what, rules = null) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(AXE);
  const { violations } = await page.evaluate(
    (only) => window.axe.run(document, { resultTypes: ["violations"], ...(only ? { runOnly: only } : {}) }), rules,
  );
  const found = violations.map(({ id, help, nodes }) => `${id}: ${help} (${nodes.slice(0, 2).map((node) => node.target.join(" ")).join("; ")})`);
  check(found.length === 0, `${what} is accessible:\n${found.join("\n")}`);
}

/** On a phone nothing is wider than the screen, but what scrolls by itself; nor does a text stick out of what it is in. */
export async function fits(page, what) {
  const [inner, outer, wide] = await page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    const isOut = (element) => {
      const { left, right, width } = element.getBoundingClientRect();
      return width > 1 && (right > clientWidth + 1 || left < -1) && !element.closest(".table-scroll, .visually-hidden, .skip");
    };
    const named = ({ tagName, className, textContent }) => `${tagName}.${className} "${textContent.slice(0, 40)}"`;
    return [scrollWidth, clientWidth, [...document.body.querySelectorAll("*")].filter((each) => isOut(each) && ![...each.children].some(isOut)).slice(0, 8).map(named)];
  });
  check(inner <= outer && wide.length === 0, `${what} fits the screen (${inner} of ${outer}):\n${wide.join("\n")}`);
}

export const shot = (page, name) => page.screenshot({ path: `${stage.shots}/${name}.png` });

async function tellOne({ name, tellIt }) {
  const began = Date.now();
  const opened = told.getStore();
  let outcome = "ok";
  try {
    await tellIt();
    const faults = opened.flatMap((each) => each.faults);
    check(faults.length === 0, `the browser has nothing to complain of:\n${faults.join("\n")}`);
  } catch (error) {
    outcome = String(error?.stack ?? error);
    const pages = opened.flatMap((each) => each.context.pages());
    await Promise.all(pages.map((page, i) => shot(page, `failed-${name.replaceAll(/\W+/g, "-")}-${i}`).catch(() => undefined)));
  }
  tell({ story: name, outcome, ms: Date.now() - began });
  await Promise.all(opened.map((each) => each.context.close()));
}

export async function tellAll() {
  browser = await chromium.launch({ executablePath: stage.chromium, args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"] });
  const wanted = stories.filter(({ name }) => !process.env.STORY || name.includes(process.env.STORY));
  // Two look on at a time: they wait more than they work.
  await Promise.all(["chain", "aside", "aside"].map(async (lane) => {
    for (let next; (next = wanted.findIndex((each) => each.lane === lane)) >= 0;) {
      const [each] = wanted.splice(next, 1);
      await told.run([], () => tellOne(each));
    }
  }));
  await browser.close();
  lines.close();
}
