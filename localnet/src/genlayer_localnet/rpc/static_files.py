"""Files of a web page, served beside JSON-RPC: a folder at ``/app``, and further folders and documents within it."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

from genlayer_localnet.rpc.http import HTML, JSON, SAFE_PAGE, Response

PREFIX: Final = "/app"
_KINDS: Final = {
    ".html": HTML,
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": JSON,
    ".map": JSON,
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}
_CHECK: Final = ("cache-control", "no-cache")
"""The browser asks each time whether what it has is still right."""
_KEEP: Final = ("cache-control", "public, max-age=31536000, immutable")
_ENCODINGS: Final = {"br": ".br", "gzip": ".gz"}
"""Of a file that is there compressed too, the better first, and by what its name then ends."""
_NOTHING: Final[Mapping[str, Path]] = MappingProxyType({})
_NO_DOCUMENTS: Final[Mapping[str, bytes]] = MappingProxyType({})


class StaticSite:
    """What is below ``/app``: the files of ``root``; below ``/app/NAME/`` those of ``folders[NAME]``; ``documents``.

    ``documents`` are by their path below ``/app/``; what is added to the mapping later is served too.

    Files are looked for at each request, so a page that is built later is found. Names that begin with a dot are never
    served, nor is anything outside the folders, whatever links lead there. Files in ``assets/`` have a hash in their
    name, as bundlers do it, and are kept by browsers for good. A file that has ``NAME.br`` or ``NAME.gz`` beside it,
    no older than itself, is sent compressed to who accepts that.
    """

    def __init__(
        self,
        root: Path,
        *,
        folders: Mapping[str, Path] = _NOTHING,
        documents: Mapping[str, bytes] = _NO_DOCUMENTS,
    ) -> None:
        self._root = root
        self._folders = folders
        self._documents = documents

    def answer(self, verb: str, path: str, if_none_match: str = "", accept_encoding: str = "") -> Response | None:
        """None for what is not below ``/app``."""
        if path != PREFIX and not path.startswith(f"{PREFIX}/"):
            return None
        if verb not in ("GET", "HEAD"):
            return Response(405, b"only GET and HEAD\n", _KINDS[".txt"], (("allow", "GET, HEAD"), *SAFE_PAGE))
        if path == PREFIX:  # the page's own links are relative to the folder; browsers keep the fragment
            return Response(308, None, headers=(("location", f"{PREFIX}/"), _CHECK))
        names = _names(path.removeprefix(f"{PREFIX}/"))
        return _not_found() if names is None else self._file(names, if_none_match, accept_encoding)

    def _file(self, names: list[str], if_none_match: str, accept_encoding: str) -> Response:
        document = self._documents.get("/".join(names))
        if document is not None:
            return _content(document, Path(names[-1]).suffix, if_none_match, _CHECK)
        if names and names[0] in self._folders:
            return _read(self._folders[names[0]], names[1:], if_none_match, accept_encoding) or _not_found()
        if not (self._root / "index.html").is_file():
            return self._not_built()
        # A name without an ending is a place within the page, which finds its own way.
        is_place = not names or (len(names) == 1 and "." not in names[0] and not (self._root / names[0]).exists())
        wanted = ["index.html"] if is_place else names
        return _read(self._root, wanted, if_none_match, accept_encoding) or _not_found()

    def _not_built(self) -> Response:
        where = html.escape(str(self._root.parent))
        page = (
            "<!doctype html><html lang=en><meta charset=utf-8><title>Not built yet</title>"
            "<meta name=viewport content='width=device-width'>"
            "<body style='font:16px/1.5 system-ui;max-width:40em;margin:3em auto;padding:0 1em'>"
            f"<h1>The page is not built yet</h1><p>There is no <code>{html.escape(str(self._root))}/index.html</code>. "
            f"Build it, then load this page again:</p><pre>cd {where}\nnpm install\nnpm run build</pre>"
        )
        return Response(503, page.encode("utf-8"), HTML, (_CHECK, *SAFE_PAGE))


def _names(path: str) -> list[str] | None:
    """The parts of a path from a request, None where it is not one that can be served."""
    text = unquote(path, errors="replace")
    names = text.split("/")
    if names[-1] == "":
        names.pop()
    is_odd = any(name == "" or name.startswith(".") or "\\" in name or ":" in name for name in names)
    return None if is_odd or not text.isprintable() else names


def _read(root: Path, names: list[str], if_none_match: str, accept_encoding: str) -> Response | None:
    path = root.joinpath(*names)
    changed_at = _changed_at(path, root) if names else None
    if changed_at is None:
        return None
    beside = {encoding: path.with_name(path.name + end) for encoding, end in _ENCODINGS.items()}
    there = [encoding for encoding, compressed in beside.items() if (_changed_at(compressed, root) or 0) >= changed_at]
    encoding = _best(there, accept_encoding)
    more = [("vary", "accept-encoding")] if there else []
    more += [("content-encoding", encoding)] if encoding else []
    try:
        content = beside.get(encoding, path).read_bytes()
    except OSError:
        return None
    return _content(content, path.suffix, if_none_match, _KEEP if names[0] == "assets" else _CHECK, *more)


def _changed_at(path: Path, root: Path) -> int | None:
    """In nanoseconds; None for what is not there, or outside ``root``, whatever links lead there."""
    try:
        return path.stat().st_mtime_ns if path.resolve().is_relative_to(root.resolve()) else None
    except (OSError, RuntimeError, ValueError):
        return None


def _best(encodings: list[str], accept_encoding: str) -> str:
    """What the client likes best, of two the first; "" where it likes none as well as the plain file."""
    weights = {"identity": 0.0}
    for part in accept_encoding.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weights[name] = next((_weight(each[2:]) for each in parameters if each.startswith("q=")), 1.0)

    def weight(encoding: str) -> float:
        return weights.get(encoding, weights.get("*", 0.0))

    liked = (each for each in encodings if 0 < weight(each) >= weights["identity"])
    return max(liked, key=weight, default="")


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _content(
    content: bytes, suffix: str, if_none_match: str, cache: tuple[str, str], *more: tuple[str, str]
) -> Response:
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = (("etag", tag), cache, *more, *SAFE_PAGE)
    if tag in (part.strip().removeprefix("W/") for part in if_none_match.split(",")):
        return Response(304, None, headers=headers)
    return Response(200, content, _KINDS.get(suffix.lower(), "application/octet-stream"), headers)


def _not_found() -> Response:
    return Response(404, b"there is no such file\n", _KINDS[".txt"], (_CHECK, *SAFE_PAGE))
