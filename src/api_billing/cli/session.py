"""What a command works with: its network, contract and account, from options, environment and deployments."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from api_billing.cli.exit_codes import ExitCode
from api_billing.cli.options import Options
from api_billing.cli.output import Printer, Shown, fee_bound, quiet_broken_pipe
from api_billing.errors import BillingError, InvalidInput, KeyUnavailable
from api_billing.keys import PASSWORD_VARIABLE, address_of, given_password
from api_billing.networks import Network, checked_address, find_network

if TYPE_CHECKING:
    from api_billing.client import BillingClient
    from api_billing.connection import Connection
    from api_billing.contract_client import ContractClient
    from api_billing.court_client import CourtClient
    from api_billing.fees import Fees
    from api_billing.sending import Signer
    from api_billing.transactions import Phase

_FIRST_OPEN_ACCOUNT: Final = "localnet:0"


class Session:
    """One run of a command. What it needs is made when it is first asked for."""

    def __init__(self, options: Options, *, writes: bool) -> None:
        self.options, self.writes = options, writes
        self.printer = Printer(as_json=options.json)

    def report(self, run: Callable[[], Shown | None]) -> ExitCode:
        """Run a command, print what it returns or what went wrong; the code to end with."""
        try:
            shown = run()
            if shown is not None:
                self.printer.show(shown)
        except (BillingError, KeyboardInterrupt) as error:
            return self.printer.error(error)
        except BrokenPipeError:
            quiet_broken_pipe()
        return ExitCode.DONE

    @cached_property
    def network(self) -> Network:
        """The network of the options; the localnet without one."""
        return find_network(self.options.network or "localnet", self.options.url)

    @property
    def account(self) -> str | None:
        """The account's name; on a localnet its first open account unless another is named."""
        return self.options.account or (_FIRST_OPEN_ACCOUNT if self.network.chain == "localnet" else None)

    @cached_property
    def signer(self) -> Signer:
        """The account, unlocked. Raises: InvalidInput, KeyUnavailable."""
        if self.account is None:
            raise InvalidInput("this needs an account", hint="name one with --account; see: api-billing keys --help")
        return self._open(self.account)

    def connection(self) -> Connection:
        """The node, with the account of a command that writes."""
        from api_billing.connection import Connection  # takes a second, which --help need not

        connection = Connection(self.network, self.signer if self.writes else None, **self._fee_options)
        connection.fees.tell = self._tell_fee
        return connection

    @cached_property
    def client(self) -> BillingClient:
        """A client of the contract; it can write if the command does."""
        from api_billing.client import BillingClient

        return self._client(BillingClient, self.options.contract)

    @cached_property
    def own_address(self) -> str:
        """The account's address, without unlocking it. Raises: InvalidInput."""
        if self.account is None:
            raise InvalidInput("whose?", hint="name an address, or your account with --account")
        return address_of(self.account) or self.signer.address

    def address(self, named: str | None) -> str:
        """An address as named: 0x…, or an account; the session's own where nothing is named. Raises: InvalidInput."""
        if named is None:
            return self.own_address
        if named.startswith("0x"):
            return checked_address(named)
        return address_of(named) or self._open(named).address

    def payee(self, named: str | None) -> str:
        """Who is paid from the contract, empty for the caller. Raises: InvalidInput, for a contract, where it can be
        seen: a payment from a contract never reaches another.
        """
        address = self.address(named) if named else ""
        if address and self.client.connection.has_code(address):
            hint = f"nothing was sent; give it credit: api-billing top-up AMOUNT --for {address}"
            raise InvalidInput(f"{address} is a contract, where the payment would be lost", hint=hint)
        return address

    def key(self) -> bytes:
        """The account's private key, for what is signed off the chain. Raises: InvalidInput, where a node has it."""
        key = getattr(self.signer, "key", None)
        if key is None:
            hint = "name a keystore or env:VARIABLE with --account; make one with: api-billing keys create NAME"
            raise InvalidInput(f"the node keeps the key of {self.account}", hint=hint)
        return bytes(key)

    def court(self, api: str, named: str | None, day_id: int = 0) -> CourtClient:
        """A client of the court that is named, else of the one that the API promises for a day, 0: today.

        Raises: InvalidInput, where there is none.
        """
        from api_billing.court_client import CourtClient

        address = self.address(named) if named else self.client.get_promise(api, day_id).court
        if not address:
            raise InvalidInput(f"{api} has promised no court for that day", hint="name one with --court 0x...")
        return self._client(CourtClient, address)

    def _client[C: ContractClient](self, kind: type[C], contract: str | None) -> C:
        client = kind(
            self.network,
            contract=contract,
            account=self.signer if self.writes else None,
            on=self._on,
            timeout_seconds=self.options.timeout,
            **self._fee_options,
        )
        client.connection.fees.tell = self._tell_fee
        return client

    @cached_property
    def _fee_options(self) -> dict[str, Any]:
        from api_billing.fee_profile import FeeProfile

        file = self.options.fee_profile
        profile = FeeProfile.read(Path(file)) if file is not None else None
        return {"max_fee_wei": self.options.max_fee, "fee_profile": profile}

    def _tell_fee(self, fees: Fees) -> None:
        """Before it is sent."""
        self.printer.note(f"fee: {fee_bound(fees.deposit_wei)}")

    @property
    def _on(self) -> Phase:
        return self.options.on.value if self.options.on else "accepted"

    def _open(self, named: str) -> Signer:
        from api_billing.signers import open_signer

        return open_signer(self.network, named, self._password)

    def _password(self, name: str) -> str:
        return ask_password(f"password of {name}: ", self.options.password_file)


def ask_password(prompt: str, file: str | None) -> str:
    """A password from a file, from the environment, or from the terminal. Raises: KeyUnavailable."""
    given = given_password(file)
    if given is not None:
        return given
    if not sys.stdin.isatty():
        hint = f"set {PASSWORD_VARIABLE}, or name a file with --password-file"
        raise KeyUnavailable("a password is needed, and nobody is there to ask", hint=hint)
    return getpass.getpass(prompt)
