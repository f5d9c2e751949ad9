"""Consumers, tiers, keys and alerts in every store."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest

from api_billing.metering.errors import IdConflict, UnknownConsumer, UnknownKey, UnknownTier
from api_billing.metering.ledger.consumer_operations import (
    ApiKey,
    ChangeKey,
    FindKey,
    GetProfile,
    ListKeys,
    ListProfiles,
    ListTiers,
    PutKey,
    PutProfile,
    PutTier,
    RevokeKey,
    RotateKey,
)
from api_billing.metering.ledger.operations import FireOnce, Prune, Refused, Reserved, StaleProfile
from api_billing.metering.limits.quotas import Budget, Quota, Step
from api_billing.metering.limits.tiers import DEFAULT_TIERS, Tier

QUOTAS = (Quota("daily", "day", 100), Quota("spend", "month", 2**200, "wei", date(2024, 1, 31)))
BUDGETS = (
    Budget("llm", "week", 2**255, (Step(50, "warn"), Step(100, "throttle")), "model", "m'\x00ü", date(2024, 2, 29), 9),
)
GOLD = Tier("gold", 5, 3, (Quota("hourly", "hour", 7),))


def key(key_id="k1", consumer="acme", **changes):
    values = {"digest": "d1", "tier": "", "label": "l'\x00", "created_ms": 5, **changes}
    return ApiKey(key_id, consumer=consumer, **values)


def test_profile__put__comes_back(desk):
    made = desk.call(PutProfile("acme", "pro", True, QUOTAS, BUDGETS))
    assert (made.tier.name, made.disabled, made.quotas, made.budgets) == ("pro", True, QUOTAS, BUDGETS)
    assert desk.call(GetProfile("acme")) == made


def test_profile__unknown__is_none(desk):
    assert desk.call(GetProfile("nobody")) is None


def test_profile__replaced__has_another_version(desk):
    first = desk.call(PutProfile("acme", "pro"))
    second = desk.call(PutProfile("acme", "pro"))
    assert second.version > first.version


def test_profile__only_new__leaves_one_that_exists(desk):
    first = desk.call(PutProfile("acme", "pro", quotas=QUOTAS))
    assert desk.call(PutProfile("acme", "free", replaces=0)) == first


def test_profile__only_new_and_not_there__is_made(desk):
    assert desk.call(PutProfile("acme", "free", replaces=0)).tier.name == "free"


def test_profile__replacing_the_version_it_has__is_replaced(desk):
    first = desk.call(PutProfile("acme", "pro"))
    assert desk.call(PutProfile("acme", "free", replaces=first.version)).tier.name == "free"


def test_profile__replacing_an_older_version__stays_as_it_is(desk):
    first = desk.call(PutProfile("acme", "pro"))
    second = desk.call(PutProfile("acme", "premium"))
    assert desk.call(PutProfile("acme", "free", replaces=first.version)) == second


def test_profile__of_an_unknown_tier__is_refused(desk):
    with pytest.raises(UnknownTier):
        desk.call(PutProfile("acme", "platinum"))


def test_profiles__listed__in_the_order_of_names_by_page(desk):
    for name in ("b", "a", "C", "ä"):
        desk.call(PutProfile(name, "free"))
    assert [profile.consumer for profile in desk.call(ListProfiles(limit=3))] == ["C", "a", "b"]
    assert [profile.consumer for profile in desk.call(ListProfiles(after="b"))] == ["ä"]


def test_tiers__at_first__are_the_defaults(desk):
    assert desk.call(ListTiers()) == tuple(sorted(DEFAULT_TIERS, key=lambda tier: tier.name))


def test_tier__put__comes_back(desk):
    desk.call(PutTier(GOLD))
    assert GOLD in desk.call(ListTiers())


def test_tier__redefined__changes_every_version(desk):
    desk.call(PutTier(GOLD))
    profiles = [desk.call(PutProfile(name, "gold")) for name in "ab"]
    desk.call(PutTier(Tier("gold", 6, 3)))
    changed = [desk.call(GetProfile(name)) for name in "ab"]
    assert all(new.version > old.version for new, old in zip(changed, profiles, strict=True))
    assert changed[0].tier.monthly_calls == 6


def test_reserve__with_the_version_of_the_profile__is_admitted(desk):
    profile = desk.call(PutProfile("acme", "pro"))
    assert isinstance(desk.reserve(0, profile_version=profile.version)[1], Reserved)


@pytest.mark.parametrize("change", ["profile", "tier", "key", "rotation"])
def test_reserve__with_an_old_version__gets_the_profile_to_use(desk, change):
    desk.call(PutTier(GOLD))
    profile = desk.call(PutProfile("acme", "gold", quotas=QUOTAS))
    desk.call(PutKey(key()))
    if change == "profile":
        desk.call(PutProfile("acme", "pro", budgets=BUDGETS))
    elif change == "tier":
        desk.call(PutTier(Tier("gold", 6, 3)))
    elif change == "rotation":
        desk.call(rotation())
    else:
        desk.call(RevokeKey("k1", 7))
    reply = desk.reserve(0, profile_version=profile.version)[1]
    assert reply == StaleProfile(desk.call(GetProfile("acme")))
    assert isinstance(desk.reserve(0, profile_version=reply.profile.version)[1], Reserved)


def test_reserve__of_an_unknown_consumer_with_a_version__is_stale_without_a_profile(desk):
    assert desk.reserve(0, profile_version=0)[1] == StaleProfile(None)


def test_reserve__of_a_disabled_consumer__is_refused(desk, calls):
    profile = desk.call(PutProfile("acme", "pro", disabled=True))
    reply = desk.reserve(0, calls(0), profile_version=profile.version)[1]
    assert isinstance(reply, Refused)
    assert (reply.code, reply.violated) == ("disabled", ())


def test_key__put__is_found(desk):
    desk.call(PutProfile("acme", "pro"))
    desk.call(PutKey(key(tier="free")))
    assert desk.call(FindKey("k1")) == key(tier="free")


def test_key__of_an_unknown_consumer__is_refused(desk):
    with pytest.raises(UnknownConsumer):
        desk.call(PutKey(key()))
    assert desk.call(FindKey("k1")) is None


def test_key__of_an_unknown_tier__is_refused(desk):
    desk.call(PutProfile("acme", "pro"))
    with pytest.raises(UnknownTier):
        desk.call(PutKey(key(tier="platinum")))


@pytest.mark.parametrize("other", [{"consumer": "other"}, {"digest": "d2"}, {"tier": "pro"}, {"label": ""}])
def test_key__id_of_another_key__is_a_conflict(desk, other):
    for consumer in ("acme", "other"):
        desk.call(PutProfile(consumer, "pro"))
    desk.call(PutKey(key()))
    with pytest.raises(IdConflict):
        desk.call(PutKey(key(**other)))
    assert desk.call(FindKey("k1")) == key()


def test_key__put_again_after_it_was_revoked__stays_revoked(desk):
    desk.call(PutProfile("acme", "pro"))
    desk.call(PutKey(key()))
    desk.call(RevokeKey("k1", 7))
    desk.call(PutKey(key()))
    assert desk.call(FindKey("k1")).revoked_ms == 7


def test_key__revoked__is_found_as_revoked(desk):
    desk.call(PutProfile("acme", "pro"))
    desk.call(PutKey(key()))
    assert desk.call(RevokeKey("k1", 7))
    assert desk.call(FindKey("k1")) == key(revoked_ms=7)


def test_key__revoked_again_or_unknown__is_false_and_keeps_its_instant(desk):
    desk.call(PutProfile("acme", "pro"))
    desk.call(PutKey(key()))
    desk.call(RevokeKey("k1", 7))
    assert not desk.call(RevokeKey("k1", 8))
    assert not desk.call(RevokeKey("k2", 8))
    assert desk.call(FindKey("k1")).revoked_ms == 7


TERMS = {"tier": "free", "apis": ("weather", "maps"), "quotas": QUOTAS}


def test_key__limited__comes_back_with_its_limits(desk):
    desk.call(PutProfile("acme", "pro"))
    limited = key(expires_ms=9, first="k0", **TERMS)
    desk.call(PutKey(limited))
    assert desk.call(FindKey("k1")) == limited


def test_key__changed__is_another_and_so_is_its_consumers_version(desk):
    profile = desk.call(PutProfile("acme", "pro"))
    desk.call(PutKey(key()))
    wanted = key(expires_ms=9, **TERMS)
    assert [desk.call(ChangeKey(wanted, key())) for _ in range(2)] == [wanted, wanted]
    assert desk.call(FindKey("k1")) == wanted
    assert desk.call(ListKeys("acme")) == (wanted,)
    assert desk.call(GetProfile("acme")).version > profile.version


def test_key__changed_when_it_is_another_by_then__stays_as_it_is(desk):
    desk.call(PutProfile("acme", "pro"))
    desk.call(PutKey(key()))
    desk.call(RevokeKey("k1", 7))
    version = desk.call(GetProfile("acme")).version
    assert desk.call(ChangeKey(key(label="new"), key())) == key(revoked_ms=7)
    assert desk.call(FindKey("k1")) == key(revoked_ms=7)
    assert desk.call(ChangeKey(key("k2", label="new"), key("k2"))) is None
    assert desk.call(GetProfile("acme")).version == version


def test_key__changed_to_an_unknown_tier__is_refused(desk):
    desk.call(PutProfile("acme", "pro"))
    desk.call(PutKey(key()))
    with pytest.raises(UnknownTier):
        desk.call(ChangeKey(key(tier="platinum"), key()))
    assert desk.call(FindKey("k1")) == key()


def rotation(new_id="k2", key_id="k1", until_ms=50, **changes):
    return RotateKey(key_id, key(new_id, digest="d2", label="new", created_ms=10, **changes), 10, until_ms)


def test_key__rotated__has_all_but_its_secret_of_the_old_one(desk):
    profile = desk.call(PutProfile("acme", "pro"))
    desk.call(PutKey(key(**TERMS)))
    made = desk.call(rotation())
    assert made == key("k2", digest="d2", label="new", created_ms=10, first="k1", **TERMS)
    assert [desk.call(FindKey(each)) for each in ("k1", "k2")] == [key(expires_ms=50, **TERMS), made]
    assert desk.call(GetProfile("acme")).version > profile.version


@pytest.mark.parametrize(("before_ms", "after_ms"), [(None, 50), (40, 40), (60, 50)])
def test_key__rotated__expires_no_later_than_before(desk, before_ms, after_ms):
    desk.call(PutProfile("acme", "pro"))
    desk.call(PutKey(key(expires_ms=before_ms)))
    desk.call(rotation(expires_ms=99))
    assert [desk.call(FindKey(each)).expires_ms for each in ("k1", "k2")] == [after_ms, 99]


def test_key__rotated_again_with_the_same_new_one__changes_nothing(desk):
    desk.call(PutProfile("acme", "pro"))
    desk.call(PutKey(key()))
    made = desk.call(rotation())
    assert desk.call(rotation(until_ms=70)) == made
    assert desk.call(FindKey("k1")).expires_ms == 50


def test_key__rotated_twice__is_a_conflict(desk):
    desk.call(PutProfile("acme", "pro"))
    desk.call(PutKey(key()))
    desk.call(rotation())
    with pytest.raises(IdConflict, match="k2"):
        desk.call(rotation("k3"))
    assert desk.call(FindKey("k3")) is None


def test_key__whose_successor_is_rotated__has_one_family(desk):
    desk.call(PutProfile("acme", "pro"))
    desk.call(PutKey(key()))
    desk.call(rotation())
    made = desk.call(rotation("k3", "k2"))
    assert (made.family, made.created_ms) == ("k1", 11)


def test_key__whose_successor_was_revoked__can_be_rotated_once_more(desk):
    desk.call(PutProfile("acme", "pro"))
    desk.call(PutKey(key()))
    desk.call(rotation())
    desk.call(RevokeKey("k2", 11))
    assert desk.call(rotation("k3")).key_id == "k3"


@pytest.mark.parametrize("why", ["unknown", "revoked", "expired"])
def test_key__that_is_not_good__cannot_be_rotated(desk, why):
    desk.call(PutProfile("acme", "pro"))
    if why != "unknown":
        desk.call(PutKey(key(expires_ms=10 if why == "expired" else None)))
    if why == "revoked":
        desk.call(RevokeKey("k1", 7))
    with pytest.raises(UnknownKey):
        desk.call(rotation())
    assert desk.call(FindKey("k2")) is None


def test_key__rotated_to_the_id_of_another__is_a_conflict(desk):
    for consumer in ("acme", "other"):
        desk.call(PutProfile(consumer, "pro"))
    desk.call(PutKey(key()))
    desk.call(PutKey(key("k2", "other")))
    with pytest.raises(IdConflict):
        desk.call(rotation())
    assert desk.call(FindKey("k1")).expires_ms is None


def test_key__rotated_by_many_at_once__has_one_successor(desk):
    desk.call(PutProfile("acme", "pro"))
    desk.call(PutKey(key()))

    def rotate(number):
        try:
            return desk.call(rotation(f"new{number}")).key_id
        except IdConflict:
            return ""

    with ThreadPoolExecutor(8) as threads:
        made = [each for each in threads.map(rotate, range(8)) if each]
    assert len(made) == 1
    assert [each.key_id for each in desk.call(ListKeys("acme"))] == ["k1", *made]


def test_keys__listed__oldest_first_of_one_consumer_or_all(desk):
    for consumer in ("acme", "other"):
        desk.call(PutProfile(consumer, "pro"))
    made = [key("k3", created_ms=1), key("k1", created_ms=2), key("k2", "other", created_ms=2)]
    for one in reversed(made):
        desk.call(PutKey(one))
    assert desk.call(ListKeys()) == tuple(made)
    assert desk.call(ListKeys("acme")) == tuple(made[:2])
    assert desk.call(ListKeys("nobody")) == ()


def test_keys__listed_by_pages__are_each_once_in_the_order_of_their_ids(desk):
    for consumer in ("acme", "other"):
        desk.call(PutProfile(consumer, "pro"))
    made = [key("Z9"), key("a1"), key("a2", "other"), key("a3"), key("b")]
    for one in reversed(made):
        desk.call(PutKey(one))
    assert [desk.call(ListKeys("", after, 2)) for after in ("", "a1", "a3")] == [
        (made[0], made[1]),
        (made[2], made[3]),
        (made[4],),
    ]
    assert [desk.call(ListKeys("acme", after, 2)) for after in ("", "a1", "b")] == [
        (made[0], made[1]),
        (made[3], made[4]),
        (),
    ]


def test_fire_once__many_at_once__one_fires(desk):
    with ThreadPoolExecutor(8) as threads:
        fired = list(threads.map(lambda _: desk.call(FireOnce("depleted/acme/1", 1, 100)), range(8)))
    assert sorted(fired) == [False] * 7 + [True]


def test_fire_once__another_key__fires(desk):
    desk.call(FireOnce("a", 1, 100))
    assert desk.call(FireOnce("b", 1, 100))


def test_fire_once__forgotten_by_prune__fires_again_only_after_its_expiry(desk):
    desk.call(FireOnce("a", 1, 100))
    desk.call(Prune(99))
    assert not desk.call(FireOnce("a", 99, 200))
    desk.call(Prune(100))
    assert desk.call(FireOnce("a", 100, 200))
