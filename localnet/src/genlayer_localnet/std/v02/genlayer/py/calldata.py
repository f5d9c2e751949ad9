"""The calldata codec; the same one that the host uses."""

from genlayer_localnet.calldata import CalldataEncodable, CalldataError, DecodingError, decode, encode, to_str

__all__ = ("CalldataEncodable", "CalldataError", "DecodingError", "decode", "encode", "to_str")
