"""The decorators, as ``gl.annotations``."""

from genlayer_localnet.std.shared.annotations import private, public

__all__ = ("private", "public")
