"""What a contract prints, and the traceback of an error with the contract's own line."""

from __future__ import annotations

import io
import linecache
import sys
import warnings
from collections.abc import Iterator
from threading import get_ident
from types import TracebackType
from typing import Any, TextIO, cast

from genlayer_localnet.interpreter.contract_code import calls_contract_code, contract_files, is_contract_code
from genlayer_localnet.state.results import Terminated

MAX_OUTPUT_CHARACTERS = 1024 * 1024
CONTRACT_FILE_PREFIX = "<contract "
_MAX_CHAIN = 10
_DIRECT_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_DURING_HANDLING = "\nDuring handling of the above exception, another exception occurred:\n\n"


class _Parts(list[str]):
    """What one call writes to one stream, up to the limit; what comes after it is lost."""

    left = MAX_OUTPUT_CHARACTERS

    def append(self, text: str) -> None:
        if self.left > 0:
            size = str.__len__(text)
            super().append(text if size <= self.left else str.__getitem__(text, slice(self.left)))
            self.left -= max(size, 1)


class _ThreadStream(io.TextIOBase):
    """Text of one thread goes to a list; that of all others to the stream that was there before."""

    def __init__(self) -> None:
        super().__init__()
        self.thread = 0
        self.parts: list[str] = []
        self.before: TextIO | None = None

    @property
    def encoding(self) -> str:  # type: ignore[override]  # read-only, as of a real stream
        return "utf-8"

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.thread == get_ident():
            if not isinstance(text, str):
                raise TypeError(f"write() argument must be str, not {type(text).__name__}")
            self.parts.append(text)
            return len(text)
        return self.before.write(text) if self.before is not None else len(text)

    def flush(self) -> None:
        if self.thread != get_ident() and self.before is not None:
            self.before.flush()


_stdout, _stderr = _ThreadStream(), _ThreadStream()


class Console:
    """Context manager that collects ``sys.stdout`` and ``sys.stderr`` of this thread. Can be nested."""

    __slots__ = ("_before", "stderr_parts", "stdout_parts")

    def __init__(self) -> None:
        self.stdout_parts: list[str] = _Parts()
        self.stderr_parts: list[str] = _Parts()

    def __enter__(self) -> Console:
        self._before = (_state(_stdout), _state(_stderr), sys.stdout, sys.stderr, sys.stdin)
        thread = get_ident()
        _stdout.thread = _stderr.thread = thread
        _stdout.parts, _stderr.parts = self.stdout_parts, self.stderr_parts
        if sys.stdout is not _stdout:
            _stdout.before = sys.stdout
        if sys.stderr is not _stderr:
            _stderr.before = sys.stderr
        sys.stdout, sys.stderr, sys.stdin = _stdout, _stderr, io.StringIO()
        _filters().insert(0, _WARNINGS_TO_STDERR)
        return self

    def __exit__(self, *_: object) -> None:
        filters = _filters()
        if _WARNINGS_TO_STDERR in filters:  # what stands before it, the contract has put there
            del filters[: filters.index(_WARNINGS_TO_STDERR) + 1]
        stdout, stderr, sys.stdout, sys.stderr, sys.stdin = self._before
        _stdout.thread, _stdout.parts, _stdout.before = stdout
        _stderr.thread, _stderr.parts, _stderr.before = stderr

    @property
    def stdout(self) -> str:
        return "".join(self.stdout_parts)

    @property
    def stderr(self) -> str:
        return "".join(self.stderr_parts)


class _ContractsWarning:
    """Matches the text of a warning that contract code gives, which it writes where the contract's errors go."""

    def match(self, text: str) -> bool:
        if not is_contract_code(sys._getframe(1)):
            return False
        write_error(f"Warning: {text}\n")
        return True


# Filters of the process, a test runner's that make errors of warnings above all, are not the contract's.
_WARNINGS_TO_STDERR: Any = ("ignore", _ContractsWarning(), Warning, None, 0)


def _filters() -> list[Any]:
    return cast("list[Any]", warnings.filters)


def _state(stream: _ThreadStream) -> tuple[int, list[str], TextIO | None]:
    return stream.thread, stream.parts, stream.before


def written_parts() -> int:
    """How often the contract of now has written anything."""
    return len(_stdout.parts) + len(_stderr.parts)


def write_error(text: str) -> None:
    """Add to the standard error of what runs now, even where the contract put something else in ``sys.stderr``."""
    list.append(_stderr.parts, text)  # behind all that the contract may have written


def register_source(filename: str, source: str) -> None:
    """Let tracebacks and debuggers show lines of a contract, although there may be no such file."""
    contract_files.add(filename)
    lines = [line + "\n" for line in source.split("\n")]
    linecache.cache[filename] = (len(source), None, lines, filename)


def format_error(error: BaseException, contract_files: frozenset[str] | set[str]) -> str:
    """A traceback that starts at the contract's first frame. Quicker than ``traceback``: refusals are many."""
    return "".join(part for link in reversed(_chain(error)) for part in _format_link(*link, contract_files))


def _chain(error: BaseException) -> list[tuple[BaseException, str]]:
    """The error, what led to it, and so on; each with the words that stand before it. What is far back is left out."""
    chain: list[tuple[BaseException, str]] = []
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen and len(chain) < _MAX_CHAIN:
        seen.add(id(following))
        current = following
        following = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
        words = ""
        if following is not None and id(following) not in seen and len(chain) + 1 < _MAX_CHAIN:
            words = _DIRECT_CAUSE if current.__cause__ is following else _DURING_HANDLING
        chain.append((current, words))
    return chain


def _format_link(error: BaseException, words: str, files: frozenset[str] | set[str]) -> Iterator[str]:
    yield words
    frames = list(_frames(error.__traceback__))
    first = next((index for index, (filename, _, _) in enumerate(frames) if filename in files), 0)
    yield "Traceback (most recent call last):\n"
    for filename, line_number, name in _without_repeats(frames[first:]):
        yield f'  File "{filename}", line {line_number}, in {name}\n'
        line = linecache.getline(filename, line_number).strip()
        if line:
            yield f"    {line}\n"
    yield f"{_describe(error)}\n"


def _frames(traceback: TracebackType | None) -> Iterator[tuple[str, int, str]]:
    while traceback is not None:
        code = traceback.tb_frame.f_code
        # An instruction that belongs to no line (the start of a handler) has no number.
        yield code.co_filename, traceback.tb_lineno or code.co_firstlineno, code.co_qualname
        traceback = traceback.tb_next


def _without_repeats(frames: list[tuple[str, int, str]]) -> Iterator[tuple[str, int, str]]:
    """A recursion of a thousand calls is shown by its ends."""
    if len(frames) <= 40:
        yield from frames
        return
    yield from frames[:20]
    yield f"… {len(frames) - 40} frames left out …", 0, "…"
    yield from frames[-20:]


@calls_contract_code
def _describe(error: BaseException) -> str:
    name = type(error).__name__
    try:
        text: Any = str(error)
    except Terminated:
        raise
    except BaseException as unprintable:
        text = f"<its text raised {type(unprintable).__name__}>"
    return f"{name}: {text}" if text else name
