"""``sim_config``: what one transaction or call wants of its validators, of their answers and of the clock."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from genlayer_localnet.arguments import as_time
from genlayer_localnet.errors import InvalidArgument
from genlayer_localnet.nondet.services import Node as VotingNode
from genlayer_localnet.nondet.services import NotMocked, PromptAnswer, PromptRequest, Services, WebAnswer, WebMock
from genlayer_localnet.nondet.web import WebRequest
from genlayer_localnet.rpc.errors import invalid_params
from genlayer_localnet.rpc.parameters import mapping, shown
from genlayer_localnet.state.transactions import DEFAULT_CONDITIONS, Conditions

MAX_VALIDATORS = 100
_EVERYTHING = re.compile("")
_YES_NO = {
    "EqComparative": "eq_principle_prompt_comparative",
    "EqNonComparativeValidator": "eq_principle_prompt_non_comparative",
}


class NoMock(LookupError):
    """No mock answers this prompt."""


def conditions_of(sim_config: Any) -> Conditions:
    """Raises: RpcError, where it is not as documented."""
    if sim_config is None or sim_config == {}:
        return DEFAULT_CONDITIONS
    config = mapping(sim_config, "sim_config")
    validators = config.get("validators", [])
    if not isinstance(validators, list) or len(validators) > MAX_VALIDATORS:
        raise invalid_params(f"sim_config.validators: a list of at most {MAX_VALIDATORS} is wanted")
    moment = config.get("genvm_datetime")
    try:
        now = None if moment is None else as_time(moment if not isinstance(moment, str) else _with_zone(moment))
    except InvalidArgument as error:
        raise invalid_params(f"sim_config.genvm_datetime: {error}") from None
    return Conditions(
        validators=len(validators) or None,
        now=now,
        services=services_of([mapping(validator, "sim_config.validators") for validator in validators]),
        source=config,
    )


def services_of(validators: Sequence[Mapping[str, Any]]) -> Services | None:
    """The mocks in the validators' ``plugin_config``; None when there are none."""
    mocks = [_Mocks(validator.get("plugin_config")) for validator in validators]
    if not any(mocks):
        return None

    def ask(request: PromptRequest, node: VotingNode) -> PromptAnswer:
        return mocks[node.index % len(mocks)].answer(request)

    def fetch(request: WebRequest, node: VotingNode) -> WebAnswer:
        return mocks[node.index % len(mocks)].response(request)

    web_mocks = (WebMock(_EVERYTHING, None, fetch),) if any(one.web for one in mocks) else ()
    return Services(web_mocks=web_mocks, prompt_handler=ask)


class _Mocks:
    """One validator's answers."""

    def __init__(self, plugin_config: Any) -> None:
        config = _object(plugin_config, "plugin_config")
        self.prompts = _object(config.get("mock_response"), "mock_response")
        for name, answers in self.prompts.items():
            _object(answers, name)
        requests = _object(config.get("mock_web_response"), "mock_web_response")
        self.web = _object(requests.get("nondet_web_request"), "nondet_web_request")
        for url, answer in self.web.items():
            _object(answer, url)

    def __bool__(self) -> bool:
        return bool(self.prompts or self.web)

    def answer(self, request: PromptRequest) -> PromptAnswer:
        kind = _YES_NO.get(request.template or "", "response")
        answers: Mapping[str, PromptAnswer] = self.prompts.get(kind) or {}
        for text, answer in answers.items():
            if text and text in request.prompt:
                return answer
        if "" in answers:
            return answers[""]
        raise NoMock(f"no text in mock_response.{kind} of the validator's plugin_config is part of the prompt")

    def response(self, request: WebRequest) -> WebAnswer:
        """Exactly this address and method. Raises: NotMocked, for what is really fetched."""
        answer = self.web.get(request.url)
        if answer is None or str(answer.get("method", request.method)).upper() != request.method:
            raise NotMocked
        return {name: answer[name] for name in ("status", "headers", "body") if answer.get(name) is not None}


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid_params(f"{name[:80]}: an object is wanted, not {shown(value)}")
    return value


def _with_zone(text: str) -> str:
    """Texts without a time zone mean UTC."""
    return text if re.search(r"(Z|[+-]\d\d:?\d\d)$", text) else f"{text}+00:00"
