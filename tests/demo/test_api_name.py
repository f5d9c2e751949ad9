"""From a request path to the name of an API."""

import re
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from demo.api_name import MAX_NAME_LENGTH, api_of

VALID_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@pytest.mark.parametrize("path", ["/", "", "/?page=2", "?page=2", "/#top", "//double", "*", "host:443"])
def test_api_of__no_first_segment__is_root(path: str) -> None:
    assert api_of(path) == "root"


@pytest.mark.parametrize(
    ("path", "api"),
    [
        ("/forecast", "forecast"),
        ("/forecast/today/oslo", "forecast"),
        ("/forecast?city=oslo", "forecast"),
        ("/forecast?next=/geocode", "forecast"),
        ("/Favicon.ICO", "favicon.ico"),
        ("/%66oo", "foo"),
        ("/v1.2_x-y", "v1.2_x-y"),
        ("/" + "a" * 64, "a" * 64),
    ],
)
def test_api_of__valid_segment__is_its_own_name(path: str, api: str) -> None:
    assert api_of(path) == api


@pytest.mark.parametrize(
    ("path", "slug"),
    [
        ("/~psionic/x", "psionic"),
        ("/a b", "a-b"),
        ("/a%2Fb", "a-b"),
        ("/.hidden", "hidden"),
        ("/caf%C3%A9", "caf"),
        ("/%20", "segment"),
        ("/%2E%2e%2e", "segment"),
        ("/" + "a" * 65, "a" * 50),
        ("/root", "root"),
        ("/ROOT", "root"),
        ("/" + "a" * 3 + "--" + "0" * 12, "aaa-000000000000"),
    ],
)
def test_api_of__segment_that_is_no_name__is_slug_and_hash(path: str, slug: str) -> None:
    assert re.fullmatch(re.escape(slug) + r"--[0-9a-f]{12}", api_of(path))


def test_api_of__segments_that_differ_only_in_case__share_an_api() -> None:
    assert api_of("/~Ann") == api_of("/~aNN")


def test_api_of__segment_and_its_percent_encoding__share_an_api() -> None:
    assert api_of("/café") == api_of("/caf%C3%A9")


def test_api_of__bytes_that_are_not_utf8__differ_from_those_that_are() -> None:
    assert api_of("/caf%E9") != api_of("/caf%C3%A9")


def test_api_of__name_that_was_made_here_as_a_segment__has_another_name() -> None:
    made = api_of("/~ann")
    assert api_of("/" + made) != made


@given(st.text(max_size=200))
def test_api_of__any_text__is_a_name_that_the_contract_takes(path: str) -> None:
    for name in (api_of(path), api_of("/" + path)):
        assert VALID_NAME.fullmatch(name)
        assert len(name) <= MAX_NAME_LENGTH


SEGMENTS = st.text(st.sampled_from("aAbB01.-_~ é%/K"), min_size=1, max_size=6) | st.text(min_size=1, max_size=80)


@given(SEGMENTS, SEGMENTS)
def test_api_of__segments_that_differ_in_more_than_case__never_collide(one: str, other: str) -> None:
    assume(one.lower() != other.lower())
    assert api_of("/" + quoted(one)) != api_of("/" + quoted(other))


def quoted(segment: str) -> str:
    return quote(segment.encode("utf-8", "surrogatepass"), safe="")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/./v1/a", "v1"),
        ("/x/../v1/a", "v1"),
        ("/../v1", "v1"),
        ("/%2e/v1", "v1"),
        ("/x/%2E%2e/v1", "v1"),
        ("/x/.%2E/v1?a=/../b", "v1"),
        ("/x/y/../../v1/..", "root"),
        ("/x/y/../z", "x"),
        ("/x/..", "root"),
        ("/.", "root"),
        ("/..", "root"),
        ("/x//../v1", "x"),
        ("/v1?next=/../x", "v1"),
        ("/v1#/../x", "v1"),
    ],
)
def test_api_of__dot_segments__are_resolved_as_a_server_does(path: str, name: str) -> None:
    assert api_of(path) == name


@pytest.mark.parametrize("path", ["/.../a", "/..v1/a", "/.v1", "/%252e%252e/a"])
def test_api_of__dots_that_are_part_of_a_name__stay(path: str) -> None:
    assert api_of(path) != "root"
