"""A small HTTP API whose pages are paid for by contracts: one response per receipt, to whoever has it.

A contract's call is billed once, but leader and validators fetch it each on their own. They all carry the receipt of
the call, and all get the one response that was made for it.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PAGE_PATH = "/bulletin"


class PageServer(ThreadingHTTPServer):
    """Serves the page on a free loopback port. All methods can be called from any thread."""

    daemon_threads = True

    def __init__(self, api_name: str) -> None:
        self._api_name = api_name
        self._lock = threading.Lock()
        self._responses: dict[str, bytes] = {}
        self._requests: Counter[str] = Counter()
        super().__init__(("127.0.0.1", 0), _PageHandler)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.server_address[1]}{PAGE_PATH}"

    def requests_with(self, receipt_id: str) -> int:
        """Return how many requests came with the receipt."""
        with self._lock:
            return self._requests[receipt_id]

    @property
    def requests(self) -> int:
        """All requests for the page."""
        with self._lock:
            return sum(self._requests.values())

    def page_for(self, receipt_id: str) -> bytes | None:
        """Return the response for a receipt, None where it is not one for this API.

        Who it belongs to, and whether the call was billed, is on the chain; that look-up is left out here, as the chain
        is at this moment busy with the very call.
        """
        with self._lock:
            self._requests[receipt_id] += 1
            if not receipt_id.startswith(f"{self._api_name}:"):
                return None
            number = len(self._responses) + 1
            return self._responses.setdefault(receipt_id, f"Bulletin no. {number}: all services are up.".encode())


class _PageHandler(BaseHTTPRequestHandler):
    server: PageServer
    server_version = "example-pages"
    timeout = 10

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        if target.path != PAGE_PATH:
            self._respond(HTTPStatus.NOT_FOUND, b"there is no such page")
            return
        page = self.server.page_for(parse_qs(target.query).get("receipt", [""])[-1])
        if page is None:
            self._respond(HTTPStatus.PAYMENT_REQUIRED, b"ask with the receipt of a billed call: ?receipt=...")
        else:
            self._respond(HTTPStatus.OK, page)

    def _respond(self, status: HTTPStatus, body: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # the name is the base class's
        """Keep quiet: the report has it."""


@contextmanager
def serving(api_name: str) -> Iterator[PageServer]:
    """Run a server until the block ends. Raises: OSError, where no loopback port can be had."""
    with PageServer(api_name) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
