"""The people of the network that is left running, each with something that one wants to know, and with a key.

Their keys are known to everybody who has this file. They are for a network in this process, and nothing else.
"""

from dataclasses import dataclass
from typing import Final

from genlayer_localnet.address import Address
from genlayer_localnet.rpc.accounts import account_of

_SEED: Final = "people of the api-billing demo"


@dataclass(frozen=True, slots=True)
class Person:
    """``name`` says who it is and what is the matter, ``question`` what there is to find out; both are for people."""

    role: str
    name: str
    question: str
    account: str
    key: bytes

    @property
    def short(self) -> str:
        """The name alone."""
        return self.name.partition(",")[0]


def _person(role: str, name: str, question: str) -> Person:
    made = account_of(_SEED, name.partition(",")[0], 0)
    return Person(role, name, question, Address(made.address).as_hex.lower(), made.key)


CARL: Final = _person("consumer", "Carl, low on credit", "When does it run out? Top up.")
FIONA: Final = _person("consumer", "Fiona, all fine", "What did she spend this month, and on what?")
DAN: Final = _person("consumer", "Dan, near a daily cap", "How many calls are left today? Raise the cap.")
SAM: Final = _person("consumer", "Sam, pays by session", "How much has he signed, how much is billed? Sign a voucher.")
DORA: Final = _person("consumer", "Dora, in a dispute", "What does she claim? Have it judged.")
VERA: Final = _person("consumer", "Vera, won a dispute", "What was the verdict, and what came back?")
OLGA: Final = _person("operator", "Olga, sells APIs", "What can she withdraw, what waits, what was refused?")

CONSUMERS: Final = (CARL, FIONA, DAN, SAM, DORA, VERA)
PEOPLE: Final = (*CONSUMERS, OLGA)
METER: Final = _person("meter", "Olga's meter", "")
