"""Takes from this process what contracts have no need of, for good. Called once, while it has a single thread.

On Linux, by the kernel: Landlock (files, TCP, signals), a filter of system calls (sockets, other programs, other
processes, rights of files) and no capabilities. Everywhere: limits of memory and core dumps.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from genlayer_localnet.interpreter import memory_limit
from genlayer_localnet.rpc.engine import EVERYTHING

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_STACK_BYTES: Final = 64 * 1024 * 1024
"""Contracts that call each other nest deep."""
_SHARED: Final = (
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/lib",
    "/lib64",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
)
"""Where Python's modules find libraries and time zones."""

# --- Landlock ---

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # of every architecture
_PATH_BENEATH: Final = 1
_VERSION_FLAG: Final = 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FS_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many rights each version of Landlock knows: what it knows is refused unless a rule allows it."""
_NET_SINCE, _SCOPE_SINCE = 4, 6
_BIND_AND_CONNECT: Final = 0b11
_ABSTRACT_SOCKETS_AND_SIGNALS: Final = 0b11

# --- seccomp: numbers for x86-64 and arm64, None where there is none ---

_REFUSED: Final[dict[str, tuple[int | None, int | None]]] = {
    # the network
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201), "accept": (43, 202),
    "accept4": (288, 242),
    # other programs and processes
    "execve": (59, 221), "execveat": (322, 281), "fork": (57, None), "vfork": (58, None),
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424), "ptrace": (101, 117), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "kcmp": (312, 272), "shmget": (29, 194), "shmat": (30, 196),
    "shmctl": (31, 195), "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187),
    "semget": (64, 190), "semop": (65, 193), "semtimedop": (220, 192), "semctl": (66, 191), "mq_open": (240, 180),
    "mq_unlink": (241, 181), "setpriority": (141, 140), "sched_setscheduler": (144, 119), "sched_setparam": (142, 118),
    "sched_setattr": (314, 274), "sched_setaffinity": (203, 122), "ioprio_set": (251, 30),
    "memfd_secret": (447, 447),
    # what Landlock knows only since Linux 6.2
    "truncate": (76, 45), "creat": (85, None),
    # rights and attributes of files, which Landlock leaves alone
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None),
    "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54), "utime": (132, None), "utimes": (235, None),
    "futimesat": (261, None), "utimensat": (280, 88), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    # the machine, and ways around what is above
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "setns": (308, 268), "unshare": (272, 97), "fsopen": (430, 430), "fsmount": (432, 432),
    "move_mount": (429, 429), "open_tree": (428, 428), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "kexec_load": (246, 104), "kexec_file_load": (320, 294),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "personality": (135, 92),
    "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171), "sethostname": (170, 161),
    "setdomainname": (171, 162), "acct": (163, 89), "quotactl": (179, 60), "syslog": (103, 116),
    "iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None), "vhangup": (153, 58),
}  # fmt: skip
_UNSEEN: Final = {"clone3": 435, "openat2": 437}
"""Their flags cannot be seen by a filter: libraries take the older ones."""
_ARCHITECTURES: Final = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_X32_NUMBERS: Final = 0x40000000
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_LOAD, _EQUAL, _AT_LEAST, _ANY_OF, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_AT_NUMBER, _AT_ARCHITECTURE, _AT_FIRST_ARGUMENT, _ARGUMENT_BYTES = 0, 4, 16, 8

# --- calls that are refused with some arguments: numbers, which argument, the test, values, whether it must hold ---

_CLONE_THREAD: Final = 0x10000
_SENDERS_OF_SIGNALS: Final = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX: a signal to anybody when something arrives
_OF_IOCTL: Final = (0x8901, 0x8902, 0x5412)  # FIOSETOWN, SIOCSPGRP: the same; TIOCSTI: typing at a terminal
_O_TRUNC: Final = (os.O_TRUNC,)
_REFUSED_WITH: Final[tuple[tuple[tuple[int | None, int | None], int, int, tuple[int, ...], bool], ...]] = (
    ((56, 220), 0, _ANY_OF, (_CLONE_THREAD,), False),  # clone: only threads
    ((302, 261), 0, _EQUAL, (0,), False),  # prlimit64: only of this process
    ((72, 25), 1, _EQUAL, _SENDERS_OF_SIGNALS, True),  # fcntl
    ((16, 29), 1, _EQUAL, _OF_IOCTL, True),  # ioctl
    ((2, None), 1, _ANY_OF, _O_TRUNC, True),  # open: what may be read could be emptied before Linux 6.2
    ((257, 56), 2, _ANY_OF, _O_TRUNC, True),  # openat
)


def confine(readable: Iterable[Path], memory_bytes: int | None) -> list[str]:
    """Leave this process nothing but its memory, its open files and reading in ``readable`` and Python's own folders.

    What the system cannot take from it comes back, in words.
    """
    _limit_resources(memory_bytes)
    if sys.platform != "linux":
        return EVERYTHING
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _drop_capabilities(libc)
    left = []
    if not _restrict_files(libc, [*_folders_of_python(), *readable]):
        left.append("files")
    if not _filter_calls(libc):
        left += ["network", "other processes"]
    return left


def _limit_resources(memory_bytes: int | None) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_STACK)
    if most == resource.RLIM_INFINITY or most >= _STACK_BYTES:
        resource.setrlimit(resource.RLIMIT_STACK, (_STACK_BYTES, most))
    if memory_bytes is not None:
        memory_limit.limit(memory_bytes)


def _folders_of_python() -> list[Path]:
    """Not ``sys.path``, which may have the user's project in it."""
    kinds = ("stdlib", "platstdlib", "purelib", "platlib")
    base = {"base": sys.base_prefix, "platbase": sys.base_exec_prefix, "installed_base": sys.base_prefix}
    found = {sysconfig.get_path(kind, vars=scheme) for scheme in ({}, base) for kind in kinds}
    found |= {entry for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))}
    return [Path(name) for name in {*found, *_SHARED} if name and os.path.exists(name)]


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    """Root without them is a user like others."""
    wanted = struct.pack("=Ii", 0x20080522, 0), struct.pack("=6I", *(0 for _ in range(6)))
    libc.capset(*(ctypes.create_string_buffer(part, len(part)) for part in wanted))


def _restrict_files(libc: ctypes.CDLL, readable: list[Path]) -> bool:
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG))
    if version < 1:
        return False
    rights = (1 << _FS_RIGHTS.get(version, _FS_RIGHTS[max(_FS_RIGHTS)])) - 1
    fields = [rights]
    if version >= _NET_SINCE:
        fields.append(_BIND_AND_CONNECT)
    if version >= _SCOPE_SINCE:
        fields.append(_ABSTRACT_SOCKETS_AND_SIGNALS)
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    rules = libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    if rules < 0:
        return False
    try:
        return all(_allow_reading(libc, rules, path) for path in readable) and (
            libc.syscall(_RESTRICT_SELF, ctypes.c_int(rules), ctypes.c_uint32(0)) == 0
        )
    finally:
        os.close(rules)


def _allow_reading(libc: ctypes.CDLL, rules: int, path: Path) -> bool:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rights = _READ_FILE | (_READ_DIR if path.is_dir() else 0)
        rule = struct.pack("=Qi", rights, descriptor)
        arguments = (ctypes.c_int(rules), ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint32(0))
        return bool(libc.syscall(_ADD_RULE, *arguments) == 0)
    finally:
        os.close(descriptor)


def _filter_calls(libc: ctypes.CDLL) -> bool:
    found = _ARCHITECTURES.get(platform.machine())
    if found is None or sys.maxsize < 2**32:
        return False
    program = b"".join(_program(*found))
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    return bool(libc.prctl(_PR_SET_SECCOMP, 2, header, 0, 0) == 0)


def _program(column: int, architecture: int) -> Iterable[bytes]:
    """In the kernel's filter language: refused calls answer EPERM."""
    refused = [numbers[column] for numbers in _REFUSED.values()]
    yield _step(_LOAD, _AT_ARCHITECTURE)
    yield from _when(_EQUAL, architecture, _KILL, otherwise=True)
    yield _step(_LOAD, _AT_NUMBER)
    yield from _when(_AT_LEAST, _X32_NUMBERS, _KILL)
    for unseen in _UNSEEN.values():
        yield from _when(_EQUAL, unseen, _ERRNO | _ENOSYS)
    for number in refused:
        if number is not None:
            yield from _when(_EQUAL, number, _ERRNO | _EPERM)
    for numbers, argument, test, values, holds in _REFUSED_WITH:
        if (found := numbers[column]) is not None:
            yield _step(_EQUAL, found, 0, 2 + 2 * len(values))
            yield _step(
                _LOAD, _AT_FIRST_ARGUMENT + argument * _ARGUMENT_BYTES
            )  # its lower half, which the kernel reads
            for value in values:
                yield from _when(test, value, _ERRNO | _EPERM, otherwise=not holds)
            yield _step(_LOAD, _AT_NUMBER)
    yield _step(_RETURN, _ALLOW)


def _when(test: int, value: int, result: int, *, otherwise: bool = False) -> Iterable[bytes]:
    """Return ``result`` where the test holds, or where it does not."""
    yield _step(test, value, 1, 0) if otherwise else _step(test, value, 0, 1)
    yield _step(_RETURN, result)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
