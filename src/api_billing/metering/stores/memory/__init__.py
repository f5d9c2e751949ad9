"""``memory://``: dictionaries, for tests and trials."""
