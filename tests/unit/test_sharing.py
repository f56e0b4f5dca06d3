"""Rows divided among processes: every row once, and about as much work for each."""

from __future__ import annotations

import numpy as np
import pytest

from nlp_transfer.training.processes import computed_on_main
from nlp_transfer.training.sharing import computed_in_shares, scored_in_shares, shares


@pytest.mark.parametrize(("rows", "processes"), [(0, 2), (1, 2), (3, 4), (37, 2), (1_000, 7)])
def test_each_row_is_in_one_share_and_shares_differ_by_one_row(rows: int, processes: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 200, rows).tolist()
    dealt = shares(lengths, processes)
    assert sorted(row for share in dealt for row in share) == list(range(rows))
    counts = [len(share) for share in dealt]
    assert max(counts) - min(counts) <= 1
    # Dealt by length: no share has more work than another by more than its longest row.
    work = [sum(lengths[row] for row in share) for share in dealt]
    assert max(work) - min(work) <= max(lengths, default=0)


@pytest.mark.parametrize("rows", [0, 5])
def test_one_process_computes_all_rows_at_once_in_their_order(rows: int) -> None:
    asked: list[list[int]] = []
    computed_in_shares([9 - row for row in range(rows)], asked.append)
    assert asked == [list(range(rows))]


def test_one_process_scores_as_without_shares() -> None:
    texts = ["longest of all", "b", "middling"]
    given: list[list[str]] = []

    def score(some: list[str]) -> np.ndarray:
        given.append(some)
        return np.asarray([[len(text), 0.1] for text in some])

    scores = scored_in_shares(texts, score, classes=2)
    assert given == [texts]
    assert scores.tolist() == [[14, 0.1], [1, 0.1], [8, 0.1]]
    assert scored_in_shares([], lambda some: np.zeros((0, 3)), classes=3).shape == (0, 3)


def test_shares_are_not_waited_for_inside_what_one_process_does_alone() -> None:
    """With one process too: with several it would hang."""
    waits = pytest.raises(RuntimeError, match="waits for the others inside what it does alone")
    with waits:
        computed_on_main(lambda: computed_in_shares([1], len))
    with waits:
        computed_in_shares([1], lambda rows: computed_on_main(lambda: rows))
