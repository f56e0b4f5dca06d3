"""Needs less data: how many labels transfer saves, and the area under a learning curve.

A curve maps training sizes to the scores of its seeds. Between two sizes the score is taken to be straight in
log n (Perlich et al. 2003 use the same axis).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nlp_transfer.diagnostics.estimates import Estimate, mean_over_seeds, missing, too_few
from nlp_transfer.findings import Finding

Curve = Mapping[int, Sequence[float]]
Relation = Literal["=", ">=", "<=", "unknown"]
MIN_SEEDS = 3
# Below 1 transfer needs more labels than learning without it.
MIN_LABELS_SAVED = 1.0
RESAMPLES = 1_000


@dataclass(frozen=True)
class LabelsNeeded:
    """How many labels it takes to reach a score."""

    labels: float | None
    """None where the score is never reached."""
    at_most: bool = False
    """The smallest size already reaches it, so that fewer may do."""


@dataclass(frozen=True)
class LabelsSaved:
    """n_scratch(S*) / n_transfer(S*): how many labels one label is worth with transfer."""

    score: float
    """S*, that both are asked to reach."""
    transfer: LabelsNeeded
    scratch: LabelsNeeded
    ratio: Estimate
    """Its interval is over seeds, of which n is the smallest number a point."""
    relation: Relation
    """`>=`: censored, since scratch never gets there or transfer's smallest size is enough;
    `<=`: the other way round."""


def labels_needed(curve: Curve, score: float) -> LabelsNeeded:
    """Return the size at which the curve's mean first reaches a score, by interpolation in log n.

    Args:
        curve: training size to the scores of its seeds.
        score: in the curve's unit.
    """
    sizes = sorted(curve)
    means = [float(np.mean(curve[size])) for size in sizes]
    if means[0] >= score:
        return LabelsNeeded(float(sizes[0]), at_most=True)
    for before, after, low, high in zip(sizes, sizes[1:], means, means[1:], strict=False):
        if high >= score:
            part = (score - low) / (high - low)
            return LabelsNeeded(math.exp(math.log(before) + part * math.log(after / before)))
    return LabelsNeeded(None)


def labels_saved(transfer: Curve, scratch: Curve, *, score: float, seed: int = 0) -> LabelsSaved:
    """Compare the labels that it takes to reach a score with and without transfer.

    Source: the horizontal distance of two learning curves; cf. Taylor and Stone 2009, Transfer learning for
    reinforcement learning domains ("time to threshold"). Below 3 seeds a point there is no
    interval; an upper end of infinity is open, since resamples of scratch never get there.

    Args:
        transfer: training size to the scores of its seeds.
        scratch: the same without transfer.
        score: S*, in the curves' unit.
        seed: of the bootstrap over each point's seeds.
    """
    needed = labels_needed(transfer, score), labels_needed(scratch, score)
    seeds = min(len(scores) for curve in (transfer, scratch) for scores in curve.values())
    ratio, relation = _ratio(*needed, largest=(max(transfer), max(scratch)))
    if ratio is None:
        why = (
            "both reach the score with their smallest size"
            if needed[0].at_most
            else "neither reaches the score"
        )
        return LabelsSaved(score, *needed, missing(seeds, why), relation)
    if seeds < MIN_SEEDS:
        why = f"{seeds} seeds a point, an interval needs {MIN_SEEDS}"
        return LabelsSaved(score, *needed, Estimate(ratio, seeds, reason=why), relation)
    generator = np.random.default_rng(seed)
    drawn = np.asarray(
        [
            _open_ratio(_resampled(transfer, generator), _resampled(scratch, generator), score)
            for _ in range(RESAMPLES)
        ]
    )
    low, high = np.quantile(drawn, [0.025, 0.975], method="inverted_cdf")
    estimate = Estimate(ratio, seeds, float(min(low, ratio)), float(max(high, ratio)))
    return LabelsSaved(score, *needed, estimate, relation)


def area_under_curve(curve: Curve) -> Estimate:
    """Return the area under a learning curve over log n, divided by its range: a mean score over sizes.

    Trapezoids over log n for each seed; the interval is Student's t over seeds, below 3 of which there is
    none.

    Source: Guyon et al. 2011, Results of the active learning challenge (area under the learning curve on
    a logarithmic axis).

    Args:
        curve: training size to the scores of its seeds, the same seeds in the same order at each size.
    """
    sizes = sorted(curve)
    seeds = {len(scores) for scores in curve.values()}
    if len(sizes) < 2:
        return too_few(len(sizes), 2, "sizes")
    if len(seeds) > 1:
        return missing(min(seeds), "the sizes have different numbers of seeds")
    x = np.log(sizes)
    areas = np.trapezoid(np.asarray([curve[size] for size in sizes]), x, axis=0) / (x[-1] - x[0])
    estimate = mean_over_seeds(areas.tolist())
    if len(areas) < MIN_SEEDS:
        return Estimate(
            estimate.value, len(areas), reason=f"{len(areas)} seeds, an interval needs {MIN_SEEDS}"
        )
    return estimate


def labels_saved_finding(saved: LabelsSaved, *, threshold: float = MIN_LABELS_SAVED) -> Finding:
    """Word how many labels transfer saves; warn where it surely costs labels."""
    ratio = saved.ratio
    if ratio.value is None:
        evidence = f"labels saved at a score of {saved.score:.3f}: {ratio.words()}"
        return Finding("labels_saved", "info", None, threshold, evidence, "")
    sign = "" if saved.relation == "=" else f"{saved.relation} "
    censored = {
        "=": "",
        ">=": "; censored: more could not be measured",
        "<=": "; censored: less could not be measured",
        "unknown": "",
    }[saved.relation]
    bad = (
        saved.relation in ("=", "<=") and (ratio.high if ratio.high is not None else ratio.value) < threshold
    )
    return Finding(
        "labels_saved", "warn" if bad else "info", ratio.value, threshold,
        f"to reach {saved.score:.3f}, {_words(saved.transfer)} labels with transfer and "
        f"{_words(saved.scratch)} without: {sign}{ratio.words('.1f')} times as many{censored}",
        "leave the source out: it costs labels here" if bad else "",
    )  # fmt: skip


def _ratio(
    transfer: LabelsNeeded, scratch: LabelsNeeded, *, largest: tuple[int, int]
) -> tuple[float | None, Relation]:
    """Divide, with the relation that the true ratio has to the value; None where nothing is known of it."""
    if transfer.labels is None and scratch.labels is None:
        return None, "unknown"
    if transfer.at_most and scratch.at_most:
        return None, "unknown"
    if scratch.labels is None and transfer.labels is not None:
        return largest[1] / transfer.labels, ">="
    if transfer.labels is None and scratch.labels is not None:
        return scratch.labels / largest[0], "<="
    assert transfer.labels is not None and scratch.labels is not None  # told apart above
    relation: Relation = ">=" if transfer.at_most else "<=" if scratch.at_most else "="
    return scratch.labels / transfer.labels, relation


def _open_ratio(transfer: Curve, scratch: Curve, score: float) -> float:
    """Divide for one resample, with infinity for what is never reached."""
    needed = [labels_needed(curve, score).labels for curve in (transfer, scratch)]
    if needed[0] is None:
        return 0.0 if needed[1] is not None else 1.0
    return math.inf if needed[1] is None else needed[1] / needed[0]


def _resampled(curve: Curve, generator: np.random.Generator) -> Curve:
    return {
        size: np.asarray(scores)[generator.integers(len(scores), size=len(scores))].tolist()
        for size, scores in curve.items()
    }


def _words(needed: LabelsNeeded) -> str:
    if needed.labels is None:
        return "never enough"
    return f"{'at most ' if needed.at_most else ''}{needed.labels:,.0f}"
