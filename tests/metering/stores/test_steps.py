"""Flows driven by threads and by coroutines behave the same."""

import asyncio
import contextlib
import contextvars
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from api_billing.metering.errors import CreditUnavailable
from api_billing.metering.ledger.consumer_operations import FindKey
from api_billing.metering.ledger.operations import Operation
from api_billing.metering.stores.steps import Blocking, Pause, Steps, arun, run

Driver = Callable[[Steps[Any], Callable[[Operation[Any]], Any]], Any]


def in_coroutine(steps: Steps[Any], call: Callable[[Operation[Any]], Any]) -> Any:
    async def acall(operation: Operation[Any]) -> Any:
        return call(operation)

    return asyncio.run(arun(steps, acall))


DRIVERS = pytest.mark.parametrize("drive", [run, in_coroutine], ids=["thread", "coroutine"])


async def soon(value: object) -> object:
    await asyncio.sleep(0)
    return value


def fail(error: Exception) -> Any:
    raise error


@DRIVERS
def test_flow__operation_blocking_and_awaitable__gets_each_answer(drive: Driver) -> None:
    def flow() -> Steps[list[Any]]:
        return [(yield FindKey("a")), (yield Blocking(lambda: "blocking")), (yield soon("awaited"))]

    assert drive(flow(), lambda operation: operation) == [FindKey("a"), "blocking", "awaited"]


@DRIVERS
def test_flow__pause__goes_on_without_an_answer(drive: Driver) -> None:
    def flow() -> Steps[Any]:
        return (yield Pause(0))

    assert drive(flow(), fail) is None


def test_flow__pause_in_a_coroutine__lets_others_go_on() -> None:
    others: list[str] = []

    def flow() -> Steps[None]:
        while not others:
            yield Pause(0)

    async def both() -> None:
        async def other() -> None:
            others.append("went on")

        await asyncio.gather(arun(flow(), fail), other())

    asyncio.run(both())
    assert others == ["went on"]


@DRIVERS
def test_flow__without_steps__ends_with_its_value(drive: Driver) -> None:
    def flow() -> Steps[int]:
        return 5
        yield

    assert drive(flow(), fail) == 5


@DRIVERS
@pytest.mark.parametrize("step", ["operation", "blocking"])
def test_flow__step_fails__flow_may_catch_it(drive: Driver, step: str) -> None:
    error = ValueError("no")

    def flow() -> Steps[Any]:
        try:
            yield FindKey("a") if step == "operation" else Blocking(lambda: fail(error))
        except ValueError as caught:
            return caught

    assert drive(flow(), lambda _: fail(error)) is error


@DRIVERS
def test_flow__step_fails_uncaught__error_goes_on(drive: Driver) -> None:
    def flow() -> Steps[None]:
        yield FindKey("a")

    with pytest.raises(ValueError, match="no"):
        drive(flow(), lambda _: fail(ValueError("no")))


@DRIVERS
def test_flow__step_after_a_caught_failure__gets_its_answer(drive: Driver) -> None:
    def flow() -> Steps[Any]:
        with contextlib.suppress(ValueError):
            yield Blocking(lambda: fail(ValueError("no")))
        return (yield FindKey("a"))

    assert drive(flow(), lambda _: "found") == "found"


def test_run__two_awaitables__share_one_loop() -> None:
    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def flow() -> Steps[tuple[Any, Any]]:
        return (yield loop()), (yield loop())

    first, second = run(flow(), fail)
    assert first is second


def test_arun__blocking_step__runs_in_another_thread() -> None:
    def flow() -> Steps[Any]:
        return (yield Blocking(threading.get_ident))

    assert in_coroutine(flow(), fail) != threading.get_ident()


def test_arun__cancelled__closes_the_flow() -> None:
    seen: list[str] = []

    def flow() -> Steps[None]:
        try:
            yield asyncio.get_running_loop().create_future()
        except GeneratorExit:
            seen.append("closed")
            raise

    async def cancelled() -> None:
        task = asyncio.ensure_future(arun(flow(), soon))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert seen == ["closed"]


def blocking(call: Callable[[], Any]) -> Steps[Any]:
    return (yield Blocking(call))


def test_arun__calls_that_block__leave_the_threads_of_the_application_free() -> None:
    is_over = threading.Event()

    async def flood() -> None:
        loop = asyncio.get_running_loop()
        tasks = [asyncio.ensure_future(arun(blocking(is_over.wait), soon)) for _ in range(100)]
        await asyncio.sleep(0)
        try:
            assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 60) == "free"
            assert await loop.getaddrinfo("127.0.0.1", 80)
            with pytest.raises(CreditUnavailable):
                await arun(blocking(is_over.wait), soon)
            for task in tasks[50:]:
                task.cancel()
        finally:
            is_over.set()
        assert await asyncio.gather(*tasks[:50]) == [True] * 50
        assert await arun(blocking(lambda: "again"), soon) == "again"

    asyncio.run(flood())


def test_arun__blocking_step__sees_the_context_of_its_coroutine() -> None:
    request = contextvars.ContextVar("request", default="none")

    async def in_context() -> str:
        request.set("mine")
        found: str = await arun(blocking(request.get), soon)
        return found

    assert asyncio.run(in_context()) == "mine"


def test_arun__blocking_step_in_a_forked_process__has_threads_of_its_own() -> None:
    assert in_coroutine(blocking(lambda: 1), fail) == 1
    child = os.fork()
    if not child:
        os._exit(0 if in_coroutine(blocking(lambda: 2), fail) == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0
