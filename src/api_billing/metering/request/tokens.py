"""Prices by tokens: what an answer of an OpenAI-compatible API says in its ``usage`` object, by a table of models.

The answer is looked at as it goes out: of a stream of events only the one that is going by is kept.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any, Final, NamedTuple, cast

from api_billing.amounts import Currency
from api_billing.metering.errors import InvalidSetting
from api_billing.metering.limits.checks import Amount, amount_in, check_amount, check_whole
from api_billing.metering.request.http import Headers, MeteredRequest, MeteredResponse
from api_billing.metering.request.prices import ChargeEstimate
from api_billing.metering.request.telling import NotEstimable

MILLION: Final = 1_000_000
MAX_EVENT_BYTES: Final = 2**20
MAX_ANSWER_BYTES: Final = 2**23
_PIECE: Final = 65_536  # is unpacked at a time
_MAX_TOKENS: Final = 2**40
_BYTES_A_TOKEN: Final = 3
_MAX_CHOICES: Final = 1_000
_ENCODED: Final = {"gzip", "x-gzip", "deflate"}
_USAGE: Final = re.compile(rb'"usage"\s*:\s*\{')
_DATED: Final = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{4,8})$")


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """What tokens of a model cost: amounts for as many as the table says. ``cached_wei``: of input that a cache had;
    None: as any input. Raises: InvalidSetting for an amount that is none.
    """

    input_wei: Amount
    output_wei: Amount = 0
    cached_wei: Amount | None = None

    def __post_init__(self) -> None:
        for name in ("input_wei", "output_wei", "cached_wei"):
            if (amount := getattr(self, name)) is not None or name != "cached_wei":
                check_amount(name, amount)

    def in_currency(self, currency: Currency) -> TokenPrice:
        """The same without texts. Raises: InvalidSetting for one that is not of this currency."""
        cached = None if self.cached_wei is None else amount_in(currency, "cached_wei", self.cached_wei)
        input_wei = amount_in(currency, "input_wei", self.input_wei)
        return TokenPrice(input_wei, amount_in(currency, "output_wei", self.output_wei), cached)

    def of(self, tokens: Tokens, per: int) -> int:
        """What these tokens cost, rounded up. Without texts only."""
        input_wei, output_wei, cached_wei = cast("tuple[int, int, int | None]", astuple(self))
        cached_wei = input_wei if cached_wei is None else cached_wei
        sum_wei = (tokens.input - tokens.cached) * input_wei + tokens.cached * cached_wei + tokens.output * output_wei
        return -(-sum_wei // per)


class Tokens(NamedTuple):
    """How many tokens an answer took. ``cached`` ones are among the input."""

    input: int
    output: int = 0
    cached: int = 0


@dataclass(frozen=True, slots=True)
class ByTokens:
    """What the ``usage`` of an answer costs: of chat completions, responses and embeddings, streamed or whole, by a
    table of models and their prices for ``per`` tokens.

    The model is the one that the answer names, with or without a date behind it, or else the request's body, if
    something has read that. Without usage, or a price for its model, the whole estimate is charged.
    """

    models: Mapping[str, TokenPrice]
    per: int = MILLION

    def __post_init__(self) -> None:
        _check_table(self.models, self.per)

    def __call__(self, request: MeteredRequest, response: MeteredResponse) -> int:
        watcher = response.watcher
        found = watcher.found() if isinstance(watcher, UsageWatcher) else None
        tokens = None if found is None else _tokens_of(found.usage)
        if found is None or tokens is None:
            raise ChargeEstimate("no usage")
        watcher.tags = {f"{name}_tokens": count for name, count in tokens._asdict().items()}
        price = _price_of(self.models, found.model) or _price_of(self.models, _asked_model(request))
        if price is None:
            raise ChargeEstimate("model without a price")
        return price.of(tokens, self.per)

    def watch(self, headers: Headers) -> UsageWatcher:
        """What looks at the pieces of an answer with these header fields."""
        return UsageWatcher(headers)

    def in_currency(self, currency: Currency) -> ByTokens:
        """The same without texts. Raises: InvalidSetting for one that is not of this currency."""
        return ByTokens(_in_currency(self.models, currency), self.per)


@dataclass(frozen=True, slots=True)
class EstimateTokens:
    """What a request to an OpenAI-compatible API costs at most, as a rule: a token for each three bytes of its body,
    and the output that it asks for, up to ``max_output`` tokens (which also counts where it asks for nothing), for each
    of its choices. Of several bounds of the output the largest counts: not each API knows each of them. A model without
    a price is refused (``not_estimable``).

    Three bytes are less than a token mostly has. Images that are named by an address are more than their bytes say. So
    is what the API remembers (``previous_response_id``, ``conversation``, a stored ``prompt``): of such a request
    ``max_input`` tokens are taken to be read, and without that it is refused, too.
    """

    models: Mapping[str, TokenPrice]
    max_output: int
    per: int = MILLION
    max_input: int = 0

    def __post_init__(self) -> None:
        _check_table(self.models, self.per)
        check_whole("max_output", self.max_output, _MAX_TOKENS)
        check_whole("max_input", self.max_input, _MAX_TOKENS)

    def __call__(self, request: MeteredRequest) -> int:
        try:
            asked = request.json()
            model = asked["model"]
        except (ValueError, TypeError, LookupError, RecursionError):
            raise NotEstimable("the body is no JSON object with a model") from None
        price = _price_of(self.models, model)
        if price is None:
            raise NotEstimable(f"no price for the model {model!r:.80}")
        numbers = {name: asked[name] for name in (*_MOST_OUTPUT, "n") if asked.get(name) is not None}
        for name, number in numbers.items():
            if type(number) is not int or not 0 < number <= (_MAX_CHOICES if name == "n" else number):
                raise NotEstimable(f"{name} is {number!r:.80}")
        choices, wanted = numbers.pop("n", 1), numbers.values()
        output = min(self.max_output, max(wanted, default=self.max_output)) * choices
        given = -(-len(request.content()) // _BYTES_A_TOKEN)
        if isinstance(asked.get("prompt"), dict) or any(asked.get(name) is not None for name in _REMEMBERED):
            if not self.max_input:
                raise NotEstimable("what the API remembers has no price here")  # the terms give no max_input
            given = max(given, self.max_input)
        return price.of(Tokens(given, output), self.per)

    def in_currency(self, currency: Currency) -> EstimateTokens:
        """The same without texts. Raises: InvalidSetting for one that is not of this currency."""
        return EstimateTokens(_in_currency(self.models, currency), self.max_output, self.per, self.max_input)


by_tokens = ByTokens
estimate_tokens = EstimateTokens


class Usage(NamedTuple):
    """What an answer says of itself."""

    model: object
    usage: Mapping[str, Any]


class UsageWatcher:
    """Finds the usage in an answer, piece by piece: the last one of a stream of events, that of JSON else. ``tags`` are
    for the record of the request.
    """

    __slots__ = ("_found", "_is_readable", "_is_stream", "_kept", "_size", "_unpacked", "tags")

    def __init__(self, headers: Headers) -> None:
        kind = (headers.first("content-type") or "").partition(";")[0].strip().lower()
        encoding = (headers.first("content-encoding") or "identity").strip().lower()
        self._is_stream = kind == "text/event-stream"
        self.tags: dict[str, int] = {}
        self._found: Usage | None = None
        self._kept: list[bytes] = []  # of the line that goes by, or of the whole
        self._size = 0
        self._is_readable = encoding == "identity" or encoding in _ENCODED
        self._unpacked = zlib.decompressobj(wbits=47) if encoding in _ENCODED else None

    def see(self, piece: bytes) -> None:
        """A piece of the body goes out."""
        if not self._is_readable:
            return
        if self._unpacked is None:
            self._take(bytes(piece))
            return
        try:
            while piece:
                self._take(self._unpacked.decompress(piece, _PIECE))
                piece = self._unpacked.unconsumed_tail
        except zlib.error:
            self._is_readable = False

    def found(self) -> Usage | None:
        """The usage, at the end of the body."""
        if self._unpacked is not None and self._is_readable:
            self._take(self._unpacked.flush())
        if self._is_stream:
            self._end_line()
        elif self._kept:
            self._note(b"".join(self._kept))
            self._kept = []
        return self._found

    def _take(self, piece: bytes) -> None:
        if not self._is_stream:
            self._keep(piece, MAX_ANSWER_BYTES)
            return
        first, *lines = piece.replace(b"\r", b"\n").split(b"\n")
        self._keep(first, MAX_EVENT_BYTES)
        for line in lines:
            self._end_line()
            self._keep(line, MAX_EVENT_BYTES)

    def _keep(self, part: bytes, most: int) -> None:
        self._size += len(part)
        if self._size > most:
            self._kept = []
        elif part:
            self._kept.append(part)

    def _end_line(self) -> None:
        line, self._kept, self._size = b"".join(self._kept), [], 0
        if line.startswith(b"data:") and _USAGE.search(line):
            self._note(line[5:])

    def _note(self, text: bytes) -> None:
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            return
        for each in (said, said.get("response") if isinstance(said, dict) else None):
            if isinstance(each, dict) and isinstance(usage := each.get("usage"), dict):
                self._found = Usage(each.get("model"), usage)


_REMEMBERED: Final = ("previous_response_id", "conversation")
_MOST_OUTPUT: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")


def _tokens_of(usage: Mapping[str, Any]) -> Tokens | None:
    """The tokens of a usage object, by the names of chat completions and embeddings, or of responses; None: no such."""
    given = usage.get("prompt_tokens", usage.get("input_tokens"))
    output = usage.get("completion_tokens", usage.get("output_tokens"))
    details = usage.get("prompt_tokens_details", usage.get("input_tokens_details"))
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    tokens = Tokens(given, 0 if output is None else output, 0 if cached is None else cached)
    if not all(type(each) is int and 0 <= each <= _MAX_TOKENS for each in tokens):
        return None
    return tokens if tokens.cached <= tokens.input else None


def _asked_model(request: MeteredRequest) -> object:
    """The model that the request's body names, if that has been read."""
    try:
        return request.json()["model"] if request.body is not None else None
    except (ValueError, TypeError, LookupError, RecursionError):
        return None


def _price_of(models: Mapping[str, TokenPrice], model: object) -> TokenPrice | None:
    return models.get(model) or models.get(_DATED.sub("", model)) if type(model) is str else None


def _in_currency(models: Mapping[str, TokenPrice], currency: Currency) -> Mapping[str, TokenPrice]:
    return {name: price.in_currency(currency) for name, price in models.items()}


def _check_table(models: object, per: object) -> None:
    is_table = isinstance(models, Mapping) and all(isinstance(each, TokenPrice) for each in models.values())
    if not is_table or not models:
        raise InvalidSetting(f"a table of prices has a TokenPrice for each model, not {models!r:.80}")
    check_whole("per", per, _MAX_TOKENS)
    if not per:
        raise InvalidSetting("per is a number of tokens, at least 1")
