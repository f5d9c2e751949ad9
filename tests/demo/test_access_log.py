"""Reading whole access logs."""

import contextlib
import gzip
import io
import os
import sys
import tarfile
import tracemalloc
import zipfile
from collections import Counter, deque
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo import access_log
from demo.access_log import (
    STANDARD_INPUT,
    AccessLogError,
    LogReader,
    merged,
    read_log,
)

from .log_texts import NOON, line, write_log

REAL_LOG = Path(__file__).parents[3] / "shared" / "data" / "access-2015-05-17.log.gz"


def at(time: str) -> bytes:
    return line(time=f"31/Jan/2026:{time} +0000")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


def test_read_log__plain_file__has_every_request(path: Path) -> None:
    log = read_log(write_log(path, line(), line(client="::1")))
    assert [(entry.line_no, entry.client) for entry in log.entries] == [(1, "192.0.2.7"), (2, "::1")]


def test_read_log__gz_under_any_name__is_unpacked(path: Path) -> None:
    assert len(read_log(write_log(path, line(), line(), packed=True)).entries) == 2


def test_read_log__plain_text_named_gz__is_read_as_it_is(tmp_path: Path) -> None:
    assert len(read_log(write_log(tmp_path / "access.log.gz", line())).entries) == 1


def test_read_log__gz_of_several_members__is_read_to_its_end(path: Path) -> None:
    path.write_bytes(gzip.compress(line() + b"\n") * 3)
    assert len(read_log(path).entries) == 3


def test_read_log__bad_lines_between_good_ones__are_skipped_with_number_and_reason(path: Path) -> None:
    log = read_log(write_log(path, line(), b"garbage", line(), line(status="abc")))
    assert [bad.line_no for bad in log.bad_lines.kept] == [2, 4]
    assert "time in square brackets" in log.bad_lines.kept[0].reason
    assert log.bad_lines.count == 2
    assert len(log.entries) == 2


def test_read_log__more_bad_lines_than_are_kept__counts_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "MAX_KEPT_BAD_LINES", 3)
    log = read_log(write_log(path, line(), *[b"garbage"] * 200))
    assert (log.bad_lines.count, len(log.bad_lines.kept)) == (200, 3)


def test_read_log__blank_lines__are_neither_bad_nor_lines(path: Path) -> None:
    log = read_log(write_log(path, b"", line(), b"   ", line(), b"\r"))
    assert (log.lines, log.blank_lines, log.bad_lines.count) == (2, 3, 0)
    assert [entry.line_no for entry in log.entries] == [2, 4]


def test_read_log__windows_line_ends_and_byte_order_mark__are_read(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + line(tail="") + b"\r\n" + line(tail="") + b"\r\n")
    assert len(read_log(path).entries) == 2


def test_read_log__last_line_without_an_end__counts(path: Path) -> None:
    path.write_bytes(line() + b"\n" + line())
    assert len(read_log(path).entries) == 2


def test_read_log__bytes_that_are_not_utf8__are_read(path: Path) -> None:
    log = read_log(write_log(path, line(tail="").replace(b"today", b"t\xe9day") + b' "-" "agent \xff\xfe"'))
    assert len(log.entries) == 1


def test_read_log__lines_out_of_order__are_sorted_by_time(path: Path) -> None:
    log = read_log(write_log(path, at("12:00:02"), at("12:00:00"), at("12:00:01")))
    assert [(entry.at - NOON, entry.line_no) for entry in log.entries] == [(0, 2), (1, 3), (2, 1)]
    assert log.late_entries == 2


def test_read_log__requests_of_one_second__stay_in_the_order_of_the_file(path: Path) -> None:
    log = read_log(write_log(path, at("12:00:02"), *[at("12:00:01")] * 20))
    assert [entry.line_no for entry in log.entries] == [*range(2, 22), 1]


@pytest.mark.parametrize("packed", [False, True])
def test_read_log__line_beyond_the_bound__is_bad_and_the_next_one_is_read(path: Path, packed: bool) -> None:
    endless = line(tail=' "' + "x" * 3 * access_log.MAX_LINE_BYTES + '"')
    log = read_log(write_log(path, endless, line(), packed=packed))
    assert "longer than 131,072 bytes" in log.bad_lines.kept[0].reason
    assert [entry.line_no for entry in log.entries] == [2]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_read_log__line_of_just_the_bound__is_read(path: Path, end: bytes) -> None:
    start = line(tail=' "')
    path.write_bytes(start + b"x" * (access_log.MAX_LINE_BYTES - len(start)) + end)
    assert len(read_log(path).entries) == 1


def test_read_log__missing_file__says_so(path: Path) -> None:
    with pytest.raises(AccessLogError, match="no such file"):
        read_log(path)


def test_read_log__directory__says_so(tmp_path: Path) -> None:
    with pytest.raises(AccessLogError, match="this is a directory"):
        read_log(tmp_path)


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
def test_read_log__name_that_no_file_can_have__is_its_own_error(name: str) -> None:
    with pytest.raises(AccessLogError, match="cannot be opened"):
        read_log(name)


def test_read_log__failing_disk__names_the_line_reached(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class FailingFile(io.BytesIO):
        def read1(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise OSError(5, "Input/output error")
            return super().read1(len(line()) + 1)

    monkeypatch.setattr(access_log, "_open_text", lambda path, raw: FailingFile(raw.read()))
    with pytest.raises(AccessLogError, match="after line 1: Input/output error"):
        read_log(write_log(path, line(), line()))


@pytest.mark.parametrize("content", [b"", b"\n\n \n", gzip.compress(b"", mtime=0), b"\xef\xbb\xbf"])
def test_read_log__nothing_in_it__says_that_it_is_empty(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(AccessLogError, match="empty"):
        read_log(path)


def test_read_log__some_other_text__stops_after_the_first_lines(path: Path) -> None:
    write_log(path, *[b"a line of a novel"] * 150, line())
    with pytest.raises(AccessLogError, match="not one of the first 100 lines"):
        read_log(path)


def test_read_log__short_other_text__is_no_log(path: Path) -> None:
    with pytest.raises(AccessLogError, match=r"first 1 lines can be read \(line 1: there is no time"):
        read_log(write_log(path, b"hello"))


def test_read_log__log_that_begins_with_many_unreadable_requests__is_a_log(path: Path) -> None:
    assert len(read_log(write_log(path, *[line(request="-")] * 150, line())).entries) == 1


def test_read_log__log_without_a_readable_request__says_so(path: Path) -> None:
    with pytest.raises(AccessLogError, match="no readable request in its 2 lines"):
        read_log(write_log(path, line(request="-"), line(request="-")))


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (b"BZh91AY&SY", "bunzip2"),
        (b"\xfd7zXZ\x00\x00", "unxz"),
        (b"\x28\xb5\x2f\xfd\x04", "unzstd"),
        (b"PK\x03\x04\x14", "a zip file"),
        (line().decode().encode("utf-16"), "iconv -f UTF-16"),
    ],
)
def test_read_log__other_format__says_what_to_do(path: Path, content: bytes, advice: str) -> None:
    path.write_bytes(content)
    with pytest.raises(AccessLogError, match=advice):
        read_log(path)


def archive(kind: str, name: str = "access.log") -> bytes:
    content, file = b"".join(line() + b"\n" for _ in range(30)), io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as packed:
            packed.writestr(name, content)
        return file.getvalue()
    with tarfile.open(fileobj=file, mode="w", format=getattr(tarfile, f"{kind.upper()}_FORMAT")) as archived:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archived.addfile(member, io.BytesIO(content))
    return file.getvalue()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["ustar", "gnu", "pax", "zip"])
def test_read_log__archive__is_named_and_never_billed_in_part(path: Path, kind: str, packed: bool) -> None:
    content = archive(kind, "lögs/access.log" if kind == "pax" else "access.log")
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(AccessLogError, match="zip file" if kind == "zip" else "a tar archive"):
        read_log(path)


def test_read_log__tar_from_before_there_was_a_magic__is_named(path: Path) -> None:
    header = bytearray(archive("ustar"))
    header[257:265] = bytes(8)
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:512]))
    path.write_bytes(header)
    with pytest.raises(AccessLogError, match="a tar archive"):
        read_log(path)


def test_read_log__gz_in_a_gz__is_named(path: Path) -> None:
    path.write_bytes(gzip.compress(gzip.compress(line())))
    with pytest.raises(AccessLogError, match="a gz file in a gz file"):
        read_log(path)


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
@pytest.mark.parametrize("packed", [False, True])
def test_read_log__any_line_ends__lose_no_request(path: Path, end: bytes, packed: bool) -> None:
    text = b"".join(line(client=f"10.0.{number // 250}.{number % 250}") + end for number in range(3000))
    path.write_bytes(gzip.compress(text) if packed else text)
    log = read_log(path)
    assert (log.lines, len(log.entries), log.bad_lines.count) == (3000, 3000, 0)
    assert [entry.line_no for entry in log.entries] == list(range(1, 3001))


def test_read_log__line_ends_of_several_kinds__lose_no_request(path: Path) -> None:
    path.write_bytes(line() + b"\r" + line() + b"\r\n" + line() + b"\n" + line())
    assert len(read_log(path).entries) == 4


def test_read_log__layout_that_is_not_read__is_named(path: Path) -> None:
    with pytest.raises(AccessLogError, match="line 1: this is the router's log of Heroku"):
        read_log(write_log(path, b'2026-01-31T12:00:00+00:00 heroku[router]: at=info method=GET path="/"'))


def test_read_log__directives__are_no_lines(path: Path) -> None:
    fields = b"#Fields: date time c-ip cs-method cs-uri-stem sc-status"
    log = read_log(write_log(path, b"#Version: 1.0", fields, b"2026-01-31 12:00:00 ::1 GET /a 200"))
    assert (log.lines, log.blank_lines, len(log.entries)) == (1, 2, 1)


def test_read_log__forwarded__takes_the_clients_from_the_headers(path: Path) -> None:
    log = read_log(write_log(path, line(tail=' "-" "curl" "203.0.113.9, 10.0.0.3"')), forwarded="first")
    assert [entry.client for entry in log.entries] == ["203.0.113.9"]


def test_read_log__standard_input__is_read_and_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    source = io.BytesIO(packed_lines(3))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(source))
    log = read_log(STANDARD_INPUT)
    assert (log.name, len(log.entries), source.closed) == ("standard input", 3, False)


def test_merged__several_logs__are_in_the_order_of_time(tmp_path: Path) -> None:
    later = read_log(write_log(tmp_path / "access.log", at("12:00:03"), at("12:00:05")))
    earlier = read_log(write_log(tmp_path / "access.log.1", at("12:00:04"), at("12:00:00"), at("12:00:03"), b"bad"))
    log = merged([later, earlier])
    assert [(entry.at - NOON, entry.line_no) for entry in log.entries] == [(0, 2), (3, 3), (3, 1), (4, 1), (5, 2)]
    assert (log.lines, log.late_entries, log.bad_lines.count) == (6, 2, 1)
    assert log.bad_lines.kept[0].reason.endswith(f"({tmp_path / 'access.log.1'})")


def packed_lines(count: int) -> bytes:
    return gzip.compress(b"".join(line(client=f"192.0.2.{number % 250}") + b"\n" for number in range(count)))


def test_read_log__truncated_gz__names_the_line_reached(path: Path) -> None:
    content = packed_lines(5000)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(AccessLogError, match=r"cut off after line [1-4],\d{3}, and nothing was billed"):
        read_log(path)


@pytest.mark.parametrize("length", [2, 5, 12])
def test_read_log__gz_cut_off_at_its_head__names_no_line(path: Path, length: int) -> None:
    path.write_bytes(packed_lines(10)[:length])
    with pytest.raises(AccessLogError, match="cut off before its first line"):
        read_log(path)


@pytest.mark.parametrize("position", [-6, 30])
def test_read_log__corrupt_gz__says_so(path: Path, position: int) -> None:
    content = bytearray(packed_lines(50))
    content[position] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(AccessLogError, match="corrupt"):
        read_log(path)


def test_read_log__any_error__names_the_file(path: Path) -> None:
    with pytest.raises(AccessLogError) as caught:
        read_log(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("packed", [False, True])
def test_read_log__progress__rises_to_the_size_of_the_file(path: Path, packed: bool) -> None:
    calls: list[tuple[int, int | None]] = []
    write_log(path, *[line()] * 5000, packed=packed)
    read_log(path, lambda done, size: calls.append((done, size)))
    size = path.stat().st_size
    assert len(calls) == 3
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert calls[-1] == (size, size)


def test_read_log__error_of_the_progress_call__is_not_one_of_the_log(path: Path) -> None:
    def broken_pipe(done: int, size: int | None) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        read_log(write_log(path, line()), broken_pipe)


def test_read_log__pipe__is_read_without_a_size() -> None:
    calls: list[tuple[int, int | None]] = []
    read_end, write_end = os.pipe()
    try:
        os.write(write_end, gzip.compress(line() + b"\n"))
        os.close(write_end)
        log = read_log(f"/dev/fd/{read_end}", lambda done, size: calls.append((done, size)))
    finally:
        os.close(read_end)
    assert len(log.entries) == 1
    assert calls == [(0, None)]


def test_log_reader__iterated__yields_in_the_order_of_the_file(path: Path) -> None:
    reader = LogReader(write_log(path, at("12:00:02"), b"garbage", at("12:00:01")))
    assert [entry.line_no for entry in reader] == [1, 3]
    assert (reader.lines, reader.bad_lines.count) == (3, 1)


@given(st.binary(max_size=400), st.booleans())
def test_read_log__arbitrary_bytes__raises_nothing_but_its_own_errors(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, packed: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "arbitrary.log"
    path.write_bytes(gzip.compress(content) if packed else content)
    try:
        log = read_log(path)
    except AccessLogError:
        return
    assert log.lines == len(log.entries) + log.bad_lines.count


@given(st.integers(0, 400), st.integers(0, 255))
def test_read_log__one_byte_of_a_gz_changed__raises_nothing_but_its_own_errors(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int
) -> None:
    content = bytearray(packed_lines(40))
    content[position % len(content)] = value
    path = tmp_path_factory.getbasetemp() / "changed.log.gz"
    path.write_bytes(content)
    with contextlib.suppress(AccessLogError):
        read_log(path)


@pytest.mark.skipif(not REAL_LOG.exists(), reason=f"the real log is not there: {REAL_LOG}")
def test_read_log__real_log__agrees_with_an_independent_count() -> None:
    log = read_log(REAL_LOG)
    texts = gzip.decompress(REAL_LOG.read_bytes()).decode().splitlines()
    assert (log.lines, log.bad_lines.count, len(log.entries)) == (1632, 0, 1632)
    assert Counter(entry.client for entry in log.entries) == Counter(text.split()[0] for text in texts)
    assert Counter(entry.status for entry in LogReader(REAL_LOG)) == Counter(int(text.split()[8]) for text in texts)
    segments = Counter(text.split()[6].split("?")[0].split("/")[1].lower() or "root" for text in texts)
    assert sorted(Counter(entry.api for entry in log.entries).values()) == sorted(segments.values())


def test_reader__many_paths__keeps_none_of_them(tmp_path: Path) -> None:
    paths = [f"/a/{number:0100}" for number in range(2_000)]
    log = write_log(tmp_path / "access.log", *(line(request=f"GET {path} HTTP/1.1") for path in paths))
    tracemalloc.start()
    deque(LogReader(log), 0)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < sum(map(len, paths)) // 10
