"""Deploying the billing contract, or a court for it: plan, send, wait, compare with what was sent, record it.

Doing it again is safe. A deployment of the same source, in whatever form, is found and left alone; one that was sent
but not yet recorded (`deployments/<network>.pending.json`) is waited for instead of being sent a second time. What is
recorded of a court is in `deployments/<network>.court.json`, and its address with its billing contract.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from api_billing.amounts import format_wei
from api_billing.client import BillingClient
from api_billing.connection import Connection
from api_billing.contract_api import COURT_METHODS, METHODS, CourtMethod, Kind, Method, Signature
from api_billing.contract_client import ContractClient
from api_billing.contract_editions import header_of
from api_billing.contract_source import Source, check_code
from api_billing.court_client import CourtClient
from api_billing.court_results import Court
from api_billing.errors import (
    BillingError,
    ContractRejected,
    InvalidInput,
    OutcomeUnknown,
    RpcFailed,
    TransactionFailed,
    UnexpectedAnswer,
)
from api_billing.networks import (
    Deployment,
    Line,
    checked_address,
    deployment_path,
    deployments_dir,
    load_deployment,
    save_deployment,
    write_json_atomically,
)

_NO_METHOD: Final = -32601

Tell = Callable[[str], None]
Methods = Mapping[Method, Signature] | Mapping[CourtMethod, Signature]


class Action(StrEnum):
    """What running a plan does."""

    KEEP = "keep"
    """The recorded contract is there and has this source."""
    RESUME = "resume"
    """A deployment was sent earlier, and its end is not recorded."""
    DEPLOY = "deploy"


@dataclass(frozen=True, slots=True)
class DeploymentPlan:
    """What a deployment will do on a network, and why."""

    action: Action
    reason: str
    source: Source
    earlier: Deployment | None = None
    pending_tx: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """What was compared after a deployment; a node that does not tell leaves its point ``not told``."""

    deployment: Deployment
    points: dict[str, str] = field(default_factory=dict)
    path: Path | None = None


class Deployer:
    """Deploys the billing contract to one network. ``directory`` is where deployments are recorded."""

    kind = ""
    """Of the contract, in the names of the files in which its deployment is recorded."""
    methods: Methods = METHODS
    arguments: tuple[Any, ...] = ()
    """Of its constructor."""

    def __init__(
        self, connection: Connection, *, directory: Path | None = None, timeout_seconds: float | None = None
    ) -> None:
        self._connection, self._directory = connection, directory or deployments_dir()
        self._network = connection.network
        self._timeout = self._network.accept_seconds if timeout_seconds is None else timeout_seconds

    @property
    def line(self) -> Line:
        """Of GenVM, of what is deployed by default."""
        return self._network.line

    @property
    def _pending_path(self) -> Path:
        return deployment_path(self._network.name, self._directory, kind=self.kind).with_suffix(".pending.json")

    def plan(self, source: Source, *, force: bool = False) -> DeploymentPlan:
        """Look at what is recorded and what the node has; changes nothing.

        Raises: NetworkError, InvalidInput, also for code that the network would not run, or a node of another chain.
        """
        self._check_chain()
        pending = self._pending_tx(source)
        if pending and not force:
            return DeploymentPlan(
                Action.RESUME, "it was sent earlier; its end is not recorded yet", source, None, pending
            )
        earlier = load_deployment(self._network.name, self._directory, kind=self.kind)
        reason = self._reason_to_deploy(source, earlier, force)
        if earlier is not None and not reason:
            same = earlier.code_sha256 == source.code_sha256
            form = "" if same else ", in another form; --force deploys the one asked for"
            return DeploymentPlan(Action.KEEP, f"this contract is at {earlier.address} already{form}", source, earlier)
        check_code(source.code, self._network)
        return DeploymentPlan(Action.DEPLOY, reason, source, earlier)

    def _check_chain(self) -> None:
        """What is sent to a node of another chain is paid for there, and fails."""
        known = self._network.chain_id
        if known is not None and (told := self._connection.chain_id()) != known:
            raise InvalidInput(
                f"{self._network.name} is chain {known}, and {self._network.shown_url} is a node of chain {told}",
                hint="name the network of that node with --network; a localnet of any chain id is --network localnet",
            )

    def _reason_to_deploy(self, source: Source, earlier: Deployment | None, force: bool) -> str:
        """Why the recorded deployment will not do; empty where it does."""
        if earlier is None:
            return "no deployment is recorded"
        if force:
            return "asked to, whatever is there"
        if earlier.source_sha256 != source.source_sha256:
            return f"the source differs from that of {earlier.address}"
        if earlier.line != source.line:
            return f"{earlier.address} is the edition for GenVM {earlier.line}"
        gone = f"the recorded contract {earlier.address} is no longer there"
        try:
            code = self._connection.code(earlier.address)
        except RpcFailed:  # the node does not tell; a read of the contract does
            try:
                self._connection.read(earlier.address, "get_solvency")
            except BillingError:
                return gone
        else:
            if code is None:
                return gone
            if hashlib.sha256(code).hexdigest() != earlier.code_sha256:
                return f"the code at {earlier.address} is not the one that is recorded"
        self._check_arguments(earlier)
        return ""

    def run(self, plan: DeploymentPlan, tell: Tell = lambda _: None) -> Checked:
        """Carry out a plan and check the contract, also one that was there. ``tell`` hears of each step.

        Raises: TransactionFailed, OutcomeUnknown (running again continues), UnexpectedAnswer, when a check fails.
        """
        if plan.action is Action.KEEP and plan.earlier is not None:
            return Checked(plan.earlier, self.check(plan.earlier, tell))
        tx = plan.pending_tx
        if not tx:
            tell("sending the contract")
            tx = self._send(plan.source)
        tell(f"waiting for {tx}")
        deployment = self._deployment(plan.source, tx, self._followed(tx))
        points = self.check(deployment, tell)
        path = save_deployment(deployment, self._directory, kind=self.kind)
        self._forget_pending()
        return Checked(deployment, points, path)

    def pin(self, deployment: Deployment) -> str | None:
        """The runner that a deployed contract names; None where the node does not tell."""
        try:
            code = self._connection.code(deployment.address)
        except RpcFailed:
            return None
        return header_of(code.decode()).pin if code else None

    def check(self, deployment: Deployment, tell: Tell = lambda _: None) -> dict[str, str]:
        """Compare the code at the address with what was deployed and its schema with the source's, and call it.

        Raises: UnexpectedAnswer, with what differs.
        """
        tell("checking code and schema, and calling it")
        return {
            "code": self._check_code(deployment),
            "schema": self._check_schema(deployment),
            "call": self._check_call(deployment),
        }

    # ---- sending ----

    def _send(self, source: Source) -> str:
        try:
            tx = self._connection.send_deployment(source.code, self.arguments)
        except OutcomeUnknown as error:
            if error.tx:
                self._remember_pending(error.tx, source)
            raise
        self._remember_pending(tx, source)
        return tx

    def _followed(self, tx: str) -> str:
        """The new contract's address."""
        try:
            address = self._connection.follower.wait(tx, "accepted", self._timeout).contract
        except (ContractRejected, TransactionFailed):  # there is no contract: a later run begins anew
            self._forget_pending()
            raise
        if address is None:
            raise UnexpectedAnswer(f"transaction {tx} executed, but names no new contract")
        return address

    def _deployment(self, source: Source, tx: str, address: str) -> Deployment:
        return Deployment(
            network=self._network.name,
            url=self._network.shown_url,
            chain_id=self._connection.chain_id(),
            address=address,
            transaction=tx,
            deployer=self._connection.signer.address if self._connection.signer else "",
            deployed_at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            code_sha256=source.code_sha256,
            code_bytes=source.code_bytes,
            source_sha256=source.source_sha256,
            source_bytes=source.source_bytes,
            minified=source.minified,
            line=source.line,
        )

    # ---- what was sent before ----

    def _remember_pending(self, tx: str, source: Source) -> None:
        sent = {"transaction": tx, "code_sha256": source.code_sha256, "arguments": self.arguments}
        write_json_atomically(self._pending_path, {**sent, "url": self._network.shown_url})

    def _pending_tx(self, source: Source) -> str:
        """The transaction of an unfinished deployment of this code that the node still knows."""
        try:
            pending = json.loads(self._pending_path.read_text(encoding="utf-8"))
            same = pending["code_sha256"] == source.code_sha256 and tuple(pending["arguments"]) == self.arguments
            tx = str(pending["transaction"]) if same else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""
        return tx if tx and self._connection.follower.look(tx) is not None else ""

    def _forget_pending(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._pending_path.unlink()

    # ---- checks ----

    def _check_code(self, deployment: Deployment) -> str:
        try:
            code = self._connection.code(deployment.address)
        except RpcFailed as error:
            return _not_told(error)
        if code is None or hashlib.sha256(code).hexdigest() != deployment.code_sha256:
            raise UnexpectedAnswer(f"the code at {deployment.address} is not what was deployed")
        return f"{len(code)} bytes, as deployed"

    def _check_schema(self, deployment: Deployment) -> str:
        try:
            schema = self._connection.schema(deployment.address)
        except RpcFailed as error:
            return _not_told(error)
        differences = schema_differences(schema, self.methods)
        if differences:
            raise UnexpectedAnswer(f"the schema of {deployment.address} differs: {'; '.join(differences)}")
        return f"{len(self.methods)} methods, as the source"

    def _check_arguments(self, deployment: Deployment) -> None:
        """Ask the contract what it was made with, if anything. Raises: InvalidInput, where that differs."""

    def _check_call(self, deployment: Deployment) -> str:
        client = self._client(BillingClient, deployment)
        _check_solvency(deployment, client.get_solvency().surplus_wei)
        return f"{client.list_apis(0, 1).total} APIs, solvent"

    def _client[T: ContractClient](self, kind: type[T], deployment: Deployment) -> T:
        client = kind(self._network, contract=deployment.address)
        client.connection = self._connection
        return client


class CourtDeployer(Deployer):
    """Deploys a court for a billing contract; the bond of a dispute is at least ``min_bond_wei``."""

    kind = "court"
    methods = COURT_METHODS

    def __init__(
        self,
        connection: Connection,
        billing: str,
        min_bond_wei: int,
        *,
        directory: Path | None = None,
        timeout_seconds: float | None = None,
    ) -> None:
        super().__init__(connection, directory=directory, timeout_seconds=timeout_seconds)
        self.arguments = (checked_address(billing).lower(), min_bond_wei)

    @property
    def line(self) -> Line:
        """That of the billing contract, if it is recorded: the court of the other line could not read from it."""
        billing = load_deployment(self._network.name, self._directory)
        return billing.line if billing and billing.address.lower() == self.arguments[0] else super().line

    def run(self, plan: DeploymentPlan, tell: Tell = lambda _: None) -> Checked:
        """As of every contract; and name the court in the record of its billing contract, for the web page."""
        done = super().run(plan, tell)
        billing = load_deployment(self._network.name, self._directory)
        if billing and billing.address.lower() == self.arguments[0]:
            save_deployment(replace(billing, court=done.deployment.address), self._directory)
        return done

    def _check_arguments(self, deployment: Deployment) -> None:
        court, (billing, min_bond_wei) = self._court(deployment), self.arguments
        found = []
        if court.billing != billing:
            found.append(f"is for {court.billing}, not {billing}")
        if court.min_bond_wei != min_bond_wei:
            bonds = (format_wei(each, exact=True) for each in (court.min_bond_wei, min_bond_wei))
            found.append("has a least bond of {}, not {}".format(*bonds))
        if found:
            raise InvalidInput(
                f"the recorded court {deployment.address} {' and '.join(found)}",
                hint="--force deploys another, and replaces the record",
            )

    def _check_call(self, deployment: Deployment) -> str:
        court = self._court(deployment)
        if (court.billing, court.min_bond_wei) != self.arguments:
            raise UnexpectedAnswer(f"the court at {deployment.address} is that of another contract, or bond")
        _check_solvency(deployment, self._client(CourtClient, deployment).get_solvency().surplus_wei)
        return f"{court.disputes} disputes, solvent"

    def _court(self, deployment: Deployment) -> Court:
        return self._client(CourtClient, deployment).get_court()


def _check_solvency(deployment: Deployment, surplus_wei: int) -> None:
    if surplus_wei < 0:
        raise UnexpectedAnswer(f"the contract at {deployment.address} owes more than it holds")


def schema_differences(schema: Any, signatures: Methods = METHODS) -> list[str]:
    """How the methods of a deployed contract differ from those this version calls, in words."""
    methods = schema.get("methods") if isinstance(schema, dict) else None
    if not isinstance(methods, dict):
        return ["it lists no methods"]
    known = {str(method): signature for method, signature in signatures.items()}
    found = []
    for name in sorted(set(methods) | set(known)):
        if name not in methods:
            found.append(f"{name} is missing")
        elif name not in known:
            found.append(f"{name} is unknown")
        else:
            found += _method_differences(name, known[name], methods[name])
    return found


def _method_differences(method: str, signature: Signature, told: Any) -> list[str]:
    found = []
    names = tuple(str(parameter[0]) for parameter in told.get("params", ()))
    if names != signature.parameters:
        found.append(f"{method} takes ({', '.join(names)})")
    if bool(told.get("readonly")) != (signature.kind is Kind.VIEW):
        found.append(f"{method} is {'a view' if told.get('readonly') else 'a write'}")
    if bool(told.get("payable")) != (signature.kind is Kind.PAYABLE):
        found.append(f"{method} is {'' if told.get('payable') else 'not '}payable")
    return found


def _not_told(error: RpcFailed) -> str:
    if error.code != _NO_METHOD:
        raise error
    return "not told by this network"
