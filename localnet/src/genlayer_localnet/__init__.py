"""A GenLayer network in one Python process: a faithful GenVM host for tests, demos and development.

net = Localnet(now="2026-01-15T12:00:00Z")
net.fund(alice, 10**18)
receipt = net.deploy("contracts/token.py", sender=alice)
net.write(receipt.address, "transfer", bob, 5, sender=alice)
net.view(receipt.address, "balance_of", bob)
"""

from genlayer_localnet.address import Address
from genlayer_localnet.chain.receipts import Event, Message, Receipt
from genlayer_localnet.errors import (
    ContractNotFound,
    ContractRejected,
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
from genlayer_localnet.state.voting import VotingRound

__version__ = "0.1.0"

__all__ = [
    "Address",
    "ContractNotFound",
    "ContractRejected",
    "Event",
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
