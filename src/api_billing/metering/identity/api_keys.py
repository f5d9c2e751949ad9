"""API keys: ``ab_<id>_<secret><checksum>``, stored as a keyed hash, shown once.

The id (8 characters) finds the key, the secret (32 characters of base 62: 190 bits) proves it, and the checksum (6, the
CRC-32 of all before it) refuses typos without asking the store. Scanners for leaked secrets recognise the form.

The store keeps HMAC-SHA256(pepper, id and secret). The **pepper** is a secret of the operator that is not in the
database: with the database alone, nobody can check a guess or forge a digest for a key of their own. It comes from
the setting ``key_pepper``. For an embedded store without one, ``pepper_beside`` makes one in a file that only its
owner can read (0600) next to the database: right for one machine, where whoever reads that file may read the database
as well, and to be kept out of copies of the database. Stores that several machines share need the setting, as a file
would differ on each. A lost or changed pepper makes every key invalid; there is no way back but new keys.
So the store keeps what tells the pepper of its keys from others (``pepper_check``), and is not opened with another one.

Keys that exist already, from elsewhere, may be any text that is long enough. There is no id in it to find it by, so
that its id is made of it by the pepper, too: longer than those of our own keys, so that none can stand for another.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
import re
import secrets
import string
import threading
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Final, NamedTuple

from api_billing.metering.errors import InvalidSetting, StoreUnavailable
from api_billing.metering.forks import at_fork
from api_billing.metering.ledger.consumer_operations import ApiKey

_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID_LENGTH: Final = 8
_SECRET_LENGTH: Final = 32
_CHECKSUM_LENGTH: Final = 6
_FORM: Final = re.compile(
    rf"ab_([0-9A-Za-z]{{{_ID_LENGTH}}})_([0-9A-Za-z]{{{_SECRET_LENGTH}}})([0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})", re.ASCII
)
KEY_LENGTH: Final = len("ab__") + _ID_LENGTH + _SECRET_LENGTH + _CHECKSUM_LENGTH
MIN_PEPPER_BYTES: Final = 16
_IMPORTED: Final = re.compile(r"(?!ab_)[!-~]{16,4096}", re.ASCII)
_JWT: Final = re.compile(r"eyJ[^.]*\.[^.]*\.[^.]*")
_LEAST_DIFFERENT: Final = 5  # characters, which a random text of 16 digits has all but once in ten thousand
_IMPORTED_ID_LENGTH: Final = 20
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})


class ParsedKey(NamedTuple):
    """A key of the right form and checksum; whether it is valid is not known yet. Never log it."""

    key_id: str
    secret: str

    @property
    def is_own(self) -> bool:
        """Whether it has the form of our keys; else it may be anything, also no key at all."""
        return len(self.key_id) == _ID_LENGTH

    def __repr__(self) -> str:
        return f"ParsedKey(key_id={self.key_id!r}, secret=…)"


class NewKey(NamedTuple):
    """A new key: its text, to be shown once and kept nowhere, and what the store keeps."""

    text: str
    stored: ApiKey

    def __repr__(self) -> str:
        return f"NewKey(text=…, stored={self.stored!r})"


def new_key(pepper: bytes, consumer: str, now_ms: int, *, tier: str = "", label: str = "") -> NewKey:
    """Make a key with fresh randomness of the system. Raises: InvalidSetting for a pepper that is too short."""
    check_pepper(pepper)
    key_id = _random(_ID_LENGTH)
    secret = _random(_SECRET_LENGTH)
    body = f"ab_{key_id}_{secret}"
    return NewKey(body + _checksum(body), ApiKey(key_id, digest(pepper, key_id, secret), consumer, tier, label, now_ms))


def imported_key(pepper: bytes, text: str, consumer: str, now_ms: int, *, tier: str = "", label: str = "") -> NewKey:
    """The key of a text that somebody has already. Raises: InvalidSetting for a text that is none."""
    parsed = read_key(check_pepper(pepper), text) if len(set(text)) >= _LEAST_DIFFERENT else None
    if parsed is None:
        # Never the text itself.
        raise InvalidSetting(
            "a key from elsewhere has 16 to 4,096 printable ASCII characters without spaces, at least"
            f" {_LEAST_DIFFERENT} different ones, and is neither a JSON Web Token nor a mistyped key of ours"
        )
    stored = ApiKey(parsed.key_id, digest(pepper, *parsed), consumer, tier, label, now_ms)
    return NewKey(text, stored)


def read_key(pepper: bytes, text: str) -> ParsedKey | None:
    """What a text is as a key: one of ours, or one from elsewhere. None when it can be neither."""
    if (own := parse_key(text)) is not None:
        return own
    if _IMPORTED.fullmatch(text) is None or _JWT.fullmatch(text) is not None:
        return None
    # No id and secret of ours have a space between them, so that this is the hash of nothing else.
    found = hmac.digest(pepper, b"imported key: " + text.encode(), "sha256").hex()
    return ParsedKey(found[:_IMPORTED_ID_LENGTH], text)


def parse_key(text: str) -> ParsedKey | None:
    """Return the parts of a key; None when it is none, or mistyped."""
    if len(text) != KEY_LENGTH or (match := _FORM.fullmatch(text)) is None:
        return None
    body, checksum = text[:-_CHECKSUM_LENGTH], text[-_CHECKSUM_LENGTH:]
    return ParsedKey(match[1], match[2]) if _checksum(body) == checksum else None


def digest(pepper: bytes, key_id: str, secret: str) -> str:
    """The keyed hash that the store keeps, in hex. The id is part of it, so that digests cannot be exchanged."""
    return hmac.digest(pepper, f"{key_id}_{secret}".encode(), "sha256").hex()


def matches(pepper: bytes, parsed: ParsedKey, stored: ApiKey | None) -> bool:
    """Whether this is that key, in the same time whether it is known or not."""
    found = digest(pepper, parsed.key_id, parsed.secret)
    return hmac.compare_digest(found, stored.digest if stored is not None else _NO_DIGEST) and stored is not None


def check_pepper(pepper: bytes) -> bytes:
    """Return a pepper that is long enough. Raises: InvalidSetting."""
    if len(pepper) < MIN_PEPPER_BYTES:
        how = "set API_BILLING_KEY_PEPPER to the same secret everywhere; make one with: openssl rand -hex 32"
        raise InvalidSetting(f"API keys need a pepper of at least {MIN_PEPPER_BYTES} bytes: {how}")
    return pepper


def pepper_check(pepper: bytes, kept: str = "") -> str:
    """What tells this pepper from others: a slow hash, that nobody can guess by, with the salt of the one ``kept``."""
    salt = bytes.fromhex(kept.partition(":")[0]) if kept else os.urandom(16)
    return f"{salt.hex()}:{hashlib.scrypt(pepper, salt=salt, n=2**13, r=8, p=1, dklen=32).hex()}"


def pepper_path(database: Path) -> Path:
    """Where the pepper of an embedded store is kept."""
    return database.with_name(database.name + ".pepper")


def pepper_beside(database: Path) -> bytes:
    """Return the pepper kept next to an embedded store (``<database>.pepper``), making it the first time.

    Several processes may ask at once: the file appears whole, and once. Raises: InvalidSetting when the file cannot be
    used, or others than its owner may read it; StoreUnavailable when the disk has no room for it.
    """
    path = pepper_path(database)
    try:
        if not path.exists():
            _create(path)
        if path.stat().st_mode & 0o077:
            raise InvalidSetting(f"{path} can be read by others than its owner: chmod 600 it, or replace all keys")
        return check_pepper(bytes.fromhex(path.read_text("ascii").strip()))
    except (OSError, ValueError) as exc:
        if isinstance(exc, InvalidSetting):
            raise
        if isinstance(exc, OSError) and exc.errno in _NO_ROOM:
            raise StoreUnavailable(f"the pepper of API keys in {path} cannot be made: {exc.strerror}") from exc
        raise InvalidSetting(f"the pepper of API keys in {path} cannot be used: {type(exc).__name__}") from exc


def _create(path: Path) -> None:
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        # A link cannot replace a file: of several processes one wins, and all read the winner's.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


class KeyCache:
    """Keys that were proven, so that a request with one costs no look-up and one fast hash. Thread-safe, bounded.

    What is remembered of a key's text is its keyed hash, with a secret that only this process has and never stores.

    A revocation changes the version of the key's consumer. So ``forget`` the consumer when a store answers
    ``StaleProfile`` (and identify the request again), and whenever its profile is fetched: a key that was looked up
    before its consumer's profile may have been revoked in between, and the version would not tell. ``max_age_ms``
    bounds how long a key is believed in any case.
    """

    def __init__(self, max_age_ms: int, size: int = 10_000) -> None:
        self._max_age_ms = max_age_ms
        self._size = size
        self._secret = os.urandom(32)
        self.generation = 0  # how often something was forgotten
        self._lock = threading.Lock()
        self._keys: OrderedDict[bytes, tuple[ApiKey, int]] = OrderedDict()
        self._tags: dict[str, set[bytes]] = {}  # by consumer
        at_fork(in_child=self._renew_lock)

    def get(self, text: str, now_ms: int) -> ApiKey | None:
        """The key of this very text, when it was proven not too long ago."""
        entry = self._keys.get(self._tag(text))
        if entry is None or not 0 <= now_ms - entry[1] < self._max_age_ms:
            return None
        return entry[0]

    def put(self, text: str, key: ApiKey, now_ms: int, generation: int) -> None:
        """Remember a key whose text was proven; the one put longest ago makes room.

        ``generation`` is that from before the key was looked up: what was found before something was forgotten is old.
        """
        tag = self._tag(text)
        with self._lock:
            if generation != self.generation:
                return
            self._keys[tag] = (key, now_ms)
            self._keys.move_to_end(tag)
            self._tags.setdefault(key.consumer, set()).add(tag)
            while len(self._keys) > self._size:
                old_tag, (old, _) = self._keys.popitem(last=False)
                self._drop(old.consumer, old_tag)

    def forget(self, consumer: str) -> None:
        """Drop a consumer's keys."""
        with self._lock:
            self.generation += 1
            for tag in self._tags.pop(consumer, ()):
                self._keys.pop(tag, None)

    def _tag(self, text: str) -> bytes:
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=32, key=self._secret).digest()

    def _drop(self, consumer: str, tag: bytes) -> None:
        tags = self._tags.get(consumer, set())
        tags.discard(tag)
        if not tags:
            self._tags.pop(consumer, None)

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()


def _random(length: int) -> str:
    return "".join([secrets.choice(_ALPHABET) for _ in range(length)])


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    characters = []
    for _ in range(_CHECKSUM_LENGTH):
        number, index = divmod(number, 62)
        characters.append(_ALPHABET[index])
    return "".join(characters)


_NO_DIGEST: Final = "0" * 64
