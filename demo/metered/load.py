"""The load: every consumer sends its requests one after the other over its own connection, all consumers at once.

They come at a steady pace, so that there is something to settle for some seconds; a machine that is too slow for it
takes longer.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import requests

from api_billing.errors import BillingError
from api_billing.payer import PayingSession
from api_billing.payer.asking import Protocol
from demo.metered.place import BOUNDS, Consumer
from demo.metered.plan import FIXED_WEI, Role
from demo.metered.processes import BrokeOffError

REQUESTS_PER_SECOND: Final = 400
_LONG_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.2


@dataclass(slots=True)
class Seen:
    """What one consumer saw: answers by status and code (empty when served), and what they cost by their fields."""

    answers: Counter[tuple[int, str]] = field(default_factory=Counter)
    cost_wei: int = 0
    charged: int = 0
    """Answers that cost something."""

    replayed: int = 0
    seconds: list[float] = field(default_factory=list)

    @property
    def sent(self) -> int:
        return sum(self.answers.values())


@dataclass(frozen=True, slots=True)
class Load:
    """What all consumers saw, by address, from when to when (unix seconds)."""

    seen: Mapping[str, Seen]
    began_at: float
    ended_at: float

    @property
    def answers(self) -> Counter[tuple[int, str]]:
        """All answers by status and code."""
        return sum((each.answers for each in self.seen.values()), Counter())

    @property
    def latencies(self) -> list[float]:
        """Seconds from each request to the end of its answer, the shortest first."""
        return sorted(seconds for each in self.seen.values() for seconds in each.seconds)


def send_all(
    url: str,
    consumers: Sequence[Consumer],
    keys: Mapping[str, str],
    *,
    step: Callable[[], None],
    look: Callable[[], None],
) -> Load:
    """Send every consumer's requests and return what came back. ``look`` is called now and then meanwhile.

    Raises: BrokeOffError, when a request gets no answer; what ``look`` raises.
    """
    stop = threading.Event()
    began_at, lasts_seconds = time.time(), sum(len(each.plan.asks) for each in consumers) / REQUESTS_PER_SECOND
    begins = time.monotonic()
    with ThreadPoolExecutor(len(consumers)) as pool:

        def start(number: int, consumer: Consumer) -> Future[Seen]:
            share = len(consumer.plan.asks)
            ahead = number / len(consumers)  # or all would begin in the same moment
            at = [begins + lasts_seconds * (place + ahead) / share for place in range(share)]
            return pool.submit(_send, url, consumer, keys.get(consumer.address, ""), at, step, stop)

        try:
            waiting = {consumer.address: start(number, consumer) for number, consumer in enumerate(consumers)}
            for _ in _rounds(list(waiting.values())):
                look()
        finally:
            stop.set()
    return Load({address: each.result() for address, each in waiting.items()}, began_at, time.time())


def _rounds(waiting: list[Future[Seen]]) -> Iterator[None]:
    """Goes on until all are done; raises what the first of them raised."""
    while True:
        done, running = wait(waiting, _LOOK_SECONDS, FIRST_EXCEPTION)
        for each in done:
            each.result()
        if not running:
            return
        yield


def _send(
    url: str, consumer: Consumer, key: str, at: Sequence[float], step: Callable[[], None], stop: threading.Event
) -> Seen:
    seen = Seen()
    with _session_of(consumer) as session:
        session.trust_env = False  # no proxy, no .netrc
        if key:
            session.headers["Authorization"] = f"Bearer {key}"
        for ask, moment in zip(consumer.plan.asks, at, strict=True):
            if stop.wait(max(0.0, moment - time.monotonic())):
                break
            fields = {"Idempotency-Key": f'"{ask.idempotency_key}"'} if ask.idempotency_key else {}
            if consumer.signing is not None:
                fields["Payment-Voucher"] = consumer.signing.sign(FIXED_WEI)
            began = time.perf_counter()
            try:
                answer = session.get(url + ask.path, headers=fields, timeout=_LONG_SECONDS)
            except (requests.RequestException, BillingError) as error:
                raise BrokeOffError(f"a request for {ask.path} got no answer: {error}") from error
            seen.seconds.append(time.perf_counter() - began)
            _count(seen, answer)
            if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                session.close()  # uvicorn closes such a connection without saying so
            step()
    return seen


def _session_of(consumer: Consumer) -> requests.Session:
    """What a consumer sends by: one that pays at the door does so by its protocol."""
    if consumer.wallet is None:
        return requests.Session()
    protocol: Protocol = "x402" if consumer.plan.role is Role.X402 else "mpp"
    return PayingSession(
        consumer.wallet, max_wei_per_call=BOUNDS.max_wei_per_call, max_wei_a_day=BOUNDS.max_wei_a_day,
        protocols=[protocol],
    )  # fmt: skip


def _count(seen: Seen, answer: requests.Response) -> None:
    is_problem = answer.headers.get("Content-Type", "").startswith("application/problem+json")
    seen.answers[answer.status_code, str(answer.json()["code"]) if is_problem else ""] += 1
    if "Idempotency-Replayed" in answer.headers:
        seen.replayed += 1
        return
    cost_wei = int(answer.headers.get("X-Cost-Wei", "0"))
    seen.cost_wei += cost_wei
    seen.charged += cost_wei > 0
