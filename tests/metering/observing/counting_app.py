"""What gunicorn serves in a test: an application that is metered, with the pages of its operator."""

import os
from collections.abc import Iterable
from typing import Any

from api_billing.metering import Meter, from_header
from api_billing.metering.web.operating import operating_wsgi
from api_billing.metering.web.wsgi import MeteredWSGI


def make() -> Any:
    """The application, made in each worker."""
    meter = Meter.open(os.environ["METER_URL"], identify=from_header("X-Consumer"), metrics=True, new_consumers="free")
    pages = operating_wsgi(meter, token=None)

    def serve(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("x-pid", str(os.getpid()))])
        return [b"served"]

    metered = MeteredWSGI(serve, meter.metering("weather"))

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        return (pages if environ["PATH_INFO"] == "/metrics" else metered)(environ, start_response)

    return app
