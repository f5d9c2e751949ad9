"""Another name of ``genlayer.py.evm``."""

from .evm import MethodEncoder, abi_type, decode, encode, selector_of, signature_of

__all__ = ("MethodEncoder", "abi_type", "decode", "encode", "selector_of", "signature_of")
