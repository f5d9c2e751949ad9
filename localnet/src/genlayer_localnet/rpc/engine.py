"""What answers JSON-RPC, as the HTTP server knows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from typing import Protocol as Interface

from genlayer_localnet.rpc.protocol import Reply

EVERYTHING: Final = ["files", "network", "other processes"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the server says about its chain. ``accounts``: addresses and private keys, which are public."""

    chain_id: int
    library: str
    methods: tuple[str, ...]
    accounts: tuple[tuple[str, str], ...]
    network: str


class Engine(Interface):
    """The chain as the HTTP server knows it: in this process, or in one of its own."""

    @property
    def facts(self) -> Facts: ...

    @property
    def unconfined(self) -> list[str]:
        """What contracts can reach of this machine: ``files``, ``network``, ``other processes``."""

    def start(self) -> None:
        """Before the first request."""

    async def open(self) -> None:
        """In the event loop that the requests come from, before the first."""

    async def leave(self) -> None:
        """In the same event loop, after the last."""

    async def reply(self, body: bytes, *, of_ethereum: bool) -> Reply:
        """The answer to the body of one HTTP request; ``of_ethereum``: it is known to be of an Ethereum client."""

    async def tick(self) -> None:
        """What is due by the clock; called a few times a second."""

    async def trouble(self) -> str | None:
        """Why the chain cannot work, None while it can."""

    def stop(self, timeout_seconds: float) -> bool:
        """Finish what is queued. False where a contract still ran after that time."""
