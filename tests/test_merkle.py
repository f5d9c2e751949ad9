"""Merkle trees over usage lines."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_billing.merkle import GrowingTree, is_proven, leaf_hash, merkle_path, merkle_root, node_hash, root_of_lines

# Inputs and roots of the test vectors that implementations of RFC 6962 share.
VECTOR_LINES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
VECTOR_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def top_down_root(leaves: list[bytes]) -> bytes:
    """The definition of the RFC, word for word."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(top_down_root(leaves[:split]), top_down_root(leaves[split:]))


lines_strategy = st.lists(st.binary(max_size=40), min_size=1, max_size=40)


@pytest.mark.parametrize("count", range(1, 9))
def test_root__test_vectors_of_the_rfc__are_met(count: int) -> None:
    assert root_of_lines(VECTOR_LINES[:count]).hex() == VECTOR_ROOTS[count - 1]


@given(lines_strategy)
def test_root__any_lines__is_that_of_the_definition(lines: list[bytes]) -> None:
    leaves = [leaf_hash(line) for line in lines]
    assert merkle_root(leaves) == top_down_root(leaves)


def test_root__no_leaf__is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one leaf"):
        merkle_root([])


def test_root__last_line_twice__differs() -> None:
    assert root_of_lines([b"a", b"b", b"c"]) != root_of_lines([b"a", b"b", b"c", b"c"])


def test_leaf__two_hashes_as_a_line__is_not_their_node() -> None:
    left, right = sha256(b"l").digest(), sha256(b"r").digest()
    assert leaf_hash(left + right) != node_hash(left, right)


@given(lines_strategy)
def test_path__every_line__is_proven(lines: list[bytes]) -> None:
    leaves = [leaf_hash(line) for line in lines]
    root = merkle_root(leaves)
    assert all(is_proven(line, index, len(lines), merkle_path(leaves, index), root) for index, line in enumerate(lines))


@given(lines_strategy, st.data())
def test_growing_tree__given_up_and_gone_on_with_anywhere__has_the_root_of_the_whole(
    lines: list[bytes], data: st.DataObject
) -> None:
    leaves = [leaf_hash(line) for line in lines]
    tree = GrowingTree()
    for count, leaf in enumerate(leaves, start=1):
        tree.add(leaf)
        assert (tree.count, tree.root()) == (count, merkle_root(leaves[:count]))
        if data.draw(st.booleans()):
            tree = GrowingTree(tree.count, tree.peaks)


def test_growing_tree__of_nothing__has_no_root() -> None:
    with pytest.raises(ValueError, match="at least one leaf"):
        GrowingTree().root()


@pytest.mark.parametrize("index", [-1, 3])
def test_path__no_such_leaf__is_an_error(index: int) -> None:
    with pytest.raises(IndexError, match="among 3"):
        merkle_path([leaf_hash(line) for line in (b"a", b"b", b"c")], index)


@given(lines_strategy, st.data())
def test_is_proven__another_line__is_false(lines: list[bytes], data: st.DataObject) -> None:
    leaves = [leaf_hash(line) for line in lines]
    index = data.draw(st.integers(0, len(lines) - 1))
    path = merkle_path(leaves, index)
    assert not is_proven(lines[index] + b"!", index, len(lines), path, merkle_root(leaves))


@given(lines_strategy, st.integers(-2, 45), st.integers(-2, 45), st.lists(st.binary(max_size=33), max_size=8))
def test_is_proven__made_up_proof__is_false(lines: list[bytes], index: int, count: int, path: list[bytes]) -> None:
    assert not is_proven(b"no line of this batch, as it is longer than those", index, count, path, root_of_lines(lines))


@pytest.mark.parametrize("extra", [[b"\x00" * 32], []], ids=["too long", "too short"])
def test_is_proven__path_of_another_length__is_false(extra: list[bytes]) -> None:
    lines = [b"a", b"b", b"c"]
    leaves = [leaf_hash(line) for line in lines]
    path = merkle_path(leaves, 0)
    assert not is_proven(b"a", 0, 3, path + extra if extra else path[:-1], merkle_root(leaves))
