"""``sim_…`` for validators and providers, as the CLI manages them."""

from __future__ import annotations

import random
from typing import Any

from genlayer_localnet.rpc.accounts import DEFAULT_PROVIDER
from genlayer_localnet.rpc.errors import invalid_params, refused
from genlayer_localnet.rpc.node import Node
from genlayer_localnet.rpc.parameters import address, count, mapping
from genlayer_localnet.rpc.protocol import method
from genlayer_localnet.rpc.sim_config import MAX_VALIDATORS, services_of


class ManagementMethods:
    def __init__(self, node: Node) -> None:
        self._node = node
        self._random = random.Random(node.identity.seed)

    @method("sim_getAllValidators")
    def all_validators(self) -> list[dict[str, Any]]:
        return self._node.validators.all

    @method("sim_getValidator")
    def validator(self, validator_address: Any) -> dict[str, Any]:
        return self._node.validators.get(address(validator_address))

    @method("sim_countValidators")
    def count_validators(self) -> int:
        return len(self._node.validators.all)

    @method("sim_createValidator")
    def create_validator(
        self,
        stake: Any = 1,
        provider: Any = None,
        model: Any = None,
        config: Any = None,
        plugin: Any = None,
        plugin_config: Any = None,
    ) -> dict[str, Any]:
        fields = _provider(provider, model, config, plugin, plugin_config)
        self._check_room(1)
        created = self._node.validators.create(count(stake, "stake"), fields)
        self._node.validators_changed()
        return created

    @method("sim_createRandomValidator")
    def create_random_validator(self, stake: Any = 1) -> dict[str, Any]:
        return self.create_validator(stake)

    @method("sim_createRandomValidators")
    def create_random_validators(
        self, number: Any, min_stake: Any = 1, max_stake: Any = 10, providers: Any = None, models: Any = None
    ) -> list[dict[str, Any]]:
        """``providers`` and ``models`` limit the choice; only providers that are there can be chosen."""
        how_many = count(number, "count")
        self._check_room(how_many)
        low, high = count(min_stake, "min_stake"), count(max_stake, "max_stake")
        if low > high:
            raise invalid_params("min_stake is above max_stake")
        if not all(isinstance(names, list | None) for names in (providers, models)):
            raise invalid_params("providers and models are lists of names")
        choice = [
            provider
            for provider in self._node.validators.providers
            if (not providers or provider["provider"] in providers) and (not models or provider["model"] in models)
        ]
        if not choice:
            raise refused("no such provider and model: sim_getProvidersAndModels lists them, sim_addProvider adds one")
        created = [
            self._node.validators.create(self._random.randint(low, high), self._random.choice(choice))
            for _ in range(how_many)
        ]
        self._node.validators_changed()
        return created

    @method("sim_updateValidator")
    def update_validator(
        self,
        validator_address: Any,
        stake: Any,
        provider: Any = None,
        model: Any = None,
        config: Any = None,
        plugin: Any = None,
        plugin_config: Any = None,
    ) -> dict[str, Any]:
        fields = _provider(provider, model, config, plugin, plugin_config)
        updated = self._node.validators.update(address(validator_address), count(stake, "stake"), fields)
        self._node.validators_changed()
        return updated

    @method("sim_deleteValidator")
    def delete_validator(self, validator_address: Any) -> str:
        self._node.validators.delete(address(validator_address))
        self._node.validators_changed()
        return str(validator_address)

    @method("sim_deleteAllValidators")
    def delete_all_validators(self) -> list[dict[str, Any]]:
        self._node.validators.all.clear()
        self._node.validators_changed()
        return []

    @method("sim_getProvidersAndModels")
    def providers(self) -> list[dict[str, Any]]:
        return [
            {"id": number, **provider, "is_available": True, "is_model_available": True, "is_default": number == 1}
            for number, provider in enumerate(self._node.validators.providers, 1)
        ]

    @method("sim_addProvider")
    def add_provider(self, provider: Any) -> int:
        fields = mapping(provider, "provider")
        wanted = _provider(*(fields.get(name) for name in DEFAULT_PROVIDER))
        if not all(isinstance(fields.get(name), str) for name in ("provider", "model")):
            raise invalid_params("a provider has a provider and a model, both texts")
        self._node.validators.providers.append(wanted)
        self._node.validators_changed()
        return len(self._node.validators.providers)

    def _check_room(self, more: int) -> None:
        if len(self._node.validators.all) + more > MAX_VALIDATORS:
            raise invalid_params(f"there can be {MAX_VALIDATORS} validators at most")


def _provider(provider: Any, model: Any, config: Any, plugin: Any, plugin_config: Any) -> dict[str, Any]:
    """The fields of a provider; what is missing is the localnet's own. Raises: RpcError."""
    given = dict(zip(DEFAULT_PROVIDER, (provider, model, config, plugin, plugin_config), strict=True))
    fields = {name: DEFAULT_PROVIDER[name] if value is None else value for name, value in given.items()}
    for name, value in fields.items():
        if not isinstance(value, type(DEFAULT_PROVIDER[name])):
            raise invalid_params(f"{name}: {type(DEFAULT_PROVIDER[name]).__name__} is wanted")
    services_of([fields])
    return fields
