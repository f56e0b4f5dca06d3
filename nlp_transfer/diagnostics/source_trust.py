"""Whether a source model may be learnt from, asked of the target's own labelled training rows.

A source whose labels mean the opposite of the target's (exchanged ids, another word for good) costs more
points than a few target labels can mend, and a few are enough to see it. It is held against chance at the
same answers and the same labels, so that a source which only expects other label shares is no suspect. No
test row is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nlp_transfer.diagnostics.estimates import Integers
from nlp_transfer.findings import Finding

# One run in a hundred with a source that knows nothing of the target would set it aside by chance.
MAX_P = 0.01
PERMUTATIONS = 1_999


@dataclass(frozen=True)
class SourceTrust:
    """How many labelled target rows the source model gets right, before it is adapted."""

    rows: int
    right: int
    by_chance: float
    """Rows that it would get right were its answers shuffled (the expected agreement of Cohen's kappa)."""
    p: float
    """Share of shuffles that get as few right, or fewer."""

    @property
    def set_aside(self) -> bool:
        """Whether it is surely worse than chance."""
        return self.p <= MAX_P


def source_trust(predicted: Integers, labels: Integers) -> SourceTrust:
    """Hold what a source model gets right against its own answers shuffled (a one-sided permutation test).

    Args:
        predicted: its class ids, shape (rows,).
        labels: the true ones, shape (rows,).
    """
    rows, right = len(labels), int((predicted == labels).sum())
    classes = int(max(predicted.max(initial=0), labels.max(initial=0))) + 1
    shares = np.bincount(predicted, minlength=classes) * np.bincount(labels, minlength=classes)
    generator = np.random.default_rng(0)
    shuffled = (int((generator.permutation(predicted) == labels).sum()) for _ in range(PERMUTATIONS))
    as_few = sum(agreed <= right for agreed in shuffled)
    return SourceTrust(rows, right, float(shares.sum()) / max(1, rows), (1 + as_few) / (1 + PERMUTATIONS))


def source_trust_finding(trust: SourceTrust) -> Finding:
    """Tell what the source model was worth on the target's training rows; warn where it was set aside."""
    seen = (
        f"before adaptation the source model is right on {trust.right:,} of {trust.rows:,} labelled target "
        f"training rows, its answers shuffled on {trust.by_chance:,.1f}"
    )
    value, threshold = trust.right / trust.rows, trust.by_chance / trust.rows
    if not trust.set_aside:
        return Finding("source_trust", "info", value, threshold, seen, "")
    return Finding(
        "source_trust", "warn", value, threshold,
        f"{seen} (p = {trust.p:.1g}): it was set aside, and adapted learnt from the target alone",
        "compare the two domains' labels and the label map: the source says the opposite here; "
        "adaptation.trust_source: always learns from it all the same",
    )  # fmt: skip
