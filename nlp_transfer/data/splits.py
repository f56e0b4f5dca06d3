"""Leak-free splits and nested training subsets.

Rows that share a group (a review, a product, a reviewer) or a normalised text form one *component*; a
component is never divided. Which components are test rows follows from the data alone, never from a seed, so
two runs on the same file are scored on the same rows. Reading rows and mapping labels is left to
`classification.py`.
"""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
Labels = Sequence[int] | npt.NDArray[np.int64]


class _Kept(dict[int, int | None]):
    """A table for `str.translate` that keeps letters, marks and digits; filled as characters are met."""

    def __missing__(self, code: int) -> int | None:
        character = chr(code)
        self[code] = code if character.isalnum() or unicodedata.category(character)[0] == "M" else None
        return self[code]


_KEPT = _Kept()


def normalise_text(text: str) -> str:
    """Reduce a text to what decides whether two rows are the same row.

    NFKC, case-folded, letters, marks and digits only: "It 's GREAT !" and "it's great" are equal. A text
    without any (an emoji, say) keeps its stripped self.

    >>> normalise_text("It 's GREAT !") == normalise_text("it's great")
    True
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return folded.translate(_KEPT) or folded.strip()


def stable_hash(value: object, *, seed: int | None = None) -> int:
    """Hash a value to 64 bits, equal on every machine and in every process (unlike `hash`)."""
    key = b"" if seed is None else seed.to_bytes(8, "little", signed=True)
    payload = str(value).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(payload, digest_size=8, key=key).digest(), "big")


def connected_components(keys_per_row: Sequence[Iterable[Hashable]]) -> list[int]:
    """Number each row's component: rows that share any key are in one component.

    Args:
        keys_per_row: for each row the keys it can share with others (its group, its normalised text).

    Returns:
        One component number a row, numbered by first appearance.

    >>> connected_components([["a", 1], ["b", 2], ["a", 3], ["c", 3]])
    [0, 1, 0, 0]
    """
    codes: dict[Hashable, int] = {}
    keyed = ((row, key) for row, keys in enumerate(keys_per_row) for key in keys)
    pairs = [(row, codes.setdefault(key, len(codes))) for row, key in keyed]
    edges = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    return list(map(int, _components(edges, rows=len(keys_per_row))))


def _components(edges: Indices, *, rows: int) -> Indices:
    """Number the rows' components by first appearance; `edges` are (row, key) of shape (edges, 2)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components as scipy_components

    size = rows + (int(edges[:, 1].max()) + 1 if len(edges) else 0)
    links = coo_array((np.ones(len(edges), dtype=np.int8), (edges[:, 0], rows + edges[:, 1])), (size, size))
    _, numbers = scipy_components(links, directed=False)
    return _by_first_appearance(numbers[:rows])


def _by_first_appearance(numbers: npt.NDArray[np.signedinteger]) -> Indices:
    """Number equal values alike, from 0 on in the order in which they first stand there."""
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)


def leak_free_components(texts: Sequence[str], groups: Sequence[object] | None = None) -> list[int]:
    """Number the components of rows that share a normalised text or a group (None is no group), by first
    appearance.
    """
    return list(map(int, _by_first_appearance(component_numbers(text_hashes(texts), groups))))


def text_hashes(texts: Sequence[str]) -> npt.NDArray[np.uint64]:
    """Hash normalised texts to 64 bits, shape (texts,): they need no memory that grows with their length.

    Two texts with one hash (one chance in 10^7 among a million) would be kept on one side: no leak.
    """
    hashes = (stable_hash(normalise_text(text)) for text in texts)
    return np.fromiter(hashes, dtype=np.uint64, count=len(texts))


def component_numbers(hashes: npt.NDArray[np.uint64], groups: Sequence[object] | None = None) -> Indices:
    """Number the components of rows that share a text's hash or a group (None is no group), in no order."""
    alike = np.unique(hashes, return_inverse=True)[1]
    if groups is None:
        return alike
    first = int(alike.max(initial=-1)) + 1
    codes: dict[object, int] = {}
    grouped = [
        (row, first + codes.setdefault(group, len(codes)))
        for row, group in enumerate(groups)
        if group is not None
    ]
    edges = np.column_stack([np.arange(len(alike)), alike])
    edges = np.concatenate([edges, np.asarray(grouped, dtype=np.int64).reshape(-1, 2)])
    return _components(edges, rows=len(alike))


def hold_out(
    texts: Sequence[str], labels: Labels, *, groups: Sequence[object] | None = None, share: float
) -> tuple[Indices, Indices]:
    """Split rows into a training pool and held-out rows, by the data alone.

    Components are visited in the order of a hash of their content and held out while no class exceeds its
    share, so the held-out rows have about the class balance of the whole. Each class keeps a row in the pool.

    Args:
        texts: one text a row.
        labels: one class id a row.
        groups: one group a row, or None.
        share: wanted share of held-out rows, between 0 and 1.

    Returns:
        (pool, held out): row numbers, each in the input's order. No component is on both sides.
    """
    label_ids = np.asarray(labels, dtype=np.int64)
    by_component, ends = _rows_by_component(texts, groups)
    counts = zip(*np.unique(label_ids, return_counts=True), strict=True)
    room = {int(label): min(math.ceil(count * share), count - 1) for label, count in counts}
    held = np.zeros(len(label_ids), dtype=bool)
    start = 0
    for end in ends:
        rows = by_component[start:end]
        start = end
        wanted = Counter(label_ids[rows].tolist())
        if all(room[label] >= count for label, count in wanted.items()):
            held[rows] = True
            for label, count in wanted.items():
                room[label] -= count
    return np.flatnonzero(~held), np.flatnonzero(held)


def _rows_by_component(
    texts: Sequence[str], groups: Sequence[object] | None
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return the rows, component after component, and where each component ends among them.

    Components stand in the order of the smallest hash of their rows' groups, or texts where there is no
    group: no number of a row decides, which would follow from the file's order.
    """
    hashes = text_hashes(texts)
    components = component_numbers(hashes, groups)
    for row, group in enumerate(groups if groups is not None else ()):
        if group is not None:
            hashes[row] = stable_hash(group)
    smallest = np.full(components.max(initial=-1) + 1, np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(smallest, components, hashes)
    # Of many rows each of these arrays counts: what is not needed goes, and the numbers are small ones.
    del hashes
    place = np.empty(len(smallest), dtype=np.int32)
    place[np.argsort(smallest, kind="stable")] = np.arange(len(smallest), dtype=np.int32)
    del smallest
    places = place[components]
    del components
    ends = np.cumsum(np.bincount(places), dtype=np.int32)
    return np.argsort(places, kind="stable").astype(np.int32), ends


def nested_subset(labels: Labels, size: int, *, seed: int) -> Indices:
    """Draw a stratified subset of which every smaller one of the same seed is a part.

    Each class is shuffled by the seed; the k-th of its N rows gets the place (k + 1/2) / N, and rows are
    taken in the order of their places: any prefix has each class's share within one row.

    Args:
        labels: one class id a row of the pool.
        size: rows to draw, at most `len(labels)`.
        seed: chooses the rows.

    Returns:
        Row numbers of shape (size,), in drawing order.

    Raises:
        ValueError: the pool is smaller than `size`.
    """
    if size > len(labels):
        raise ValueError(f"{size} rows were asked for and the pool has {len(labels)}")
    generator = np.random.default_rng(seed)
    label_ids = np.asarray(labels)
    place = np.empty(len(label_ids))
    for label in np.unique(label_ids):
        rows = generator.permutation(np.flatnonzero(label_ids == label))
        place[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    return np.lexsort((label_ids, place))[:size].astype(np.int64)
