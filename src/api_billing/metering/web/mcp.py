"""Tools of an MCP server, metered: ``MCPServer("weather", extensions=[PaidTools({"forecast": metering})])``.

For servers that stand on the Python MCP SDK (`mcp`, from version 2). A call of a metered tool without payment gets
error -32042 and the challenges of MPP; the client sends a credential in ``_meta``, and the result has the receipt. Over
HTTP an API key counts as ever. What a tool reports as an error costs nothing, nor what asks for more input.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolRequestParams, CallToolResult, TextContent

from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import MeteredRequest, MeteredResponse, TextHeaders
from api_billing.metering.request.metering import Metering
from api_billing.metering.request.problems import Answer
from api_billing.payments.encoding import canonical, compact, from_base64url, json_object, to_base64url
from api_billing.payments.mpp import Challenge, challenges_in, read_receipt

CREDENTIAL: Final = "org.paymentauth/credential"
RECEIPT: Final = "org.paymentauth/receipt"
PAYMENT_REQUIRED: Final = -32042
PAYMENT_FAILED: Final = -32043
REFUSED: Final = -32000  # for reasons that no payment helps against
# Of an HTTP request around it: its payments are none of a tool's, nor is its idempotency key.
_NOT_ASKED: Final = frozenset({"payment-authorization", "payment-signature", "payment-voucher", "idempotency-key"})


class PaidTools(Extension):  # type: ignore[misc]
    """Meters the tools that it has terms for, by their name; all others cost nothing."""

    identifier = "org.paymentauth/payment"

    def __init__(self, tools: Mapping[str, Metering]) -> None:
        self._tools = dict(tools)

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        metering = self._tools.get(params.name)
        if metering is None:
            return await call_next(ctx)
        credential = (params.meta or {}).get(CREDENTIAL)
        exchange = Exchange(metering, _request(params, credential, ctx.request, metering.meter.now_ms()))
        if (answer := await exchange.abegin()) is not None:
            return _answered(answer, has_paid=credential is not None)
        try:
            result = await call_next(ctx)
        except BaseException as error:
            exchange.abort(error)
            raise
        if not isinstance(result, CallToolResult) or result.result_type != "complete":
            exchange.abort()
            return result
        body = result.model_dump_json(by_alias=True, exclude_none=True).encode()
        status = 500 if result.is_error else 200
        fields = await exchange.afinish(MeteredResponse(status, TextHeaders([]), len(body), body))
        return _with_receipt(result, fields)


def _request(params: Any, credential: Any, outside: Any, at_ms: int) -> MeteredRequest:
    """A call as the meter sees it, with its arguments as the body; ``outside`` is the HTTP request that brought it, if
    one did.
    """
    peer = None if outside is None else outside.client
    given = [] if outside is None else outside.headers.items()
    fields = [(field, value) for field, value in given if field.lower() not in _NOT_ASKED]
    if credential is not None:
        challenge = credential.get("challenge") if isinstance(credential, dict) else None
        own = isinstance(challenge, dict) and challenge.get("header")
        field = "payment-authorization" if own else "authorization"
        fields = [each for each in fields if each[0].lower() != field] + [(field, _value(credential, challenge))]
    return MeteredRequest(
        "POST",
        f"/tools/{params.name}",
        TextHeaders(fields),
        client=peer.host if peer is not None else "",
        at_ms=at_ms,
        body=compact(params.arguments or {}),
    )


def _value(credential: Any, challenge: Any) -> str:
    """A credential as HTTP has it, where two of its parts are encoded; of what is none, what is none there either."""
    try:
        if isinstance(challenge, dict):
            coded = {name: challenge[name] for name in ("request", "opaque") if isinstance(challenge.get(name), dict)}
            challenge = {**challenge, **{name: to_base64url(canonical(value)) for name, value in coded.items()}}
            credential = {**credential, "challenge": challenge}
        return "Payment " + to_base64url(compact(credential))
    except (ValueError, RecursionError):
        return "Payment"


def _answered(answer: Answer, *, has_paid: bool) -> CallToolResult:
    """What is answered instead of serving. Raises: MCPError for a refusal."""
    if answer.status < 300:
        # An error for the tool, as a result would have to be of its form.
        text = TextContent(type="text", text="The session was managed; the tool was not run.")
        return _with_receipt(CallToolResult(content=[text], is_error=True), answer.headers)
    problem = _said(answer.body)
    title = problem.get("title") if isinstance(problem, dict) else None
    title = title if isinstance(title, str) else "Refused"  # by an answer of the application's own
    data = {"httpStatus": answer.status, "problem": problem}
    asked = [value for name, value in answer.headers if name == "www-authenticate"] if answer.status == 402 else []
    if challenges := challenges_in(asked):
        code = PAYMENT_FAILED if has_paid else PAYMENT_REQUIRED
        raise MCPError(code, title, {**data, "challenges": [_object(each) for each in challenges]})
    raise MCPError(REFUSED, title, data)


def _said(body: bytes) -> Any:
    """What a body says in JSON, or else its text."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")


def _object(challenge: Challenge) -> dict[str, Any]:
    opaque = {"opaque": json_object(from_base64url(challenge.opaque))} if challenge.opaque else {}
    return {**challenge.members(), "request": challenge.terms, **opaque}


def _with_receipt(result: CallToolResult, fields: Any) -> CallToolResult:
    receipt = dict(fields).get("payment-receipt")
    if receipt is None:
        return result
    return result.model_copy(update={"meta": {**(result.meta or {}), RECEIPT: read_receipt(receipt)}})
