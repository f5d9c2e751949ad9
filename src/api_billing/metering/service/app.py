"""The HTTP meter's application: routes, access, and the bound on request bodies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Annotated, Any, Final

from api_billing.extras import needed_by

with needed_by(__name__):
    from fastapi import Depends, FastAPI, Path, Query, Request, Security
    from fastapi.middleware.cors import CORSMiddleware
    from fastapi.responses import Response
    from fastapi.security import HTTPBearer

from api_billing import __version__
from api_billing.metering.clock import DAY_MS, day_of
from api_billing.metering.ledger.consumer_operations import GetProfile
from api_billing.metering.ledger.operations import ListRecords, ReadBalance, State, SumUsage
from api_billing.metering.meter import Meter
from api_billing.metering.observing.metrics import exposition
from api_billing.metering.request.health import Looks, WithStore, readiness
from api_billing.metering.request.problems import Answer
from api_billing.metering.service import admin, bodies, ending, paying, reserving, switched_off, watching
from api_billing.metering.service.access import Access
from api_billing.metering.service.body_limit import PAYMENTS, RESERVATIONS, BodyLimit
from api_billing.metering.service.day_sums import DaySums
from api_billing.metering.service.limits import LimitRoutes
from api_billing.metering.service.problems import ServiceProblem, add_handlers, documented, known_query, response_of
from api_billing.metering.service.reconciling import Routes as ReconciliationRoutes
from api_billing.metering.service.status import Routes as StatusRoutes
from api_billing.metering.stores.steps import Steps, arun

_DESCRIPTION: Final = """Meter requests of a service in any language: reserve, serve, settle or release.

Amounts are decimal strings of the smallest unit of the meter's currency (`_wei`). Requests are authenticated with
`Authorization: Bearer` and the service token; usage can also be read with a consumer's own API key. Whatever ends a
reservation may be repeated. What administers is there with an admin token, and asks for it.
"""
_SMALL_BYTES: Final = 65_536
_MAX_DAYS: Final = 366
# What a request without a body stands for.
_AS_ESTIMATED: Final = bodies.SettlementBody.model_validate({})
_FOR_NO_REASON: Final = bodies.ReleaseBody.model_validate({})
_AS_RESERVED: Final = bodies.ExtensionBody.model_validate({})

ReservationPath = Annotated[str, Path(pattern=bodies.ID_PATTERN)]
ConsumerQuery = Annotated[str | None, Query(min_length=1, max_length=200, description="Whose; a service has to say")]
ApiQuery = Annotated[str, Query(max_length=64, pattern=r"^[!-~]*$", description="Of this API only")]


def create_app(meter: Meter, *, service_token: str, admin_token: str = "", close_meter: bool = False) -> FastAPI:
    """The HTTP meter as an ASGI application. With ``close_meter`` the meter is closed when the server ends.

    Raises: InvalidSetting when a token is shorter than 16 bytes, there is no pepper for API keys, or no tier for new
    consumers; StoreUnavailable.
    """
    meter.check_currency()
    meter.check_new_consumers()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Also when this process only ever settles: somebody has to release what others left behind.
        meter.keeper.start()
        yield
        if close_meter:
            meter.close()

    app = FastAPI(
        title="HTTP meter",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        # Their pages load scripts from elsewhere; the description itself is at /openapi.json.
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    # base64 is a third longer than what it stands for.
    access = Access(meter, service_token, admin_token)
    app.add_middleware(BodyLimit, access=access, max_bytes=_SMALL_BYTES + meter.settings.max_stored_bytes * 4 // 3)
    add_handlers(app)
    _Routes(meter, access).add_to(app)
    if access.has_admin:
        days = DaySums(meter)
        admin.Routes(meter, access, days).add_to(app)
        LimitRoutes(meter, access).add_to(app)
        StatusRoutes(meter, access, days).add_to(app)
        ReconciliationRoutes(meter, access).add_to(app)
        if meter.settings.admin_origins:
            app.add_middleware(
                CORSMiddleware,
                allow_origins=meter.settings.admin_origins,
                allow_methods=["GET", "POST", "PATCH", "PUT", "DELETE"],
                allow_headers=["authorization", "content-type"],
                max_age=600,
            )
    return app


class _Routes:
    def __init__(self, meter: Meter, access: Access) -> None:
        self._meter = meter
        self._access = access
        self._open = reserving.OpenReservations()
        self._looks = Looks(WithStore(meter))
        self._counted = bodies.counted(meter.currency)

    def add_to(self, app: FastAPI) -> None:
        token = HTTPBearer(auto_error=False, scheme_name="token", description="The service token")
        key = HTTPBearer(auto_error=False, scheme_name="token_or_key", description="It, or a consumer's own API key")
        service: dict[str, Any] = {
            "dependencies": [Security(token), Depends(self._access.require_service), Depends(known_query)],
            "tags": ["meter"],
        }
        reading: dict[str, Any] = {"dependencies": [Security(key), Depends(known_query)], "tags": ["usage"]}
        ended = documented(400, 401, 404, 409, 413, 503)
        app.add_api_route(
            RESERVATIONS,
            self.reserve,
            methods=["POST"],
            status_code=201,
            response_model=bodies.ReservationAnswer,
            responses={
                200: {
                    "model": bodies.ReplayAnswer | bodies.AnsweredAnswer,
                    "description": "Nothing to serve: send this response",
                },
                **documented(400, 401, 402, 403, 409, 413, 422, 429, 503),
            },
            **service,
        )
        app.add_api_route(
            f"{PAYMENTS}/verify",
            self.verify,
            methods=["POST"],
            responses=documented(400, 401, 413, 503),
            **service,
        )
        for name, function in (("settle", self.settle), ("release", self.release), ("extend", self.extend)):
            path = f"{RESERVATIONS}/{{reservation_id}}/{name}"
            app.add_api_route(path, function, methods=["POST"], responses=ended, **service)
        for name, reader in (("balance", self.balance), ("usage", self.usage), ("records", self.records)):
            statuses = (400, 401, 403, *([404] if name == "balance" else []), 503)
            app.add_api_route(f"/v1/{name}", reader, responses=documented(*statuses), **reading)
        app.add_api_route("/healthz", self.health, tags=["operation"])
        app.add_api_route("/healthz", self.health, methods=["HEAD"], include_in_schema=False)
        app.add_api_route("/readyz", self.ready, methods=["HEAD"], include_in_schema=False)
        ready = {200: {"model": bodies.ReadyAnswer}, **documented(503)}
        app.add_api_route("/readyz", self.ready, response_class=Response, responses=ready, tags=["operation"])
        app.add_api_route(
            "/metrics",
            self.metrics,
            response_class=Response,
            responses={200: {"content": {"text/plain": {}}}, **documented(401, 404)},
            dependencies=[Security(token), Depends(self._access.require_token)],
            tags=["operation"],
        )

    async def _run[T](self, flow: Steps[T]) -> T:
        return await arun(flow, self._meter.store.acall)

    async def reserve(self, request: Request, body: bodies.ReservationBody, response: Response) -> Any:
        """Reserve the estimated cost: may this request be served?

        201: serve it, then settle or release. 200: send the response in it, there is nothing to serve. Else the
        problem to answer the end consumer with, unless its code is about this very request: `invalid_…`,
        `reservation_ended`, `id_conflict`, `request_too_large`.
        """
        flow: Steps[watching.Reserved]
        if self._meter.is_on:
            flow = reserving.reserve(self._meter, body, self._access.identify, self._open)
        else:
            flow = switched_off.reserve(self._meter, body)
        answer = await self._run(watching.reserving(self._meter, request, body, flow))
        if isinstance(answer, Answer):
            return response_of(answer)
        if isinstance(answer, bodies.ReplayAnswer | bodies.AnsweredAnswer):
            return Response(answer.model_dump_json(), 200, media_type="application/json")
        response.headers.update(answer.fields)
        return answer

    async def verify(self, body: bodies.VerificationBody) -> bodies.VerificationAnswer:
        """What a reservation with this payment would be answered. Nothing is reserved, kept or closed."""
        return await self._run(paying.verify(self._meter, body, self._access.identify))

    async def settle(
        self,
        request: Request,
        reservation_id: ReservationPath,
        response: Response,
        body: bodies.SettlementBody = _AS_ESTIMATED,
    ) -> bodies.SettlementAnswer:
        """Charge what serving cost. Can be repeated."""
        if self._meter.is_on:
            flow = ending.settle(self._meter, self._open, reservation_id, body, self._access.identify)
        else:
            flow = switched_off.end(reservation_id, "settled")
        answer = await self._run(watching.ending(self._meter, request, flow, body.status))
        response.headers.update(answer.fields)
        return answer

    async def release(
        self, request: Request, reservation_id: ReservationPath, body: bodies.ReleaseBody = _FOR_NO_REASON
    ) -> bodies.SettlementAnswer:
        """Undo a reservation: nothing was served, nothing is charged. Can be repeated."""
        if self._meter.is_on:
            flow = ending.release(self._meter, self._open, reservation_id, body)
        else:
            flow = switched_off.end(reservation_id, "released")
        return await self._run(watching.ending(self._meter, request, flow, body.status))

    async def extend(
        self, reservation_id: ReservationPath, body: bodies.ExtensionBody = _AS_RESERVED
    ) -> bodies.ExtensionAnswer:
        """Keep a reservation that is still being served from expiring."""
        seconds = body.seconds or self._meter.settings.reservation_seconds
        if not self._meter.is_on:
            return bodies.ExtensionAnswer(id=reservation_id, expires_after_seconds=seconds)
        return await self._run(ending.extend(self._meter, reservation_id, seconds))

    async def balance(
        self, request: Request, consumer: ConsumerQuery = None, api: ApiQuery = ""
    ) -> bodies.ConsumerBalance:
        """A consumer's credit; for one API, when it is on the chain."""
        whose = await self._access.reader(request, consumer)
        if self._meter.settings.contract and not api:
            raise ServiceProblem("invalid_request", "query.api: credit on the chain is for one API")
        if not self._meter.settings.contract and await self._meter.store.acall(GetProfile(whose)) is None:
            raise ServiceProblem("not_found", f"no consumer is called {whose!r}")
        balance = await self._meter.store.acall(ReadBalance(self._meter.account_of(api, whose)))
        return bodies.ConsumerBalance(consumer=whose, **bodies.BalanceBody.of(balance).model_dump(), **self._counted)

    async def usage(
        self,
        request: Request,
        consumer: ConsumerQuery = None,
        api: ApiQuery = "",
        since: Annotated[date | None, Query(description="First day, UTC; by default 30 days ago")] = None,
        until: Annotated[date | None, Query(description="Last day, UTC; by default today")] = None,
    ) -> bodies.UsageAnswer:
        """What a consumer used, by API and day; at most 366 days."""
        whose = await self._access.reader(request, consumer)
        last = self._meter.now_ms() // DAY_MS if until is None else day_of(until)
        first = last - 30 if since is None else day_of(since)
        if not 0 <= last - first < _MAX_DAYS or first < 0:
            raise ServiceProblem("invalid_request", "query.since: 1 to 366 days since 1970, both included")
        days = await self._meter.store.acall(SumUsage(whose, api, first, last))
        return bodies.UsageAnswer(consumer=whose, usage=[bodies.UsageBody.of(day) for day in days], **self._counted)

    async def records(
        self,
        request: Request,
        consumer: ConsumerQuery = None,
        api: ApiQuery = "",
        state: Annotated[State | None, Query()] = None,
        since_ms: Annotated[int, Query(ge=0, le=2**52)] = 0,
        until_ms: Annotated[int, Query(ge=0, le=2**52)] = 2**52,
        after: Annotated[str | None, Query(pattern=bodies.ID_PATTERN, description="`next` of the page before")] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        newest_first: bool = False,
    ) -> bodies.RecordsAnswer:
        """A consumer's requests, served and refused, oldest first unless asked for otherwise."""
        whose = await self._access.reader(request, consumer)
        states: tuple[State, ...] = (state,) if state is not None else ()
        query = ListRecords(whose, api, since_ms, until_ms, states, after or "", limit, newest_first)
        records = await self._meter.store.acall(query)
        cursor = records[-1].record_id if len(records) == limit else None
        return bodies.RecordsAnswer(
            consumer=whose,
            records=[bodies.RecordBody.of(record) for record in records],
            next=cursor,
            **self._counted,
        )

    async def health(self) -> bodies.HealthAnswer:
        """Whether the process runs."""
        return bodies.HealthAnswer()

    async def ready(self, request: Request) -> Response:
        """Whether requests can be served here; with a token also what is wrong."""
        health = await self._run(self._looks.look())
        return response_of(readiness(health, is_told=self._access.has_token(request)))

    async def metrics(self) -> Response:
        """Figures for Prometheus, of all workers."""
        if not self._meter.settings.metrics:
            raise ServiceProblem("not_found", "Metrics are off; API_BILLING_METRICS=true counts.")
        content_type, text = exposition()
        return Response(text, headers={"content-type": content_type})
