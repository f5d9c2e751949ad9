// Which contract, which node: links, deployments, and places that are none.
import { accessible, aside, check, contract, origin, people, place, shot, shows, stage, visit } from "../stage.mjs";

const { operator, consumer } = people;

aside("the bare address fills in the contract, and shows who is known", async () => {
  const context = await visit();
  const page = await context.newPage();
  await page.goto(`${origin}/app`);
  await page.getByRole("heading", { name: "API billing" }).waitFor();
  await page.getByRole("link", { name: /Carl/ }).waitFor();
  check(page.url().includes(contract), "the contract is in the URL");
  await accessible(page, "the first page");
  await shot(page, "landing-desktop-light");
  await page.getByRole("link", { name: /Carl/ }).click();
  await page.getByRole("heading", { name: "Usage of Carl" }).waitFor();
  await shows(page.getByTestId("held"), "GEN");
});

aside("wrong places are named: no contract, another contract, no node", async () => {
  const context = await visit({ tolerate: ["Failed to load resource", "CORS", "ERR_"] });
  const page = await context.newPage();
  const at = async (more) => {
    await page.goto(place("usage", { account: consumer.address, ...more }));
    if (Object.keys(more).length) await page.getByRole("button", { name: "Use them" }).click();
  };
  await at({ contract: `0x${"12".repeat(20)}` });
  await page.getByText("There is no contract at this address").waitFor();
  await accessible(page, "an error");
  await at({ contract: stage.otherContract });
  await page.getByText("This is not the billing contract").waitFor();
  await at({ rpc: `${origin}/app/index.html` });
  await page.getByText("No GenLayer node answers there").waitFor();
  await shot(page, "not-a-node-desktop-light");
  await at({ rpc: "http://127.0.0.1:9/api" });
  await page.getByText("The node cannot be reached", { exact: true }).waitFor();
  await at({});
  await page.getByRole("heading", { name: "Usage of Carl" }).waitFor();
  await page.getByTestId("free-credit").waitFor();
});

aside("a link with a node or a contract of its own shows them and asks first", async () => {
  const context = await visit();
  const page = await context.newPage();
  const requests = [];
  page.on("request", (request) => requests.push(request.url()));
  await page.goto(place("usage", { account: consumer.address, rpc: stage.fickle }));
  await shows(page.getByTestId("link"), new URL(stage.fickle).host);
  check(!requests.some((each) => each.startsWith(stage.fickle)), "nothing was asked of the node");
  await accessible(page, "the question about a link");
  await shot(page, "link-desktop-light");
  await page.getByRole("link", { name: "Do not use them" }).click();
  await page.getByRole("heading", { name: "Connection" }).waitFor();
  await page.goto(place("usage", { account: consumer.address, contract: operator.address }));
  await shows(page.getByTestId("link"), operator.address.toLowerCase());
});

aside("a page whose code cannot be loaded says so, and the others go on", async () => {
  const context = await visit({ tolerate: ["Failed to load resource", "ERR_"] });
  const page = await context.newPage();
  await page.goto(place("usage", { account: consumer.address }));
  await page.getByTestId("free-credit").waitFor();
  await page.route("**/assets/page-*.js", (route) => route.abort());
  await page.getByRole("link", { name: "Operate" }).click();
  await page.getByText("This page could not be loaded").waitFor();
  await accessible(page, "a page that could not be loaded");
  await page.getByRole("link", { name: "Usage" }).click();
  await page.getByTestId("free-credit").waitFor();
  await page.unroute("**/assets/page-*.js");
  await page.getByRole("link", { name: "Operate" }).click();
  await page.getByRole("button", { name: "Load it again" }).click();
  await page.getByRole("heading", { name: "Operate" }).waitFor();
});
