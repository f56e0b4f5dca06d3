"""A source model is set aside where the target's own labels say that it is worse than none."""

from __future__ import annotations

import numpy as np
import pytest

from nlp_transfer.diagnostics.source_trust import SourceTrust, source_trust, source_trust_finding


def test_what_is_right_is_counted() -> None:
    trust = source_trust(np.asarray([0, 1, 1, 0]), np.asarray([0, 1, 0, 0]))
    assert (trust.rows, trust.right, trust.constant) == (4, 3, 3)


@pytest.mark.parametrize(
    ("rows", "right", "constant", "aside"),
    [
        (64, 13, 37, True),  # exchanged labels: a good source upside down
        (16, 1, 9, True),
        (16, 4, 9, False),  # too few rows to be sure
        (64, 30, 37, False),  # no better than a coin, and not surely worse than the constant
        (64, 50, 37, False),
        (2_000, 1_100, 1_300, True),
        (0, 0, 0, False),
    ],
)
def test_only_what_is_surely_worse_than_a_constant_is_set_aside(
    rows: int, right: int, constant: int, aside: bool
) -> None:
    assert SourceTrust(rows, right, constant).set_aside is aside


def test_a_source_that_guesses_is_seldom_set_aside() -> None:
    draws = np.random.default_rng(0).binomial(64, 0.5, 2_000)
    aside = np.mean([SourceTrust(64, int(right), 32).set_aside for right in draws])
    assert aside <= 0.015


def test_the_finding_says_what_was_done() -> None:
    aside, kept = (source_trust_finding(SourceTrust(64, right, 37)) for right in (13, 50))
    assert (aside.severity, kept.severity) == ("warn", "info")
    assert "13 of 64" in aside.evidence
    assert "set aside" in aside.evidence
    assert "trust_source: always" in aside.advice
    assert (kept.advice, kept.value) == ("", 50 / 64)
