"""Privacy: can one tell from the model's losses which rows it was adapted on.

Personal data in the texts themselves is personal_data.py's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from nlp_transfer.diagnostics.clusters import mean_variance
from nlp_transfer.diagnostics.estimates import (
    MIN_ROWS,
    Array,
    Estimate,
    Integers,
    judged,
    share_of,
    too_few,
)
from nlp_transfer.findings import Finding

# An attacker is right three times in five on a pair of a learnt and an unseen row.
MAX_MEMBERSHIP_AUC = 0.60
# Five learnt rows are found for each one that chance would find.
MAX_MEMBERSHIP_TPR = 0.05
FALSE_POSITIVE_RATE = 0.01
SMALLEST_PROBABILITY = 1e-12


@dataclass(frozen=True)
class MembershipInference:
    """How well a threshold on the score tells learnt rows from unseen ones."""

    auc: Estimate
    """Area under the ROC curve; 0.5 tells nothing, 1 everything. n is that of the smaller side."""
    tpr_at_1_percent_fpr: Estimate
    """Share of learnt rows found where 1% of unseen ones are taken for learnt; n: learnt rows."""


def row_losses(probabilities: Array, labels: Integers) -> Array:
    """Return -log of the true label's probability, in nats, shape (rows,).

    Args:
        probabilities: shape (rows, classes).
        labels: true class ids, shape (rows,).
    """
    losses: Array = -np.log(probabilities[np.arange(len(labels)), labels].clip(SMALLEST_PROBABILITY))
    return losses


def membership_scores(base_losses: Array, adapted_losses: Array) -> Array:
    """Return s(x) = loss_base(x) - loss_adapted(x), in nats: how much adaptation helped with this very row.

    Taking off the loss of a model that never saw the row leaves out how hard the row is.

    Source: Watson et al. 2022, On the importance of difficulty calibration in membership inference
    attacks; Carlini et al. 2022, Membership inference attacks from first principles.

    Args:
        base_losses: under the model before adaptation, shape (rows,).
        adapted_losses: under the adapted model, shape (rows,).
    """
    return base_losses - adapted_losses


def membership_inference(
    learnt: Array, unseen: Array, *, groups: tuple[Integers | None, Integers | None] = (None, None)
) -> MembershipInference:
    """Measure how well scores tell rows that were learnt from rows that were not.

    AUC with DeLong's interval on the logit scale (DeLong et al. 1988; Pepe 2003, chapter 5), where there are
    groups with the variance between these (Obuchowski 1997, Nonparametric analysis of clustered ROC curve
    data; no group stands on both sides); true positives at 1% false positives after Carlini et al. 2022, with
    Wilson's interval for the learnt rows at that threshold.

    Args:
        learnt: `membership_scores` of training rows, shape (learnt rows,).
        unseen: of held-out rows of the same domain, shape (unseen rows,).
        groups: group number of each row of either side, or None.

    Returns:
        Below 30 rows on a side nothing is measured; below 100 unseen rows no rate at 1% false positives,
        which would be less than one row.
    """
    n = min(len(learnt), len(unseen))
    if n < MIN_ROWS:
        few = too_few(n, MIN_ROWS, "rows on the smaller side")
        return MembershipInference(few, few)
    return MembershipInference(_auc(learnt, unseen, groups), _tpr(learnt, unseen, groups[0]))


def membership_finding(
    found: MembershipInference,
    *,
    reference: str | None = None,
    threshold: float = MAX_MEMBERSHIP_AUC,
    tpr_threshold: float = MAX_MEMBERSHIP_TPR,
) -> Finding:
    """Word how well learnt rows can be told.

    As a guard it warns by the value: where the AUC is above its threshold, and surely above chance (0.5),
    which few rows leave by luck; or where the rate is surely above its own.

    Args:
        found: what was measured.
        reference: the system whose losses were taken off; None where there was none.
        threshold: of the AUC.
        tpr_threshold: of the true positives at 1% false positives.
    """
    beside = f"against {reference}" if reference else "without a reference model"
    auc, rate = found.auc, found.tpr_at_1_percent_fpr
    bad_auc = auc.value is not None and auc.value > threshold and auc.low is not None and auc.low > 0.5
    bad_rate = rate.low is not None and rate.low > tpr_threshold
    return judged(
        "membership_inference",
        auc,
        threshold=threshold,
        bad=bad_auc or bad_rate,
        evidence=f"learnt rows told from test rows {beside}: AUC {auc.words()}; true positives at 1% "
        f"false positives {rate.words()}",
        advice="do not publish this model if its training rows are private: train for fewer epochs, freeze "
        "more layers, or adapt on more rows",
    )


def _auc(learnt: Array, unseen: Array, groups: tuple[Integers | None, Integers | None]) -> Estimate:
    """AUC with the variance of DeLong et al. 1988, by midranks (Sun and Xu 2014)."""
    m, n = len(learnt), len(unseen)
    ranks = stats.rankdata(np.concatenate([learnt, unseen]))
    # Share of the other side that each row is above; ties count half.
    above = (ranks[:m] - stats.rankdata(learnt)) / n
    below = 1 - (ranks[m:] - stats.rankdata(unseen)) / m
    value = float(above.mean())
    parts = [mean_variance(each, of) for each, of in zip((above, below), groups, strict=True)]
    trials = min(units for _, units in parts)
    low, high = _logit_interval(value, sum(variance for variance, _ in parts), trials=trials)
    return Estimate(value, min(m, n), low, high)


def _logit_interval(value: float, variance: float, *, trials: int) -> tuple[float, float]:
    """Interval of an AUC on the logit scale; where no pair is (or all are) out of order there is no variance,
    and the exact bound of so many trials without a miss takes its place.
    """
    if value in (0.0, 1.0):
        bound = 0.025 ** (1 / trials)
        return (bound, 1.0) if value == 1.0 else (0.0, 1 - bound)
    centre = math.log(value / (1 - value))
    reach = float(stats.norm.ppf(0.975)) * math.sqrt(variance) / (value * (1 - value))
    return float(stats.logistic.cdf(centre - reach)), float(stats.logistic.cdf(centre + reach))


def _tpr(learnt: Array, unseen: Array, groups: Integers | None) -> Estimate:
    """Share of learnt rows above the score that at most 1% of the unseen ones are above."""
    needed = round(1 / FALSE_POSITIVE_RATE)
    if len(unseen) < needed:
        return too_few(len(unseen), needed, "held-out rows")
    allowed = int(FALSE_POSITIVE_RATE * len(unseen))
    threshold = np.sort(unseen)[::-1][allowed]
    return share_of(learnt > threshold, groups)
