"""Deploy the billing contract without being asked anything: the same as `api-billing deploy`, with its options.

python deploy/deploy.py --network localnet
python deploy/deploy.py --network studionet --account env:DEPLOYER_KEY
python deploy/deploy.py --network studio-next --pin py-genlayer:HASH --account env:DEPLOYER_KEY
python deploy/deploy.py --network testnet-bradbury --account deployer --password-file secret.txt --dry-run

It says what it will do, deploys, waits, checks code and schema, calls the contract, and writes
deployments/<network>.json. Run again it finds that deployment and changes nothing. What is deployed is the contract's
edition for the network's line of GenVM (--line), in few bytes; --no-minify keeps its names and comments, and a test
network may refuse it for its size.
"""

from __future__ import annotations

import sys

from api_billing.cli.app import make_app

if __name__ == "__main__":
    make_app()(["deploy", *sys.argv[1:]], prog_name="deploy.py")
