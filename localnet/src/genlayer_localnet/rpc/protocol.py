"""JSON-RPC 2.0: envelopes, batches, parameters. Nothing here knows of HTTP or of the chain."""

from __future__ import annotations

import inspect
import json
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

from genlayer_localnet.rpc.errors import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    RpcError,
    invalid_params,
)

MAX_BATCH = 100
_logger = logging.getLogger(__name__)

Handler = Callable[..., Any]
Runner = Callable[[Callable[[], bytes]], Awaitable[bytes]]
"""Runs a function that needs the chain, and waits for its result."""
Looker = Callable[[Callable[[], bytes]], bytes | None]
"""Runs a function that only looks at the chain, if that can be at once; None otherwise."""
Needs = Literal["nothing", "look", "read", "turn"]
"""Of the chain: nothing that changes, a look at what is decided and saved, a turn to read, or one to do anything."""
Asker = Literal["genlayer", "ethereum", "unknown"]
"""Whose client asks. Methods that answer each in its form take it as the keyword ``asker``."""
_FIRST_TIME_ID: Final = 10**12
"""Ids of GenLayer's clients are milliseconds since 1970, or texts; all others count from 0 or 1."""


@dataclass(frozen=True, slots=True)
class Method:
    name: str
    handler: Handler
    signature: inspect.Signature
    needs: Needs
    least: int
    most: int
    """How many positional parameters it takes."""
    takes_asker: bool

    def bind(self, params: Any, asker: Asker) -> Callable[[], Any]:
        """The call with these parameters: a list, or an object by the names of the parameters. Raises: RpcError."""
        handler = partial(self.handler, asker=asker) if self.takes_asker else self.handler
        if isinstance(params, list) and self.least <= len(params) <= self.most:  # as nearly always
            return partial(handler, *params)
        try:
            if params is None:
                bound = self.signature.bind()
            elif isinstance(params, list):
                bound = self.signature.bind(*params)
            elif isinstance(params, dict):
                bound = self.signature.bind(**params)
            else:
                raise invalid_params("params are a list or an object")
        except TypeError as error:
            raise invalid_params(f"{self.name}: {error}; its parameters are {self.signature}") from None
        return partial(handler, *bound.args, **bound.kwargs)


@dataclass(frozen=True, slots=True)
class Reply:
    """``body`` None: nothing to answer (a notification)."""

    status: int
    body: bytes | None


def method[H: Handler](
    name: str, *aliases: str, needs_chain: bool = True, only_looks: bool = False, only_reads: bool = False
) -> Callable[[H], H]:
    """Mark a method of a namespace class as answering the JSON-RPC method ``name``.

    ``only_looks``: it is quick, runs no contract and changes nothing, so it need not wait for its turn. ``only_reads``:
    it leaves nothing changed, so it need not wait for a transaction that waits for the network.
    """
    needs: Needs = "turn" if needs_chain else "nothing"
    needs = "look" if only_looks else "read" if only_reads else needs

    def mark(handler: H) -> H:
        handler.__rpc__ = ((name, *aliases), needs)  # type: ignore[attr-defined]  # read back by ``methods_of``
        return handler

    return mark


def methods_of(*namespaces: object) -> dict[str, Method]:
    found: dict[str, Method] = {}
    for namespace in namespaces:
        for _, handler in inspect.getmembers(namespace, inspect.ismethod):
            needs: Needs
            names, needs = getattr(handler, "__rpc__", ((), "turn"))
            for name in names:
                parameters = inspect.signature(handler).parameters
                bare = [
                    parameter.replace(annotation=inspect.Parameter.empty)
                    for parameter in parameters.values()
                    if parameter.kind is not inspect.Parameter.KEYWORD_ONLY
                ]
                least = sum(parameter.default is inspect.Parameter.empty for parameter in bare)
                signature = inspect.Signature(bare)
                found[name] = Method(name, handler, signature, needs, least, len(bare), "asker" in parameters)
    return found


class Protocol:
    def __init__(self, methods: Mapping[str, Method], run: Runner, read: Runner, look: Looker) -> None:
        self.methods = methods
        self._run = run
        self._read = read
        self._look = look

    async def reply(self, body: bytes, *, of_ethereum: bool = False) -> Reply:
        """The answer to the body of one HTTP request. ``of_ethereum``: it is known to be of an Ethereum client."""
        try:
            request = _decoder.decode(body.decode(json.detect_encoding(body), "surrogatepass"))
        except (ValueError, RecursionError):
            return failed(400, RpcError(PARSE_ERROR, "Parse error: the body is not JSON"))
        if not isinstance(request, list):
            answer = await self._answer(request, of_ethereum)
            return Reply(204, None) if answer is None else Reply(200, answer)
        if not request:
            return failed(400, RpcError(INVALID_REQUEST, "Invalid Request: the batch is empty"))
        if len(request) > MAX_BATCH:
            return failed(400, RpcError(INVALID_REQUEST, f"Invalid Request: a batch has at most {MAX_BATCH} entries"))
        answers = [answer for entry in request if (answer := await self._answer(entry, of_ethereum)) is not None]
        return Reply(200, b"[" + b",".join(answers) + b"]") if answers else Reply(204, None)

    async def _answer(self, request: Any, of_ethereum: bool) -> bytes | None:
        """The answer to one entry, None to a notification."""
        is_notification = isinstance(request, dict) and "method" in request and "id" not in request
        identifier: Any = None
        try:
            identifier = _id_of(request)
            result = await self._result(request, _asker(identifier, of_ethereum))
        except RpcError as error:
            answer = _answer(identifier, "error", _encode(error.as_json()))
        except Exception as error:
            _logger.exception("%s failed", request.get("method") if isinstance(request, dict) else "a request")
            failure = RpcError(INTERNAL_ERROR, f"{type(error).__name__}: {error}")
            answer = _answer(identifier, "error", _encode(failure.as_json()))
        else:
            answer = _answer(identifier, "result", result)
        return None if is_notification else answer

    async def _result(self, request: Any, asker: Asker) -> bytes:
        """The result as JSON: encoded where it is made, so that nothing changes in it until it is sent."""
        name = request.get("method")
        if not isinstance(name, str) or request.get("jsonrpc", "2.0") != "2.0":
            raise RpcError(INVALID_REQUEST, 'Invalid Request: jsonrpc is "2.0" and method is a text')
        method = self.methods.get(name)
        if method is None:
            raise RpcError(METHOD_NOT_FOUND, f"Method not found: {name[:100]}")
        call = method.bind(request.get("params"), asker)

        def result() -> bytes:
            return _encode(call())

        if method.needs == "nothing":
            return result()
        found = self._look(result) if method.needs == "look" else None
        if found is not None:
            return found
        return await (self._run if method.needs == "turn" else self._read)(result)


def _id_of(request: Any) -> Any:
    if not isinstance(request, dict):
        raise RpcError(INVALID_REQUEST, "Invalid Request: an object is wanted")
    identifier = request.get("id")
    is_one = isinstance(identifier, str | int | None) or (isinstance(identifier, float) and math.isfinite(identifier))
    if isinstance(identifier, bool) or not is_one:
        raise RpcError(INVALID_REQUEST, "Invalid Request: an id is a text, a number or null")
    return identifier


def _asker(identifier: Any, of_ethereum: bool) -> Asker:
    if not isinstance(identifier, int) or identifier >= _FIRST_TIME_ID:
        return "genlayer"
    return "ethereum" if of_ethereum else "unknown"


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def failed(status: int, error: RpcError) -> Reply:
    return Reply(status, _answer(None, "error", _encode(error.as_json())))


def _answer(identifier: Any, name: str, value: bytes) -> bytes:
    """Always with a result, also when that is null: web3.py insists on it."""
    return b'{"jsonrpc":"2.0","id":%b,"%b":%b}' % (_encode(identifier), name.encode(), value)


def _encode(value: Any) -> bytes:
    return value if isinstance(value, bytes) else encoded(value)


def encoded(value: Any) -> bytes:
    """As JSON. A method can return this of what never changes, to be sent as it is."""
    text = _encoder.encode(value)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair: JSON has a form for it, UTF-8 has not
        return _ascii_encoder.encode(value).encode("ascii")


# json.loads and json.dumps make new ones for each call. orjson is no choice: amounts are larger than 64 bits.
_decoder = json.JSONDecoder(parse_constant=_no_constant)
_encoder = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
_ascii_encoder = json.JSONEncoder(separators=(",", ":"))
