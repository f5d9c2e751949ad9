"""The files at /app: what is served, how long it is kept, and what is never served."""

from __future__ import annotations

import http.client
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from genlayer_localnet.cli import main
from genlayer_localnet.rpc.http import Response
from genlayer_localnet.rpc.options import NodeOptions
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.rpc.static_files import StaticSite

Get = Callable[..., Response]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "page" / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>page")
    (folder / "assets" / "index-1a2b.js").write_text("script")
    (folder / ".secret").write_text("secret")
    (tmp_path / "outside.txt").write_text("outside")
    return folder


@pytest.fixture
def get(root: Path) -> Get:
    def answer(
        path: str, verb: str = "GET", if_none_match: str = "", accept: str = "", site: StaticSite | None = None
    ) -> Response:
        response = (site or StaticSite(root)).answer(verb, path, if_none_match, accept)
        assert response is not None
        return response

    return answer


@pytest.mark.parametrize("path", ["/app/", "/app/index.html", "/app/usage"])
def test_page__its_address_or_a_place_in_it__is_the_index(get: Get, path: str) -> None:
    response = get(path)
    assert (response.status, response.body, response.kind) == (200, b"<!doctype html>page", "text/html; charset=utf-8")


def test_page__without_the_slash__is_redirected(get: Get) -> None:
    response = get("/app")
    assert (response.status, ("location", "/app/") in response.headers) == (308, True)


def test_asset__has_its_type(get: Get) -> None:
    assert get("/app/assets/index-1a2b.js").kind == "text/javascript; charset=utf-8"


def test_asset__is_kept_for_good(get: Get) -> None:
    assert "immutable" in dict(get("/app/assets/index-1a2b.js").headers)["cache-control"]


def test_index__is_asked_for_each_time(get: Get) -> None:
    assert ("cache-control", "no-cache") in get("/app/").headers


def test_index__that_the_browser_has__is_not_sent_again(get: Get) -> None:
    tag = dict(get("/app/").headers)["etag"]
    response = get("/app/", if_none_match=f'"other", W/{tag}')
    assert (response.status, response.body) == (304, None)


def test_index__changed_since__is_sent(get: Get) -> None:
    assert get("/app/", if_none_match='"0123"').status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/app/../outside.txt",
        "/app/%2e%2e/%2e%2e/outside.txt",
        "/app/..%2f..%2foutside.txt",
        "/app/assets/../../../outside.txt",
        "/app/..%5c..%5coutside.txt",
        "/app//etc/passwd",
        "/app/.secret",
        "/app/%00index.html",
        "/app/assets",
        "/app/assets/",
        "/app/assets/none.js",
        "/app/a/b",
        "/app/" + "x" * 5_000 + ".js",
    ],
)
def test_path__outside_hidden_or_absent__is_not_found(get: Get, path: str) -> None:
    assert get(path).status == 404


def test_link__to_the_outside__is_not_followed(get: Get, root: Path) -> None:
    os.symlink(root.parents[1] / "outside.txt", root / "link.txt")
    assert get("/app/link.txt").status == 404


def test_file__of_a_further_folder__is_served(get: Get, root: Path, tmp_path: Path) -> None:
    (tmp_path / "deployments").mkdir()
    (tmp_path / "deployments" / "localnet.json").write_text("{}")
    site = StaticSite(root, folders={"deployments": tmp_path / "deployments"})
    response = get("/app/deployments/localnet.json", site=site)
    assert (response.status, response.body, response.kind) == (200, b"{}", "application/json")


def test_folder__absent_file_of_it__is_not_the_index(get: Get, root: Path, tmp_path: Path) -> None:
    site = StaticSite(root, folders={"deployments": tmp_path / "deployments"})
    assert get("/app/deployments/studionet.json", site=site).status == 404


def test_document__is_served_at_its_path(get: Get, root: Path) -> None:
    site = StaticSite(root, documents={"deployments/localnet.json": b'{"a":1}'})
    assert get("/app/deployments/localnet.json", site=site).body == b'{"a":1}'


def test_page__not_built__says_how_to_build_it(get: Get, tmp_path: Path) -> None:
    response = get("/app/", site=StaticSite(tmp_path / "page" / "none" / "dist"))
    assert response.status == 503
    assert b"npm run build" in (response.body or b"")


def test_page__built_later__is_found(get: Get, tmp_path: Path) -> None:
    site = StaticSite(tmp_path)
    assert get("/app/", site=site).status == 503
    (tmp_path / "index.html").write_text("built")
    assert get("/app/", site=site).body == b"built"


def test_post__to_a_file__is_not_allowed(get: Get) -> None:
    response = get("/app/index.html", verb="POST")
    assert (response.status, ("allow", "GET, HEAD") in response.headers) == (405, True)


SCRIPT = "/app/assets/index-1a2b.js"


@pytest.fixture
def compressed(root: Path) -> Path:
    """A script with what the build puts beside it."""
    script = root / "assets" / "index-1a2b.js"
    script.with_name("index-1a2b.js.br").write_bytes(b"by brotli")
    script.with_name("index-1a2b.js.gz").write_bytes(b"by gzip")
    return script


@pytest.mark.usefixtures("compressed")
@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("GZIP", "gzip"),
        ("gzip, br;q=0", "gzip"),
        ("br;q=0.5, gzip;q=0.8", "gzip"),
        ("gzip ; q=0.001", "gzip"),
        ("*", "br"),
        ("*;q=0.1, br;q=0", "gzip"),
        ("gzip;q=0.5, identity;q=0.2", "gzip"),
    ],
)
def test_compressed__accepted__is_sent_as_liked_best(get: Get, accept: str, encoding: str) -> None:
    response = get(SCRIPT, accept=accept)
    headers = dict(response.headers)
    assert response.body == (b"by brotli" if encoding == "br" else b"by gzip")
    assert (response.kind, headers["content-encoding"]) == ("text/javascript; charset=utf-8", encoding)
    assert (headers["vary"], "immutable" in headers["cache-control"]) == ("accept-encoding", True)


@pytest.mark.usefixtures("compressed")
@pytest.mark.parametrize(
    "accept",
    [
        "",
        "identity",
        "deflate, zstd",
        "br;q=0, gzip;q=0.0",
        "*;q=0",
        "gzip;q=much",
        "gzip;q=nan",
        "identity, gzip;q=0.5",
    ],
)
def test_compressed__not_accepted__is_sent_plain(get: Get, accept: str) -> None:
    response = get(SCRIPT, accept=accept)
    headers = dict(response.headers)
    assert (response.body, "content-encoding" in headers, headers["vary"]) == (b"script", False, "accept-encoding")


@pytest.mark.usefixtures("compressed")
def test_compressed__that_the_browser_has__is_not_sent_again(get: Get) -> None:
    tag = dict(get(SCRIPT, accept="gzip").headers)["etag"]
    again = get(SCRIPT, accept="gzip", if_none_match=tag)
    assert (again.status, again.body, dict(again.headers)["vary"]) == (304, None, "accept-encoding")


@pytest.mark.usefixtures("compressed")
@pytest.mark.parametrize("accept", ["", "br"])
def test_compressed__tag_of_another_encoding__does_not_hold(get: Get, accept: str) -> None:
    tag = dict(get(SCRIPT, accept="gzip").headers)["etag"]
    assert get(SCRIPT, accept=accept, if_none_match=tag).status == 200


def test_compressed__of_what_was_changed_since__is_not_sent(get: Get, compressed: Path) -> None:
    os.utime(compressed.with_name("index-1a2b.js.br"), (0, 0))
    assert dict(get(SCRIPT, accept="br, gzip").headers)["content-encoding"] == "gzip"


def test_compressed__link_to_the_outside__is_not_followed(get: Get, compressed: Path, tmp_path: Path) -> None:
    compressed.with_name("index-1a2b.js.br").unlink()
    os.symlink(tmp_path / "outside.txt", compressed.with_name("index-1a2b.js.br"))
    assert get(SCRIPT, accept="br").body == b"script"


def test_file__with_nothing_compressed_beside_it__does_not_vary(get: Get) -> None:
    assert "vary" not in dict(get("/app/", accept="br").headers)


@pytest.mark.parametrize("path", ["/", "/api", "/application", "/health"])
def test_path__elsewhere__is_left_to_the_server(root: Path, path: str) -> None:
    assert StaticSite(root).answer("GET", path) is None


def test_server__with_a_site__has_both(root: Path) -> None:
    with RpcServer(NodeOptions(accounts=0), site=StaticSite(root)) as server:
        connection = http.client.HTTPConnection("127.0.0.1", urlsplit(server.url).port, timeout=30)
        connection.request("GET", "/app/assets/index-1a2b.js")
        script = connection.getresponse()
        assert (script.status, script.read()) == (200, b"script")
        tag = script.headers["etag"]
        connection.request("GET", "/app/assets/index-1a2b.js", headers={"If-None-Match": tag})
        again = connection.getresponse()
        assert (again.status, again.read()) == (304, b"")
        (root / "assets" / "index-1a2b.js.gz").write_bytes(b"by gzip")
        connection.request("HEAD", "/app/assets/index-1a2b.js", headers={"Accept-Encoding": "gzip"})
        head = connection.getresponse()
        assert (head.headers["content-encoding"], head.headers["content-length"], head.read()) == ("gzip", "7", b"")
        assert sorted(head.headers.get_all("vary") or ()) == ["accept-encoding", "origin"]
        connection.request(
            "POST", "/api", b'{"jsonrpc":"2.0","id":1,"method":"ping"}', {"Content-Type": "application/json"}
        )
        assert b'"OK"' in connection.getresponse().read()
        connection.close()


@pytest.mark.parametrize("options", [["--app-folder", "a=b"], ["--app", ".", "--app-folder", "a"]])
def test_up__app_folder_without_a_page_or_a_name__is_a_wrong_command(options: list[str]) -> None:
    assert main(["up", *options]) == 2
