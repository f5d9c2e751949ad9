"""How much of what a consumer may use: windows, quotas, tiers, budgets, and the plan made of them."""
