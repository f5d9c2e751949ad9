"""A log's requests again and again, so that they reach from some weeks ago up to a moment of today."""

from typing import Final

from demo.access_log import AccessLog, BadLines, Requests
from demo.log_line import Request

_DAY_SECONDS: Final = 86_400
_WEEKEND_PERCENT: Final = 50
_FIRST_WEEK_PERCENT: Final = 60


def replayed(log: AccessLog, until: int, days: int, most: int) -> AccessLog:
    """The last ``days`` of a log, moved so that it ends ``until``, in unix seconds; a shorter log is repeated.

    There are at most ``most`` requests: of a log that has more, every n-th one. There are fewer at weekends, and ever
    more from week to week, so that no two weeks are the same. The same arguments always give the same requests.
    """
    last = max(entry.at for entry in log.entries)
    begin = last - days * _DAY_SECONDS
    first = min(entry.at for entry in log.entries if entry.at > begin)
    period = ((last - first) // _DAY_SECONDS + 1) * _DAY_SECONDS
    copies = -(-days * _DAY_SECONDS // period)
    every = -(-sum(entry.at > begin for entry in log.entries) * copies // most)
    kept = [entry for entry in log.entries if entry.at > begin][::-every][::-1]  # the last one is among them
    entries = Requests()
    for copy in range(copies - 1, -1, -1):
        moved = until - last - copy * period
        for entry in kept:
            at = entry.at + moved
            if at > until - days * _DAY_SECONDS and (at == until or _is_in(entry, at, until, days)):
                entries.add(Request(entry.line_no, at, entry.client, entry.api, entry.size_bytes))
    return AccessLog(log.name, entries, BadLines(), len(entries), 0, 0)


def is_weekend(day_id: int) -> bool:
    """Whether a UTC day is a Saturday or Sunday."""
    return (day_id + 3) % 7 >= 5  # 1 January 1970 was a Thursday


def _is_in(entry: Request, at: int, until: int, days: int) -> bool:
    day_id = at // _DAY_SECONDS
    percent = 100 - (100 - _FIRST_WEEK_PERCENT) * (until - at) // (days * _DAY_SECONDS)
    if is_weekend(day_id):
        percent = percent * _WEEKEND_PERCENT // 100
    return (entry.line_no * 7_919 + day_id * 104_729) % 100 < percent
