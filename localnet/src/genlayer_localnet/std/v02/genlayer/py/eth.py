"""Another name of ``genlayer.py.evm``."""

from .evm import *  # noqa: F403 - what __all__ of the module lists
from .evm import __all__ as __all__
