"""What the standard libraries of both lines are made of.

Every library that is loaded has modules of its own of this package: see ``genlayer_localnet.loading.library``.
"""
