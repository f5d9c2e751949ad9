"""Requests to a node that is busy, gone, or talks nonsense: what is tried again, and what an error means."""

import socket

import pytest
from eth_utils.crypto import keccak

from api_billing.errors import OutcomeUnknown, RateLimited, RpcFailed, Unreachable
from api_billing.transport import BUSY_PAUSES_SECONDS, RAW_SEND, RETRY_PAUSES_SECONDS, ReadPacer, RpcProvider

from .scripted_node import HANG_UP, error, scripted_node

RAW = "0x" + "ab" * 100
TX = "0x" + keccak(hexstr=RAW).hex()
OK = {"result": "0x1"}
BUSY = error(-32005, "too many requests")


class RecordedSleep:
    """Takes no time and remembers how long it should have."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.pauses.append(seconds)


@pytest.fixture
def sleep() -> RecordedSleep:
    return RecordedSleep()


def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/api"


@pytest.mark.parametrize("failure", [HANG_UP, (503, "<html>busy</html>"), (200, "<html>"), (200, "[]")])
def test_read__node_fails_once__is_tried_again(failure: object, sleep: RecordedSleep) -> None:
    with scripted_node(failure, OK) as node:
        assert RpcProvider(node.url, sleep=sleep).result("eth_chainId") == "0x1"
    assert sleep.pauses == [RETRY_PAUSES_SECONDS[0]]


def test_read__node_fails_for_ever__is_unreachable_after_growing_pauses(sleep: RecordedSleep) -> None:
    with scripted_node(HANG_UP) as node, pytest.raises(Unreachable):
        RpcProvider(node.url, sleep=sleep).result("eth_chainId")
    assert sleep.pauses == list(RETRY_PAUSES_SECONDS)


def test_read__rate_limited__waits_longer_than_the_nodes_window(sleep: RecordedSleep) -> None:
    with scripted_node(BUSY) as node, pytest.raises(RateLimited, match="too many requests"):
        RpcProvider(node.url, sleep=sleep).result("gen_call", {})
    assert sleep.pauses == list(BUSY_PAUSES_SECONDS)
    assert sum(sleep.pauses) > 10


def test_read__rate_limited_once__is_answered(sleep: RecordedSleep) -> None:
    with scripted_node(BUSY, OK) as node:
        assert RpcProvider(node.url, sleep=sleep).result("gen_call", {}) == "0x1"


def test_read__rpc_error__is_final_and_keeps_code_and_data(sleep: RecordedSleep) -> None:
    with scripted_node(error(-32000, "execution failed", {"receipt": 1})) as node:
        with pytest.raises(RpcFailed, match="execution failed") as failed:
            RpcProvider(node.url, sleep=sleep).result("gen_call", {})
        assert node.methods == ["gen_call"]
    assert (failed.value.code, failed.value.data, sleep.pauses) == (-32000, {"receipt": 1}, [])


def test_read__null_result_left_out__is_none() -> None:
    with scripted_node({}) as node:
        assert RpcProvider(node.url).result("eth_getTransactionReceipt", "0x") is None


def test_read__nobody_listens__says_how_to_start_a_localnet(sleep: RecordedSleep) -> None:
    with pytest.raises(Unreachable) as refused:
        RpcProvider(closed_port(), sleep=sleep).result("eth_chainId")
    assert "localnet up" in refused.value.hint


@pytest.mark.parametrize("failure", [HANG_UP, (502, "<html>"), (200, "nonsense"), (200, "[]")])
def test_write__answer_lost__is_sent_once_and_its_outcome_unknown(failure: object, sleep: RecordedSleep) -> None:
    with scripted_node(failure) as node:
        with pytest.raises(OutcomeUnknown) as lost:
            RpcProvider(node.url, sleep=sleep).result(RAW_SEND, RAW)
        assert node.methods == [RAW_SEND]
    assert (lost.value.tx, sleep.pauses) == (TX, [])
    assert TX in lost.value.hint


def test_write__nobody_listens__was_never_sent(sleep: RecordedSleep) -> None:
    provider = RpcProvider(closed_port(), sleep=sleep)
    with pytest.raises(Unreachable):
        provider.result(RAW_SEND, RAW)
    assert (provider.sent_hash, sleep.pauses) == (None, [])


@pytest.mark.parametrize("answer", [error(-32000, "bad nonce"), BUSY])
def test_write__node_refuses__was_not_taken_and_is_not_repeated(answer: object, sleep: RecordedSleep) -> None:
    with scripted_node(answer) as node:
        provider = RpcProvider(node.url, sleep=sleep)
        with pytest.raises((RpcFailed, RateLimited)):
            provider.result(RAW_SEND, RAW)
        assert node.methods == [RAW_SEND]
    assert provider.sent_hash is None


def test_write__taken__its_hash_is_kept_until_forgotten() -> None:
    with scripted_node({"result": TX}) as node:
        provider = RpcProvider(node.url)
        provider.result(RAW_SEND, RAW)
        assert provider.sent_hash == TX
        provider.forget_sent()
        assert provider.sent_hash is None


@pytest.mark.parametrize("method", ["sim_fundAccount", "eth_sendTransaction"])
def test_write__of_another_kind__is_not_repeated_either(method: str, sleep: RecordedSleep) -> None:
    with scripted_node(HANG_UP) as node:
        with pytest.raises(OutcomeUnknown):
            RpcProvider(node.url, sleep=sleep).result(method, {})
        assert node.methods == [method]


def test_write__placeholder__is_left_to_the_node() -> None:
    with scripted_node({"result": TX}) as node:
        provider = RpcProvider(node.url)
        provider.leave_to_node(b"\x01" * 32, {"from": "0x"})
        assert provider.result(RAW_SEND, "0x" + "01" * 32) == TX
        assert (node.methods, provider.sent_hash) == (["eth_sendTransaction"], TX)


def test_pacer__more_reads_than_allowed__wait_for_the_window(sleep: RecordedSleep) -> None:
    pacer = ReadPacer(2, sleep, clock=lambda: 100.0)
    for _ in range(5):
        pacer.wait()
    assert sleep.pauses == [10.0, 10.0, 20.0]


def test_pacer__reads_far_apart__do_not_wait(sleep: RecordedSleep) -> None:
    moments = iter([0.0, 1.0, 10.0, 11.0])
    pacer = ReadPacer(2, sleep, clock=lambda: next(moments))
    for _ in range(4):
        pacer.wait()
    assert sleep.pauses == []


def test_pacer__paces_reads_of_contracts_only(sleep: RecordedSleep) -> None:
    with scripted_node(OK) as node:
        provider = RpcProvider(node.url, pacer=ReadPacer(1, sleep, clock=lambda: 0.0), sleep=sleep)
        for method in ("eth_chainId", "eth_chainId", "gen_call", "gen_call"):
            provider.result(method)
    assert sleep.pauses == [10.0]
