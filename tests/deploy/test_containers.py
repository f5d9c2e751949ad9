"""deploy/Dockerfile and deploy/compose.yaml, as far as they can be checked where there is no Docker."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient
from typer.main import get_command

from api_billing.cli.app import make_app
from api_billing.metering import Meter
from api_billing.metering.settings import MeterSettings, setting_rows
from api_billing.testing import paying

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
TEXT = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
EXAMPLE = (DEPLOY / "env.example").read_text(encoding="utf-8")
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
# Of the compose specification, what is used here.
KEYS = {
    "build", "cap_drop", "command", "depends_on", "env_file", "environment", "healthcheck", "image", "logging",
    "ports", "profiles", "read_only", "restart", "security_opt", "tmpfs", "volumes",
}  # fmt: skip
HEALTH_KEYS = {"test", "interval", "timeout", "retries", "start_period", "disable"}
SECRETS = {"POSTGRES_PASSWORD", "API_BILLING_KEY_PEPPER", "API_BILLING_SERVICE_TOKEN", "API_BILLING_ADMIN_TOKEN"}

each_service = pytest.mark.parametrize("name", SERVICES)


def lines_of_dockerfile() -> list[str]:
    """Its instructions, each in one line."""
    joined = re.sub(r"\\\n\s*", "", DOCKERFILE)
    return [line for line in joined.splitlines() if line and not line.startswith("#")]


@each_service
def test_service__keys__are_of_the_specification(name: str) -> None:
    service = SERVICES[name]
    assert set(service) <= KEYS
    assert set(service.get("healthcheck", {})) <= HEALTH_KEYS
    for port in service.get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), "open to others without TLS"


@each_service
def test_service__what_it_depends_on__is_there_and_tells_its_health(name: str) -> None:
    for other, terms in SERVICES[name].get("depends_on", {}).items():
        assert terms == {"condition": "service_healthy"}
        health = SERVICES[other].get("healthcheck")
        assert health.get("test") if health is not None else SERVICES[other]["build"], "the image's own"


def test_postgresql__being_made__is_not_healthy_yet() -> None:
    # While its image makes the database, a server answers at the socket, and is stopped again: a meter would end.
    assert "--host 127.0.0.1" in SERVICES["postgres"]["healthcheck"]["test"][-1]


def test_upgrade__as_written__stops_and_migrates_with_what_there_is() -> None:
    text = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    words = [line.split() for line in text.splitlines() if line.startswith("docker compose -f deploy/compose.yaml")]
    (stopped,) = [each[each.index("stop") + 1 :] for each in words if "stop" in each]
    assert set(stopped) == {name for name, service in SERVICES.items() if "env_file" in service}
    did = [next(word for word in each[4:] if word in ("build", "stop", "exec", "run", "up")) for each in words]
    assert did[-5:] == ["build", "stop", "exec", "run", "up"]


@each_service
def test_service__what_it_logs__is_rotated(name: str) -> None:
    assert SERVICES[name]["logging"] == {"driver": "local"}  # Docker's default never is


def test_volumes__named__are_declared() -> None:
    used = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert used == set(COMPOSE["volumes"])


@each_service
def test_environment__variables_of_the_meter__are_settings(name: str) -> None:
    ours = {key for key in SERVICES[name].get("environment", {}) if key.startswith("API_BILLING_")}
    assert ours <= {row.variable for row in setting_rows()}


def of_example(*, with_comments: bool = False) -> dict[str, str]:
    start = "(?:# )?" if with_comments else ""
    return dict(re.findall(rf"^{start}([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))


def test_variables__that_are_to_be_set__are_in_the_example_and_secrets_are_demanded() -> None:
    given = of_example()
    assert set(re.findall(r"\$\{(\w+)", TEXT)) <= set(given)
    assert set(re.findall(r"\$\{(\w+):\?", TEXT)) == {*SECRETS, "API_BILLING_CURRENCY"}
    assert {given[name] for name in SECRETS} == {""}
    assert "/deploy/.env" in (ROOT / ".gitignore").read_text(encoding="utf-8").split()


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if "build" in service and name != "page"])
def test_settings__in_the_file__take_effect_in_each_program(name: str) -> None:
    service = SERVICES[name]
    fixed = {key for key, value in service["environment"].items() if not value.startswith(f"${{{key}:")}
    assert service["env_file"] == ".env"
    assert fixed - {"API_BILLING_STORE_URL"} <= {"API_BILLING_ADMIN_TOKEN", "POSTGRES_PASSWORD", "SETTLER_KEY"}
    assert ("API_BILLING_ADMIN_TOKEN" in fixed) == (name != "meter"), "a secret that no other one needs"
    assert ("SETTLER_KEY" in fixed) == (name != "settler")


def test_example__filled_in__has_settings_that_the_meter_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    filled = {name: f"{name}{'x' * 32}" for name in SECRETS} | {"API_BILLING_CURRENCY": "USD"}
    for name, value in (of_example(with_comments=True) | filled).items():
        monkeypatch.setenv(name, value)
    settings = MeterSettings.load()
    assert (settings.currency, settings.currency_decimals, settings.trusted_proxies) == ("USD", 2, ())
    known = {row.variable for row in setting_rows()} | {"POSTGRES_PASSWORD", "SETTLER_KEY"}
    assert set(of_example(with_comments=True)) <= known


def test_services__of_the_chain__start_only_with_its_profile() -> None:
    assert [name for name, service in SERVICES.items() if service.get("profiles") == ["chain"]] == ["settler", "page"]


def commands() -> list[list[str]]:
    last = json.loads(lines_of_dockerfile()[-1].removeprefix("CMD "))
    return [last, *(service["command"] for service in SERVICES.values() if "command" in service)]


@pytest.mark.parametrize("words", commands(), ids=lambda words: " ".join(words)[:40])
def test_command__of_ours__exists_with_its_options(words: list[str]) -> None:
    program, *rest = words
    if program != "api-billing":
        assert program in ("uvicorn", "python")
        return
    command: Any = get_command(make_app())
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
    command.make_context("x", list(rest), resilient_parsing=False)


def test_api__of_the_container__serves_and_tells_its_health(monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {}
    exec((DEPLOY / "api.py").read_text(encoding="utf-8"), names)
    monkeypatch.setenv("API_BILLING_STORE_URL", "memory://")
    monkeypatch.setenv("API_BILLING_SERVICE_TOKEN", "x" * 16)
    names["configure_logging"] = lambda settings: None
    with TestClient(names["make_app"]()) as client:
        assert client.get("/ops/readyz").json() == {"status": "ok"}
        assert client.get("/forecast?city=Bern").json()["code"] == "missing_identity"
    assert "api:make_app" in SERVICES["api"]["command"]


@pytest.mark.parametrize(("currency", "price"), [("USD", "0.001 USD"), ("GEN", "0.001 GEN"), ("credits", "1 credit")])
def test_api__of_the_container__costs_little_in_any_currency(
    currency: str, price: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: dict[str, Any] = {}
    exec((DEPLOY / "api.py").read_text(encoding="utf-8"), names)
    url = f"sqlite:///{tmp_path}/meter.db"
    for name, value in (("STORE_URL", url), ("SERVICE_TOKEN", "x" * 16), ("CURRENCY", currency)):
        monkeypatch.setenv(f"API_BILLING_{name}", value)
    names["configure_logging"] = lambda settings: None
    with Meter.open() as meter:
        acme = paying(meter, "acme")
        with TestClient(names["make_app"]()) as client:
            charged_wei = int(client.get("/forecast?city=Bern", headers=acme).headers["x-cost-wei"])
        assert meter.currency.text(charged_wei) == price


def test_dockerfile__files_that_it_copies__exist() -> None:
    copied = [shlex.split(line)[1:-1] for line in lines_of_dockerfile() if re.match(r"COPY (?!--from)", line)]
    assert copied
    assert [name for names in copied for name in names if not (ROOT / name).exists()] == []
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert not {name for names in copied for name in names} & set(ignored)


def test_dockerfile__stages_that_it_copies_from__are_its_own() -> None:
    stages = set(re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.MULTILINE))
    assert set(re.findall(r"COPY --from=(\w+)", DOCKERFILE)) == stages


def test_dockerfile__image__runs_as_nobody_special_and_is_asked_whether_it_is_ready() -> None:
    instructions = lines_of_dockerfile()
    assert "USER 10001" in instructions
    [health] = [line for line in instructions if line.startswith("HEALTHCHECK")]
    assert "/readyz" in health
    assert not [line for line in instructions if re.search(r"(ARG|ENV).*(TOKEN|PASSWORD|PEPPER|KEY)=", line)]


def test_images__named__have_a_version_and_no_registry() -> None:
    images = [*re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE), SERVICES["postgres"]["image"]]
    assert [image for image in images if not re.fullmatch(r"[a-z]+:\d[\w.-]*", image)] == []


def test_lock__of_the_image__pins_all_with_hashes_and_has_what_its_commands_need() -> None:
    lock = (ROOT / "requirements" / "image.lock").read_text(encoding="utf-8")
    blocks = re.split(r"\n(?=[a-z0-9])", lock)[1:]
    names = {re.match(r"[a-z0-9._-]+", block)[0] for block in blocks}  # type: ignore[index]
    assert all("==" in block and "--hash=sha256:" in block for block in blocks)
    assert {"psycopg", "uvicorn", "fastapi", "typer", "genlayer-py", "prometheus-client", "hatchling"} <= names
    assert not {"pytest", "mypy", "genlayer-test"} & names
    assert "image.lock" in (ROOT / "tools" / "lock.sh").read_text(encoding="utf-8")
