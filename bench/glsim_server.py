"""The simulator of genlayer-test as a server, on the library that the localnet uses, with the billing contract in it.

A program of its own, for ``bench/rpc.py``: ``python bench/glsim_server.py READY_FILE``, with the addresses of consumers
as a JSON list on standard input. The simulator ignores the value of transactions; so the consumers get their credit in
the process, where direct mode has a value. READY_FILE gets a JSON object with ``url`` and ``contract``.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn

from api_billing.contract_source import contract_path
from genlayer_localnet.rpc.accounts import account_of
from genlayer_localnet.testing.direct import install_direct_fallback

GEN = 10**18
ACCOUNTS = [f"0x{account_of('localnet', 'account', number).address.hex()}" for number in range(8)]
OPERATOR = ACCOUNTS[0]


def main() -> None:
    ready, consumers = Path(sys.argv[1]), json.load(sys.stdin)
    install_direct_fallback()
    from glsim.server import create_app  # it binds the loader, which had to be wrapped before

    app = create_app(num_validators=5, max_rotations=3, chain_id=61999, use_browser=False)
    contract = _prepare(app.state.engine, consumers)
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    content = {"url": f"http://127.0.0.1:{listening.getsockname()[1]}/api", "contract": contract}
    draft = ready.with_suffix(".draft")
    draft.write_text(json.dumps(content), "utf-8")
    draft.replace(ready)
    # Connections are kept as long as the localnet keeps them.
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_keep_alive=75)
    uvicorn.Server(config).run(sockets=[listening])


def _prepare(engine: Any, consumers: list[str]) -> str:
    """The contract's address. Any: the simulator has no types."""
    engine.activate()
    contract, _ = engine.deploy(str(contract_path()), sender=OPERATOR)
    engine.call_method(contract, "register_api", ["weather", 10**6, 10**6], sender=OPERATOR)
    for meter in ACCOUNTS[1:]:
        engine.call_method(contract, "set_meter", ["weather", meter, True], sender=OPERATOR)
    engine.vm.value = GEN
    for consumer in consumers:
        engine.call_method(contract, "subscribe", ["weather", GEN, GEN], sender=consumer)
    engine.vm.value = 0
    return str(contract)


if __name__ == "__main__":
    main()
