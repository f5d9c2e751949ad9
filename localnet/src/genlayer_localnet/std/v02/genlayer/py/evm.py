"""Calls to EVM contracts: ABI types of annotations, selectors, encoding of arguments and results."""

from genlayer_localnet.std.shared.abi import *  # noqa: F403 - what __all__ of the module lists
from genlayer_localnet.std.shared.abi import __all__ as __all__
