"""The main job: bills an access log, or an API under load, and prints what came of it. Run in the project's folder."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
"""The project's folder."""
