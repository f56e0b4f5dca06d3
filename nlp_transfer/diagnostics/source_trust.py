"""Whether a source model may be learnt from, asked of the target's own labelled training rows.

A source whose labels mean the opposite of the target's (exchanged ids, another word for good) costs more
points than a few target labels can mend, and a few are enough to see it. No test row is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nlp_transfer.findings import Finding

# One run in a hundred with a source that is as good as a constant answer would set it aside by chance.
CONFIDENCE = 0.99


@dataclass(frozen=True)
class SourceTrust:
    """How many labelled target rows the source model gets right, before it is adapted."""

    rows: int
    right: int
    constant: int
    """Rows that always answering their most frequent class gets right."""

    @property
    def highest(self) -> float:
        """The one-sided upper bound of its accuracy (exact: Clopper and Pearson 1934)."""
        from scipy.stats import binomtest

        if not self.rows:
            return 1.0
        test = binomtest(self.right, self.rows, alternative="less")
        return float(test.proportion_ci(confidence_level=CONFIDENCE, method="exact").high)

    @property
    def set_aside(self) -> bool:
        """Whether it is surely worse than the constant answer."""
        return self.rows > 0 and self.highest < self.constant / self.rows


def source_trust(predicted: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> SourceTrust:
    """Count what a source model gets right.

    Args:
        predicted: its class ids, shape (rows,).
        labels: the true ones, shape (rows,).
    """
    constant = int(np.bincount(labels).max()) if len(labels) else 0
    return SourceTrust(len(labels), int((predicted == labels).sum()), constant)


def source_trust_finding(trust: SourceTrust) -> Finding:
    """Tell what the source model was worth on the target's training rows; warn where it was set aside."""
    seen = (
        f"before adaptation the source model is right on {trust.right:,} of {trust.rows:,} labelled target "
        f"training rows, always answering their most frequent class on {trust.constant:,}"
    )
    value, threshold = trust.right / trust.rows, trust.constant / trust.rows
    if not trust.set_aside:
        return Finding("source_trust", "info", value, threshold, seen, "")
    return Finding(
        "source_trust", "warn", value, threshold,
        f"{seen}: it was set aside, and adapted learnt from the target alone",
        "compare the two domains' labels and the label map: the source says the opposite here; "
        "adaptation.trust_source: always learns from it all the same",
    )  # fmt: skip
