"""A consumer that is a contract: it pays for its calls and fetches a page itself, the example `metered_fetch.py`."""

from collections.abc import Container
from typing import Final

from demo import ROOT
from demo.billing_contract import BillingContract, UnexpectedOutcomeError, must_call, must_deploy
from demo.page_server import PageServer, serving
from demo.summary import ContractRequest, ContractStory
from demo.terms import OperatorTerms, account_of

SOURCE: Final = ROOT / "contracts" / "examples" / "metered_fetch.py"
PRICE_WEI: Final = 10**16
DAILY_LIMIT_CALLS: Final = 100

_FETCHES: Final = 2
"""One more than it has credit for."""


def free_api_name(taken: Container[str], wanted: str = "bulletin") -> str:
    """Return a name for an API that no API of the log has: the one wanted, or else with a number."""
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}-{number}"
    return name


def run_contract_client(contract: BillingContract, operator: OperatorTerms, api_name: str) -> ContractStory:
    """Register an API with a page, and let a consumer contract with credit for one call ask for two.

    Raises: UnexpectedOutcomeError; OSError, where the page cannot be served.
    """
    net, owner = contract.net, account_of("owner", api_name)
    contract.must("register_api", api_name, PRICE_WEI, DAILY_LIMIT_CALLS, sender=operator.account)
    client = must_deploy(net, SOURCE, contract.address, api_name, sender=owner)
    must_call(net, client, "subscribe", PRICE_WEI * DAILY_LIMIT_CALLS, sender=owner)
    net.process("finalized")  # its subscription is a message that waits for finality
    net.fund(owner, PRICE_WEI)
    contract.must("top_up_for", client, PRICE_WEI, sender=owner, value_wei=PRICE_WEI)
    with serving(api_name) as pages:
        requests = [_fetch(contract, client, owner, pages) for _ in range(_FETCHES)]
        url = pages.url
    credit_wei = contract.view("get_account", client)["credit_wei"]
    return ContractStory(client, api_name, url, PRICE_WEI, credit_wei, requests)


def _fetch(contract: BillingContract, client: str, owner: str, pages: PageServer) -> ContractRequest:
    net, before = contract.net, pages.requests
    receipt = must_call(net, client, "fetch", pages.url, sender=owner)
    asked = receipt.children[0]
    if asked.kind != "return":
        raise UnexpectedOutcomeError(f"request_call: {asked.message}")
    request = net.view(client, "get_request", receipt.value)
    billed = asked.value["receipt"]
    if request["status"] == "denied":
        return ContractRequest(receipt.value, request["detail"], http_requests=pages.requests - before)
    if billed is None or request["status"] == "open":
        raise UnexpectedOutcomeError(f"{receipt.value} was not answered: {request}")
    return ContractRequest(
        receipt.value,
        receipt_id=billed["receipt_id"],
        cost_wei=billed["cost_wei"],
        http_requests=pages.requests_with(billed["receipt_id"]),
        result=request["detail"] if request["status"] == "fetched" else f"no page: {request['detail']}",
    )
