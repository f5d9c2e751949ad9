"""The world, its transactions and their votes: every change can be taken back."""
