"""A node that lets its clients down: an HTTP server in front of a localnet that spoils the answer to one request.

``cut``: the connection ends without an answer, and nothing was done. ``slow``: no answer before the client gives up.
``500``, ``error`` (of JSON-RPC), ``busy``, ``garbage``: such an answer, and nothing was done. ``lost``: it was done,
and the connection ends. ``half``: it was done, and the answer ends in the middle. ``late``: it was done, and the answer
comes too late. ``twice``: it was delivered two times.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import requests

FAULTS = ("cut", "slow", "500", "error", "busy", "garbage", "lost", "half", "late", "twice")
_ERRORS = {"error": (-32000, "try again"), "busy": (-32005, "too many requests")}


class FaultyNode:
    """Used with ``with``. ``spoil`` says which request gets which fault; ``methods`` are those asked for since then."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._given_up = threading.Event()
        self.methods: list[str] = []
        self._fault, self._at = "", -1
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/api"

    def spoil(self, fault: str, at: int) -> None:
        with self._lock:
            self.methods, self._fault, self._at = [], fault, at

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._given_up.set()
        self._server.shutdown()
        self._server.server_close()

    def _next_fault(self, method: str) -> str:
        with self._lock:
            self.methods.append(method)
            return self._fault if len(self.methods) - 1 == self._at else ""

    def _forward(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json"}
        return requests.post(self._target, data=body, headers=headers, timeout=30).content

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        node = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                asked = json.loads(body)
                self.answer(node._next_fault(asked["method"]), asked, body)

            def answer(self, fault: str, asked: Any, body: bytes) -> None:
                if fault in ("cut", "slow"):
                    self.end(wait=fault == "slow")
                elif fault in ("500", "garbage"):
                    self.send(500 if fault == "500" else 200, b"<html>a page of some proxy</html>")
                elif fault in _ERRORS:
                    code, message = _ERRORS[fault]
                    error = {"jsonrpc": "2.0", "id": asked["id"], "error": {"code": code, "message": message}}
                    self.send(200, json.dumps(error).encode())
                else:
                    answers = [node._forward(body) for _ in range(2 if fault == "twice" else 1)]
                    if fault in ("lost", "late"):
                        self.end(wait=fault == "late")
                    elif fault == "half":
                        self.send(200, answers[0][: len(answers[0]) // 2], length=len(answers[0]))
                        self.end(wait=False)
                    else:
                        self.send(200, answers[0])

            def send(self, status: int, content: bytes, length: int | None = None) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content) if length is None else length))
                self.end_headers()
                self.wfile.write(content)

            def end(self, *, wait: bool) -> None:
                if wait:
                    node._given_up.wait(30)
                self.close_connection = True

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        return Handler
