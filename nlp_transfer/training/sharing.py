"""Rows that the processes divide among themselves: each computes its share, and all get every row's result
once.

Who writes the results is left to processes.py: the main process alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from nlp_transfer.training.processes import alone, num_processes, process_index, require_together

Made = TypeVar("Made")
Array = npt.NDArray[np.float64]


def shares(lengths: Sequence[int], processes: int) -> list[list[int]]:
    """Deal row numbers out by length, longest first: shares differ by one row, and by little work.

    Args:
        lengths: of each row, in any unit that its time goes with.
        processes: how many shares there are.

    >>> shares([5, 9, 1], 2)
    [[1, 2], [0]]
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    return [sorted(order[process::processes].tolist()) for process in range(processes)]


def computed_in_shares(
    lengths: Sequence[int], compute: Callable[[list[int]], Made]
) -> list[tuple[list[int], Made]]:
    """Compute something for all rows, each process for its share; an error in one of them is raised in all.

    All processes call it, with the same lengths.

    Args:
        lengths: of each row, in any unit that its time goes with.
        compute: takes the numbers of a share's rows, in their order; what it returns must be picklable when
            there are several processes.

    Returns:
        Each share's row numbers and what was computed for them, each row once. One process has one share, of
        all rows; of several those without rows have none.

    Raises:
        RuntimeError: it was called inside what one process does alone, where the others would not come.
    """
    require_together()
    processes = num_processes()
    if processes == 1:
        every_row = list(range(len(lengths)))
        with alone():
            return [(every_row, compute(every_row))]
    from accelerate.utils import gather_object

    rows = shares(lengths, processes)[process_index()]
    outcome: tuple[list[int], Any, Exception | None] = (rows, None, None)
    if rows:
        try:
            with alone():
                outcome = (rows, compute(rows), None)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other processes must not wait for ever
            outcome = (rows, None, error)
    gathered = gather_object([outcome])
    for _, _, failure in gathered:
        if failure is not None:
            raise failure
    return [(rows, made) for rows, made, _ in gathered if rows]


def scored_in_shares(texts: Sequence[str], score: Callable[[list[str]], Array], *, classes: int) -> Array:
    """Score texts, each process its share; return all scores, shape (texts, classes), in the texts' order.

    Args:
        texts: what to score, the same in all processes.
        score: gives some of the texts scores of shape (those texts, classes).
        classes: how many there are.
    """
    scores = np.zeros((len(texts), classes))
    for rows, part in computed_in_shares(
        [len(text) for text in texts], lambda rows: score([texts[row] for row in rows])
    ):
        scores[rows] = part
    return scores
