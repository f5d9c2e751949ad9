"""How a log's accounts are opened: the operators' APIs, and the consumers' credit, subscriptions and holds."""

from typing import Final

from demo.billing_contract import BillingContract
from demo.log_biller import Step
from demo.terms import ConsumerTerms, Terms

_DAY_SECONDS: Final = 86_400
_MAX_HOLD_SECONDS: Final = 366 * _DAY_SECONDS


def open_accounts(contract: BillingContract, terms: Terms, step: Step) -> None:
    """Register the APIs, and fund and subscribe the consumers. Raises: UnexpectedOutcomeError."""
    for api in terms.apis.values():
        owner = api.operator.account
        contract.must("register_api", api.name, api.price_wei, api.daily_limit_calls, sender=owner)
        contract.must("set_meter", api.name, api.operator.meter, True, sender=owner)
        step()
    expires_at = min(terms.last_at + 2 * _DAY_SECONDS, terms.first_at + _MAX_HOLD_SECONDS)
    for consumer in terms.consumers.values():
        _open_account(contract, consumer, expires_at)
        contract.save_memory()
        step()


def _open_account(contract: BillingContract, consumer: ConsumerTerms, expires_at: int) -> None:
    contract.net.fund(consumer.account, consumer.deposit_wei + consumer.top_up_wei)
    deposit_wei = consumer.deposit_wei
    for subscription in consumer.subscriptions:
        cap_wei = subscription.max_daily_spend_wei
        contract.must(
            "subscribe", subscription.api, cap_wei, deposit_wei, sender=consumer.account, value_wei=deposit_wei
        )
        deposit_wei = 0
    for subscription in consumer.subscriptions:
        if subscription.hold_wei:
            contract.must("place_hold", subscription.api, subscription.hold_wei, expires_at, sender=consumer.account)
