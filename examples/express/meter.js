// Express middleware that asks the HTTP meter (`api-billing meter serve`) before and after each request.
//
//   app.get("/forecast", metered({ url, token, api: "weather", estimateWei: 5_000_000_000n }), handler)
//
// A handler may say what serving really cost: res.locals.costWei = 3_000_000_000n. Amounts are BigInt; on the wire they
// are decimal strings, as a JSON number would be rounded.

import { randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";

const DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const PAUSES_MS = [100, 400, 1600];
const OWN_PROBLEMS = new Set(["invalid_request", "invalid_service_token", "reservation_ended", "id_conflict", "request_too_large"]);

export function metered({ url, token, api, estimateWei, failOpen = false, timeoutMs = 5000 }) {
  // Every request to the meter may be repeated: the id keeps it from being done twice.
  async function ask(path, body, pauses = PAUSES_MS) {
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
    const [scheme, key] = (req.get("authorization") ?? "").split(" ");
    if (scheme.toLowerCase() !== "bearer" || !key) return { refusal: problem(401, "missing_identity") };
    const route = ((req.baseUrl ?? "") + (req.route?.path ?? req.path)).slice(0, 200);
    const asked = { id, api, estimate_wei: String(estimateWei), api_key: key, method: req.method, route };
    const { answer, body } = await ask("/v1/reservations", asked, PAUSES_MS.slice(0, 1));
    if (answer.status === 201) return { fields: body.fields, expiresMs: body.expires_after_seconds * 1000 };
    if (OWN_PROBLEMS.has(body.code) || answer.status >= 500) throw new Error(`the meter answered ${body.code}`);
    return { refusal: { status: answer.status, body, headers: answer.headers } };
  }

  return async function meter(req, res, next) {
    const id = ulid();
    const end = (how, body) =>
      ask(`/v1/reservations/${id}/${how}`, body).then(
        ({ answer, body }) => answer.ok || console.error(`${id}: ${how}: ${body.code}`),
        (error) => console.error(`${id}: ${how}: ${error.message}`),
      );
    let reserved;
    try {
      reserved = await reserve(req, id);
    } catch (error) {
      console.error(`not metered: ${error.message}`);
      return failOpen ? next() : refuse(res, problem(503, "meter_unavailable"));
    }
    if (reserved.refusal) return refuse(res, reserved.refusal);
    if (req.socket.destroyed) return void end("release", { error: "client gone" });
    res.set(reserved.fields);
    const alive = setInterval(
      () => ask(`/v1/reservations/${id}/extend`, { seconds: reserved.expiresMs / 1000 }, []).catch(() => {}),
      reserved.expiresMs / 3,
    );
    // "close" comes once, after "finish" or instead of it: what was begun is charged, what was not is released.
    res.once("close", () => {
      clearInterval(alive);
      const cost = res.locals.costWei === undefined ? {} : { cost_wei: String(res.locals.costWei) };
      if (res.headersSent) end("settle", { status: res.statusCode, ...cost });
      else end("release", { error: "client gone" });
    });
    next();
  };
}

function refuse(res, { status, body, headers }) {
  for (const name of ["retry-after", "ratelimit", "ratelimit-policy", "www-authenticate"]) {
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
