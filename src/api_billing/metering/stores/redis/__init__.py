"""``redis://``: one Redis, or a cluster, for many machines."""
