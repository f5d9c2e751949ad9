"""The names of ``genlayer_localnet`` itself."""

from genlayer_localnet.address import Address
from genlayer_localnet.chain.receipts import Event, Message, Receipt
from genlayer_localnet.errors import (
    ContractNotFound,
    ContractRejected,
    FeesRefused,
    InsufficientFunds,
    InvalidArgument,
    LocalnetError,
    NotAppealable,
    StandardLibraryNotFound,
    UnknownSnapshot,
    UnknownTransaction,
)
from genlayer_localnet.localnet import Localnet
from genlayer_localnet.nondet.services import Node, PromptRequest
from genlayer_localnet.nondet.web import WebError, WebRequest, WebResponse
from genlayer_localnet.state.fees import FeePolicy
from genlayer_localnet.state.voting import VotingRound

__all__ = [
    "Address",
    "ContractNotFound",
    "ContractRejected",
    "Event",
    "FeePolicy",
    "FeesRefused",
    "InsufficientFunds",
    "InvalidArgument",
    "Localnet",
    "LocalnetError",
    "Message",
    "Node",
    "NotAppealable",
    "PromptRequest",
    "Receipt",
    "StandardLibraryNotFound",
    "UnknownSnapshot",
    "UnknownTransaction",
    "VotingRound",
    "WebError",
    "WebRequest",
    "WebResponse",
]
