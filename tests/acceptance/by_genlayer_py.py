"""A stranger's script with genlayer-py alone: from the deployment to a withdrawal, and a contract that is called back.

python by_genlayer_py.py CHAIN URL CONTRACTS PAGE — a chain of genlayer-py, a node of that kind, the folder with the
contracts' edition for it, and the address of a web page that the consumer contract may fetch. Prints what came of it.
"""

import json
import sys
from pathlib import Path
from typing import Any

from genlayer_py import chains, create_account, create_client, transactions, types

GEN = 10**18
NEW = hasattr(transactions, "is_successful")
"""0.19 and later."""
POLL_MS, RETRIES = 50, 400


class Party:
    """Somebody with an account; what its transactions cost is asked of the node, where genlayer-py can ask."""

    def __init__(self, chain: str, url: str) -> None:
        self.account = create_account()
        self.client = create_client(chain=getattr(chains, chain), endpoint=url, account=self.account)
        self.client.fund_account(self.account.address, 100 * GEN)

    def _done(self, tx: Any) -> dict[str, Any]:
        if NEW:
            receipt = self.client.wait_for_finalization(tx, interval=POLL_MS, retries=RETRIES)
            is_done = transactions.is_successful(receipt)
        else:
            final = types.TransactionStatus.FINALIZED
            receipt = self.client.wait_for_transaction_receipt(tx, final, interval=POLL_MS, retries=RETRIES)
            is_done = receipt["consensus_data"]["leader_receipt"][0]["execution_result"] == "SUCCESS"
        assert is_done, (tx, receipt["consensus_data"]["leader_receipt"][0]["result"])
        for child in receipt.get("triggered_transactions") or []:
            self._done(child)
        return dict(receipt)

    def deploy(self, path: Path, *args: Any) -> str:
        fees = {"fees": self.client.estimate_transaction_fees()} if NEW else {}
        receipt = self._done(self.client.deploy_contract(code=path.read_bytes(), args=list(args), **fees))
        return str(receipt["data"]["contract_address"])

    def write(self, contract: str, method: str, *args: Any, value: int = 0) -> None:
        call = {"address": contract, "function_name": method, "args": list(args), "value": value}
        if NEW:
            call["fees"] = self.client.estimate_transaction_fees_for_write(**call)
        self._done(self.client.write_contract(**call))

    def read(self, contract: str, method: str, *args: Any) -> Any:
        return self.client.read_contract(address=contract, function_name=method, args=list(args))


def main(chain: str, url: str, contracts: str, page: str) -> dict[str, Any]:
    operator, consumer = Party(chain, url), Party(chain, url)
    me = consumer.account.address
    billing = operator.deploy(Path(contracts, "api_usage_billing.py"))
    operator.write(billing, "register_api", "weather", GEN // 1000, 1_000)
    consumer.write(billing, "subscribe", "weather", GEN // 2, 5 * GEN, value=5 * GEN)
    consumer.write(billing, "consume_credit", "weather", me, 3)
    day_id = json.loads(consumer.read(billing, "get_usage_report", me))["day_id"]
    entry = {"consumer": me, "day_id": day_id, "calls": 2, "spend_wei": 2 * GEN // 1000}
    operator.write(billing, "settle_usage", "weather", 1, [entry])

    fetcher = consumer.deploy(Path(contracts, "metered_fetch.py"), billing, "weather")
    consumer.write(billing, "top_up_for", fetcher, GEN, value=GEN)
    consumer.write(fetcher, "subscribe", GEN)
    consumer.write(fetcher, "fetch", page)
    request = consumer.read(fetcher, "get_request", "fetch-1")
    consumer.write(fetcher, "reclaim_credit", GEN // 2)

    operator.write(billing, "withdraw_earnings", 6 * GEN // 1000)
    consumer.write(billing, "withdraw_credit", GEN)
    report = json.loads(consumer.read(billing, "get_usage_report", me))
    return {
        "calls": report["apis"][0]["calls_today"],
        "credit_wei": report["credit_balance_wei"],
        "fetched": [request["status"], request["detail"]],
        "earnings_wei": operator.read(billing, "get_earnings", operator.account.address)["earnings_wei"],
        "solvency": operator.read(billing, "get_solvency"),
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:]), default=str))
