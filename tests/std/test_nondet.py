from __future__ import annotations

from typing import Any

import cloudpickle
import pytest

from genlayer_localnet import calldata


def stages(host: Any) -> tuple[Any, Any]:
    """The leader's and the validators' function of the block that was sent last, as a host runs them."""
    request = host.requests[-1]["RunNondet"]
    return cloudpickle.loads(request["data_leader"]), cloudpickle.loads(request["data_validator"])


def leaders(code: int, content: Any) -> dict[str, bytes]:
    payload = calldata.encode(content) if code == 0 else content.encode()
    return {"leaders_result": bytes([code]) + payload}


def answer(host: Any, value: Any) -> None:
    host.answers.append(calldata.encode(value))


# --- blocks ---


def test_run_nondet__value__is_that_of_the_host(std: Any, host: Any) -> None:
    host.answers.append(b"\0" + calldata.encode("agreed"))
    assert std.gl.vm.run_nondet_unsafe(lambda: "leader", lambda result: True) == "agreed"


def test_run_nondet__stages__run_the_functions(std: Any, host: Any) -> None:
    seen: Any = std.gl.vm
    host.answers.append(b"\0\0")
    std.gl.vm.run_nondet_unsafe(lambda: [1, "x"], lambda result: result == seen.Return([1, "x"]))
    leader, validator = stages(host)
    assert leader(None) == [1, "x"]
    assert validator(leaders(0, [1, "x"])) is True
    assert validator(leaders(0, [2])) is False
    assert validator(leaders(1, "boom")) is False


@pytest.mark.parametrize(("data", "message"), [(b"\1boom", "boom"), (b"\2timeout", "vm error: timeout")])
def test_run_nondet__error__is_raised_as_user_error(std: Any, host: Any, data: bytes, message: str) -> None:
    host.answers.append(data)
    with pytest.raises(std.gl.vm.UserError) as caught:
        std.gl.vm.run_nondet_unsafe(lambda: 1, lambda result: True)
    assert caught.value.message == message


def test_run_nondet__lazy__raises_when_asked(std: Any, host: Any) -> None:
    host.answers.append(b"\1boom")
    lazy = std.gl.vm.run_nondet.lazy(lambda: 1, lambda result: True)
    with pytest.raises(std.gl.vm.UserError):
        lazy.get()


def failing(error: Exception) -> Any:
    def validator(result: Any) -> bool:
        raise error

    return validator


@pytest.mark.parametrize(
    ("own", "result", "agrees"),
    [
        ("user", leaders(1, "boom"), True),
        ("user", leaders(1, "other"), False),
        ("user", leaders(0, 1), False),
        ("plain", leaders(2, "exit_code 1"), True),
        ("plain", leaders(2, "timeout"), False),
        ("plain", leaders(1, "boom"), False),
    ],
)
def test_run_nondet__validator_fails__agrees_with_the_same_failure(
    std: Any, host: Any, own: str, result: Any, agrees: bool
) -> None:
    error = std.gl.vm.UserError("boom") if own == "user" else ValueError("boom")
    host.answers.append(b"\0\0")
    std.gl.vm.run_nondet(lambda: 1, failing(error))
    assert stages(host)[1](result) is agrees


def test_run_nondet_unsafe__validator_fails__raises(std: Any, host: Any) -> None:
    host.answers.append(b"\0\0")
    std.gl.vm.run_nondet_unsafe(lambda: 1, failing(ValueError("boom")))
    with pytest.raises(ValueError, match="boom"):
        stages(host)[1](leaders(0, 1))


def test_run_nondet__own_comparison__decides(std: Any, host: Any) -> None:
    host.answers.append(b"\0\0")
    std.gl.vm.run_nondet(lambda: 1, failing(std.gl.vm.UserError("a")), compare_user_errors=lambda one, other: True)
    assert stages(host)[1](leaders(1, "b")) is True


# --- sandbox and results ---


def test_sandbox__function__is_sent_without_arguments(std: Any, host: Any) -> None:
    host.answers.append(b"\0\x29")
    assert std.gl.vm.spawn_sandbox(lambda: 5, allow_write_ops=True) == std.gl.vm.Return(5)
    request = host.requests[0]["Sandbox"]
    assert (cloudpickle.loads(request["data"])(), request["allow_write_ops"]) == (5, True)


def test_sandbox__errors__are_results(std: Any, host: Any) -> None:
    vm = std.gl.vm
    host.answers += [b"\1no", b"\2OOM"]
    assert vm.spawn_sandbox(lambda: 1) == vm.UserError("no")
    assert vm.spawn_sandbox(lambda: 1) == vm.VMError("OOM")


def test_unpack_result__each_kind__gives_or_raises(std: Any) -> None:
    vm = std.gl.vm
    assert vm.unpack_result(vm.Return(5)) == 5
    with pytest.raises(vm.UserError, match="no"):
        vm.unpack_result(vm.UserError("no"))
    with pytest.raises(vm.UserError, match="vm error: OOM"):
        vm.unpack_result(vm.VMError("OOM"))


def test_user_error__any_construction__prints_compares_and_pickles(std: Any) -> None:
    error = std.gl.vm.UserError(message="inner")
    assert (str(error), error.args) == ("UserError(message='inner')", ("inner",))
    copied = cloudpickle.loads(cloudpickle.dumps(error))
    assert (copied, hash(copied)) == (error, hash(error))


def test_ask__host_without_answer__raises(std: Any) -> None:
    with pytest.raises(RuntimeError, match="does not answer Sandbox"):
        std.gl.vm.spawn_sandbox(lambda: 1)


# --- equivalence principles ---


@pytest.mark.parametrize(
    ("own", "result", "agrees"),
    [
        ((1, 2), leaders(0, [1, 2]), True),
        ({"b": 1, "a": 2}, leaders(0, {"a": 2, "b": 1}), True),
        (1, leaders(0, True), False),
        (1, leaders(0, 2), False),
        (1, leaders(1, "boom"), False),
        (1, leaders(2, "timeout"), False),
    ],
)
def test_strict_eq__validator__agrees_to_the_same_value(
    std: Any, host: Any, own: Any, result: Any, agrees: bool
) -> None:
    host.answers.append(b"\0\0")
    std.gl.eq_principle.strict_eq(lambda: own)
    assert stages(host)[1](result) is agrees


def test_strict_eq__same_user_error__agrees(std: Any, host: Any) -> None:
    error = std.gl.vm.UserError("boom")

    def fail() -> None:
        raise error

    host.answers.append(b"\0\0")
    std.gl.eq_principle.strict_eq(fail)
    validator = stages(host)[1]
    assert (validator(leaders(1, "boom")), validator(leaders(1, "x")), validator(leaders(0, 1))) == (True, False, False)


def test_prompt_comparative__validator__asks_the_model(std: Any, host: Any) -> None:
    host.answers.append(b"\0\0")
    std.gl.eq_principle.prompt_comparative(lambda: {"n": 1}, "numbers are close")
    answer(host, {"ok": True})
    assert stages(host)[1](leaders(0, "two")) is True
    assert host.requests[-1] == {
        "ExecPromptTemplate": {
            "template": "EqComparative",
            "leader_answer": "two",
            "validator_answer": '{"n":1}',
            "principle": "numbers are close",
        }
    }


def test_prompt_comparative__leader_failed__disagrees(std: Any, host: Any) -> None:
    host.answers.append(b"\0\0")
    std.gl.eq_principle.prompt_comparative(lambda: "a", principle="same")
    assert stages(host)[1](leaders(1, "boom")) is False


def test_prompt_non_comparative__both_stages__ask_the_model(std: Any, host: Any) -> None:
    host.answers.append(b"\0\0")
    std.gl.eq_principle.prompt_non_comparative(lambda: "text", task="sum up", criteria="short")
    leader, validator = stages(host)
    answer(host, {"ok": "a summary"})
    assert leader(None) == "a summary"
    answer(host, {"ok": False})
    assert validator(leaders(0, "a summary")) is False
    assert [request["ExecPromptTemplate"] for request in host.requests[1:]] == [
        {"template": "EqNonComparativeLeader", "task": "sum up", "input": "text", "criteria": "short"},
        {
            "template": "EqNonComparativeValidator",
            "task": "sum up",
            "output": "a summary",
            "input": "text",
            "criteria": "short",
        },
    ]


# --- prompts and web ---


def test_exec_prompt__text_json_images__are_sent(std: Any, host: Any) -> None:
    nondet = std.gl.nondet
    answer(host, {"ok": "hi"})
    assert nondet.exec_prompt("say hi") == "hi"
    answer(host, {"ok": {"a": 1}})
    assert nondet.exec_prompt("json", response_format="json", images=[b"png", nondet.Image(b"raw")]) == {"a": 1}
    assert host.requests == [
        {"ExecPrompt": {"prompt": "say hi", "response_format": "text", "images": []}},
        {"ExecPrompt": {"prompt": "json", "response_format": "json", "images": [b"png", b"raw"]}},
    ]


def test_exec_prompt__unknown_format__raises_value_error(std: Any) -> None:
    with pytest.raises(ValueError, match="text or json"):
        std.gl.nondet.exec_prompt("x", response_format="xml")


@pytest.mark.parametrize("error", [{"causes": ["DOWN"]}, "down"])
def test_nondet_error__from_the_host__is_a_user_error(std: Any, host: Any, error: Any) -> None:
    answer(host, {"error": error})
    with pytest.raises(std.gl.vm.UserError, match=r"(?i)down"):
        std.gl.nondet.web.get("https://example.org")


@pytest.mark.parametrize("name", ["get", "post", "head", "delete", "options", "patch"])
def test_web__method__makes_its_request(std: Any, host: Any, name: str) -> None:
    answer(host, {"ok": {"response": {"status": 404, "headers": {"a": b"b"}, "body": b"no"}}})
    response = getattr(std.gl.nondet.web, name)("https://example.org", body="é", headers={"x": "1", "y": b"2"})
    assert (response.status, response.status_code, response.headers, response.body) == (404, 404, {"a": b"b"}, b"no")
    assert host.requests == [
        {
            "WebRequest": {
                "url": "https://example.org",
                "method": name.upper(),
                "headers": {"x": b"1", "y": b"2"},
                "body": "é".encode(),
            }
        }
    ]


def test_web_request__signed_and_lazy__is_sent(std: Any, host: Any) -> None:
    answer(host, {"ok": {"response": {"status": 200, "headers": {}, "body": None}}})
    lazy = std.gl.nondet.web.request.lazy("https://example.org", method="PATCH", sign=True)
    assert lazy.get().body is None
    assert (host.requests[0]["WebRequest"]["sign"], host.requests[0]["WebRequest"]["body"]) == (True, None)


def test_render__each_mode__gives_its_kind(std: Any, host: Any) -> None:
    render = std.gl.nondet.web.render
    answer(host, {"ok": {"text": "page"}})
    assert render("https://example.org") == "page"
    answer(host, {"ok": {"image": b"png"}})
    assert render("https://example.org", mode="screenshot", wait_after_loaded="2s").raw == b"png"
    assert host.requests[1]["WebRender"] == {
        "url": "https://example.org",
        "mode": "screenshot",
        "wait_after_loaded": "2s",
    }
    with pytest.raises(ValueError, match="mode is"):
        render("https://example.org", mode="pdf")
