"""Networks by name, and where the billing contract is on each (`deployments/<network>.json`).

URLs, chain ids and consensus contracts are those of the installed genlayer-py. A network is told from another by its
name and its URL, never by its chain id alone: both test networks have 4221, and a localnet has whatever it is told to.
"""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

from api_billing.errors import InvalidInput
from api_billing.extras import needed_by
from api_billing.showing import redacted

if TYPE_CHECKING:
    from genlayer_py.types import GenLayerChain

DEPLOYMENTS_VARIABLE: Final = "API_BILLING_DEPLOYMENTS"
_ADDRESS: Final = re.compile("0x[0-9a-fA-F]{40}")

Line = Literal["v0.2", "v0.3"]
"""Of GenVM: contracts of the one do not run on the other."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the first two lines of a contract say: the version of GenVM, and the runner (the *pin*)."""

    version: str
    pin: str


HEADERS: Final[Mapping[Line, Header]] = MappingProxyType(
    {
        "v0.2": Header("v0.2.16", "py-genlayer:1jb45aa8ynh2a9c9xn3b7qqh8sm5q93hwfp7jqmwsfhh8jpz09h6"),
        # No more of this runner's hash is known here. It will do on a localnet; other nodes are never sent it.
        "v0.3": Header("v0.3.0", "py-genlayer:5jycge4q"),
    }
)


@dataclass(frozen=True, slots=True, repr=False)
class Network:
    """A network and how patient to be with it.

    ``url`` is None for the one that genlayer-py knows. The time-outs are for a write to be decided and to be final;
    ``reads_per_10_seconds`` is what its nodes allow for one contract, None where they allow any number;
    ``max_code_bytes`` the largest contract it is known to take, None where it takes any; ``lines`` of GenVM are
    those that it runs, first the one of what is deployed to it by default.
    """

    name: str
    chain: str
    url: str | None = None
    accept_seconds: float = 60
    finalize_seconds: float = 300
    poll_seconds: float = 0.2
    reads_per_10_seconds: int | None = None
    max_code_bytes: int | None = None
    faucet: bool = False
    lines: tuple[Line, ...] = ("v0.2",)

    def __repr__(self) -> str:
        """Without the credentials that a URL may have."""
        return f"Network({self.name!r}, {self.shown_url!r})"

    def genlayer_chain(self) -> GenLayerChain:
        """A chain object of genlayer-py's own, so that nobody else's client changes with it."""
        chain = copy.deepcopy(_genlayer_chain(self.chain))
        if self.url is not None:
            chain.rpc_urls = {"default": {"http": [self.url]}}
        return chain

    @property
    def chain_id(self) -> int | None:
        """That its nodes have; None of a localnet, which has whatever it is told to."""
        return None if self.chain == _LOCALNET.chain else int(_genlayer_chain(self.chain).id)

    @property
    def line(self) -> Line:
        """Of what is deployed to it by default."""
        return self.lines[0]

    @property
    def is_local(self) -> bool:
        """Whether its node is on this machine, or is a localnet wherever it is."""
        return self.chain == _LOCALNET.chain or urlsplit(self.rpc_url).hostname in _LOOPBACK

    @property
    def rpc_url(self) -> str:
        """Where requests go."""
        return self.url if self.url is not None else str(_genlayer_chain(self.chain).rpc_urls["default"]["http"][0])

    @property
    def shown_url(self) -> str:
        """The same without credentials, for messages and files."""
        return redacted(self.rpc_url)


def _genlayer_chain(name: str) -> GenLayerChain:
    with needed_by("a network"):
        from genlayer_py import chains
    if name == _STUDIO_NEXT and not hasattr(chains, name):
        return _studio_next(chains.studionet)
    chain: GenLayerChain = getattr(chains, name)
    return chain


def _studio_next(studionet: GenLayerChain) -> GenLayerChain:
    """Before 0.19 genlayer-py does not know it. What it knows of Studio holds there, too."""
    chain = copy.deepcopy(studionet)
    chain.id, chain.name = 61997, "GenLayer Studio Devnet"
    chain.rpc_urls = {"default": {"http": ["https://studio-dev.genlayer.com/api"]}}
    return chain


_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_LOCALNET: Final = Network("localnet", "localnet", faucet=True, lines=("v0.2", "v0.3"))
_STUDIO_NEXT: Final = "studio_devnet"
_STUDIO: Final = Network(
    "studionet",
    "studionet",
    accept_seconds=600,
    finalize_seconds=3600,
    poll_seconds=3,
    reads_per_10_seconds=20,
    faucet=True,
)
_TESTNET: Final = Network(
    "testnet", "", accept_seconds=900, finalize_seconds=7200, poll_seconds=5, max_code_bytes=40_000
)

NETWORKS: Final[Mapping[str, Network]] = MappingProxyType(
    {
        "localnet": _LOCALNET,
        "studionet": _STUDIO,
        "studio-next": replace(_STUDIO, name="studio-next", chain=_STUDIO_NEXT, lines=("v0.3",)),
        "testnet-asimov": replace(_TESTNET, name="testnet-asimov", chain="testnet_asimov"),
        "testnet-bradbury": replace(_TESTNET, name="testnet-bradbury", chain="testnet_bradbury"),
    }
)


def find_network(name: str = "localnet", url: str | None = None) -> Network:
    """Return the network, spelled with dashes or underscores; with ``url`` at that address instead of its own.

    Raises: InvalidInput, with the names there are.
    """
    known = NETWORKS.get(name.strip().lower().replace("_", "-"))
    if known is None:
        raise InvalidInput(f"there is no network {name!r}", hint=f"choose one of {', '.join(NETWORKS)}")
    if url is None:
        return known
    try:
        parts = urlsplit(url)
        is_node = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # whose text may quote a password
        is_node = False
    if not is_node:
        raise InvalidInput(f"{redacted(url)!r} is not the URL of a node", hint="it begins with http:// or https://")
    if parts.hostname in _LOOPBACK:  # whatever it stands for, nobody else waits for it
        known = replace(known, poll_seconds=_LOCALNET.poll_seconds, reads_per_10_seconds=None)
    return replace(known, url=url)


def checked_address(text: str, what: str = "address") -> str:
    """Return the address if it has the form of one. Raises: InvalidInput."""
    if not _ADDRESS.fullmatch(text):
        raise InvalidInput(f"{text!r} is not an {what}", hint="an address is 0x and 40 hex digits")
    return text


def canonical_name(name: str) -> str:
    """A consumer's name with one spelling: an address in lower case, any other text as it is."""
    return name.lower() if _ADDRESS.fullmatch(name) else name


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployed contract, as `deployments/<network>.json` has it. Amounts of source are bytes.

    ``url`` is without credentials: the file can be read by everybody, and is served beside the web page. ``court`` is
    the address of the one that was deployed for a billing contract last, empty where none was.
    """

    network: str
    url: str
    chain_id: int
    address: str
    transaction: str
    deployer: str
    deployed_at: str
    code_sha256: str
    code_bytes: int
    source_sha256: str
    source_bytes: int
    minified: bool
    line: Line = "v0.2"  # as were all before it was recorded
    court: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return asdict(self)


def deployments_dir() -> Path:
    """``$API_BILLING_DEPLOYMENTS``, or `deployments` in the working directory."""
    return Path(os.environ.get(DEPLOYMENTS_VARIABLE) or "deployments")


def deployment_path(network: str, directory: Path | None = None, *, kind: str = "") -> Path:
    """Where the deployment on a network is recorded, of the billing contract or of another ``kind``."""
    return (directory or deployments_dir()) / f"{network}{kind and f'.{kind}'}.json"


def load_deployment(network: str, directory: Path | None = None, *, kind: str = "") -> Deployment | None:
    """Return what is recorded for a network, None where nothing is. Raises: InvalidInput, for a damaged file."""
    path = deployment_path(network, directory, kind=kind)
    try:
        recorded = json.loads(path.read_text(encoding="utf-8"))
        deployment = Deployment(**recorded)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}", hint="remove it and deploy again") from error
    checked_address(deployment.address, f"address in {path}")
    return replace(deployment, url=redacted(deployment.url))  # earlier versions recorded it with credentials


def save_deployment(deployment: Deployment, directory: Path | None = None, *, kind: str = "") -> Path:
    """Record a deployment, in place of an earlier one; readers see the old or the new file, never a part."""
    return write_json_atomically(deployment_path(deployment.network, directory, kind=kind), deployment.as_dict())


def write_json_atomically(path: Path, content: Mapping[str, Any]) -> Path:
    """Write a JSON file so that it is there as a whole or not at all. Raises: InvalidInput, where it cannot."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror or error}") from error
    return path
