"""Merkle trees over usage lines: 32 bytes stand for a whole batch, and each of its lines can be proven on its own.

The tree of Certificate Transparency (RFC 6962, section 2.1) over SHA-256:

    leaf  SHA-256(0x00 ‖ line)
    node  SHA-256(0x01 ‖ left ‖ right), split at the largest power of two below the number of leaves

The prefixes keep a node from passing as a line, and no leaf is ever doubled, so that two different batches never share
a root. The order of the lines matters. Pure functions; hashes are 32 bytes.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

HASH_BYTES: Final = 32

_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"


def leaf_hash(line: bytes) -> bytes:
    """Return the hash that stands for one line in the tree."""
    return sha256(_LEAF + line).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of two subtrees."""
    return sha256(_NODE + left + right).digest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Return the root of the tree over leaf hashes.

    Raises: ValueError, when there are none: an empty batch is never posted.
    """
    if not leaves:
        raise ValueError("a tree has at least one leaf")
    level = list(leaves)
    # Joining neighbours and carrying an odd last one up gives the same tree as splitting from the top.
    while len(level) > 1:
        odd = level[len(level) & ~1 :]
        level = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)] + odd
    return level[0]


class GrowingTree:
    """The same tree, whose leaves come one after another: it keeps a hash for each bit of their number, not the leaves.

    ``peaks`` are these hashes, the largest subtree first: with them and the number of leaves it can be gone on with.
    """

    __slots__ = ("count", "peaks")

    def __init__(self, count: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.count = count
        self.peaks = list(peaks)

    def add(self, leaf: bytes) -> None:
        """Put a leaf behind the last one."""
        peak, bits = leaf, self.count
        while bits & 1:
            peak = node_hash(self.peaks.pop(), peak)
            bits >>= 1
        self.peaks.append(peak)
        self.count += 1

    def root(self) -> bytes:
        """Return the root over all leaves so far. Raises: ValueError, when there are none."""
        if not self.peaks:
            raise ValueError("a tree has at least one leaf")
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node_hash(peak, root)
        return root


def root_of_lines(lines: Iterable[bytes]) -> bytes:
    """Return the root of the tree over whole lines. Raises: ValueError, when there are none."""
    return merkle_root([leaf_hash(line) for line in lines])


def merkle_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return what proves the leaf at ``index`` (from 0): its sibling hashes from the bottom to the top.

    Raises: IndexError, when there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(f"there is no leaf {index} among {len(leaves)}")
    path, level = [], list(leaves)
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        odd = level[len(level) & ~1 :]
        level = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)] + odd
        index //= 2
    return path


def is_proven(line: bytes, index: int, leaf_count: int, path: Sequence[bytes], root: bytes) -> bool:
    """Return whether the path leads from the line at ``index`` of ``leaf_count`` lines to the root.

    Whatever the arguments hold: a proof that is not one is False, not an error.
    """
    if not 0 <= index < leaf_count:
        return False
    found, siblings, last = leaf_hash(line), list(reversed(path)), leaf_count - 1
    while last:
        if index % 2 or index < last:
            if not siblings:
                return False
            sibling = siblings.pop()
            found = node_hash(sibling, found) if index % 2 else node_hash(found, sibling)
        index //= 2
        last //= 2
    return not siblings and found == root
