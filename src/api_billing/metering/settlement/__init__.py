"""Settlement: credit comes from the billing contract, and what the meter counted is billed on it, exactly once.

``credit`` keeps what the chain says of each consumer, and the meter from serving more than it covers. ``worker`` posts
batches and records what became of them. ``proof`` shows that one request is in what was settled, ``reconcile`` that
meter, outbox and contract agree. These are flows; the rules are in the ledger (``chain_credit``, ``cutting``,
``outbox``).
"""
