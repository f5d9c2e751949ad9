"""`api-billing`: the billing contract from a terminal. One file for each group of commands."""
