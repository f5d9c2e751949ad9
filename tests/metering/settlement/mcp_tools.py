"""Run on `requirements/mcp.lock` by ``test_mcp_tools``: paid tools, called by the SDK's own client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from mcp import Client, MCPError
from mcp.server.mcpserver import MCPServer
from mcp_types import CallToolRequestParams, CallToolResult

from api_billing.metering.ledger.operations import ListRecords
from api_billing.metering.ledger.session_operations import ReadSession
from api_billing.metering.request.http import MeteredRequest
from api_billing.metering.request.problems import Answer
from api_billing.metering.settlement.chain import chain_account
from api_billing.metering.web.mcp import CREDENTIAL, RECEIPT, PaidTools
from api_billing.payments import mpp

from .paying import PEPPER
from .signing import WHO, open_session, salt_of, sign
from .test_metered_on_chain import Desk
from .world import API, World, address

ESTIMATE_WEI = 50


class Shop:
    """A server with a tool that costs something, one that fails, and one that is free."""

    def __init__(self, world: World, **given: Any) -> None:
        open_session(world)
        self.world, self.ran = world, 0
        self.meter = Desk(world, **{"payments": "mpp", "key_pepper": PEPPER, **given}).meter
        terms = self.meter.metering(API, estimate_wei=ESTIMATE_WEI)
        self.paid = PaidTools({"forecast": terms, "broken": terms})
        self.server = MCPServer("shop", extensions=[self.paid])
        self.server.tool()(self.forecast)
        self.server.tool()(self.broken)
        self.server.tool()(self.free)

    def forecast(self, city: str) -> str:
        self.ran += 1
        return f"sunny in {city}"

    def broken(self) -> str:
        raise ValueError("no weather")

    def free(self) -> str:
        return "as ever"

    def call(self, name: str = "forecast", credential: Any = None, **arguments: Any) -> Any:
        """The result, or the error."""
        meta = {} if credential is None else {CREDENTIAL: credential}
        given = arguments or ({"city": "paris"} if name == "forecast" else {})
        return self.run(lambda client: client.call_tool(name, given, meta=meta))

    def run(self, step: Callable[[Client], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            async with Client(self.server) as client:
                try:
                    return await step(client)
                except MCPError as error:
                    return error

        return asyncio.run(main())

    def credential(self, cumulative_wei: int, action: mpp.Action = "voucher") -> dict[str, Any]:
        (challenge,) = self.call().data["challenges"]
        channel = self.world.chain.channel(API, WHO, salt_of(0))
        payload = mpp.voucher_payload(channel.id, sign(self.world, cumulative_wei), action)
        return {"challenge": challenge, "payload": payload, "source": mpp.source_of(channel.chain_id, WHO)}

    def charged_wei(self) -> int:
        session = self.world.call(ReadSession(chain_account(API, WHO)))
        return sum(each.charged_wei + each.reserved_wei for each in session.channels)


@pytest.fixture
def shop(world: World) -> Shop:
    return Shop(world)


def test_call__without_payment__is_told_what_it_costs_and_runs_nothing(shop: Shop) -> None:
    error = shop.call()
    assert (error.code, error.data["httpStatus"], shop.ran) == (-32042, 402, 0)
    (challenge,) = error.data["challenges"]
    assert (challenge["method"], challenge["request"]["amount"]) == ("genlayer", "50")
    assert shop.world.call(ListRecords()) == ()


def test_call__that_is_paid__is_served_and_has_the_receipt(shop: Shop) -> None:
    result = shop.call(credential=shop.credential(ESTIMATE_WEI))
    assert result.content[0].text == "sunny in paris"
    receipt = result.meta[RECEIPT]
    assert (receipt["status"], receipt["spent"], shop.charged_wei()) == ("success", "50", 50)


def test_call__paid_again_by_the_same_voucher__is_refused_with_a_fresh_challenge(shop: Shop) -> None:
    credential = shop.credential(ESTIMATE_WEI)
    shop.call(credential=credential)
    error = shop.call(credential=credential)
    assert (error.code, len(error.data["challenges"]), shop.ran) == (-32043, 1, 1)
    assert error.data["problem"]["requiredCumulative"] == "100"


@pytest.mark.parametrize(
    "credential",
    [
        "",
        "Payment e30",
        1,
        [],
        {},
        {"challenge": {}, "payload": {}},
        {"challenge": {"request": {"a": 1}, "header": 1}},
        {"challenge": {"request": {"a": "\ud800"}}},
        {"payload": float("nan")},
    ],
    ids=ascii,
)
def test_call__by_what_is_no_credential__is_refused(shop: Shop, credential: Any) -> None:
    error = shop.call(credential=credential)
    assert (error.code, error.data["httpStatus"], shop.ran) == (-32043, 402, 0)


def test_call__by_a_credential_of_another_price__is_refused(shop: Shop) -> None:
    credential = shop.credential(ESTIMATE_WEI)
    request = {**credential["challenge"]["request"], "amount": "1"}
    error = shop.call(credential={**credential, "challenge": {**credential["challenge"], "request": request}})
    assert (error.code, error.data["problem"]["code"]) == (-32043, "invalid_challenge")


def test_call__that_fails__costs_nothing_and_has_no_receipt(shop: Shop) -> None:
    result = shop.call("broken", shop.credential(ESTIMATE_WEI))
    assert result.is_error
    assert RECEIPT not in (result.meta or {})
    assert shop.charged_wei() == 0


def test_call__over_http_with_an_api_key__is_paid_by_its_credit(shop: Shop) -> None:
    who = address(2)
    shop.world.chain.subscribe(API, who, hold_wei=1000)
    shop.meter.add_consumer(who)
    fields = {"authorization": f"Bearer {shop.meter.create_key(who).text}"}
    request = SimpleNamespace(headers=fields, client=None)
    params = CallToolRequestParams(name="forecast", arguments={})

    async def tool(_: Any) -> CallToolResult:
        return CallToolResult(content=[])

    context: Any = SimpleNamespace(request=request)
    result = asyncio.run(shop.paid.intercept_tool_call(params, context, tool))
    assert isinstance(result, CallToolResult)
    assert (result.meta, shop.meter.balance(who, API).charged_wei) == (None, ESTIMATE_WEI)


def test_call__over_http__is_from_the_client_of_that_and_has_its_arguments_as_the_body(world: World) -> None:
    shop, seen = Shop(world, trusted_proxies=("unix",)), list[Any]()

    def estimate(request: MeteredRequest) -> int:
        seen.append((request.address, request.json()))
        return ESTIMATE_WEI

    paid = PaidTools({"forecast": shop.meter.metering(API, estimate_wei=estimate, price=ESTIMATE_WEI)})
    who = address(2)
    shop.world.chain.subscribe(API, who, hold_wei=1000)
    shop.meter.add_consumer(who)
    fields = {"authorization": f"Bearer {shop.meter.create_key(who).text}", "x-forwarded-for": "6.6.6.6"}
    request = SimpleNamespace(headers=fields, client=SimpleNamespace(host="203.0.113.7"))

    async def tool(_: Any) -> CallToolResult:
        return CallToolResult(content=[])

    params = CallToolRequestParams(name="forecast", arguments={"city": "paris"})
    asyncio.run(paid.intercept_tool_call(params, cast(Any, SimpleNamespace(request=request)), tool))
    assert seen[-1] == ("203.0.113.7", {"city": "paris"})
    assert shop.meter.balance(who, API).charged_wei == ESTIMATE_WEI


def test_call__of_a_tool_without_terms__is_free(shop: Shop) -> None:
    assert shop.call("free").content[0].text == "as ever"


def test_call__that_closes_the_session__runs_nothing_and_has_the_receipt(shop: Shop) -> None:
    shop.call(credential=shop.credential(ESTIMATE_WEI))
    result = shop.call(credential=shop.credential(ESTIMATE_WEI + 1, "close"))
    assert (result.meta[RECEIPT]["final"], shop.ran) == (True, 1)


def test_call__where_no_payments_are_taken__is_an_error_without_challenges(world: World) -> None:
    error = Shop(world, payments="").call()
    assert (error.code, error.data["httpStatus"]) == (-32000, 401)


@pytest.mark.parametrize(("body", "told"), [(b"tea", "tea"), (b'{"error": "tea"}', {"error": "tea"}), (b"[]", [])])
def test_call__refused_with_an_own_answer__is_an_error_that_has_it(world: World, body: bytes, told: Any) -> None:
    meter = Desk(world).meter
    terms = meter.metering(API, estimate_wei=ESTIMATE_WEI, on_refusal=lambda *_: Answer(418, (), body))
    params = CallToolRequestParams(name="forecast", arguments={})
    context: Any = SimpleNamespace(request=None)

    async def tool(_: Any) -> CallToolResult:
        raise AssertionError("not to be run")

    with pytest.raises(MCPError) as error:
        asyncio.run(PaidTools({"forecast": terms}).intercept_tool_call(params, context, tool))
    assert error.value.error.data == {"httpStatus": 418, "problem": told}
