"""Reads access logs of any size, plain or gz, line by line.

What makes the whole log unusable is an `AccessLogError`, whose text says what to do. A single bad line is not an
error: it is counted, kept with its number and reason, and skipped.
"""

import gzip
import io
import os
import sys
import tarfile
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from demo.log_layouts import LineParser
from demo.log_line import AccessEntry, Forwarded, LineError, Request

MAX_LINE_BYTES: Final = 131_072
"""Above what Apache can write with its limits: three fields of 8,190 bytes, each byte escaped as four characters."""
MAX_KEPT_BAD_LINES: Final = 1_000
LINES_TO_RECOGNISE_A_LOG: Final = 100
STANDARD_INPUT: Final = Path("-")

Progress = Callable[[int, int | None], None]
"""Called now and then with the bytes read of the file (compressed ones for a gz) and its size, None for a pipe."""

_LINES_BETWEEN_PROGRESS: Final = 2_048
_GZ_MAGIC: Final = b"\x1f\x8b"
_UTF8_BOM: Final = b"\xef\xbb\xbf"
_HEAD_BYTES: Final = 512
_OTHER_FORMATS: Final = {
    b"BZh": "a bzip2 file: unpack it with bunzip2 first",
    b"\xfd7zXZ\x00": "an xz file: unpack it with unxz first",
    b"\x28\xb5\x2f\xfd": "a zstd file: unpack it with unzstd first",
    b"\x04\x22\x4d\x18": "an lz4 file: unpack it with unlz4 first",
    b"\x1f\x9d": "a file packed by compress: unpack it with uncompress first",
    b"LZIP": "an lzip file: unpack it with lzip -d first",
    b"PK\x03\x04": "a zip file: unpack it first",
    b"PK\x05\x06": "an empty zip file",
    b"PK\x07\x08": "a part of a zip file: unpack it first",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive: unpack it first",
    b"Rar!\x1a\x07": "a rar archive: unpack it first",
    b"!<arch>\n": "an ar archive: unpack it first",
    b"070701": "a cpio archive: unpack it first",
    b"070707": "a cpio archive: unpack it first",
    b"\xff\xfe": "UTF-16 text: convert it first with `iconv -f UTF-16 -t UTF-8`",
    b"\xfe\xff": "UTF-16 text: convert it first with `iconv -f UTF-16 -t UTF-8`",
}


class AccessLogError(Exception):
    """A log that cannot be billed; the text names the file and says what to do."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{name_of(path)}: {problem}")


class EmptyLogError(AccessLogError):
    """A log without a line."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that was skipped: its number in the file, from 1, and why."""

    line_no: int
    reason: str


class BadLines:
    """The bad lines of a log: how many, and the first `MAX_KEPT_BAD_LINES` of them."""

    __slots__ = ("_kept", "count")

    def __init__(self) -> None:
        self.count = 0
        self._kept: list[BadLine] = []

    @property
    def kept(self) -> Sequence[BadLine]:
        """The first bad lines in the order of the file."""
        return tuple(self._kept)

    def add(self, bad_line: BadLine) -> None:
        """Count the line, and keep it while there is room."""
        self.count += 1
        if len(self._kept) < MAX_KEPT_BAD_LINES:
            self._kept.append(bad_line)


class Requests:
    """Requests in the order of time, in 32 bytes each and their names once. Iterate over it as often as is needed."""

    __slots__ = ("_apis", "_at", "_clients", "_line_nos", "_names", "_numbers", "_sizes")

    def __init__(self) -> None:
        self._at, self._line_nos, self._sizes = array("q"), array("Q"), array("Q")
        self._clients, self._apis = array("I"), array("I")
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []

    def __len__(self) -> int:
        return len(self._at)

    def __iter__(self) -> Iterator[Request]:
        names = self._names
        columns = zip(self._line_nos, self._at, self._clients, self._apis, self._sizes, strict=True)
        for line_no, at, client, api, size in columns:
            yield Request(line_no, at, names[client], names[api], size)

    def add(self, request: Request) -> None:
        """Append a request; one that is earlier than another before it is out of order until `sort`."""
        self._at.append(request.at)
        self._line_nos.append(request.line_no)
        self._sizes.append(request.size_bytes)
        self._clients.append(self._number(request.client))
        self._apis.append(self._number(request.api))

    def sort(self) -> None:
        """Put the requests into the order of time; those of the same second stay as they are."""
        order = sorted(range(len(self)), key=self._at.__getitem__)
        self._at, self._line_nos, self._sizes, self._clients, self._apis = (
            array(column.typecode, map(column.__getitem__, order))
            for column in (self._at, self._line_nos, self._sizes, self._clients, self._apis)
        )

    def _number(self, name: str) -> int:
        number = self._numbers.setdefault(name, len(self._names))
        if number == len(self._names):
            self._names.append(name)
        return number


@dataclass(frozen=True, slots=True)
class AccessLog:
    """One or several files in memory, their requests in the order of time.

    ``lines`` is without the ``blank_lines`` (directives are among them), so that it is the number of entries and bad
    lines together.
    ``late_entries`` counts the requests that stood behind a later one in their file.
    """

    name: str
    entries: Requests
    bad_lines: BadLines
    lines: int
    blank_lines: int
    late_entries: int


class LogReader:
    """Reads a log once, front to back, in memory that does not grow with it; iterate over it for the requests.

    ``lines``, ``blank_lines`` and ``bad_lines`` grow while it is read. Not thread-safe.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        progress: Progress | None = None,
        forwarded: Forwarded | None = None,
    ) -> None:
        self.path = Path(path)
        self.bad_lines = BadLines()
        self.lines = 0
        self.blank_lines = 0
        self._progress = progress
        self._parser = LineParser(forwarded)
        self._looks_like_a_log = False

    def __iter__(self) -> Iterator[AccessEntry]:
        """Yield the requests in the order of the file.

        Raises: AccessLogError, also half-way, when what was yielded before must not be billed either.
        """
        entries = 0
        for line_no, line in self._numbered_lines():
            if line is not None and not line.strip():
                self.blank_lines += 1
                continue
            try:
                if line is None:
                    raise LineError(f"it is longer than {MAX_LINE_BYTES:,} bytes", is_layout=True)
                entry = self._parser.parse(line, line_no)
            except LineError as error:
                self.lines += 1
                self._record_bad_line(line_no, error)
                continue
            self._looks_like_a_log = True
            if entry is None:
                self.blank_lines += 1
                continue
            self.lines += 1
            entries += 1
            yield entry
        if not entries:
            raise self._nothing_found()

    def _record_bad_line(self, line_no: int, error: LineError) -> None:
        self.bad_lines.add(BadLine(line_no, error.reason))
        self._looks_like_a_log = self._looks_like_a_log or not error.is_layout
        if not self._looks_like_a_log and self.bad_lines.count >= LINES_TO_RECOGNISE_A_LOG:
            raise self._nothing_found()

    def _nothing_found(self) -> AccessLogError:
        if not self.lines:
            return EmptyLogError(self.path, "the log is empty: there is nothing to bill; name one that has requests")
        first = self.bad_lines.kept[0]
        where = f"line {first.line_no}: {first.reason}"
        if self._looks_like_a_log:
            problem = f"the log has no readable request in its {self.lines:,} lines ({where})"
            return AccessLogError(self.path, problem)
        return AccessLogError(
            self.path,
            f"this is not an access log in a layout that is read: not one of the first {self.lines:,} lines "
            f"can be read ({where})",
        )

    def _numbered_lines(self) -> Iterator[tuple[int, bytes | None]]:
        """Yield every line without its end; None stands for one that is too long."""
        with _open_raw(self.path) as raw:
            text = _open_text(self.path, raw)
            size = _size_of(raw)
            for line_no, line in enumerate(_bounded_lines(self.path, text), start=1):
                yield line_no, line
                if self._progress and line_no % _LINES_BETWEEN_PROGRESS == 0:
                    self._progress(raw.tell() if size else 0, size)
            if self._progress:
                self._progress(size or 0, size)


def read_log(
    path: str | os.PathLike[str], progress: Progress | None = None, forwarded: Forwarded | None = None
) -> AccessLog:
    """Read a whole log and sort its requests by time; those of the same second stay in the order of the file.

    ``path`` is `STANDARD_INPUT` for that; ``forwarded`` is which address of an X-Forwarded-For is the client, None for
    the one in front.

    Raises: AccessLogError. Nothing is returned of a log that is damaged at its end, so that nothing of it is billed.
    """
    reader = LogReader(path, progress, forwarded)
    entries = Requests()
    late_entries = latest = 0
    for entry in reader:
        entries.add(entry.request)
        late_entries += entry.at < latest
        latest = max(latest, entry.at)
    if late_entries:
        entries.sort()
    name = name_of(reader.path)
    return AccessLog(name, entries, reader.bad_lines, reader.lines, reader.blank_lines, late_entries)


def merged(logs: Iterable[AccessLog]) -> AccessLog:
    """Return several logs as one, in the order of time; of the same second first what the log has that began first."""
    first, *others = logs = sorted(logs, key=lambda log: next(iter(log.entries)).at)
    if not others:
        return first
    entries, bad_lines = Requests(), BadLines()
    for log in logs:
        for request in log.entries:
            entries.add(request)
        for bad in log.bad_lines.kept:
            bad_lines.add(BadLine(bad.line_no, f"{bad.reason} ({log.name})"))
        bad_lines.count += log.bad_lines.count - len(log.bad_lines.kept)
    entries.sort()
    lines, blank, late = (
        sum(numbers) for numbers in zip(*((log.lines, log.blank_lines, log.late_entries) for log in logs), strict=True)
    )
    return AccessLog(", ".join(log.name for log in logs), entries, bad_lines, lines, blank, late)


def name_of(path: Path) -> str:
    """Return what a log is called in messages."""
    return "standard input" if path == STANDARD_INPUT else str(path)


@contextmanager
def _open_raw(path: Path) -> Iterator[BinaryIO]:
    if path == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    try:
        raw = path.open("rb")
    except FileNotFoundError as error:
        raise AccessLogError(path, "there is no such file; name one with LOG=<file>") from error
    except IsADirectoryError as error:
        raise AccessLogError(path, "this is a directory; name one log file in it") from error
    except (OSError, ValueError) as error:
        raise AccessLogError(path, f"the file cannot be opened: {_reason(error)}") from error
    with raw:
        yield raw


class _Rewound(io.RawIOBase):
    """A stream as if its head had not been read yet; unlike a peek it has so much of a pipe as it needs."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what BufferedReader passes
        some = self._head[: len(buffer)] or self._rest.read(len(buffer))
        self._head = self._head[len(some) :]
        buffer[: len(some)] = some
        return len(some)


def _open_text(path: Path, raw: BinaryIO) -> BinaryIO:
    """Return the bytes of the log itself, unpacked where they are packed, behind a byte order mark."""
    head, text = _head_of(path, raw)
    if head.startswith(_GZ_MAGIC):
        head, text = _head_of(path, gzip.GzipFile(fileobj=text))  # type: ignore[arg-type]  # it reads as a BinaryIO
        if head.startswith(_GZ_MAGIC):
            raise AccessLogError(path, "this is a gz file in a gz file: unpack it with gunzip first")
    if head.startswith(_UTF8_BOM):
        text.read(len(_UTF8_BOM))
    return text


def _head_of(path: Path, stream: BinaryIO) -> tuple[bytes, BinaryIO]:
    """The first bytes of a stream, and the stream from its start. Raises: AccessLogError, for what is not read."""
    try:
        head = stream.read(_HEAD_BYTES)
    except (EOFError, zlib.error, OSError) as error:
        raise _read_error(path, error, 0) from error
    for magic, what in _OTHER_FORMATS.items():
        if head.startswith(magic):
            raise AccessLogError(path, f"this is {what}")
    if _is_tar(head):
        raise AccessLogError(path, "this is a tar archive: unpack it with tar first, and name the logs that were in it")
    return head, io.BufferedReader(_Rewound(head, stream))


def _is_tar(head: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _bounded_lines(path: Path, text: BinaryIO) -> Iterator[bytes | None]:
    """Yield the lines without their ends, None for one beyond `MAX_LINE_BYTES`, whose rest is never held in memory.

    LF, CR and both together end a line: servers escape what is in a field.
    """
    line_no = 0
    lines = io.TextIOWrapper(text, "latin-1", newline=None)
    try:
        while line := lines.readline(MAX_LINE_BYTES + 1):
            if line[-1] != "\n" and len(line) > MAX_LINE_BYTES:
                while (rest := lines.readline(MAX_LINE_BYTES)) and rest[-1] != "\n":
                    pass
                line = ""
            line_no += 1
            yield line.removesuffix("\n").encode("latin-1") if line else None
    except (EOFError, zlib.error, OSError) as error:
        raise _read_error(path, error, line_no) from error


def _read_error(path: Path, error: Exception, line_no: int) -> AccessLogError:
    reached = f"after line {line_no:,}" if line_no else "before its first line"
    if isinstance(error, EOFError):
        problem = (
            f"the gz file is cut off {reached}, and nothing was billed: copy the file again, or take what there is "
            f"of it with `gzip -dc '{path}' > part.log`"
        )
        return AccessLogError(path, problem)
    if isinstance(error, zlib.error | gzip.BadGzipFile):
        problem = f"the gz file is corrupt {reached} ({error}), and nothing was billed: copy the file again"
        return AccessLogError(path, problem)
    return AccessLogError(path, f"the file cannot be read {reached}: {_reason(error)}")


def _size_of(raw: BinaryIO) -> int | None:
    """The size of a file, None of a pipe and such."""
    try:
        return os.fstat(raw.fileno()).st_size or None
    except OSError:  # standard input may be no file at all
        return None


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
