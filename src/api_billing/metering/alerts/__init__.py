"""What an operator is told: credit, budgets, settlement trouble."""
