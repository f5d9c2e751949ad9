"""Keccak-256 with the interface of ``hashlib``."""

from genlayer_localnet.std.shared.keccak import Keccak256

__all__ = ("Keccak256",)
