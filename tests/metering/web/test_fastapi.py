"""FastAPI: a decorated route stays what it is. Annotations are text here, as in many applications."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Depends,
    FastAPI,
    File,
    Form,
    HTTPException,
    Request,
    Response,
    UploadFile,
)
from fastapi.exceptions import ResponseValidationError
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse
from fastapi.sse import EventSourceResponse
from fastapi.testclient import TestClient
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as StarletteHTTPException

from api_billing.metering.errors import InvalidSetting
from api_billing.metering.ledger.operations import ListRecords
from api_billing.metering.meter import Meter
from api_billing.metering.request.exchange import current_exchange
from api_billing.metering.web import fastapi

from .terms import BASE_WEI, CONSUMER, TERMS, open_meter, same

Decorator = Callable[[Any], Any]


class Item(BaseModel):
    """What is shown; an account has more."""

    name: str
    note: str | None = None
    size: int = Field(1, serialization_alias="Size")


class Account(Item):
    secret: str = "hidden"


@pytest.fixture
def metered(meter: Meter) -> Decorator:
    return fastapi.metered(meter, **TERMS)


def charged(meter: Meter) -> int:
    balance = meter.balance("ann")
    assert balance.reserved_wei == 0
    return balance.charged_wei


def client_of(app: FastAPI, **options: Any) -> TestClient:
    return TestClient(app, headers=CONSUMER, **options)


def one_route(endpoint: Callable[..., Any], **route: Any) -> TestClient:
    app = FastAPI()
    app.get("/it", **route)(endpoint)
    return client_of(app)


# --- what FastAPI makes of values


def service(metered: Decorator) -> FastAPI:
    """Routes of all kinds."""
    app = FastAPI()
    router = APIRouter(default_response_class=PlainTextResponse)

    @app.get("/model", response_model=Item)
    @metered
    async def model() -> Any:
        return Account(name="n", secret="s3cret")

    @app.get("/annotated")
    @metered
    def annotated() -> Item:
        return Account(name="n", secret="s3cret")

    @app.get("/list", response_model=list[Item], response_model_exclude={"note"})
    @metered
    async def listed() -> Any:
        return [{"name": "a", "secret": "s3cret"}, Account(name="b")]

    @app.get("/include", response_model=Account, response_model_include={"name"}, response_model_by_alias=False)
    @metered
    async def include() -> Any:
        return Account(name="n")

    @app.get("/unset", response_model=Account, response_model_exclude_unset=True)
    @metered
    async def unset() -> Any:
        return Account(name="n", note=None)

    @app.get("/none", response_model_exclude_none=True, response_model_exclude_defaults=True)
    @metered
    async def none() -> Account:
        return Account(name="n")

    @app.get("/created", status_code=201)
    @metered
    async def created() -> dict[str, int]:
        return {"a": 1}

    @app.get("/empty", status_code=204)
    @metered
    async def empty() -> None:
        return None

    @app.get("/html", response_class=HTMLResponse)
    @metered
    async def html() -> str:
        return "<p>"

    @app.get("/plain")
    @metered
    async def plain() -> Any:
        return {"at": {1}, "raw": Item(name="x")}

    @app.get("/headers")
    @metered
    async def headers(response: Response) -> Item:
        response.headers["X-Own"] = "kept"
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        response.status_code = 202
        return Item(name="n")

    @app.get("/request/{number}")
    @metered
    def request(number: int, request: Request, wanted: Annotated[str, Field(max_length=3)] = "x") -> dict[str, Any]:
        return {"number": number, "path": request.url.path, "wanted": wanted}

    @app.get("/away")
    @metered
    async def away() -> RedirectResponse:
        return RedirectResponse("/model", 303)

    @app.get("/lines")
    @metered
    async def lines() -> AsyncIterator[Item]:
        for name in "ab":
            yield Account(name=name)

    @app.get("/lines-sync")
    @metered
    def lines_sync() -> Iterator[Item]:
        for name in "ab":
            yield Account(name=name)

    @router.get("/text")
    @metered
    async def text() -> str:
        return "text"

    app.include_router(router, prefix="/in")
    return app


PATHS = [
    "/model", "/annotated", "/list", "/include", "/unset", "/none", "/created", "/empty", "/html", "/plain", "/headers",
    "/request/3", "/request/x", "/request/3?wanted=long", "/away", "/lines", "/lines-sync", "/in/text",
]  # fmt: skip
OURS = ("ratelimit", "x-ratelimit", "x-cost-wei")


@pytest.fixture(scope="module")
def services() -> Iterator[tuple[Meter, TestClient, TestClient]]:
    """The same service bare and metered, made once, as making its routes takes long."""
    with open_meter(credit_wei=10**9) as meter:
        yield meter, client_of(service(same)), client_of(service(fastapi.metered(meter, **TERMS)))


@pytest.mark.parametrize("path", PATHS)
def test_response__of_a_decorated_route__is_that_of_the_bare_one(services: Any, path: str) -> None:
    _, *clients = services
    bare, ours = (client.get(path, follow_redirects=False) for client in clients)
    assert (ours.status_code, ours.content) == (bare.status_code, bare.content)
    assert b"s3cret" not in ours.content
    fields = [(name, value) for name, value in ours.headers.multi_items() if not name.startswith(OURS)]
    assert sorted(fields) == sorted(bare.headers.multi_items())


@pytest.mark.parametrize("path", [path for path in PATHS if not path.startswith("/request/")])
def test_price__by_size__is_that_of_what_was_sent(services: Any, path: str) -> None:
    meter, _, client = services
    before = charged(meter)
    reply = client.get(path, follow_redirects=False)
    assert charged(meter) - before == BASE_WEI + len(reply.content)


def test_openapi__of_decorated_routes__is_unchanged(metered: Decorator) -> None:
    bare, ours = (service(how).openapi()["paths"] for how in (same, metered))
    # FastAPI describes the items of a generator only when it sees the generator itself.
    for path in ("/lines", "/lines-sync"):
        bare.pop(path)
        ours.pop(path)
    assert ours == bare


def test_openapi__with_refusals__describes_them(metered: Decorator) -> None:
    app = FastAPI(responses=fastapi.REFUSALS)
    app.get("/it")(metered(lambda: None))
    responses = app.openapi()["paths"]["/it"]["get"]["responses"]
    schema = responses["402"]["content"]["application/problem+json"]["schema"]
    sessions = ["voucher_required", "invalid_voucher", "too_many_channels", "session_closing"]
    codes = schema["properties"]["code"]["enum"]
    assert codes[:6] == ["insufficient_credit", "budget_exceeded", *sessions]
    assert {"payment_required", "invalid_receipt"} < set(codes)


def test_route__of_an_included_router__is_recorded_with_its_prefix(meter: Meter, metered: Decorator) -> None:
    client_of(service(metered)).get("/in/text")
    (record,) = meter.store.call(ListRecords())
    assert record.route == "/in/text"


def test_value__that_does_not_fit_its_model__is_an_error_and_costs_nothing(meter: Meter, metered: Decorator) -> None:
    with pytest.raises(ResponseValidationError):
        one_route(metered(lambda: {"nome": 1}), response_model=Item).get("/it")
    assert charged(meter) == 0


def test_value__that_does_not_fit_its_model__is_reported_as_for_the_bare_route(metered: Decorator) -> None:
    async def wrong() -> Any:
        return {"nome": 1}

    messages = []
    for how in (same, metered):
        with pytest.raises(ResponseValidationError) as caught:
            one_route(how(wrong), response_model=Item).get("/it")
        messages.append(str(caught.value))
    assert "in wrong" in messages[0]
    assert messages[1] == messages[0]


async def events() -> AsyncIterator[Item]:
    for name in "ab":
        yield Account(name=name)


def test_events__generated_with_the_dependency__are_metered(meter: Meter) -> None:
    app = FastAPI()
    fastapi.install(app)
    dependency = Depends(fastapi.MeterDependency(meter.metering(**TERMS)))
    app.get("/it", response_class=EventSourceResponse, dependencies=[dependency])(events)
    reply = client_of(app).get("/it")
    assert reply.text.count("data: ") == 2
    assert charged(meter) == BASE_WEI + len(reply.content)


def test_events__generated_under_the_decorator__say_what_to_use(meter: Meter, metered: Decorator) -> None:
    with pytest.raises(TypeError, match="use MeterDependency"):
        one_route(metered(events), response_class=EventSourceResponse).get("/it")
    assert charged(meter) == 0


# --- parameters, dependencies, background


def test_parameters__that_are_not_valid__cost_nothing(meter: Meter, metered: Decorator) -> None:
    assert client_of(service(metered)).get("/request/x").status_code == 422
    assert (charged(meter), meter.store.call(ListRecords())) == (0, ())


def test_file__sent__is_charged_by_its_length(meter: Meter, metered: Decorator, tmp_path: Path) -> None:
    file = tmp_path / "file.bin"
    file.write_bytes(b"x" * 200_000)
    meter.grant("ann", 10**6, grant_id="more")
    reply = one_route(metered(lambda: FileResponse(file))).get("/it")
    assert len(reply.content) == 200_000
    assert charged(meter) == BASE_WEI + 200_000


def test_sync_endpoint__decorated__runs_in_a_thread_and_knows_its_exchange(metered: Decorator) -> None:
    found: list[Any] = []

    @metered
    def endpoint() -> None:
        found.append((threading.current_thread() is threading.main_thread(), current_exchange()))

    one_route(endpoint).get("/it")
    ((in_main, exchange),) = found
    assert not in_main
    assert exchange.consumer == "ann"


@pytest.mark.parametrize("how", ["decorator", "dependency"])
@pytest.mark.parametrize("injected", [True, False])
def test_background_task__of_a_request__runs_after_the_settlement(meter: Meter, how: str, injected: bool) -> None:
    charged_then: list[int] = []

    def task() -> None:
        charged_then.append(charged(meter))

    def endpoint(tasks: BackgroundTasks) -> Any:
        if injected:
            tasks.add_task(task)
            return "done"
        own = BackgroundTasks()
        own.add_task(task)
        return PlainTextResponse("done", background=own)

    app = FastAPI()
    if how == "decorator":
        app.get("/it")(fastapi.metered(meter, **TERMS)(endpoint))
    else:
        fastapi.install(app)
        dependency = Depends(fastapi.MeterDependency(meter.metering(**TERMS)))
        app.get("/it", dependencies=[dependency])(endpoint)
    reply = client_of(app).get("/it")
    assert charged_then == [BASE_WEI + len(reply.content)]


def test_refused_request__with_background_tasks__runs_none(meter: Meter, metered: Decorator) -> None:
    ran: list[int] = []

    def adds(tasks: BackgroundTasks) -> None:
        tasks.add_task(ran.append, 1)

    client = one_route(metered(lambda: "done"), dependencies=[Depends(adds)])
    assert client.get("/it", headers={"X-Consumer": ""}).status_code == 401
    assert ran == []


def test_dependency_with_yield__around_a_metered_endpoint__sees_its_exception(metered: Decorator) -> None:
    seen: list[Any] = []

    async def session() -> AsyncIterator[str]:
        try:
            yield "session"
        except HTTPException as error:
            seen.append((error.status_code, error.detail))
            raise
        finally:
            seen.append("closed")

    @metered
    async def endpoint(session: str = Depends(session)) -> None:
        raise HTTPException(409, "taken")

    reply = one_route(endpoint).get("/it")
    assert (reply.status_code, reply.json()) == (409, {"detail": "taken"})
    assert seen == [(409, "taken"), "closed"]


def test_dependency__that_fails_after_the_endpoint__leaves_nothing_reserved(meter: Meter, metered: Decorator) -> None:
    async def session() -> AsyncIterator[None]:
        yield
        raise RuntimeError("commit failed")

    app = FastAPI()
    app.get("/it", dependencies=[Depends(session, scope="function")])(metered(lambda: "done"))
    # As on a server, which logs the error and drops it, and with it the response that was not sent.
    assert client_of(app, raise_server_exceptions=False).get("/it").status_code == 500
    assert charged(meter) == 0


def test_exception__raised_as_one_object_every_time__gets_no_fields_of_ours(meter: Meter, metered: Decorator) -> None:
    shared = HTTPException(404, "no", {"X-Own": "kept"})

    @metered
    async def endpoint() -> None:
        raise shared

    reply = one_route(endpoint).get("/it")
    assert reply.headers["x-own"] == "kept"
    assert int(reply.headers["x-cost-wei"]) == charged(meter)
    assert shared.headers == {"X-Own": "kept"}


def test_response__returned_as_one_object_every_time__is_charged_every_time(meter: Meter, metered: Decorator) -> None:
    shared = HTMLResponse("shared")
    client = one_route(metered(lambda: shared))
    replies = [client.get("/it") for _ in range(2)]
    assert [reply.text for reply in replies] == ["shared"] * 2
    assert charged(meter) == 2 * (BASE_WEI + len("shared"))
    assert (type(shared), "x-cost-wei" in shared.headers) == (HTMLResponse, False)


def test_response__seen_on_its_way__is_what_the_endpoint_returned(metered: Decorator) -> None:
    class Page(HTMLResponse):
        """A kind of the application."""

    def outer(endpoint: Callable[[], Any]) -> Callable[..., Any]:
        @functools.wraps(endpoint)
        async def wrapper(**arguments: Any) -> Any:
            response = await endpoint(**arguments)
            assert isinstance(response, Page)
            response.headers["X-Outer"] = str(len(response.body))
            return response

        return wrapper

    assert one_route(outer(metered(lambda: Page("four")))).get("/it").headers["x-outer"] == "4"


class Teapot(StarletteHTTPException):
    """An application's own kind, with a constructor of its own."""

    def __init__(self, brew: str) -> None:
        super().__init__(418, brew)
        self.brew = brew


def test_exception__of_a_kind_of_the_application__reaches_its_handler(meter: Meter, metered: Decorator) -> None:
    app = FastAPI()

    @app.exception_handler(Teapot)
    async def handle(request: Request, error: Teapot) -> Response:
        return PlainTextResponse(f"short and {error.brew}", 418, headers=error.headers)

    @app.get("/it")
    @metered
    async def endpoint() -> None:
        raise Teapot("stout")

    headers = {"Idempotency-Key": "k"}
    first, second = (client_of(app).get("/it", headers=headers) for _ in range(2))
    assert (first.status_code, first.text) == (second.status_code, second.text) == (418, "short and stout")
    assert int(first.headers["x-cost-wei"]) == charged(meter) == BASE_WEI + len(first.content)


def test_form__with_a_key__is_compared_by_its_fields(meter: Meter, metered: Decorator) -> None:
    app = FastAPI()

    @app.post("/it")
    @metered
    async def endpoint(name: Annotated[str, Form()], file: Annotated[UploadFile, File()]) -> dict[str, Any]:
        return {"name": name, "read": (await file.read()).decode()}

    def post(content: bytes) -> Any:
        files = {"file": ("f.txt", content)}
        return client_of(app).post("/it", data={"name": "n"}, files=files, headers={"Idempotency-Key": "k"})

    first, again, other = post(b"text"), post(b"text"), post(b"test")
    assert first.json() == again.json() == {"name": "n", "read": "text"}
    assert "idempotency-replayed" in again.headers
    assert other.status_code == 422


def test_body__read_for_the_key__is_there_for_the_endpoint(metered: Decorator) -> None:
    app = FastAPI()

    @app.post("/it")
    @metered
    async def endpoint(request: Request) -> Any:
        return await request.json()

    reply = client_of(app).post("/it", json={"a": 1}, headers={"Idempotency-Key": "k"})
    assert reply.json() == {"a": 1}


async def test_endpoint__cancelled__leaves_nothing_reserved(meter: Meter, metered: Decorator) -> None:
    entered = asyncio.Event()

    @metered
    async def endpoint() -> None:
        entered.set()
        await asyncio.Event().wait()

    app = FastAPI()
    app.get("/it")(endpoint)
    scope = {
        "type": "http", "method": "GET", "path": "/it", "query_string": b"", "headers": [(b"x-consumer", b"ann")],
    }  # fmt: skip

    async def unused(*_: Any) -> Any:
        raise AssertionError("nothing is received or sent")

    task = asyncio.create_task(app(scope, unused, unused))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert charged(meter) == 0


# --- the dependency


def test_dependency__with_parameters_that_are_not_valid__costs_nothing(meter: Meter) -> None:
    app = FastAPI()
    fastapi.install(app)

    @app.get("/it", dependencies=[Depends(fastapi.MeterDependency(meter.metering(**TERMS)))])
    def endpoint(number: int) -> int:
        return number

    assert client_of(app).get("/it?number=x").status_code == 422
    assert charged(meter) == 0
    assert client_of(app).get("/it?number=1").status_code == 200
    assert charged(meter) == BASE_WEI + 1


def test_dependency__without_install__says_what_is_missing(meter: Meter) -> None:
    app = FastAPI(dependencies=[Depends(fastapi.MeterDependency(meter.metering(**TERMS)))])
    app.get("/it")(lambda: 1)
    with pytest.raises(RuntimeError, match=r"install\(app\)"):
        client_of(app).get("/it")


def test_charge__of_a_request__knows_the_consumer_and_keeps_tags(meter: Meter) -> None:
    app = FastAPI()
    fastapi.install(app)
    dependency = fastapi.MeterDependency(meter.metering(**TERMS))

    @app.get("/tagged")
    def tagged(charge: fastapi.Charge = Depends(dependency)) -> str:  # noqa: B008
        charge.tag(model="small", tokens=3)
        return str(charge.consumer)

    assert client_of(app).get("/tagged").json() == "ann"
    (record,) = meter.store.call(ListRecords())
    assert record.outcome.tags == '{"model":"small","tokens":3}'


def test_status_handler__of_the_application__does_not_answer_refusals(meter: Meter) -> None:
    app = FastAPI(dependencies=[Depends(fastapi.MeterDependency(meter.metering(**TERMS)))])
    fastapi.install(app)
    app.get("/it")(lambda: 1)

    @app.exception_handler(401)
    async def handle(request: Request, error: Exception) -> Response:
        return PlainTextResponse("log in, please", 401)

    reply = TestClient(app).get("/it")
    assert reply.json()["code"] == "missing_identity"


def test_metered__with_an_estimate_that_is_no_amount__is_refused_at_once(meter: Meter) -> None:
    with pytest.raises(InvalidSetting):
        fastapi.metered(meter, api="demo", estimate_wei=-1)


def test_metered__of_an_application__points_to_the_right_adapter(metered: Decorator) -> None:
    with pytest.raises(TypeError, match="MeteredASGI"):
        metered(FastAPI())
