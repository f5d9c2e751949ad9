"""A scripted server on this machine, for clients that cannot be handed a transport."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx


@contextmanager
def over_http(server: Callable[[httpx.Request], httpx.Response]) -> Iterator[str]:
    """Where it is."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            url, fields = f"http://{self.headers['Host']}{self.path}", list(self.headers.items())
            response = server(httpx.Request(self.command, url, headers=fields, content=body))
            self.send_response(response.status_code)
            for name, value in response.headers.multi_items():
                if name != "content-length":
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(response.content)))
            self.end_headers()
            self.wfile.write(response.content)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{made.server_port}/forecast"
    made.shutdown()
    thread.join()
    made.server_close()
