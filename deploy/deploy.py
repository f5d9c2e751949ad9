"""Deploy the billing contract without being asked anything: the same as `api-billing deploy`, with its options.

python deploy/deploy.py --network localnet
python deploy/deploy.py --network studionet --account env:DEPLOYER_KEY --minify
python deploy/deploy.py --network testnet-bradbury --account deployer --password-file secret.txt --dry-run

It says what it will do, deploys, waits, compares code and schema with the source, calls the contract, and writes
deployments/<network>.json. Run again it finds that deployment and changes nothing.
"""

from __future__ import annotations

import sys

from api_billing.cli.app import make_app

if __name__ == "__main__":
    make_app()(["deploy", *sys.argv[1:]], prog_name="deploy.py")
