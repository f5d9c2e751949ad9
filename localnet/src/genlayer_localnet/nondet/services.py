"""What a nondeterministic block can ask the outside world: HTTP and prompts, real or mocked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from genlayer_localnet.nondet import web
from genlayer_localnet.nondet.web import WebError, WebRequest, WebResponse

NO_PROMPT_HANDLER = (
    "the contract sent a prompt, but there is no language model here: set net.prompt_handler to a callable "
    "(request, node) -> answer, or answer prompts by pattern with net.mock_prompt(pattern, response); on a server "
    "say with sim_updateValidator what each validator's model answers (docs/rpc.md)"
)


class SetupError(Exception):
    """The localnet cannot answer: nothing is there for prompts, or a mock or handler raised. No contract sees it."""


class NotMocked(Exception):
    """Raised by the handler of a mock that is not for this request: the next one is asked, or else the network."""


@dataclass(frozen=True, slots=True)
class Node:
    """Who executes a nondeterministic block: handlers and mocks can answer differently for each.

    ``index`` counts the validators from 0 (the leader is one of them); ``round`` counts the leaders that were replaced.
    """

    role: Literal["leader", "validator"]
    index: int
    round: int


# Answers a request that no mock answers, which waits for the network.
Wait = Callable[[WebRequest], WebResponse]


@dataclass(frozen=True, slots=True)
class PromptRequest:
    """A prompt of a contract.

    ``prompt`` is the text; for the templates of ``gl.eq_principle`` it lists the fields, one a line. ``template`` is
    None, ``EqComparative``, ``EqNonComparativeLeader`` or ``EqNonComparativeValidator``. ``response_format`` is
    ``text``, ``json`` or, for templates that decide, ``bool``.
    """

    prompt: str
    response_format: str = "text"
    template: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    images: tuple[bytes, ...] = ()


# A mock's answer, or a callable that gets the request and the node and returns it.
PromptAnswer = str | bool | dict[str, Any] | list[Any]
PromptHandler = Callable[[PromptRequest, Node], PromptAnswer]
WebAnswer = WebResponse | str | bytes | Mapping[str, Any]
WebHandler = Callable[[WebRequest, Node], WebAnswer]


@dataclass(frozen=True, slots=True)
class WebMock:
    pattern: re.Pattern[str]
    method: str | None
    answer: WebAnswer | WebHandler


@dataclass(frozen=True, slots=True)
class PromptMock:
    pattern: re.Pattern[str]
    answer: PromptAnswer | PromptHandler


@dataclass(frozen=True, slots=True)
class Services:
    """Immutable, so that a snapshot can keep it. The mock that was added last is asked first."""

    web_mocks: tuple[WebMock, ...] = ()
    prompt_mocks: tuple[PromptMock, ...] = ()
    prompt_handler: PromptHandler | None = None

    def with_web_mock(self, mock: WebMock) -> Services:
        return replace(self, web_mocks=(mock, *self.web_mocks))

    def with_prompt_mock(self, mock: PromptMock) -> Services:
        return replace(self, prompt_mocks=(mock, *self.prompt_mocks))

    def fetch(self, request: WebRequest, node: Node, wait: Wait | None = None) -> WebResponse:
        """What no mock answers is for ``wait``, or is just fetched. Raises: WebError, SetupError."""
        for mock in self.web_mocks:
            if mock.pattern.search(request.url) and mock.method in (None, request.method):
                with suppress(NotMocked):
                    return web.as_response(_evaluate(mock.answer, request, node))
        return web.fetch(request) if wait is None else wait(request)

    def ask(self, request: PromptRequest, node: Node) -> PromptAnswer:
        """Raises: SetupError; WebError, when the answer does not fit the format that was asked for."""
        return _in_format(self._answer(request, node), request.response_format)

    def ask_for_text(self, request: PromptRequest, node: Node) -> PromptAnswer:
        """What the model says, whatever the format that was asked for. Raises: SetupError, WebError."""
        return _in_format(self._answer(request, node), "text")

    def _answer(self, request: PromptRequest, node: Node) -> PromptAnswer:
        for mock in self.prompt_mocks:
            if mock.pattern.search(request.prompt):
                return cast(PromptAnswer, _evaluate(mock.answer, request, node))
        if self.prompt_handler is None:
            raise SetupError(NO_PROMPT_HANDLER)
        return cast(PromptAnswer, _evaluate(self.prompt_handler, request, node))


def _evaluate(answer: Any, request: WebRequest | PromptRequest, node: Node) -> Any:
    """The answer, or what the callable in its place returns."""
    if not callable(answer):
        return answer
    try:
        return answer(request, node)
    except (WebError, NotMocked):
        raise
    except Exception as error:
        what = request.url if isinstance(request, WebRequest) else f"the prompt {request.prompt[:80]!r}"
        raise SetupError(f"the handler for {what} raised {type(error).__name__}: {error}") from error


def _in_format(answer: PromptAnswer, response_format: str) -> PromptAnswer:
    if response_format == "bool":
        if not isinstance(answer, bool):
            raise WebError("PROMPT_ANSWER", f"this prompt is answered with True or False, not {answer!r}")
        return answer
    if response_format == "json":
        if not isinstance(answer, str):
            return answer
        try:
            return json.loads(answer)  # type: ignore[no-any-return]  # JSON is checked by the codec afterwards
        except ValueError as error:
            raise WebError("PROMPT_ANSWER", f"the answer is not JSON: {error}") from None
    return answer if isinstance(answer, str) else json.dumps(answer)
