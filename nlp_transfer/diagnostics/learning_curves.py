"""Needs less data: how many labels transfer saves, and the area under a learning curve.

A curve maps training sizes to the scores of its seeds. Between two sizes the score is taken to be straight in
log n (Perlich et al. 2003 use the same axis).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nlp_transfer.diagnostics.estimates import Estimate, mean_over_seeds, missing, too_few
from nlp_transfer.findings import Finding

Curve = Mapping[int, Sequence[float]]
Means = Mapping[int, float]
Relation = Literal["=", ">=", "<=", "<", "unknown"]
MIN_SEEDS = 3
# Below 1 transfer needs more labels than learning without it.
MIN_LABELS_SAVED = 1.0
RESAMPLES = 1_000
OPEN = (0.0, math.inf)


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
    """S*, that both are asked to reach: the best mean without transfer."""
    transfer: LabelsNeeded
    scratch: LabelsNeeded
    ratio: Estimate
    """Its interval is over seeds, of which n is the smallest number a point; an end of 0 or infinity is open,
    since there the curves end."""
    relation: Relation
    """What the ratio is to its value: `>=` where transfer's smallest size is already enough, `<` where none
    of its sizes is, `<=` where the smallest is without transfer."""
    surely_costs: bool = False
    """Whether at least 97.5% of the resamples have a ratio below 1."""


def labels_needed(curve: Curve, score: float) -> LabelsNeeded:
    """Return the size at which the curve's mean first reaches a score, by interpolation in log n.

    Args:
        curve: training size to the scores of its seeds.
        score: in the curve's unit.
    """
    return _needed(_means(curve), score)


def _needed(curve: Means, score: float) -> LabelsNeeded:
    sizes = sorted(curve)
    means = [curve[size] for size in sizes]
    if means[0] >= score:
        return LabelsNeeded(float(sizes[0]), at_most=True)
    for before, after, low, high in zip(sizes, sizes[1:], means, means[1:], strict=False):
        if high >= score:
            part = (score - low) / (high - low)
            return LabelsNeeded(math.exp(math.log(before) + part * math.log(after / before)))
    return LabelsNeeded(None)


def labels_saved(transfer: Curve, scratch: Curve, *, seed: int = 0) -> LabelsSaved:
    """Compare the labels that it takes to reach S*, the best mean without transfer, with and without it.

    Source: the horizontal distance of two learning curves; cf. Taylor and Stone 2009, Transfer learning for
    reinforcement learning domains ("time to threshold"). Below 3 seeds a point nothing is measured.

    The interval: in each resample all means are drawn anew, and S* with them, as the best one of that
    resample's scratch. A mean is drawn from what its seeds leave open, Student's t around it (the generalised
    pivotal quantity of a mean, Weerahandi 1993): three seeds drawn with replacement cover the truth in 80% of
    simulated curves, so drawn in 97%. The variance is the point's own and that of the whole curve in equal
    parts, which doubles the degrees of freedom; over sizes it is taken to fall with n, as
    evaluation/scorers.py assumes.

    Args:
        transfer: training size to the scores of its seeds.
        scratch: the same without transfer.
        seed: of the resamples.
    """
    seeds = min(len(scores) for curve in (transfer, scratch) for scores in curve.values())
    score = max(_means(scratch).values())
    needed = labels_needed(transfer, score), labels_needed(scratch, score)
    ratio, relation = _ratio(*needed, largest=max(transfer))
    if seeds < MIN_SEEDS:
        few = too_few(seeds, MIN_SEEDS, "seeds a point")
        return LabelsSaved(score, *needed, few, relation)
    if ratio is None:
        why = "both reach the score with their smallest size"
        return LabelsSaved(score, *needed, missing(seeds, why), relation)
    generator = np.random.default_rng(seed)
    drawn = zip(_redrawn(transfer, generator), _redrawn(scratch, generator), strict=True)
    ends = np.asarray([_ends(*curves) for curves in drawn])
    low = float(np.quantile(ends[:, 0], 0.025, method="inverted_cdf"))
    high = float(np.quantile(ends[:, 1], 0.975, method="inverted_cdf"))
    estimate = Estimate(ratio, seeds, min(low, ratio), max(high, ratio))
    surely = float(ends[:, 2].mean()) >= 0.975
    return LabelsSaved(score, *needed, estimate, relation, surely_costs=surely)


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
    """Word how many labels transfer saves; warn where it surely costs labels, never reaching S* among it."""
    ratio, relation = saved.ratio, saved.relation
    reached = (
        f"to reach {saved.score:.3f}, the best without transfer, it takes {_words(saved.scratch)} labels "
        f"without and {_words(saved.transfer)} with it"
    )
    if ratio.value is None:
        return Finding("labels_saved", "info", None, threshold, f"{reached}; {ratio.words()}", "")
    censored = {
        ">=": "; censored: transfer is there with its smallest size",
        "<=": "; censored: the smallest size is enough without transfer",
        "<": "; not reached with transfer" + ("" if saved.surely_costs else ", but not surely"),
    }.get(relation, "")
    return Finding(
        "labels_saved", "warn" if saved.surely_costs else "info", ratio.value, threshold,
        f"{reached}: {'' if relation == '=' else f'{relation} '}{_interval_words(ratio)} times as many"
        f"{censored}",
        "leave the source out: it costs labels here" if saved.surely_costs else "",
    )  # fmt: skip


def _ratio(transfer: LabelsNeeded, scratch: LabelsNeeded, *, largest: int) -> tuple[float | None, Relation]:
    """Divide, with the relation that the true ratio has to the value; None where nothing is known of it.

    Args:
        transfer: what it takes with transfer.
        scratch: without it; it reaches its own best.
        largest: transfer's largest size.
    """
    assert scratch.labels is not None  # S* is its own best mean
    if transfer.labels is None:
        return scratch.labels / largest, "<"
    if transfer.at_most and scratch.at_most:
        return None, "unknown"
    relation: Relation = ">=" if transfer.at_most else "<=" if scratch.at_most else "="
    return scratch.labels / transfer.labels, relation


def _means(curve: Curve) -> Means:
    return {size: float(np.mean(scores)) for size, scores in curve.items()}


def _ends(transfer: Means, scratch: Means) -> tuple[float, float, bool]:
    """Return between which ends one resample's ratio lies, and whether it is surely below 1."""
    score = max(scratch.values())
    needed = _needed(transfer, score), _needed(scratch, score)
    ratio, relation = _ratio(*needed, largest=max(transfer))
    if ratio is None:
        return (*OPEN, False)
    low = 0.0 if relation in ("<", "<=") else ratio
    high = math.inf if relation == ">=" else ratio
    below = ratio <= MIN_LABELS_SAVED if relation == "<" else high < MIN_LABELS_SAVED
    return low, high, below


def _redrawn(curve: Curve, generator: np.random.Generator) -> Iterator[Means]:
    """Yield the means of `RESAMPLES` curves, drawn from what the seeds leave open.

    Args:
        curve: training size to the scores of its seeds.
        generator: of the draws.
    """
    sizes = np.asarray(list(curve), dtype=np.float64)
    seeds = np.asarray([len(scores) for scores in curve.values()])
    own = np.asarray([np.var(scores, ddof=1) for scores in curve.values()])
    variance = (own + np.mean(own * sizes) / sizes) / 2
    steps = generator.standard_t(2 * (seeds - 1), size=(RESAMPLES, len(sizes))) * np.sqrt(variance / seeds)
    for means in (np.asarray(list(_means(curve).values())) + steps).tolist():
        yield dict(zip(curve, means, strict=True))


def _interval_words(ratio: Estimate) -> str:
    """Write a ratio with its interval, whose ends may be open."""
    assert ratio.value is not None and ratio.low is not None and ratio.high is not None
    low = "open" if ratio.low == OPEN[0] else f"{ratio.low:.2f}"
    high = "open" if ratio.high == OPEN[1] else f"{ratio.high:.2f}"
    return f"{ratio.value:.2f} (95% interval {low} to {high}, n = {ratio.n} seeds)"


def _words(needed: LabelsNeeded) -> str:
    if needed.labels is None:
        return "more than there are"
    return f"{'at most ' if needed.at_most else ''}{needed.labels:,.0f}"
