"""Whose address a request is from."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_billing.metering.addresses import TrustedProxies, counted_as, spelled

PROXY = "10.0.0.1"
PROXIES = TrustedProxies(["10.0.0.0/8", "2001:db8:1::/48"], "X-Forwarded-For")


@pytest.mark.parametrize(
    ("values", "client"),
    [
        ([], PROXY),
        ([""], PROXY),
        (["203.0.113.7"], "203.0.113.7"),
        (["1.2.3.4, 203.0.113.7"], "203.0.113.7"),
        (["203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        (["1.2.3.4", "203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        (["203.0.113.7:4711"], "203.0.113.7"),
        (["[2001:db8:2::7]:4711"], "2001:db8:2::7"),
        (["2001:DB8:2:0::7"], "2001:db8:2::7"),
        (["::ffff:203.0.113.7"], "203.0.113.7"),
        (["203.0.113.7, 2001:db8:1::9"], "203.0.113.7"),
        (["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        (["203.0.113.7, unknown"], PROXY),
        (["203.0.113.7, , 10.0.0.2"], PROXY),
        (["1.2.3.4.5"], PROXY),
        (["203.0.113.7, 10.0.0.2, <script>"], PROXY),
        (["٣.1.1.1"], PROXY),
        ([",".join(["203.0.113.7"] + ["10.0.0.2"] * 40)], "10.0.0.2"),
    ],
)
def test_client__behind_a_trusted_proxy__is_the_right_most_that_is_none(values: Sequence[str], client: str) -> None:
    assert PROXIES.client(PROXY, values) == client


def test_client__of_a_peer_that_is_not_trusted__is_the_peer_whatever_it_says() -> None:
    assert PROXIES.client("203.0.113.9", ["1.2.3.4"]) == "203.0.113.9"
    assert TrustedProxies([], "X-Forwarded-For").client(PROXY, ["1.2.3.4"]) == PROXY


@pytest.mark.parametrize(("trusted", "client"), [(["unix"], "203.0.113.7"), (["10.0.0.0/8"], "")])
def test_client__of_a_peer_on_a_socket__is_what_it_says_where_unix_is_trusted(trusted: list[str], client: str) -> None:
    assert TrustedProxies(trusted, "X-Forwarded-For").client("", ["203.0.113.7"]) == client


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("for=203.0.113.7", "203.0.113.7"),
        ('For="[2001:db8:2::7]:4711";proto=https', "2001:db8:2::7"),
        ("for=1.2.3.4, for=203.0.113.7;by=10.0.0.1, proto=http;for=10.0.0.2", "203.0.113.7"),
        ("proto=https", PROXY),
        ("for=_hidden", PROXY),
        ("for=1.2.3.4;for=1.2.3.5", PROXY),
        ("203.0.113.7", PROXY),
        ('for=203.0.113.7;host="a,for=7.7.7.7;x="', "203.0.113.7"),
        ('proto=http;for=203.0.113.7;host="a, for=7.7.7.7;x"', "203.0.113.7"),
        ('host="a;for=7.7.7.7;x=";for=203.0.113.7;', "203.0.113.7"),
        ('for=203.0.113.7;host="a\\",for=7.7.7.7;x=\\""', "203.0.113.7"),
        ('for=203.0.113.7;host="a\\\\", for=10.0.0.2', "203.0.113.7"),
        ('for="7.7.7.7, for=203.0.113.7;host="b"', "203.0.113.7"),
        ('for=", for=203.0.113.7', "203.0.113.7"),
        ('for=7.7.7.7;host="a', PROXY),
        ('for=7.7.7.7;x="a"b', PROXY),
        ('for="7.7.7.\\7"', PROXY),
    ],
)
def test_client__told_by_forwarded__is_its_right_most_too(value: str, client: str) -> None:
    assert TrustedProxies(["10.0.0.0/8"], "Forwarded").client(PROXY, [value]) == client


@given(st.text(alphabet='ab,;="\\ for7.', max_size=40), st.text(alphabet='for=7.,"\\; ', max_size=30))
def test_client__told_by_a_proxy_that_quotes_its_words__is_what_the_proxy_says(host: str, before: str) -> None:
    quoted = host.replace("\\", "\\\\").replace('"', '\\"')
    values = [before, f'for=203.0.113.7;host="{quoted}"']
    assert TrustedProxies(["10.0.0.0/8"], "Forwarded").client(PROXY, values) == "203.0.113.7"


@given(st.text(max_size=80), st.lists(st.text(alphabet='0123456789.:,[]% afor="', max_size=60), max_size=3))
def test_client__of_any_text__is_an_address_or_the_peer(peer: str, values: list[str]) -> None:
    proxies = TrustedProxies(["0.0.0.0/0", "::/0", "unix"], "X-Forwarded-For")
    found = proxies.client(peer, values)
    assert found == spelled(peer) or found == spelled(found) != ""


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_address__of_ipv6__counts_with_its_64(address: str, counted: str) -> None:
    assert counted_as(address) == counted


def test_address__with_a_scope__is_the_same_without() -> None:
    assert spelled("fe80::1%eth0") == "fe80::1"


@pytest.mark.parametrize("peer", ["a" * 65, "a\n", " a"])
def test_peer__that_is_no_name__has_no_address(peer: str) -> None:
    assert spelled(peer) == ""
