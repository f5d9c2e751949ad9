"""API keys: their form, their hashes, the pepper and the cache."""

import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api_billing.metering.errors import InvalidSetting
from api_billing.metering.identity.api_keys import (
    KEY_LENGTH,
    KeyCache,
    check_pepper,
    digest,
    imported_key,
    matches,
    new_key,
    parse_key,
    pepper_beside,
    read_key,
)
from api_billing.metering.ledger.consumer_operations import ApiKey

PEPPER = b"a pepper of the tests"
KEY = new_key(PEPPER, "ann", 5, tier="pro", label="ci")


def test_new_key__text__has_the_documented_form() -> None:
    assert len(KEY.text) == KEY_LENGTH
    assert KEY.text.startswith(f"ab_{KEY.stored.key_id}_")


def test_new_key__stored__has_owner_tier_label_and_time() -> None:
    assert (KEY.stored.consumer, KEY.stored.tier, KEY.stored.label, KEY.stored.created_ms) == ("ann", "pro", "ci", 5)


def test_new_key__stored__does_not_have_the_secret() -> None:
    parsed = parse_key(KEY.text)
    assert parsed is not None
    assert parsed.secret not in repr(KEY.stored)


@pytest.mark.parametrize("shown", [repr(KEY), repr(parse_key(KEY.text))], ids=["new", "parsed"])
def test_repr__of_a_key__hides_its_secret(shown: str) -> None:
    parsed = parse_key(KEY.text)
    assert parsed is not None
    assert parsed.secret not in shown


def test_new_key__twice__differs() -> None:
    assert new_key(PEPPER, "ann", 5).text != new_key(PEPPER, "ann", 5).text


@pytest.mark.parametrize(
    "text",
    [
        "short-of-sixteen",
        "0" * 15 + "1",
        "with spaces in it, long enough",
        "line\nbreak-in-the-middle",
        "ünïcödé-in-the-middle",
        "ab_" + "0123456789" * 4,
        KEY.text[:-1] + ("0" if KEY.text[-1] != "0" else "1"),
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl",
        "k3y" * 1_366,
    ],
    ids=["15 long", "one digit", "spaces", "lines", "not ASCII", "of our form", "mistyped", "JWT", "too long"],
)
def test_imported_key__text_that_can_be_none__is_refused_without_telling_it(text: str) -> None:
    text = text[:15] if text == "short-of-sixteen" else text
    with pytest.raises(InvalidSetting) as raised:
        imported_key(PEPPER, text, "ann", 0)
    assert text not in str(raised.value)


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=16, max_size=64))
def test_imported_key__any__is_found_again_and_has_no_id_of_ours(text: str) -> None:
    try:
        made = imported_key(PEPPER, text, "ann", 5)
    except InvalidSetting:
        assert len(set(text)) < 5 or text.startswith("ab_")
        return
    parsed = read_key(PEPPER, text)
    assert parsed is not None
    assert matches(PEPPER, parsed, made.stored)
    assert len(parsed.key_id) != len(KEY.stored.key_id)
    assert text not in repr(made)


def test_imported_key__of_another_meter_of_ours__keeps_its_id() -> None:
    elsewhere = new_key(b"another pepper, as long", "ann", 5)
    made = imported_key(PEPPER, elsewhere.text, "ann", 7)
    parsed = parse_key(elsewhere.text)
    assert parsed is not None
    assert made.stored.key_id == elsewhere.stored.key_id
    assert matches(PEPPER, parsed, made.stored)


def test_parse_key__new_key__matches_what_is_stored() -> None:
    parsed = parse_key(KEY.text)
    assert parsed is not None
    assert matches(PEPPER, parsed, KEY.stored)


@given(st.data())
def test_parse_key__one_character_mistyped__is_none(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, KEY_LENGTH - 1))
    other = data.draw(st.sampled_from("0aZ_-é \n").filter(lambda character: character != KEY.text[at]))
    assert parse_key(KEY.text[:at] + other + KEY.text[at + 1 :]) is None


@pytest.mark.parametrize(
    "text", ["", "ab_", KEY.text[:-1], KEY.text + "0", " " + KEY.text, KEY.text + "\n"], ids=range(6)
)
def test_parse_key__other_length__is_none(text: str) -> None:
    assert parse_key(text) is None


@settings(max_examples=30)
@given(st.text())
def test_parse_key__any_text__never_fails(text: str) -> None:
    assert parse_key(text) is None


def test_matches__other_pepper__is_refused() -> None:
    parsed = parse_key(KEY.text)
    assert parsed is not None
    assert not matches(b"another pepper, 16", parsed, KEY.stored)


def test_matches__unknown_key__is_refused() -> None:
    parsed = parse_key(KEY.text)
    assert parsed is not None
    assert not matches(PEPPER, parsed, None)


def test_matches__digest_of_another_key__is_refused() -> None:
    parsed, other = parse_key(KEY.text), new_key(PEPPER, "bob", 5).stored
    assert parsed is not None
    assert not matches(PEPPER, parsed, other)


def test_digest__same_secret_of_another_id__differs() -> None:
    assert digest(PEPPER, "aaaaaaaa", "s") != digest(PEPPER, "bbbbbbbb", "s")


@pytest.mark.parametrize("pepper", [b"", b"fifteen bytes.."])
def test_check_pepper__missing_or_short__says_how_to_make_one(pepper: bytes) -> None:
    with pytest.raises(InvalidSetting, match="openssl rand"):
        check_pepper(pepper)


def test_pepper_beside__first_time__makes_a_file_only_its_owner_reads(tmp_path: Path) -> None:
    pepper_beside(tmp_path / "meter.db")
    assert stat.S_IMODE((tmp_path / "meter.db.pepper").stat().st_mode) == 0o600


def test_pepper_beside__later__is_the_same(tmp_path: Path) -> None:
    assert pepper_beside(tmp_path / "meter.db") == pepper_beside(tmp_path / "meter.db")


def test_pepper_beside__many_at_once__agree_and_leave_one_file(tmp_path: Path) -> None:
    found: list[bytes] = []
    barrier = threading.Barrier(8)

    def ask() -> None:
        barrier.wait()
        found.append(pepper_beside(tmp_path / "meter.db"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["meter.db.pepper"]


def test_pepper_beside__readable_by_others__is_refused(tmp_path: Path) -> None:
    pepper_beside(tmp_path / "meter.db")
    (tmp_path / "meter.db.pepper").chmod(0o644)
    with pytest.raises(InvalidSetting, match="chmod 600"):
        pepper_beside(tmp_path / "meter.db")


@pytest.mark.parametrize("content", ["", "abcd", "not hex at all, but long enough for one"])
def test_pepper_beside__damaged_file__is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "meter.db.pepper"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(InvalidSetting):
        pepper_beside(tmp_path / "meter.db")


def test_pepper_beside__no_such_folder__is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="cannot be used"):
        pepper_beside(tmp_path / "nowhere" / "meter.db")


def key(key_id: str, consumer: str) -> ApiKey:
    return ApiKey(key_id, "0" * 64, consumer, "", "", 0)


def test_key_cache__within_its_age__has_the_key() -> None:
    cache = KeyCache(max_age_ms=100)
    cache.put("text", key("a", "ann"), 1_000, 0)
    assert cache.get("text", 1_099) == key("a", "ann")


@pytest.mark.parametrize("now_ms", [1_100, 999])
def test_key_cache__past_its_age_or_clock_set_back__does_not(now_ms: int) -> None:
    cache = KeyCache(max_age_ms=100)
    cache.put("text", key("a", "ann"), 1_000, 0)
    assert cache.get("text", now_ms) is None


def test_key_cache__consumer_forgotten__drops_all_its_keys_and_no_others() -> None:
    cache = KeyCache(max_age_ms=100)
    for one in (key("a", "ann"), key("b", "ann"), key("c", "bob")):
        cache.put(one.key_id, one, 0, 0)
    cache.forget("ann")
    assert [cache.get(key_id, 0) is not None for key_id in "abc"] == [False, False, True]


def test_key_cache__full__drops_the_oldest() -> None:
    cache = KeyCache(max_age_ms=100, size=2)
    for key_id in "abc":
        cache.put(key_id, key(key_id, key_id), 0, 0)
    assert [cache.get(key_id, 0) is not None for key_id in "abc"] == [False, True, True]


def test_key_cache__unknown_consumer_forgotten__is_no_error() -> None:
    KeyCache(max_age_ms=1).forget("nobody")


def test_key_cache__other_text__is_not_found() -> None:
    cache = KeyCache(max_age_ms=100)
    cache.put("text", key("a", "ann"), 0, 0)
    assert cache.get("texT", 0) is None


def test_key_cache__remembers__no_text() -> None:
    cache = KeyCache(max_age_ms=100)
    cache.put(KEY.text, KEY.stored, 0, 0)
    assert KEY.text not in repr(vars(cache))
