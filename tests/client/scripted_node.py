"""A node that answers as it is told, also badly: it hangs up, answers HTTP errors, or what is no JSON."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HANG_UP = "hang up"


class ScriptedNode:
    """Gives its answers in turn, the last one for ever. Records the methods that were asked for, with parameters."""

    def __init__(self, url: str, answers: list[Any]) -> None:
        self.url, self.answers = url, answers
        self.methods: list[str] = []
        self.params: list[Any] = []

    def next_answer(self) -> Any:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def error(code: int, message: str = "no", data: object = None) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "data": data}}


@contextmanager
def scripted_node(*answers: Any) -> Iterator[ScriptedNode]:
    """A mapping is the body of a JSON-RPC answer, a tuple an HTTP status and text, HANG_UP no answer at all."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            node.methods.append(asked["method"])
            node.params.append(asked["params"])
            answer = node.next_answer()
            if answer == HANG_UP:
                self.close_connection = True
                return
            status, text = answer if isinstance(answer, tuple) else (200, "")
            body = (text or json.dumps({"jsonrpc": "2.0", "id": asked["id"], **answer})).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Tests print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    node = ScriptedNode(f"http://127.0.0.1:{server.server_port}/api", list(answers))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield node
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
