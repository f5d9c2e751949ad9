"""Reads an access log of any size, plain or gz, line by line.

What makes the whole log unusable is an `AccessLogError`, whose text says what to do. A single bad line is not an
error: it is counted, kept with its number and reason, and skipped.
"""

import gzip
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO, Final

from demo.log_line import AccessEntry, LineError, parse_line

MAX_LINE_BYTES: Final = 131_072
"""Above what Apache can write with its limits: three fields of 8,190 bytes, each byte escaped as four characters."""
MAX_KEPT_BAD_LINES: Final = 1_000
LINES_TO_RECOGNISE_A_LOG: Final = 100

Progress = Callable[[int, int | None], None]
"""Called now and then with the bytes read of the file (compressed ones for a gz) and its size, None for a pipe."""

_LINES_BETWEEN_PROGRESS: Final = 2_048
_GZ_MAGIC: Final = b"\x1f\x8b"
_UTF8_BOM: Final = b"\xef\xbb\xbf"
_OTHER_FORMATS: Final = {
    b"BZh": "a bzip2 file: unpack it with bunzip2 first",
    b"\xfd7zXZ\x00": "an xz file: unpack it with unxz first",
    b"\x28\xb5\x2f\xfd": "a zstd file: unpack it with unzstd first",
    b"PK\x03\x04": "a zip file: unpack it first",
    b"\xff\xfe": "UTF-16 text: convert it first with `iconv -f UTF-16 -t UTF-8`",
    b"\xfe\xff": "UTF-16 text: convert it first with `iconv -f UTF-16 -t UTF-8`",
}


class AccessLogError(Exception):
    """A log that cannot be billed; the text names the file and says what to do."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")


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


@dataclass(frozen=True, slots=True)
class AccessLog:
    """A whole log in memory, its requests in the order of time.

    ``lines`` is without the ``blank_lines``, so that it is the number of entries and bad lines together.
    ``late_entries`` counts the requests that stood behind a later one.
    """

    path: Path
    entries: Sequence[AccessEntry]
    bad_lines: BadLines
    lines: int
    blank_lines: int
    late_entries: int


class LogReader:
    """Reads a log once, front to back, in memory that does not grow with it; iterate over it for the requests.

    ``lines``, ``blank_lines`` and ``bad_lines`` grow while it is read. Not thread-safe.
    """

    def __init__(self, path: str | os.PathLike[str], progress: Progress | None = None) -> None:
        self.path = Path(path)
        self.bad_lines = BadLines()
        self.lines = 0
        self.blank_lines = 0
        self._progress = progress
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
            self.lines += 1
            try:
                if line is None:
                    raise LineError(f"it is longer than {MAX_LINE_BYTES:,} bytes", is_layout=True)
                entry = parse_line(line, line_no)
            except LineError as error:
                self._record_bad_line(line_no, error)
                continue
            self._looks_like_a_log = True
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
            return AccessLogError(self.path, "the log is empty: there is nothing to bill; name one that has requests")
        first = self.bad_lines.kept[0]
        where = f"line {first.line_no}: {first.reason}"
        if self._looks_like_a_log:
            problem = f"the log has no readable request in its {self.lines:,} lines ({where})"
            return AccessLogError(self.path, problem)
        return AccessLogError(
            self.path,
            f"this is not an access log in common or combined format: not one of the first {self.lines:,} lines "
            f"can be read ({where})",
        )

    def _numbered_lines(self) -> Iterator[tuple[int, bytes | None]]:
        """Yield every line without its end; None stands for one that is too long."""
        with _open_raw(self.path) as raw, _open_text(self.path, raw) as text:
            size = os.fstat(raw.fileno()).st_size or None
            for line_no, line in enumerate(_bounded_lines(self.path, text), start=1):
                yield line_no, line
                if self._progress and line_no % _LINES_BETWEEN_PROGRESS == 0:
                    self._progress(raw.tell() if size else 0, size)
            if self._progress:
                self._progress(size or 0, size)


def read_log(path: str | os.PathLike[str], progress: Progress | None = None) -> AccessLog:
    """Read a whole log and sort its requests by time; those of the same second stay in the order of the file.

    Raises: AccessLogError. Nothing is returned of a log that is damaged at its end, so that nothing of it is billed.
    """
    reader = LogReader(path, progress)
    entries: list[AccessEntry] = []
    late_entries = 0
    latest = 0
    for entry in reader:
        entries.append(entry)
        late_entries += entry.at < latest
        latest = max(latest, entry.at)
    if late_entries:
        entries.sort(key=attrgetter("at"))
    return AccessLog(reader.path, entries, reader.bad_lines, reader.lines, reader.blank_lines, late_entries)


@contextmanager
def _open_raw(path: Path) -> Iterator[BufferedReader]:
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


@contextmanager
def _open_text(path: Path, raw: BufferedReader) -> Iterator[BinaryIO]:
    """Yield the bytes of the log itself, unpacked where they are packed, behind a byte order mark."""
    try:
        head = raw.peek(8)
        if head.startswith(_UTF8_BOM):
            raw.read(len(_UTF8_BOM))
    except OSError as error:
        raise _read_error(path, error, 0) from error
    for magic, what in _OTHER_FORMATS.items():
        if head.startswith(magic):
            raise AccessLogError(path, f"this is {what}")
    if head.startswith(_GZ_MAGIC):
        with gzip.GzipFile(fileobj=raw) as unpacked:
            yield unpacked  # type: ignore[misc]  # GzipFile reads as a BinaryIO but is not declared one
    else:
        yield raw


def _bounded_lines(path: Path, text: BinaryIO) -> Iterator[bytes | None]:
    """Yield the lines without their ends, None for one beyond `MAX_LINE_BYTES`, whose rest is never held in memory."""
    line_no = 0
    try:
        while line := text.readline(MAX_LINE_BYTES + 2):
            if line.endswith(b"\n"):
                line = line[:-1]
            elif len(line) > MAX_LINE_BYTES:
                while (rest := text.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                    pass
            line_no += 1
            line = line.removesuffix(b"\r")
            yield line if len(line) <= MAX_LINE_BYTES else None
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


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
