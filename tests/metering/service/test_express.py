"""The express.js example, run by node against the HTTP meter."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import uvicorn

from api_billing.metering import Meter
from api_billing.metering.ledger.rows import COUNTS
from api_billing.metering.service import create_app
from api_billing.metering.service.serving import listen, url_of

TOKEN = "service-token-of-the-tests-0123456789"
GWEI = 10**9
WAIT_SECONDS = 60


@pytest.fixture(scope="module")
def meter() -> Iterator[Meter]:
    with Meter.open("memory://") as meter:
        meter.add_consumer("acme")
        meter.grant("acme", 60 * GWEI, grant_id="first")
        yield meter


@pytest.fixture(scope="module")
def served(meter: Meter) -> Iterator[str]:
    """Where the meter is served: its address."""
    with listen("127.0.0.1", 0) as listening:
        app = create_app(meter, service_token=TOKEN)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield url_of(listening)
        server.should_exit = True
        thread.join(WAIT_SECONDS)


@pytest.fixture(scope="module")
def seen(express: Path, meter: Meter, served: str) -> dict[str, Any]:
    """What the API answers, in this order: 5 Gwei, 7 of 50 Gwei, an error, a wrong key, no key, 2 Gwei by what its
    body asks for, a body that tells no price, too dear.
    """
    key = meter.create_key("acme").text
    environment = {**os.environ, "API_BILLING_SERVICE_TOKEN": TOKEN, "METER_URL": served, "PORT": "0"}
    node = subprocess.Popen(
        ["node", "app.js"], cwd=express, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert node.stdout is not None
        api = json.loads(node.stdout.readline())["url"]
        answers = {}
        with requests.Session() as session:
            session.trust_env = False
            for name, path, credential in (
                ("forecast", "/forecast/paris", key),
                ("archive", "/archive/7", key),
                ("broken", "/broken", key),
                ("wrong", "/forecast/paris", key[:-1] + "!"),
                ("none", "/forecast/paris", ""),
            ):
                headers = {"Authorization": f"Bearer {credential}"} if credential else {}
                answers[name] = session.get(api + path, headers=headers, timeout=WAIT_SECONDS)
                settled(meter)
            told = {"headers": {"Authorization": f"Bearer {key}"}, "timeout": WAIT_SECONDS}
            answers["two"] = session.post(f"{api}/forecasts", json={"cities": ["paris", "rome"], "model": "m"}, **told)
            settled(meter)
            answers["no cities"] = session.post(f"{api}/forecasts", json={}, **told)
            answers["poor"] = session.get(f"{api}/archive/50", headers={"Authorization": f"Bearer {key}"}, timeout=9)
        return answers
    finally:
        node.terminate()
        node.communicate(timeout=WAIT_SECONDS)


# Amounts that are none, of a request, of a handler, and of the terms; and what is served where nothing can be metered.
ODD = """
import express from "express";
import { metered } from "./meter.js";

const [token, key] = [process.env.TOKEN, process.env.KEY];
const meter = { url: process.env.METER_URL, token, api: "odd" };
const app = express();
const byQuery = (req) => (req.query.wei === "true" ? true : req.query.wei);
app.get("/asked", metered({ ...meter, estimateWei: byQuery }), (req, res) => res.json("served"));
const open = { ...meter, estimateWei: 1n, failOpen: true };
app.get("/open", metered({ ...open, model: (req) => req.query.model }), (req, res) => res.json("served"));
app.get("/away", metered({ ...open, url: "http://127.0.0.1:1" }), (req, res) => res.json("served"));
const fails = async () => { throw new Error("the table of prices is away"); };
app.get("/fails", metered({ ...meter, estimateWei: fails }), (req, res) => res.json("served"));
const countWhen = (req, res) => res.statusCode < 400;
const few = { ...meter, estimateWei: 1n, limits: ["9/day; name=good ones"], countWhen };
app.get("/few", metered(few), (req, res) => res.status(Number(req.query.status)).json("served"));
app.get("/odd", metered({ ...meter, estimateWei: 3n }), (req, res) => {
  res.locals.costWei = 1.5;
  res.json("served");
});
const server = app.listen(0, "127.0.0.1", async () => {
  const ask = (path, credential) =>
    fetch(`http://127.0.0.1:${server.address().port}/${path}`, { headers: { authorization: `Bearer ${credential}` } });
  const statuses = [];
  const asked = ["", "?wei=", "?wei=true", "?wei=1.5", "?wei=-1", "?wei=2"].map((query) => `asked${query}`);
  for (const path of ["fails", "odd", "few?status=200", "few?status=404", ...asked]) {
    statuses.push((await ask(path, key)).status);
  }
  const opened = {
    away: (await ask("away", key)).status,
    model: (await ask("open?model=a%0Ab", key)).status,
    key: (await ask("open", "x".repeat(5_000))).status,
  };
  const refused = ["0.5 gen", undefined, 1.5, -1n].filter((estimateWei) => {
    try {
      metered({ ...meter, estimateWei });
    } catch {
      return true;
    }
  });
  console.log(JSON.stringify({ statuses, opened, refused: refused.length }));
  server.closeAllConnections();
  server.close();
});
"""


# The meter is away, for longer than a settlement is waited for; then it is there for all but one of three.
AWAY = """
import { createServer } from "node:http";
import express from "express";
import { metered } from "./meter.js";

let [attempts, answered] = [0, 0];
const lost = new Set();
const front = createServer(async (req, res) => {
  if (req.url.endsWith("settle")) {
    const id = req.url.split("/").at(-2);
    if (!lost.size) lost.add(id);
    if (lost.has(id) || ++attempts < 12) return attempts % 2 ? res.writeHead(503).end("{}") : req.socket.destroy();
  }
  const body = Buffer.concat(await req.toArray());
  const { authorization, "content-type": type } = req.headers;
  const headers = { authorization, "content-type": type };
  const answer = await fetch(process.env.METER_URL + req.url, { method: "POST", headers, body });
  res.writeHead(answer.status).end(await answer.text());
  if (req.url.endsWith("settle") && ++answered === 2) for (const each of [front, server]) each.close();
});
front.listen(0, "127.0.0.1");
const url = () => `http://127.0.0.1:${front.address().port}`;
const app = express();
const server = app.listen(0, "127.0.0.1", async () => {
  const terms = { url: url(), token: process.env.TOKEN, api: "away", estimateWei: 5n, pausesMs: [1, 1, 1] };
  app.get("/", metered(terms), (req, res) => res.set("connection", "close").json("served"));
  const headers = { authorization: `Bearer ${process.env.KEY}` };
  const api = `http://127.0.0.1:${server.address().port}`;
  for (const _ of [1, 2, 3]) console.log((await fetch(api, { headers })).status);
});
"""


def settled(meter: Meter) -> None:
    """Wait until nothing is reserved: the middleware settles after the response."""
    done = threading.Event()
    for _ in range(WAIT_SECONDS * 100):
        if not meter.balance("acme").reserved_wei:
            return
        done.wait(0.01)
    raise AssertionError("the middleware did not settle")


def test_express__requests__are_charged(seen: dict[str, Any], meter: Meter) -> None:
    assert meter.balance("acme").charged_wei == 14 * GWEI


def test_express__metered_response__has_the_fields(seen: dict[str, Any]) -> None:
    assert seen["forecast"].json() == {"city": "paris", "forecast": "sunny"}
    assert seen["forecast"].headers["X-RateLimit-Remaining"] == "999"


def test_express__limits__are_those_of_the_route_and_of_the_clients_address(seen: dict[str, Any], meter: Meter) -> None:
    counters = [counter for counter, _ in meter.store._tables.rows[COUNTS]]  # type: ignore[attr-defined]
    assert [counter for counter in counters if "a few" in counter and "127.0.0.1" in counter]
    assert '"a few";q=20;w=60' in seen["archive"].headers["RateLimit-Policy"]
    assert '"a few";r=18;' in seen["archive"].headers["RateLimit"]
    assert "a few" not in seen["forecast"].headers["RateLimit-Policy"]


def test_express__handler_raised__is_its_own_error(seen: dict[str, Any]) -> None:
    assert seen["broken"].status_code == 500


def test_express__refusals__reach_the_client(seen: dict[str, Any]) -> None:
    found = {name: (seen[name].status_code, seen[name].json()["code"]) for name in ("wrong", "none", "poor")}
    assert found == {
        "wrong": (401, "invalid_identity"),
        "none": (401, "missing_identity"),
        "poor": (402, "insufficient_credit"),
    }


def test_express__route__is_in_the_audit_log(seen: dict[str, Any], meter: Meter) -> None:
    from api_billing.metering.ledger.operations import ListRecords

    records = meter.store.call(ListRecords("acme", states=("settled",)))
    assert {record.route for record in records} == {"/forecast/:city", "/archive/:days", "many"}


def test_express__terms_told_by_the_body__are_what_is_reserved(seen: dict[str, Any], meter: Meter) -> None:
    from api_billing.metering.ledger.operations import ListRecords

    (found,) = [record for record in meter.store.call(ListRecords("acme")) if record.route == "many"]
    assert (seen["two"].status_code, found.estimate_wei) == (200, 2 * GWEI)
    assert (seen["no cities"].status_code, seen["no cities"].json()["code"]) == (400, "not_estimable")


@pytest.fixture(scope="module")
def odd(express: Path, seen: dict[str, Any], served: str, meter: Meter) -> subprocess.CompletedProcess[str]:
    """What becomes of ``ODD``."""
    meter.add_consumer("odd")
    meter.grant("odd", 1_000, grant_id="odd")
    environment = {**os.environ, "TOKEN": TOKEN, "KEY": meter.create_key("odd").text, "METER_URL": served}
    command = ["node", "--input-type=module", "-e", ODD]
    return subprocess.run(
        command, cwd=express, env=environment, capture_output=True, text=True, timeout=WAIT_SECONDS, check=True
    )


def test_express__amounts_that_are_none__are_refused_or_cost_the_estimate(odd: Any, meter: Meter) -> None:
    told = json.loads(odd.stdout)
    assert (told["statuses"], told["refused"]) == ([500, 200, 200, 404, 400, 400, 400, 400, 400, 200], 4)
    assert "costWei is 1.5" in odd.stderr
    estimated_wei = 1  # that of the model
    of_few = 2
    assert (meter.balance("odd").charged_wei, meter.balance("odd").reserved_wei) == (2 + 3 + estimated_wei + of_few, 0)


def test_express__response_that_count_when_leaves_out__counts_in_no_limit(odd: Any, meter: Meter) -> None:
    counts = meter.store._tables.rows[COUNTS]  # type: ignore[attr-defined]
    assert [row.used for (counter, _), row in counts.items() if "good ones" in counter] == [1]


def test_express__fail_open__serves_while_the_meter_is_away_and_not_what_it_cannot_take(odd: Any) -> None:
    assert json.loads(odd.stdout)["opened"] == {"away": 200, "model": 200, "key": 503}


def test_express__meter_away_for_long__is_asked_again_and_no_process_kept_alive(
    express: Path, served: str, meter: Meter
) -> None:
    meter.add_consumer("away")
    meter.grant("away", 1_000, grant_id="away")
    environment = {**os.environ, "TOKEN": TOKEN, "KEY": meter.create_key("away").text, "METER_URL": served}
    command = ["node", "--input-type=module", "-e", AWAY]
    done = subprocess.run(
        command, cwd=express, env=environment, capture_output=True, text=True, timeout=WAIT_SECONDS, check=True
    )
    assert done.stdout.split() == ["200"] * 3
    assert (meter.balance("away").charged_wei, meter.balance("away").reserved_wei) == (10, 5)
    assert "settle: not done before the end" in done.stderr
