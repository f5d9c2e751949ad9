"""Usage-based API billing on GenLayer: consumers prepay, operators meter, everyone reads the same report."""

__version__ = "0.1.0"
