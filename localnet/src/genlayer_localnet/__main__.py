"""``python -m genlayer_localnet`` is the command ``genlayer-localnet``."""

import sys

from genlayer_localnet.cli import main

sys.exit(main())
