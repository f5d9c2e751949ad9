"""What the workers of ``bench/soak.py`` run. Its clock can be put forward or back, for all of the process."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

from fastapi import FastAPI

from api_billing.metering import Meter, clock, current_exchange
from api_billing.metering.identity.extractors import from_header
from api_billing.metering.limits.limits import Limit
from api_billing.metering.web.fastapi import metered

API = "soak"
ESTIMATE_WEI = 1000
RESERVATION_SECONDS = 5
LIMITS = (  # that nobody reaches, wherever the clock is put
    Limit("sliding", 5_000, seconds=10, on="api"),
    Limit("bucket", 10**6, seconds=1, per="all", on="api"),
)
_LOOK_SECONDS = 0.2


class WrongClock:
    """The system's time, ahead by as many seconds as a file says."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._looked = self._ahead_ns = 0

    def time_ns(self) -> int:
        """As the module ``time`` has it."""
        if time.monotonic() > self._looked + _LOOK_SECONDS:
            self._looked = time.monotonic()
            self._ahead_ns = int(self._file.read_text()) * 10**9
        return time.time_ns() + self._ahead_ns


def app() -> FastAPI:
    """The application of one worker, as its environment says."""
    clock.time = SimpleNamespace(time_ns=WrongClock(Path(os.environ["SOAK_CLOCK"])).time_ns)
    meter = Meter.open(
        os.environ["SOAK_URL"],
        identify=from_header("X-Consumer"),
        reservation_seconds=RESERVATION_SECONDS,
        sweep_seconds=1,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        meter.keeper.start()
        yield
        meter.close()

    served = FastAPI(lifespan=lifespan)

    def priced(cost_wei: int) -> dict[str, int]:
        exchange = current_exchange()
        assert exchange is not None
        exchange.set_cost_wei(cost_wei)
        return {"cost_wei": cost_wei}

    @served.get("/coroutine")
    @metered(meter, api=API, estimate_wei=ESTIMATE_WEI, limits=LIMITS)
    async def in_loop(cost_wei: int) -> dict[str, int]:
        await asyncio.sleep(random.expovariate(500))
        return priced(cost_wei)

    @served.get("/thread")
    @metered(meter, api=API, estimate_wei=ESTIMATE_WEI, limits=LIMITS)
    def in_thread(cost_wei: int) -> dict[str, int]:
        time.sleep(random.expovariate(500))
        return priced(cost_wei)

    @served.get("/broken")
    @metered(meter, api=API, estimate_wei=ESTIMATE_WEI, limits=LIMITS)
    async def broken(cost_wei: int) -> None:
        raise RuntimeError("what fails costs nothing")

    @served.get("/unsettled")
    async def unsettled() -> int:
        await asyncio.to_thread(meter.balance, "somebody")  # the store answers
        return meter.keeper.unsettled

    return served
