"""A source model is set aside where the target's own labels say that it is worse than chance."""

from __future__ import annotations

import numpy as np
import pytest

from nlp_transfer.diagnostics.source_trust import SourceTrust, source_trust, source_trust_finding


def answers(rows: int, *, positive: float, right: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return a model's answers and the labels: the share of positive rows, and how often each class is
    right.
    """
    labels = (np.arange(rows) < round(rows * positive)).astype(np.int64)
    generator = np.random.default_rng(1)
    hits = generator.random(rows) < np.where(labels == 1, right[1], right[0])
    return np.where(hits, labels, 1 - labels), labels


def test_what_is_right_is_counted() -> None:
    trust = source_trust(np.asarray([0, 1, 1, 0]), np.asarray([0, 1, 0, 0]))
    assert (trust.rows, trust.right, trust.by_chance) == (4, 3, 2.0)


@pytest.mark.parametrize(
    ("rows", "positive", "right", "aside"),
    [
        (64, 0.58, (0.2, 0.2), True),  # exchanged labels: a good source upside down
        (16, 0.5, (0.1, 0.1), True),
        (64, 0.58, (0.8, 0.8), False),
        # Worse than always answering the frequent class, and no suspect: it only expects other shares.
        (512, 0.94, (0.88, 0.88), False),
        (256, 0.90, (0.80, 0.80), False),
        (64, 0.91, (0.78, 0.78), False),
        (2_000, 0.9, (0.3, 0.3), True),
        (200, 0.5, (1.0, 0.0), False),  # always one class
    ],
)
def test_only_what_is_surely_worse_than_chance_is_set_aside(
    rows: int, positive: float, right: tuple[float, float], aside: bool
) -> None:
    assert source_trust(*answers(rows, positive=positive, right=right)).set_aside is aside


def test_several_classes_in_a_wrong_order_are_noticed() -> None:
    labels = np.arange(90) % 3
    assert source_trust((labels + 1) % 3, labels).set_aside
    assert not source_trust(labels, labels).set_aside


def test_a_source_that_guesses_is_seldom_set_aside() -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(48) % 2
    aside = [source_trust(generator.integers(0, 2, 48), labels).set_aside for _ in range(200)]
    assert sum(aside) <= 6


def test_no_rows_say_nothing() -> None:
    nothing = np.empty(0, dtype=np.int64)
    assert not source_trust(nothing, nothing).set_aside


def test_the_finding_says_what_was_done() -> None:
    aside, kept = (
        source_trust_finding(SourceTrust(64, right, 32.0, p)) for right, p in ((13, 5e-4), (50, 1.0))
    )
    assert (aside.severity, kept.severity) == ("warn", "info")
    assert "13 of 64" in aside.evidence
    assert "set aside" in aside.evidence
    assert "trust_source: always" in aside.advice
    assert (kept.advice, kept.value) == ("", 50 / 64)
