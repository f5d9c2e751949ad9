"""What the payment protocols look like on the wire: x402 and MPP, for who asks for money and for who pays.

Pure functions and values, without a store, a chain or a framework; thread-safe. Whatever comes from others is read
strictly: what is not exactly of the documented form raises ``NotReadable``, and nothing is guessed.
"""
