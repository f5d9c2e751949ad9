"""A chain in this process: a node with its methods, and the one thread that works on it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from genlayer_localnet.address import Address
from genlayer_localnet.errors import LocalnetError
from genlayer_localnet.loading.standard_library import LIBRARY_V03
from genlayer_localnet.rpc import networks
from genlayer_localnet.rpc.engine import EVERYTHING, Facts
from genlayer_localnet.rpc.eth import EthMethods
from genlayer_localnet.rpc.gen import GenMethods
from genlayer_localnet.rpc.management import ManagementMethods
from genlayer_localnet.rpc.node import Node
from genlayer_localnet.rpc.options import NodeOptions
from genlayer_localnet.rpc.protocol import Protocol, methods_of
from genlayer_localnet.rpc.sim import SimMethods
from genlayer_localnet.rpc.state_file import StateFile, StateFileError
from genlayer_localnet.rpc.worker import ChainWorker


class LocalEngine:
    """Contracts run with the rights of this process."""

    def __init__(self, options: NodeOptions, state: Path | None = None) -> None:
        """Raises: LocalnetError."""
        with ExitStack() as undo:
            self._state = StateFile(state) if state is not None else None
            if self._state is not None:
                undo.callback(self._state.close)
            self.node = _node_of(options, self._state)
            undo.pop_all()
        node = self.node
        self.worker = ChainWorker(node, node if self._state is not None else None)
        namespaces = (EthMethods(node), GenMethods(node), SimMethods(node), ManagementMethods(node))
        self._protocol = Protocol(methods_of(*namespaces), self.worker.run, self.worker.read, node.look)
        self.facts = Facts(
            node.identity.chain_id,
            (LIBRARY_V03 if node.chain.settings.line == "v0.3" else node.library).describe(),
            tuple(sorted(self._protocol.methods)),
            tuple((Address(account.address).as_hex, f"0x{account.key.hex()}") for account in node.accounts),
            networks.described(node.identity.network, node.chain.settings.fees),
        )
        self.reply = self._protocol.reply

    @property
    def unconfined(self) -> list[str]:
        return EVERYTHING

    def start(self) -> None:
        self.worker.start()

    async def open(self) -> None:
        pass

    async def leave(self) -> None:
        pass

    async def tick(self) -> None:
        """Let time pass for what waits for finality, also when nobody asks."""
        if self.node.world.unfinalized:
            await self.worker.run(lambda: None)

    async def trouble(self) -> str | None:
        return self.worker.trouble

    def stop(self, timeout_seconds: float) -> bool:
        if not self.worker.stop(timeout_seconds):
            return False
        self.close()
        return True

    def close(self) -> None:
        """After the worker has ended."""
        if self._state is not None:
            self._state.close()


def _node_of(options: NodeOptions, state: StateFile | None) -> Node:
    """Raises: LocalnetError."""
    try:
        return Node(options, state)
    except LocalnetError:
        raise
    except Exception as error:
        if state is None:
            raise
        what = f"{type(error).__name__}: {error}"
        raise StateFileError(f"{state.path} is damaged, and was left as it is ({what})") from error
