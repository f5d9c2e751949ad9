"""``postgresql://``: one database for many machines."""
