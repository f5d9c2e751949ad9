// The status page: reads, and changes nothing. The admin token is in sessionStorage only.
const PLACE = "api-billing-admin-token";
const PAGE = 25;
const MOST_SEARCHED = 20_000; // consumers that are looked through for a part of a name
const EVERY_MS = 15_000;

const of = (id) => document.getElementById(id);
const numbers = new Intl.NumberFormat("en");
let token = sessionStorage.getItem(PLACE) ?? "";
let money = { currency: "", currency_decimals: 0 };
let timer = 0;

class Refused extends Error {}

async function ask(path) {
  const answer = await fetch(path, { headers: { Authorization: `Bearer ${token}` }, cache: "no-store" });
  if (answer.status === 401) throw new Refused("This is not the admin token.");
  if (answer.status === 404) return null; // of a meter that does not have it
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail ?? `The meter answered ${answer.status}.`);
  return answer.json();
}

function made(name, text = "", attributes = {}) {
  const element = document.createElement(name);
  element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

// Amounts are texts of whole smallest units, beyond what numbers hold.
function amount(text) {
  const decimals = money.currency_decimals;
  const digits = text.padStart(decimals + 1, "0");
  const whole = digits.slice(0, digits.length - decimals);
  const rest = decimals ? digits.slice(-decimals).replace(/0+$/, "") : "";
  return `${numbers.format(BigInt(whole))}${rest && `.${rest}`} ${money.currency}`;
}

function cards(id, entries) {
  of(id).replaceChildren(...entries.map(([name, ...values]) => {
    const card = made("div");
    card.append(made("dt", name), ...values.map((value) => made("dd", value)));
    return card;
  }));
}

function list(id, entries, empty) {
  const lines = entries.map(([name, value, kind = ""]) => {
    const line = made("li");
    line.append(made("span", name, { class: kind }), made("span", value));
    return line;
  });
  of(id).replaceChildren(...(lines.length ? lines : [made("li", empty)]));
}

function bars(days) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const most = Math.max(1, ...days.map((day) => day.calls));
  const total = days.reduce((sum, day) => sum + day.calls, 0);
  svg.setAttribute("viewBox", `0 0 ${days.length * 10} 100`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  const told = `${numbers.format(total)} calls in ${days.length} days; the most on one day: ${numbers.format(most)}`;
  svg.setAttribute("aria-label", told);
  const ground = document.createElementNS(svg.namespaceURI, "line");
  for (const [key, value] of Object.entries({ x1: 0, x2: days.length * 10, y1: 99.5, y2: 99.5 })) ground.setAttribute(key, value);
  svg.append(ground);
  days.forEach((day, index) => {
    const height = day.calls ? Math.max(2, (day.calls / most) * 98) : 0;
    const bar = document.createElementNS(svg.namespaceURI, "rect");
    for (const [key, value] of Object.entries({ x: index * 10 + 1, y: 99 - height, width: 8, height })) bar.setAttribute(key, value);
    const title = document.createElementNS(svg.namespaceURI, "title");
    title.textContent = `${day.day}: ${numbers.format(day.calls)} calls, ${amount(day.charged_wei)}`;
    bar.append(title);
    svg.append(bar);
  });
  of("bars").replaceChildren(svg);
}

function sum(days) {
  const calls = days.reduce((all, day) => all + day.calls, 0);
  const charged = days.reduce((all, day) => all + BigInt(day.charged_wei), 0n);
  return [`${numbers.format(calls)} calls`, amount(charged.toString())];
}

function rows(id, entries, { adds = false } = {}) {
  const body = of(id).tBodies[0];
  const lines = entries.map((entry) => {
    const row = made("tr");
    row.append(...entry.map((text) => made("td", text, { title: text })));
    return row;
  });
  if (!adds) body.replaceChildren();
  body.append(...lines);
  if (!body.rows.length) {
    const row = made("tr");
    row.append(made("td", "None", { colspan: "5" }));
    body.append(row);
  }
}

function pages(id, button, path, entry) {
  let next = "";
  const load = async (adds) => {
    const answer = await ask(`${path}?limit=${PAGE}${next ? `&after=${encodeURIComponent(next)}` : ""}`);
    rows(id, (answer?.[id] ?? []).map(entry), { adds });
    next = answer?.next ?? "";
    of(button).hidden = !next;
  };
  of(button).addEventListener("click", () => load(true).catch(trouble));
  return () => {
    next = "";
    return load(false);
  };
}

const day = (ms) => new Date(ms).toISOString().slice(0, 10);
const consumer = (each) => [
  each.consumer, each.tier, each.disabled ? "disabled" : "served",
  [...each.quotas, ...each.budgets].map((limit) => limit.name).join(", ") || "–",
];
const stateOf = (key) => {
  if (key.revoked_ms !== null) return `revoked ${day(key.revoked_ms)}`;
  if (key.expires_ms === null) return "valid";
  return `${key.expires_ms <= Date.now() ? "expired" : "valid until"} ${day(key.expires_ms)}`;
};
const firstConsumers = pages("consumers", "more-consumers", "v1/consumers", consumer);
const firstKeys = pages("keys", "more-keys", "v1/keys", (key) => [key.key_id, key.consumer, key.label || "–", day(key.created_ms), stateOf(key)]);

async function search(words) {
  if (!words) return firstConsumers();
  const wanted = words.toLowerCase(), found = [];
  let after = "", looked = 0;
  do {
    const answer = await ask(`v1/consumers?limit=1000${after ? `&after=${encodeURIComponent(after)}` : ""}`);
    found.push(...answer.consumers.filter((each) => each.consumer.toLowerCase().includes(wanted)));
    looked += answer.consumers.length;
    after = answer.next ?? "";
  } while (after && found.length < PAGE && looked < MOST_SEARCHED);
  of("more-consumers").hidden = true;
  rows("consumers", found.slice(0, PAGE).map(consumer));
}

async function overview() {
  const status = await ask("v1/status").catch((error) => {
    list("wrong", [["Not known", error.message, "bad"]]);
    throw error;
  });
  const wrong = status.wrong.map((each) => [each.part, each.detail, each.stops ? "bad" : ""]);
  list("wrong", wrong.length ? wrong : [["All is well", status.store, "good"]], "");
  const summary = await ask("v1/summary");
  money = status;
  cards("sums", [["Today", ...sum(status.days.slice(-1))], ["7 days", ...sum(status.days.slice(-7))], ["30 days", ...sum(status.days)]]);
  bars(status.days);
  const now = summary && [
    ["Consumers", numbers.format(summary.consumers)],
    ["API keys", numbers.format(summary.keys)],
    ["Being served", `${summary.reserved.is_complete ? "" : "at least "}${numbers.format(summary.reserved.requests)} requests`, amount(summary.reserved.wei)],
    ["Not collected this month", amount(summary.month.uncollected_wei)],
  ];
  cards("now", now ?? [["Consumers", "not known"]]);
  const codes = Object.entries(summary?.refusals.by_code ?? {}).sort((a, b) => b[1] - a[1]);
  list("refusals", codes.map(([code, count]) => [code, numbers.format(count)]), "None");
  const waits = (each) => `${each.batches} batches, ${amount(each.amount_wei)}; ${each.is_complete ? "" : "at least "}${numbers.format(each.requests)} requests in no batch, ${amount(each.requests_wei)}`;
  list("unsettled", (summary?.unsettled ?? []).map((each) => [each.api, waits(each)]), "Nothing waits");
  of("state").textContent = status.ok ? "Serves requests" : "Cannot serve requests";
  of("state").className = status.ok ? "good" : "bad";
  of("about").textContent = `api-billing ${status.version}, store ${status.store}, read ${new Date().toLocaleTimeString()}`;
}

function trouble(error) {
  if (error instanceof Refused || of("shown").hidden) {
    leave();
    of("refused").textContent = error.message;
    of("token").focus();
    return;
  }
  of("state").textContent = `Not up to date: ${error.message}`;
  of("state").className = "bad";
}

function leave() {
  clearInterval(timer);
  token = "";
  sessionStorage.removeItem(PLACE);
  of("shown").hidden = of("leave").hidden = true;
  of("enter").hidden = false;
  of("state").textContent = "Not signed in";
  of("state").className = "";
  of("about").textContent = "";
}

async function enter() {
  try {
    await Promise.all([overview(), firstConsumers(), firstKeys()]);
  } catch (error) {
    trouble(error);
    if (!token) return;
  }
  sessionStorage.setItem(PLACE, token);
  of("refused").textContent = "";
  of("token").value = "";
  of("enter").hidden = true;
  of("shown").hidden = of("leave").hidden = false;
  of("main").focus();
  clearInterval(timer);
  timer = setInterval(() => overview().catch(trouble), EVERY_MS);
}

of("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  token = of("token").value.trim();
  enter();
});
of("search").addEventListener("submit", (event) => {
  event.preventDefault();
  search(of("words").value.trim()).catch(trouble);
});
of("leave").addEventListener("click", () => {
  leave();
  of("token").focus();
});
if (token) enter();
