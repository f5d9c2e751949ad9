// Express middleware that asks the HTTP meter (`api-billing meter serve`) before and after each request.
//
//   app.get("/forecast", metered({ url, token, api: "weather", estimateWei: 5_000_000_000n }), handler)
//
// `estimateWei`, and `model` and `operation` for budgets and the audit log, may be functions of the request, async ones too:
// behind `express.json()` they see its parsed body. A TypeError, RangeError or SyntaxError, as over a body that is not what it
// should be, is a 400; what else they throw is a 500.
//
// `limits: ["100/minute", "5/second; burst=10; per=address"]` are limits of requests, in which each counts as so many `units`.
// The address is that of `req.ip`: behind a proxy, say `app.set("trust proxy", …)`. Where `countWhen: (req, res) => …` is false, as
// of a status, the request does not count in those of calls.
//
// A handler may say what serving really cost: res.locals.costWei = 3_000_000_000n; what is no amount is logged, and the
// estimate charged. Amounts are BigInt of smallest units; on the wire they are decimal strings, as a JSON number would be
// rounded.
//
// With `payments: true` a client without an API key is told what the request costs, and pays over x402 or MPP. A response
// that is complete has the receipt of what it really cost; one that is streamed that of what it costs at most.

import { randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";

const DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const AMOUNT = /^\d{1,78}$/;
const OF_INPUT = [TypeError, RangeError, SyntaxError];
const PAUSES_MS = [100, 400, 1600, 5000]; // before an attempt is repeated: for settlements the last one again and again
const MAX_UNSETTLED = 100_000;
const OWN_PROBLEMS = new Set(["invalid_request", "invalid_service_token", "reservation_ended", "id_conflict", "request_too_large"]);

const REFUSED_WITH = [
  ...["retry-after", "ratelimit", "ratelimit-policy", "www-authenticate", "payment-required", "payment-response"],
  ...["cache-control", "access-control-expose-headers"],
];
const PAYING = ["authorization", "payment-authorization", "payment-signature", "accept-payment"];

// What the meter did not take is asked for again as long as the process lives, one after the other; it keeps none alive.
const unsettled = [];

async function repeatUnsettled() {
  while (unsettled.length) {
    const first = unsettled[0];
    const isDone = await first.isDone();
    unsettled.shift();
    if (isDone) continue;
    unsettled.push(first); // another one is next, should this one be what is wrong
    await pause(first.pauseMs, undefined, { ref: false });
  }
}

process.once("exit", () => unsettled.forEach(({ what }) => console.error(`${what}: not done before the end`)));

export function metered({ url, token, api, payments = false, failOpen = false, timeoutMs = 5000, ...rest }) {
  const { pausesMs = PAUSES_MS, countWhen = () => true, ...terms } = rest;
  if (typeof terms.estimateWei !== "function") amount("estimateWei", terms.estimateWei);
  // Every request to the meter may be repeated: the id keeps it from being done twice.
  async function ask(path, body, pauses) {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    for (let attempt = 0; ; attempt++) {
      try {
        const signal = AbortSignal.timeout(timeoutMs);
        const answer = await fetch(url + path, { method: "POST", headers, body: JSON.stringify(body), signal });
        if (answer.status < 500 || attempt === pauses.length) return { answer, body: await answer.json() };
      } catch (error) {
        if (attempt === pauses.length) throw error;
      }
      await pause(pauses[attempt]);
    }
  }

  async function reserve(req, id) {
    if (!payments && !hasKey(req)) return { refusal: problem(401, "missing_identity") };
    const who = payments ? { payment: paymentOf(req) } : { api_key: req.get("authorization").split(" ")[1] };
    const route = ((req.baseUrl ?? "") + (req.route?.path ?? req.path)).slice(0, 200);
    const said = await told(terms, req);
    if (said.status) return { refusal: said };
    const asked = { id, api, ...said, ...who, method: req.method, route };
    const { answer, body } = await ask("/v1/reservations", asked, pausesMs.slice(0, 1));
    if (answer.status === 201) return { ...body, expiresMs: body.expires_after_seconds * 1000 };
    if (answer.status === 200) return { response: body.response };
    // Anybody can use up the reads of the chain: that nobody knows what a consumer has is no outage to serve in.
    const isOutage = answer.status >= 500 && body.reason !== "credit_unknown";
    if (isOutage) throw new Error(`the meter answered ${body.code}`);
    if (OWN_PROBLEMS.has(body.code)) {
      // What a client sends may be the cause, such as a key of 5,000 characters: nothing to serve for, either.
      console.error(`not metered: the meter answered ${body.code}: ${body.detail}`);
      return { refusal: problem(503, "meter_unavailable") };
    }
    return { refusal: { status: answer.status, body, headers: answer.headers } };
  }

  return async function meter(req, res, next) {
    const id = ulid();
    const end = async (how, body) => {
      const what = `${id}: ${how}`;
      // The fields of the meter's answer; null when it did not take it.
      const attempt = async (pauses) => {
        try {
          const { answer, body: said } = await ask(`/v1/reservations/${id}/${how}`, body, pauses);
          if (!answer.ok) console.error(`${what}: ${said.code}`);
          return answer.status >= 500 ? null : (said.fields ?? {});
        } catch (error) {
          console.error(`${what}: ${error.message}`);
          return null;
        }
      };
      const fields = await attempt(pausesMs.slice(0, -1));
      if (fields === null && unsettled.length < MAX_UNSETTLED) {
        const isDone = async () => (await attempt([])) !== null;
        if (unsettled.push({ what, isDone, pauseMs: pausesMs.at(-1) }) === 1) repeatUnsettled();
      } else if (fields === null) console.error(`${what}: lost, as ${MAX_UNSETTLED} wait for the meter`);
      return fields;
    };
    let reserved;
    try {
      reserved = await reserve(req, id);
    } catch (error) {
      console.error(`not metered: ${error.message}`);
      // Who pays by the request is not served for nothing.
      return failOpen && hasKey(req) ? next() : refuse(res, problem(503, "meter_unavailable"));
    }
    if (reserved.refusal) return refuse(res, reserved.refusal);
    if (reserved.response) return answerWith(res, reserved.response);
    if (req.socket.destroyed) return void end("release", { error: "client gone" });
    let settled;
    const settle = () => {
      const cost = {};
      try {
        if (res.locals.costWei !== undefined) cost.cost_wei = amount("costWei", res.locals.costWei);
      } catch (error) {
        console.error(`${id}: charged its estimate: ${error.message}`);
      }
      try {
        if (countWhen(req, res) === false) cost.counts = false;
      } catch (error) {
        console.error(`${id}: it counts: ${error?.message}`);
      }
      const paid = reserved.protocol ? { payment: paymentOf(req), has_begun: res.headersSent } : {};
      settled ??= end("settle", { status: res.statusCode, ...cost, ...paid });
      return settled;
    };
    if (reserved.protocol) settleBeforeTheEnd(res, reserved, settle);
    else res.set(reserved.fields);
    const alive = setInterval(
      () => ask(`/v1/reservations/${id}/extend`, { seconds: reserved.expiresMs / 1000 }, []).catch(() => {}),
      reserved.expiresMs / 3,
    );
    // "close" comes once, after "finish" or instead of it: what was begun is charged, what was not is released.
    res.once("close", () => {
      clearInterval(alive);
      if (res.headersSent) settle();
      else if (!settled) end("release", { error: "client gone" });
    });
    next();
  };
}

// A response that has not begun at its end has all of it settled first: its receipts say what it cost.
function settleBeforeTheEnd(res, { begun_fields: begun }, settle) {
  const [writeHead, end] = [res.writeHead.bind(res), res.end.bind(res)];
  let isEnding = false;
  res.set(begun);
  res.writeHead = (status, ...rest) => {
    if (status < 200 || status > 299) res.removeHeader("payment-receipt");
    return writeHead(status, ...rest);
  };
  res.end = (...last) => {
    if (res.headersSent) return end(...last);
    if (isEnding) return res;
    isEnding = true;
    settle().then((fields) => {
      for (const name of ["payment-receipt", "payment-response"]) res.removeHeader(name);
      setFields(res, fields ?? {});
      end(...last);
    });
    return res;
  };
}

// What the terms say of a request; or the problem, when its cost cannot be told.
async function told({ estimateWei, model = "", operation = "", units = 1, limits = [] }, req) {
  const tell = (term) => (typeof term === "function" ? term(req) : term);
  try {
    return {
      estimate_wei: amount("estimateWei", await tell(estimateWei)),
      model: name(await tell(model), 100),
      operation: name(await tell(operation), 200),
      units: Number(await tell(units)),
      limits: [limits].flat(),
      address: req.ip ?? "",
    };
  } catch (error) {
    const isOfInput = OF_INPUT.some((kind) => error instanceof kind);
    console.error(`${isOfInput ? "not estimable" : "estimate failed"}: ${req.method} ${req.path}: ${error?.message}`);
    return isOfInput ? problem(400, "not_estimable") : problem(500, "estimate_failed");
  }
}

// As it goes over the wire. BigInt would take "" and false for nothing, and true for one.
function amount(what, wei) {
  if (!AMOUNT.test(String(wei))) throw new TypeError(`${what} is ${wei}, and no amount: give a BigInt of smallest units`);
  return String(BigInt(wei));
}

function name(said, most) {
  return String(said ?? "").slice(0, most).replace(/[\0-\x1f\x7f]/g, " ").toWellFormed();
}

function hasKey(req) {
  const [scheme, key] = (req.get("authorization") ?? "").split(" ");
  return scheme.toLowerCase() === "bearer" && Boolean(key);
}

// The handler's own are joined, or kept where they say as much.
function setFields(res, fields) {
  for (const [name, value] of Object.entries(fields)) {
    const own = res.get(name) ?? "";
    if (name === "access-control-expose-headers") res.set(name, own && own !== value ? `${own}, ${value}` : value);
    else if (name !== "cache-control" || !/private|no-store/.test(own)) res.set(name, value);
  }
}

function paymentOf(req) {
  const fields = PAYING.filter((name) => req.get(name)).map((name) => [name.replaceAll("-", "_"), req.get(name)]);
  const url = `${req.protocol}://${req.get("host")}${req.originalUrl}`.replace(/[^!-~]/g, encodeURIComponent);
  return { url: url.slice(0, 2047), ...Object.fromEntries(fields) };
}

function answerWith(res, { status, headers, body_base64: body }) {
  for (const [name, value] of headers) res.append(name, value);
  res.status(status).end(Buffer.from(body, "base64"));
}

function refuse(res, { status, body, headers }) {
  for (const name of REFUSED_WITH) {
    if (headers?.get(name)) res.set(name, headers.get(name));
  }
  res.status(status).type("application/problem+json").send(JSON.stringify(body));
}

function problem(status, code) {
  return { status, body: { type: `urn:problem-type:api-billing:${code.replaceAll("_", "-")}`, status, code } };
}

function ulid() {
  let time = "";
  for (let ms = Date.now(), n = 0; n < 10; n++, ms = Math.floor(ms / 32)) time = DIGITS[ms % 32] + time;
  return time + Array.from(randomBytes(16), (byte) => DIGITS[byte % 32]).join("");
}
