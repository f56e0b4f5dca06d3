"""Keeps learning: what a chain of adaptations forgets, and the guard that stops one that lost too much.

Scores stand in a matrix R, R[i, j] on test set j after adaptation i; what was not scored is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nlp_transfer.diagnostics.estimates import Array, Estimate, Integers, judged, missing
from nlp_transfer.findings import Finding

MIN_CHAIN_BACKWARD_TRANSFER = -0.02
# Sums of scores in floating point must not decide about a drop of exactly `max_drop`.
ROUNDING = 1e-9


@dataclass(frozen=True)
class GuardDecision:
    """Whether a model may be handed over."""

    accepted: bool
    max_drop: float
    """What it may lose, in the scores' unit."""
    drops: dict[str, float]
    """Earlier test set to the best earlier score minus the score now; below 0 is a gain."""
    test_rows: dict[str, int]
    """Rows of each earlier test set."""

    @property
    def worst(self) -> str | None:
        """Return the test set that lost most; None where there is none yet."""
        return max(self.drops, key=lambda name: self.drops[name]) if self.drops else None


def chain_backward_transfer(scores: Array, learnt: Sequence[int] | None = None) -> Estimate:
    """Mean change of the earlier test sets' scores from when each was learnt to the end of the chain.

    BWT = 1 / (T - 1) sum over i < T of R[T, i] - R[i, i]; below 0 is forgetting. The interval over the T - 1
    test sets would mean little, so there is none.

    Source: Lopez-Paz and Ranzato 2017, Gradient episodic memory, equation 3.

    Args:
        scores: R, shape (adaptations, test sets), higher is better.
        learnt: for each test set the adaptation that learnt it; None is one each, in order.

    Returns:
        The mean; n is the number of earlier test sets.
    """
    earlier, learnt_at = _earlier(scores, learnt)
    if not len(earlier):
        return missing(0, "there is no earlier test set")
    return _mean(scores[-1, earlier] - scores[learnt_at, earlier])


def forgetting_measure(scores: Array, learnt: Sequence[int] | None = None) -> Estimate:
    """Mean loss of the earlier test sets from the best score each ever had to the end of the chain.

    F = 1 / (T - 1) sum over j < T of max over l < T of R[l, j] - R[T, j]; above 0 is forgetting.

    Source: Chaudhry et al. 2018, Riemannian walk for incremental learning, where it is defined as the
    forgetting measure.

    Args:
        scores: R, shape (adaptations, test sets), higher is better.
        learnt: see `chain_backward_transfer`.

    Returns:
        The mean; n is the number of earlier test sets.
    """
    earlier, _ = _earlier(scores, learnt)
    if not len(earlier):
        return missing(0, "there is no earlier test set")
    before = scores[:-1, earlier]
    # A test set that no earlier step scored has no best score: its loss stays NaN, and is said to be missing.
    best = np.where(np.isnan(before), -np.inf, before).max(axis=0)
    return _mean(np.where(np.isinf(best), np.nan, best) - scores[-1, earlier])


def _earlier(scores: Array, learnt: Sequence[int] | None) -> tuple[Integers, Integers]:
    """Return the columns of the test sets that the last adaptation did not learn, and when each was."""
    at = np.asarray(range(scores.shape[1]) if learnt is None else learnt, dtype=np.int64)
    columns = np.flatnonzero(at < len(scores) - 1)
    return columns, at[columns]


def guard(
    earlier: Sequence[Mapping[str, float]],
    now: Mapping[str, float],
    *,
    max_drop: float,
    test_rows: Mapping[str, int],
) -> GuardDecision:
    """Decide whether a model lost more than `max_drop` on any earlier test set.

    The loss is taken from the best score that a test set ever had in the chain: small losses that add up
    over many adaptations are noticed too.

    Args:
        earlier: for each earlier adaptation its scores by test set, higher is better.
        now: the new model's scores; it has to have scored every earlier test set.
        max_drop: in the scores' unit.
        test_rows: rows of each test set.

    Raises:
        ValueError: the new model was not scored on an earlier test set.
    """
    best: dict[str, float] = {}
    for scores in earlier:
        for name, score in scores.items():
            best[name] = max(score, best.get(name, score))
    unscored = sorted(set(best) - set(now))
    if unscored:
        raise ValueError(
            f"the guard expects scores on all earlier test sets, but {', '.join(unscored)} came without: "
            "score the new model there too"
        )
    drops = {name: best[name] - now[name] for name in best}
    accepted = all(drop <= max_drop + ROUNDING for drop in drops.values())
    return GuardDecision(accepted, max_drop, drops, {name: test_rows[name] for name in drops})


def chain_finding(
    transfer: Estimate,
    forgetting: Estimate,
    *,
    threshold: float = MIN_CHAIN_BACKWARD_TRANSFER,
    factor: float = 100.0,
    unit: str = "points",
) -> Finding:
    """Word what the chain of adaptations changed on its earlier test sets; warn below `threshold`.

    Args:
        transfer: see `chain_backward_transfer`.
        forgetting: see `forgetting_measure`.
        threshold: in the scores' unit.
        factor: what scores are multiplied by to be told.
        unit: what they are told in.
    """
    return judged(
        "chain_backward_transfer",
        transfer,
        threshold=threshold,
        bad=transfer.value is not None and transfer.value < threshold,
        evidence=f"earlier test sets changed by {_number(transfer, factor)} {unit} on average since each was "
        f"learnt, and lost {_number(forgetting, factor)} from their best (n = {transfer.n:,} test sets)",
        advice="name the earlier data as data.source and raise adaptation.replay, or set a guard",
    )


def _number(estimate: Estimate, factor: float) -> str:
    return "an unknown number of" if estimate.value is None else format(estimate.value * factor, "+.1f")


def guard_finding(decision: GuardDecision, *, factor: float = 100.0, unit: str = "points") -> Finding:
    """Word the guard's decision; it blocks where the model lost too much. See `chain_finding`."""
    if decision.worst is None:
        return Finding(
            "guard", "info", None, decision.max_drop, "not measured: there is no earlier test set yet", ""
        )
    drop = decision.drops[decision.worst]
    return Finding(
        "guard", "info" if decision.accepted else "block", drop, decision.max_drop,
        f"of {len(decision.drops)} earlier test sets {decision.worst} lost most: {drop * factor:+.1f} {unit} "
        f"below its best score, and {decision.max_drop * factor:g} are allowed "
        f"(n = {decision.test_rows[decision.worst]:,} rows)",
        ""
        if decision.accepted
        else "name the earlier data as data.source and raise adaptation.replay, train for fewer epochs, or "
        "raise adaptation.guard.max_drop",
    )  # fmt: skip


def _mean(values: Array) -> Estimate:
    if np.isnan(values).any():
        return missing(len(values), f"{int(np.isnan(values).sum())} scores of the chain are missing")
    return Estimate(float(values.mean()), len(values))
