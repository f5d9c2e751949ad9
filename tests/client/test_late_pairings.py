"""What talks to a chain does not compute pairings when it starts, and whoever wants them has them all the same."""

import json
import subprocess
import sys

import pytest

COMPUTED = ("py_ecc.optimized_bls12_381", "py_ecc.bls12_381.bls12_381_pairing")
VALIDATORS_KEY = """
from eth_keyfile import create_keyfile_json
print(create_keyfile_json((7).to_bytes(32, "big"), b"secret", version=4, kdf="pbkdf2", iterations=2)["pubkey"])
"""
CURVES = """
import py_ecc.bls12_381, py_ecc.optimized_bls12_381
from py_ecc.bls import G2Basic, G2ProofOfPossession
from py_ecc.bls12_381 import G1, G2, curve_order, multiply, pairing
assert curve_order == py_ecc.optimized_bls12_381.curve_order
print(G2Basic.SkToPk(7).hex(), G2ProofOfPossession.SkToPk(7).hex(), multiply(G1, 7), pairing.__module__)
"""


def printed(code: str) -> str:
    line = [sys.executable, "-c", code]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "starts",
    [
        "import api_billing.client",
        "import api_billing.genlayer_sdk",
        "import api_billing.transport",
        "from api_billing.networks import find_network; find_network('studionet').genlayer_chain()",
        "from api_billing import keys; keys._eth_account().create()",
        "import api_billing.payer",
    ],
)
def test_start__of_what_talks_to_a_chain__computes_no_pairings(starts: str) -> None:
    loaded = json.loads(printed(f"import json, sys\n{starts}\nprint(json.dumps([*sys.modules]))"))
    assert "eth_keyfile.keyfile" in loaded
    assert [name for name in COMPUTED if name in loaded] == []


@pytest.mark.parametrize("code", [VALIDATORS_KEY, CURVES], ids=["key of a validator", "curves"])
def test_pairings__wanted_after_all__are_those_of_py_ecc(code: str) -> None:
    assert printed(f"import api_billing.client\n{code}") == printed(code) != ""


def test_pairings__without_py_ecc__are_not_missed() -> None:
    without = "import sys\nsys.modules['py_ecc'] = None\n"
    deferred = (
        "from api_billing.late_pairings import defer_pairings\ndefer_pairings()\nprint('py_ecc.bls' in sys.modules)"
    )
    assert printed(without + deferred) == "False\n"
