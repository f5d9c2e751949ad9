"""The ledger's tables in Redis: what a batch has read, with the tokens it had, and what it changes.

Nothing is locked. What was read is compared when the batch is written, and if any of it is another by then, nothing is
written and the batch is done again (see ``store``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import islice
from typing import Any, Final, Protocol

from api_billing.merkle import HASH_BYTES
from api_billing.metering.ledger.batch_operations import Batch
from api_billing.metering.ledger.kinds import Key, Kind, Row
from api_billing.metering.ledger.operations import (
    GrantMade,
    ListRecords,
    Prune,
    Pruned,
    Record,
    Reserve,
    SumUsage,
    UsageDay,
)
from api_billing.metering.ledger.rows import (
    ACCOUNTS,
    API_KEYS,
    BATCHES,
    BODIES,
    CLAIMS,
    CONSUMERS,
    COUNTS,
    FIRED,
    GRANTS,
    LIMITS,
    NUMBERS,
    REQUESTS,
    TIERS,
    USAGE,
    BatchRow,
    BodiesRow,
    ConsumerRow,
    GrantRow,
    KeyRow,
    LimitsRow,
    RequestRow,
    TierRow,
    UsageRow,
)
from api_billing.metering.ledger.session_rows import CHANNELS, SESSIONS
from api_billing.metering.ledger.tables import Tables, dirty
from api_billing.metering.ledger.usage_line import UsageLine
from api_billing.metering.stores.redis.rows import (
    ABSENT,
    CENTRAL,
    FOUND_BY_KEY,
    TOKEN_BYTES,
    key_of,
    members,
    name_of,
    row_of,
    to_bytes,
)

Words = list[bytes]
Read = tuple[bytes, bytes]  # where a row is, and the token that it had
Kept = dict[tuple[Kind, Key], tuple[Row, Read]]  # rows as this process wrote them last

_PAGE: Final = 500
_MOST_WORDS: Final = 4_000  # Lua's stack has 8,000 places
_KEPT: Final = frozenset({ACCOUNTS, COUNTS, USAGE, REQUESTS, CONSUMERS, NUMBERS, SESSIONS, CHANNELS})
# Who changes one of these changes the version that requests come with, so that they need not be compared.
_VERSIONED: Final = frozenset({NUMBERS, CONSUMERS, TIERS})


class Server(Protocol):
    """What tables need of the store."""

    shards: int

    def now_ms(self) -> int:
        """The server's time."""

    def key(self, shard: int, name: str) -> bytes:
        """Where something of a shard is."""

    def ask(self, *words: Any) -> Any:
        """The reply to one command."""

    def write(self, shard: int, rows: Sequence[Read], values: Sequence[bytes], commands: Sequence[Words]) -> bool:
        """Give the first of these rows these values, b"" to delete one, and execute commands, all of one shard; unless
        one of the rows has another token.
        """


class RedisTables(Tables):
    """The rows that operations of one shard touch; listings go over all shards. ``kept`` are used and not read, and
    compared instead: an old one does no harm.
    """

    def __init__(self, server: Server, shard: int = 0, kept: Kept | None = None, *, by_key: bool = True) -> None:
        super().__init__(server.now_ms)
        self.shard = shard
        self._server = server
        self._kept: Kept = {} if kept is None else kept
        self._looked_at = _VERSIONED if by_key else frozenset()
        self._read: dict[tuple[Kind, Key], Read] = {}  # what must not have changed when this is written
        self._looked: dict[tuple[Kind, Key], Read] = {}  # what may have
        self._took = False  # a row that was kept
        self._commands: list[Words] = []

    # --- reading

    def fetch_all(self, keys: Iterable[tuple[Kind, Key]]) -> None:
        unknown = []
        for kind, key in keys:
            if key not in self.rows[kind] and (known := self._kept.pop((kind, key), None)) is not None:
                self._took = True
                self.rows[kind][key], self._read[kind, key] = known
            else:
                unknown.append((kind, key))
        super().fetch_all(unknown)

    def load(self, wanted: Mapping[Kind, Sequence[Key]], *, lock: bool = True) -> Iterable[tuple[Kind, Key, Row]]:
        for central in (True, False):
            rows = [(kind, key) for kind, keys in wanted.items() if (kind in CENTRAL) is central for key in keys]
            places = [self._place(kind, key) for kind, key in rows]
            values: Sequence[bytes | None] = self._server.ask("MGET", *places) if places else ()
            for (kind, key), place, value in zip(rows, places, values, strict=True):
                if lock:
                    reads = self._looked if kind in self._looked_at else self._read
                    reads[kind, key] = (place, value[:TOKEN_BYTES] if value else ABSENT)
                if value:
                    yield kind, key, row_of(kind, key, value[TOKEN_BYTES:])

    def peek(self, kind: Kind, key: Key) -> Any:
        self._took = True  # it is read later than the rest: what is answered by both holds if that did not change
        return super().peek(kind, key)

    def _place(self, kind: Kind, key: Key) -> bytes:
        return self._server.key(0 if kind in CENTRAL else self.shard, name_of(kind, key))

    def reserves(self, reservation_ids: Iterable[str]) -> Sequence[Reserve]:
        reserves = []
        unknown: list[Key] = []
        for reservation_id in reservation_ids:
            known = self._kept.get((REQUESTS, (reservation_id,)))
            if known is not None and isinstance(known[0], RequestRow):
                reserves.append(known[0].reserve)
            else:
                unknown.append((reservation_id,))
        self.fetch(REQUESTS, unknown)
        return reserves + [request.reserve for key in unknown if (request := self.rows[REQUESTS][key]) is not None]

    # --- writing

    def flush(self) -> None:
        """What lists goes alone in its batch: nothing was touched before it."""

    def commit(self, token: bytes) -> bool:
        """Write what was touched, all with this token; False, and nothing was written, when somebody else has changed
        what was read.
        """
        sets: dict[tuple[bool, str], dict[str, int]] = {}
        written: dict[tuple[Kind, Key], bytes] = {}
        for kind, touched in self.touched.items():
            for row in touched if kind not in FOUND_BY_KEY else ():
                for is_in, name, score, member in members(row):
                    sets.setdefault((not is_in, name), {}).pop(member, None)
                    sets.setdefault((is_in, name), {})[member] = score
            deleted, inserted, updated = dirty(touched)
            written.update({(kind, row.key): b"" for row in deleted})
            rows = inserted + updated
            for row, value in zip(rows, to_bytes(rows), strict=True):
                written[kind, row.key] = token + value
        read = {each: self._read[each] if each in self._read else (self._place(*each), ABSENT) for each in written}
        read |= self._read  # in this order: what is written comes first
        commands = [*self._commands, *self._of_sets(sets)]
        if (written or commands or self._took) and not self._server.write(
            self.shard, list(read.values()), list(written.values()), commands
        ):
            return False
        known = self._looked | read
        for kind in _KEPT:
            if kind in CENTRAL and self.shard:
                continue
            for key, row in self.rows[kind].items():
                each = (kind, key)
                if (
                    each in known
                    and row is not None
                    and row.stored
                    and (kind is not REQUESTS or row.state == "reserved")
                ):
                    self._kept[each] = (row, (known[each][0], token) if each in written else known[each])
                    if isinstance(row, RequestRow):
                        row.counts = None  # each batch finds its own: these may be read anew before it ends
        return True

    def _of_sets(self, sets: dict[tuple[bool, str], dict[str, int]]) -> Iterator[Words]:
        for (is_in, name), scores in sets.items():
            items = list(scores.items())
            for first in range(0, len(items), _MOST_WORDS // 2):
                words = [b"ZADD" if is_in else b"ZREM", self._index(self.shard, name)]
                for member, score in items[first : first + _MOST_WORDS // 2]:
                    words += (b"%d" % score, member.encode()) if is_in else (member.encode(),)
                yield words

    # --- listings

    def _index(self, shard: int, index: str) -> bytes:
        return self._server.key(shard, f"/{index}")

    def _page(self, shard: int, index: str, after: str, limit: int, *, backwards: bool = False) -> list[str]:
        """Members of a sorted set in their order, after one of them; or from the last on, before it."""
        first, end, command = ("+", "-", "ZREVRANGEBYLEX") if backwards else ("-", "+", "ZRANGEBYLEX")
        found = self._server.ask(
            command, self._index(shard, index), f"({after}" if after else first, end, "LIMIT", 0, limit
        )
        return [member.decode() for member in found]

    def _all(self, shard: int, index: str, after: str = "", *, backwards: bool = False) -> Iterator[list[str]]:
        while True:
            names = self._page(shard, index, after, _PAGE, backwards=backwards)
            yield names
            if len(names) < _PAGE:
                return
            after = names[-1]

    def _scored(self, index: str, until: int, limit: int, skip: int = 0) -> list[str]:
        """Members of a sorted set with the least scores."""
        set_ = self._index(self.shard, index)
        found = self._server.ask("ZRANGEBYSCORE", set_, "-inf", until, "LIMIT", skip, limit)
        return [member.decode() for member in found]

    def _rows_of(self, shard: int, kind: Kind, keys: Sequence[Key]) -> list[Any]:
        """Rows as they are now, to be looked at only; those that there are."""
        return [row for _, _, row in RedisTables(self._server, shard).load({kind: keys}, lock=False)]

    def _listed(self, shard: int, kind: Kind, index: str, after: str = "") -> Iterator[Any]:
        for names in self._all(shard, index, after):
            yield from self._rows_of(shard, kind, [(name,) for name in names])

    def consumers(self, after: str, limit: int) -> Sequence[ConsumerRow]:
        names = self._page(0, f"all:{CONSUMERS.name}", after, limit)
        return self._rows_of(0, CONSUMERS, [(name,) for name in names])

    def tiers(self) -> Sequence[TierRow]:
        return list(self._listed(0, TIERS, f"all:{TIERS.name}"))

    def limits(self) -> Sequence[LimitsRow]:
        return list(self._listed(0, LIMITS, f"all:{LIMITS.name}"))

    def keys(self, consumer: str, after: str = "", limit: int | None = None) -> Sequence[KeyRow]:
        index = f"keys:{consumer}" if consumer else "keys"
        if limit is not None:
            return self._rows_of(0, API_KEYS, [(key_id,) for key_id in self._page(0, index, after, limit)])
        rows: Iterable[KeyRow] = self._listed(0, API_KEYS, index)
        return [row for row in rows if consumer in ("", row.api_key().consumer)]

    def records(self, query: ListRecords) -> Sequence[Record]:
        shards = [self._records(shard, query) for shard in range(self._server.shards)]
        found = merge(*shards, key=lambda record: record.record_id, reverse=query.newest_first)
        return list(islice(found, query.limit))

    def _records(self, shard: int, query: ListRecords) -> Iterator[Record]:
        # Ids are time-ordered, so that a listing need not begin at the first.
        lowest, highest, backwards = query.lowest, query.highest, query.newest_first
        after = min(query.after or highest, highest or query.after) if backwards else max(query.after, lowest)
        index = f"of:{query.consumer}" if query.consumer else "ids"
        for page in self._all(shard, index, after, backwards=backwards):
            ids = [each for each in page if each > lowest and not (highest and each >= highest)]
            if page and not ids:
                return  # all that follow are beyond, too
            requests: list[RequestRow] = self._rows_of(shard, REQUESTS, [(record_id,) for record_id in ids])
            bodies: list[BodiesRow] = self._rows_of(shard, BODIES, [request.key for request in requests])
            of = {row.key: row for row in bodies}
            yield from [request.record(of.get(request.key)) for request in requests if query.matches(request.record())]

    def grants(self, account: str) -> Sequence[GrantMade]:
        rows: list[GrantRow] = []
        for shard in range(self._server.shards):
            rows += self._listed(shard, GRANTS, f"grants:{account}")
        return [row.made() for row in rows]

    def open_requests(self, limit: int) -> Sequence[RequestRow]:
        found: list[RequestRow] = []
        for shard in range(self._server.shards):
            ids = self._server.ask("ZRANGE", self._index(shard, "open"), 0, limit - len(found) - 1)
            found += self._rows_of(shard, REQUESTS, [(record_id.decode(),) for record_id in ids])
            if len(found) >= limit:
                break
        return found

    def number_of(self, kind: Kind) -> int:
        index = "keys" if kind is API_KEYS else f"all:{kind.name}"
        return int(self._server.ask("ZCARD", self._index(0, index)))

    def usage_days(self, query: SumUsage) -> Sequence[UsageDay]:
        index = f"usage:{query.consumer}" if query.consumer else "usage"
        days: list[UsageDay] = []
        for shard in range(self._server.shards):
            found = self._server.ask("ZRANGEBYSCORE", self._index(shard, index), query.from_day, query.to_day)
            keys = [key for name in found if query.api in ("", (key := key_of(USAGE, name.decode()))[0])]
            for first in range(0, len(keys), _PAGE):
                rows: list[UsageRow] = self._rows_of(shard, USAGE, keys[first : first + _PAGE])
                days += [row.usage_day() for row in rows]
        return sorted(days, key=lambda day: (day.api, day.consumer, day.day))

    def batches(self, api: str, after: int, limit: int) -> Sequence[Batch]:
        rows: list[BatchRow] = []
        while len(rows) < limit:
            first, last = after + len(rows) + 1, after + min(len(rows) + _PAGE, limit)
            page = self._rows_of(0, BATCHES, [(api, sequence) for sequence in range(first, last + 1)])
            rows += page
            if len(page) < last - first + 1:
                break
        return [row.batch() for row in rows]

    def leaves(self, api: str, sequence: int) -> bytes:
        leaves: bytes | None = self._server.ask("GET", self._index(0, f"leaves:{sequence}:{api}"))
        return leaves or b""

    def to_settle(self, api: str, until_ms: int, after: str, limit: int) -> Sequence[UsageLine]:
        requests: Iterable[RequestRow] = self._listed(0, REQUESTS, f"unbatched:{api}", after)
        return list(islice((request.usage_line() for request in requests if request.reserve.now_ms <= until_ms), limit))

    def put_into_batch(self, api: str, sequence: int, before: int, record_ids: Sequence[str], leaves: bytes) -> None:
        self.fetch(REQUESTS, [(record_id,) for record_id in record_ids])
        for record_id in record_ids:
            if (request := self.request(record_id)) is not None:  # None: pruned
                request.batch = sequence
                self.touch(request)
        place = self._index(0, f"leaves:{sequence}:{api}")
        self._commands.append([b"SETRANGE", place, b"%d" % (before * HASH_BYTES), leaves])

    def overdue(self, now_ms: int, limit: int) -> Sequence[str]:
        return self._scored("open", now_ms, limit)

    def prune(self, op: Prune) -> Pruned:
        """One page of what is past its time in this shard: it is written with all else, or done again."""
        past: list[RequestRow] = []
        for tier in [tier for page in self._all(self.shard, "tiers") for tier in page]:
            until_ms, skip = op.now_ms - op.retention_ms.get(tier, op.default_ms), 0
            while len(past) <= op.limit and (ids := self._scored(f"tier:{tier}", until_ms, _PAGE, skip)):
                requests: list[RequestRow] = self._rows_of(self.shard, REQUESTS, [(record_id,) for record_id in ids])
                past += [request for request in requests if op.is_past(request.record())]
                skip += len(ids)
        keys = [request.key for request in past[: op.limit]]
        self.fetch_all([(kind, key) for key in keys for kind in (REQUESTS, BODIES)])
        counts = self._past(COUNTS, "counts", op.counts_until_ms)
        claims = self._past(CLAIMS, "claims", op.now_ms)
        fired = [] if self.shard else self._past(FIRED, "fired", op.now_ms)
        for row in (*(self.rows[kind][key] for key in keys for kind in (REQUESTS, BODIES)), *counts, *claims, *fired):
            if row is not None:
                self.drop(row)
        return Pruned(len(keys), len(counts), len(claims), len(past) > op.limit or _PAGE in (len(counts), len(claims)))

    def _past(self, kind: Kind, index: str, until: int) -> list[Any]:
        keys = [key_of(kind, name) for name in self._scored(index, until, _PAGE)]
        self.fetch(kind, keys)
        return [row for key in keys if (row := self.rows[kind][key]) is not None]
