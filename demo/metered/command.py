"""What the command `demo --meter` does, from the options to the figures."""

from importlib.util import find_spec
from typing import Final

from api_billing.errors import BillingError
from demo.metered.figures import MeteredFigures
from demo.metered.processes import BrokeOffError
from demo.metered.run import Size, example_path, run_metered
from demo.run import Phase
from genlayer_localnet.loading.standard_library import StandardLibrary

MAX_CONSUMERS: Final = 250
"""Each sends from a thread of its own."""

MAX_REQUESTS: Final = 100_000


def bill_requests(requests: int | None, consumers: int | None, std: StandardLibrary, phase: Phase) -> MeteredFigures:
    """Run the demo; None is the usual size.

    Raises: ValueError, when it cannot be run like that or here; BrokeOffError, when it does not come to its end.
    """
    default = Size()
    size = Size(
        default.requests if requests is None else requests, default.consumers if consumers is None else consumers
    )
    if size.consumers > MAX_CONSUMERS or size.requests > MAX_REQUESTS:
        raise ValueError(f"at most {MAX_CONSUMERS} consumers and {MAX_REQUESTS:,} requests")
    if find_spec("fastapi") is None:
        raise ValueError("the API of this demo needs FastAPI: pip install 'api-billing[fastapi]', or make demo METER=1")
    try:
        example_path()
        return run_metered(size, std, phase)
    except FileNotFoundError as error:
        raise ValueError(str(error)) from error
    except BillingError as error:
        raise BrokeOffError(str(error)) from error
