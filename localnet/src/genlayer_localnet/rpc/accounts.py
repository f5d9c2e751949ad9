"""Accounts whose keys everybody knows: those that the server signs for, and validators, as clients manage them.

Validators vote. What answers the prompts of a contract is a mock in a validator's ``plugin_config``, or else the
localnet's own prompt handler; a provider's model is never asked.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genlayer_localnet.address import Address, keccak256
from genlayer_localnet.rpc.envelopes import address_of
from genlayer_localnet.rpc.errors import invalid_params, not_found
from genlayer_localnet.rpc.parameters import shown

DEFAULT_PROVIDER = {
    "provider": "localnet",
    "model": "mock",
    "config": {},
    "plugin": "custom",
    "plugin_config": {},
}


@dataclass(frozen=True, slots=True)
class TestAccount:
    """An account that the server signs for, and its private key."""

    __test__ = False  # no test class, whatever pytest thinks

    address: bytes
    key: bytes


def account_of(seed: str, purpose: str, number: int) -> TestAccount:
    """Always the same account for the same seed, purpose and number."""
    key = keccak256(f"genlayer_localnet test-only {purpose} {number} of {seed}".encode())
    return TestAccount(address_of(key), key)


class Validators:
    """The validators in their order, and the providers they can have. Used under the localnet's lock."""

    def __init__(self, seed: str, count: int) -> None:
        self._seed = seed
        self.created = 0
        """How many there ever were: the number of the next one's account."""
        self.all: list[dict[str, Any]] = []
        self.providers: list[dict[str, Any]] = [dict(DEFAULT_PROVIDER)]
        for _ in range(count):
            self.create()

    def create(self, stake: int = 1, provider: Mapping[str, Any] = DEFAULT_PROVIDER) -> dict[str, Any]:
        account = account_of(self._seed, "validator", self.created)
        self.created += 1
        validator = {
            "id": self.created,
            "address": Address(account.address).as_hex,
            "stake": stake,
            "private_key": "0x" + account.key.hex(),
            **_provider_fields(provider),
        }
        self.all.append(validator)
        return validator

    def get(self, address: bytes) -> dict[str, Any]:
        wanted = Address(address).as_hex
        for validator in self.all:
            if validator["address"] == wanted:
                return validator
        raise not_found(f"no validator {wanted}")

    def update(self, address: bytes, stake: int, provider: Mapping[str, Any]) -> dict[str, Any]:
        validator = self.get(address)
        validator.update(stake=stake, **_provider_fields(provider))
        return validator

    def delete(self, address: bytes) -> None:
        self.all.remove(self.get(address))

    def address_of(self, index: int) -> str:
        """Of the validator that voted as number ``index``; there can be fewer validators now than voted."""
        if index < len(self.all):
            return str(self.all[index]["address"])
        return Address(account_of(self._seed, "voter", index).address).as_hex

    def state(self) -> dict[str, Any]:
        """Everything as JSON, for ``restore``."""
        return copy.deepcopy({"created": self.created, "all": self.all, "providers": self.providers})

    def restore(self, state: Mapping[str, Any]) -> None:
        copied = copy.deepcopy(dict(state))
        self.created, self.all, self.providers = copied["created"], copied["all"], copied["providers"]


def _provider_fields(provider: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: provider.get(name, default) for name, default in DEFAULT_PROVIDER.items()}
    for name, default in DEFAULT_PROVIDER.items():
        if fields[name] is None:
            fields[name] = default
        if not isinstance(fields[name], type(default)):
            raise invalid_params(f"{name}: {type(default).__name__} is wanted, not {shown(fields[name])}")
    return fields
