"""Many token sequences as one flat array: a million sentences in the memory that their tokens take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int32]


class Sequences:
    """Token id sequences, one after the other in `ids`, each ending where the next one starts.

    >>> packed = Sequences.packed([[5, 6], [], [7]])
    >>> packed[0].tolist(), packed.lengths.tolist()
    ([5, 6], [2, 0, 1])
    """

    def __init__(self, ids: Ids, starts: npt.NDArray[np.int64]) -> None:
        self.ids = ids
        self.starts = starts

    @classmethod
    def packed(cls, sequences: Iterable[Sequence[int]]) -> Sequences:
        """Pack sequences of ids."""
        return cls.packed_arrays(np.asarray(sequence, dtype=np.int32) for sequence in sequences)

    @classmethod
    def packed_arrays(cls, arrays: Iterable[Ids]) -> Sequences:
        """Pack sequences that are arrays already."""
        parts = list(arrays)
        lengths = np.asarray([len(part) for part in parts], dtype=np.int64)
        ids = np.concatenate(parts) if parts else np.empty(0, dtype=np.int32)
        return cls(ids, np.concatenate([[0], np.cumsum(lengths)]))

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each sequence, shape (sequences,)."""
        return np.diff(self.starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, row: int) -> Ids:
        return self.ids[self.starts[row] : self.starts[row + 1]]


def padded(sequences: Sequence[Ids | Sequence[int]], *, value: int) -> npt.NDArray[np.int64]:
    """Stack sequences into an array of shape (sequences, longest), filled up with `value` on the right."""
    width = max((len(sequence) for sequence in sequences), default=0)
    stacked = np.full((len(sequences), width), value, dtype=np.int64)
    for row, sequence in enumerate(sequences):
        stacked[row, : len(sequence)] = sequence
    return stacked
