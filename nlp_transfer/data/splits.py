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
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]


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
    parent = list(range(len(keys_per_row)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first_with: dict[Hashable, int] = {}
    for row, keys in enumerate(keys_per_row):
        for key in keys:
            other = first_with.setdefault(key, row)
            low, high = sorted((root(row), root(other)))
            parent[high] = low
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(row), len(numbers)) for row in range(len(keys_per_row))]


def leak_free_components(texts: Sequence[str], groups: Sequence[object] | None = None) -> list[int]:
    """Number the components of rows that share a normalised text or a group (None is no group)."""
    keys: list[list[Hashable]] = [[("text", normalise_text(text))] for text in texts]
    for row, group in enumerate(groups if groups is not None else ()):
        if group is not None:
            keys[row].append(("group", group))
    return connected_components(keys)


def hold_out(
    texts: Sequence[str], labels: Sequence[int], *, groups: Sequence[object] | None = None, share: float
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
    components = leak_free_components(texts, groups)
    rows_of: dict[int, list[int]] = defaultdict(list)
    for row, component in enumerate(components):
        rows_of[component].append(row)

    def content_hash(rows: list[int]) -> int:
        named = [None if groups is None else groups[row] for row in rows]
        return min(
            stable_hash(normalise_text(texts[row]) if group is None else group)
            for row, group in zip(rows, named, strict=True)
        )

    room = {label: min(math.ceil(count * share), count - 1) for label, count in Counter(labels).items()}
    held: list[int] = []
    for rows in sorted(rows_of.values(), key=lambda rows: (content_hash(rows), rows[0])):
        wanted = Counter(labels[row] for row in rows)
        if all(room[label] >= count for label, count in wanted.items()):
            held.extend(rows)
            for label, count in wanted.items():
                room[label] -= count
    held_set = set(held)
    pool = [row for row in range(len(texts)) if row not in held_set]
    return np.asarray(pool, dtype=np.int64), np.asarray(sorted(held), dtype=np.int64)


def nested_subset(labels: Sequence[int], size: int, *, seed: int) -> Indices:
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
