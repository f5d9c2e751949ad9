"""What becomes of transactions: votes, money, messages, finality, appeals, receipts."""
