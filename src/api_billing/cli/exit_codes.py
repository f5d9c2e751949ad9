"""Exit codes of `api-billing`, and what a script may conclude from each."""

from enum import IntEnum
from types import MappingProxyType
from typing import Final


class ExitCode(IntEnum):
    """The code a command ends with."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    NETWORK = 3
    UNKNOWN_OUTCOME = 4
    NOT_EXECUTED = 5
    INTERRUPTED = 130


MEANINGS: Final = MappingProxyType(
    {
        ExitCode.DONE: "done; a write has executed, and what it triggered too",
        ExitCode.REFUSED: "the contract refused; its code is in the message. A refused deposit is kept as credit. "
        "Or the meter refused, or an API that was asked answered with an error",
        ExitCode.USAGE: "the command is wrong: an option, amount, address, file, key, name, setting or missing "
        "deployment. Nothing was sent",
        ExitCode.NETWORK: "the node cannot be reached or did not take the request. Nothing was changed. "
        "Or the meter's store does not answer: repeat the command, a grant with its --id",
        ExitCode.UNKNOWN_OUTCOME: "a transaction was sent, and its end is not known. Look it up with `api-billing tx` "
        "before sending anything again",
        ExitCode.NOT_EXECUTED: "a transaction was decided but did not execute, or an answer or a deployed contract is "
        "not what it should be",
        ExitCode.INTERRUPTED: "interrupted with Ctrl-C; what was sent before goes on",
    }
)
