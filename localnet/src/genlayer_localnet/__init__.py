"""A GenLayer network in one Python process: a faithful GenVM host for tests, demos and development.

net = Localnet(now="2026-01-15T12:00:00Z")
net.fund(alice, 10**18)
receipt = net.deploy("contracts/token.py", sender=alice)
net.write(receipt.address, "transfer", bob, 5, sender=alice)
net.view(receipt.address, "balance_of", bob)
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from genlayer_localnet.exports import *  # noqa: F403 - they are listed there
else:

    def __getattr__(name: str) -> object:
        """Load the network when it is asked for: every pytest run of a project imports the plugin, few use it."""
        if name != "__all__" and not name[:1].isupper():  # a module is imported by itself
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from genlayer_localnet import exports

        return getattr(exports, name)
