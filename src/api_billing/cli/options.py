"""Options of every command, before or after its name: `api-billing --json report`, `api-billing report --json`."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Annotated

import typer

from api_billing.cli.values import amount_parser


class On(StrEnum):
    """How far a write is followed."""

    ACCEPTED = "accepted"
    FINALIZED = "finalized"


Network = Annotated[
    str | None,
    typer.Option(
        help="localnet, studionet, studio-next, testnet-asimov or testnet-bradbury.",
        envvar="API_BILLING_NETWORK",
        metavar="NAME",
    ),
]
Url = Annotated[
    str | None,
    typer.Option(help="JSON-RPC address of a node of that network.", envvar="API_BILLING_URL", metavar="URL"),
]
Contract = Annotated[
    str | None,
    typer.Option(
        help="Address of the billing contract; by default the one in deployments/NETWORK.json.",
        envvar="API_BILLING_CONTRACT",
        metavar="ADDRESS",
    ),
]
Account = Annotated[
    str | None,
    typer.Option(
        help="Who signs: a keystore's name or path, env:VARIABLE, or localnet:N.",
        envvar="API_BILLING_ACCOUNT",
        metavar="ACCOUNT",
    ),
]
PasswordFile = Annotated[
    str | None,
    typer.Option(
        help="File with the keystore's password; otherwise API_BILLING_PASSWORD, or you are asked.",
        envvar="API_BILLING_PASSWORD_FILE",
        metavar="FILE",
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document, errors too; amounts in the smallest unit (wei).")
]
Until = Annotated[
    On | None,
    typer.Option("--on", help="Follow a write until it is accepted, or final.", envvar="API_BILLING_ON"),
]
Timeout = Annotated[
    float | None,
    typer.Option(help="How many seconds to follow a write; by default as suits the network.", metavar="SECONDS", min=0),
]
MaxFee = Annotated[
    int | None,
    typer.Option(
        help="Highest fee of the network for one transaction; what of it is not used comes back. Any unless named.",
        envvar="API_BILLING_MAX_FEE",
        metavar="AMOUNT",
        parser=amount_parser,
    ),
]
FeeProfile = Annotated[
    str | None,
    typer.Option(
        help="JSON of measured fees, as gltest --fee-profile writes it, for nodes that cannot estimate.",
        envvar="API_BILLING_FEE_PROFILE",
        metavar="FILE",
    ),
]


@dataclass
class Options:
    """The options as given; None and False where they are not."""

    network: Network = None
    url: Url = None
    contract: Contract = None
    account: Account = None
    password_file: PasswordFile = None
    json: Json = False
    on: Until = None
    timeout: Timeout = None
    max_fee: MaxFee = None
    fee_profile: FeeProfile = None

    def merged(self, later: Options) -> Options:
        """These, but for those that were given later in the line. A time-out or fee of 0 is given."""
        given = {each.name: getattr(later, each.name) for each in fields(self)}
        return replace(
            self, **{name: value for name, value in given.items() if value is not None and value is not False}
        )
