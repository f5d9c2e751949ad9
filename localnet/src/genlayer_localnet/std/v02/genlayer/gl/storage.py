"""Storage, as ``gl.storage``."""

from ..py.storage import *  # noqa: F403 - what __all__ of the package lists
from ..py.storage import __all__ as __all__
