"""Domain mismatch, from features: how far apart two domains lie, before anything is trained on them.

A classifier that tells the domains apart on rows it never saw measures the distance; what random halves of
one domain show is the distance that stands for none. Words, tokens and labels are text_mismatch.py's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from nlp_transfer.diagnostics.clusters import effective_rows, random_halves
from nlp_transfer.diagnostics.estimates import (
    Array,
    Estimate,
    Features,
    Integers,
    judged,
    missing,
    share_of,
    too_few,
    unmeasured,
)
from nlp_transfer.findings import Finding

# More rows narrow the interval of a distance no further than matters, and cost time.
MAX_ROWS = 1_000
# With fewer rows a side a linear classifier of some hundred features learns next to nothing.
MIN_DISTANCE_ROWS = 50
# Below that the classifier is too weak, and so is the test.
MIN_TEST_ROWS = 1_000
# At 1.0 a linear classifier names the domain of three rows in four; movie and product reviews have 1.89.
MAX_DISTANCE = 1.0
MAX_TEST_P = 0.01
FOLDS = 5
# With fewer groups a side the classifier learns the groups, and whether these differ by chance none can say.
MIN_GROUPS = 10
# Strong enough that a few hundred rows of a few hundred features do not fit by heart.
INVERSE_STRENGTH = 0.1


@dataclass(frozen=True)
class DomainDistance:
    """The proxy A-distance of two domains, and the one of two random halves of a single domain."""

    between: Estimate
    halves: Estimate
    """With as many rows a side as `between`."""


@dataclass(frozen=True)
class TwoSampleTest:
    """Whether two samples come from one distribution."""

    statistic: Estimate
    """z for the classifier test, MMD^2 for the kernel test; its n is the number of rows a side."""
    p: float | None
    """One-sided; None where the statistic has no value."""


Groups = tuple[Integers | None, Integers | None]
ALONE: Groups = (None, None)


def proxy_a_distance(
    first: Features, second: Features, *, groups: Groups = ALONE, seed: int = 0, max_rows: int = MAX_ROWS
) -> Estimate:
    """Measure the distance of two samples as 2 (1 - 2 e), e the held-out error of a domain classifier.

    0: they cannot be told apart; 2: always. Chance may take it a little below 0. Both sides are cut to the
    same number of rows; the error is that of 5-fold cross-validated logistic regression, and the interval
    is Wilson's for it. Rows of one group are in one fold, and count as many as they are worth.

    Source: Ben-David et al. 2010, A theory of learning from different domains, lemma 2; in this form
    Ganin et al. 2016, Domain-adversarial training of neural networks, section 3.

    Args:
        first: features, shape (first rows, hidden).
        second: features, shape (second rows, hidden).
        groups: group number of each row of either side, or None.
        seed: draws the rows and the folds.
        max_rows: a side.

    Returns:
        The distance; n is the number of rows a side.
    """
    rows = min(len(first), len(second), max_rows)
    if rows < MIN_DISTANCE_ROWS:
        return too_few(rows, MIN_DISTANCE_ROWS, "rows a side")
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict

    features, domains, joined = stacked(first, second, rows, seed, groups)
    if few := _few_groups(domains, joined):
        return missing(rows, few)
    splitter = StratifiedKFold if joined is None else StratifiedGroupKFold
    folds = splitter(FOLDS, shuffle=True, random_state=seed)
    right = cross_val_predict(_classifier(), features, domains, groups=joined, cv=folds) == domains
    return _mapped(share_of(right, joined), rows)


def domain_distance(
    source: Features, target: Features, *, groups: Groups = ALONE, seed: int = 0
) -> DomainDistance:
    """Measure the distance of two domains beside that of two random halves of the larger one.

    Args:
        source: features, shape (source rows, hidden).
        target: features, shape (target rows, hidden).
        groups: group number of each row of either side, or None; the halves divide whole groups.
        seed: draws rows, halves and folds.
    """
    larger, of_larger = max(zip((source, target), groups, strict=True), key=lambda side: len(side[0]))
    halves = random_halves(len(larger), of_larger, seed=seed)
    rows = min(len(source), len(target), *map(len, halves), MAX_ROWS)
    parted = (None, None) if of_larger is None else (of_larger[halves[0]], of_larger[halves[1]])
    return DomainDistance(
        between=proxy_a_distance(source, target, groups=groups, seed=seed, max_rows=rows),
        halves=proxy_a_distance(
            larger[halves[0]], larger[halves[1]], groups=parted, seed=seed, max_rows=rows
        ),
    )


def classifier_test(
    first: Features, second: Features, *, groups: Groups = ALONE, seed: int = 0
) -> TwoSampleTest:
    """Test with a domain classifier whether two samples differ: z = (accuracy - 1/2) / sqrt(1 / (4 n)).

    The classifier learns from half of the rows and is scored on the n others, so that under equal
    distributions its right answers are coin tosses. Groups stand in one half whole, and n is what the right
    answers of grouped rows are worth (Rao and Scott 1992).

    Source: Lopez-Paz and Oquab 2017, Revisiting classifier two-sample tests, section 3.

    Args:
        first: features, shape (first rows, hidden).
        second: features, shape (second rows, hidden).
        groups: group number of each row of either side, or None.
        seed: draws rows and halves.
    """
    rows = min(len(first), len(second))
    if rows < MIN_TEST_ROWS:
        return TwoSampleTest(too_few(rows, MIN_TEST_ROWS, "rows a side"), None)
    rows = MIN_TEST_ROWS
    features, domains, joined = stacked(first, second, rows, seed, groups)
    if few := _few_groups(domains, joined):
        return TwoSampleTest(missing(rows, few), None)
    train, test = _halved(domains, joined, seed=seed)
    right = _classifier().fit(features[train], domains[train]).predict(features[test]) == domains[test]
    n = effective_rows(right, None if joined is None else joined[test])
    z = (float(right.mean()) - 0.5) / math.sqrt(1 / (4 * n))
    return TwoSampleTest(Estimate(z, rows), float(stats.norm.sf(z)))


def distance_finding(distance: DomainDistance, *, threshold: float = MAX_DISTANCE) -> Finding:
    """Word how far the domains lie apart; warn where it is surely more than `threshold`."""
    between = distance.between
    return judged(
        "domain_distance",
        between,
        threshold=threshold,
        bad=between.low is not None and between.low > threshold,
        evidence=f"proxy A-distance between the domains {between.words('.2f')}; random halves of one "
        f"domain: {distance.halves.words('.2f')}; 0 is none, 2 the most there is",
        advice="expect less of the source alone: label target rows, or train on unlabelled target text",
    )


def two_sample_finding(test: TwoSampleTest, *, threshold: float = MAX_TEST_P) -> Finding:
    """Word the classifier test: its finding informs, since a difference alone does not harm."""
    if test.statistic.value is None or test.p is None:
        return unmeasured("two_sample_test", test.statistic, threshold)
    differ = "differ" if test.p < threshold else "are not shown to differ"
    return Finding(
        "two_sample_test", "info", test.p, threshold,
        f"the domains {differ}: z = {test.statistic.value:.1f}, p {p_in_words(test.p)} "
        f"({test.statistic.n:,} rows a side, half of them held out)",
        "",
    )  # fmt: skip


def stacked(
    first: Features, second: Features, rows: int, seed: int, groups: Groups = ALONE
) -> tuple[Array, Integers, Integers | None]:
    """Draw so many rows of each side, name the side of each, 0 or 1, and number groups across both."""
    generator = np.random.default_rng(seed)
    drawn = [generator.permutation(len(side))[:rows] for side in (first, second)]
    features = np.concatenate([first[drawn[0]], second[drawn[1]]]).astype(np.float64)
    domains = np.repeat(np.arange(2), rows)
    if groups[0] is None and groups[1] is None:
        return features, domains, None
    numbers = [
        np.arange(rows) if each is None else np.unique(each[kept], return_inverse=True)[1]
        for each, kept in zip(groups, drawn, strict=True)
    ]
    return features, domains, np.concatenate([numbers[0], numbers[1] + numbers[0].max() + 1])


def _few_groups(domains: Integers, groups: Integers | None) -> str:
    """Say that a side has too few groups; empty where it has not."""
    if groups is None:
        return ""
    fewest = min(len(np.unique(groups[domains == side])) for side in (0, 1))
    return too_few(fewest, MIN_GROUPS, "groups on the smaller side").reason if fewest < MIN_GROUPS else ""


def _halved(domains: Integers, groups: Integers | None, *, seed: int) -> tuple[Integers, Integers]:
    """Divide rows in half, with as many of each domain on either side as whole groups allow."""
    from sklearn.model_selection import StratifiedGroupKFold, train_test_split

    if groups is None:
        halves = train_test_split(np.arange(len(domains)), test_size=0.5, stratify=domains, random_state=seed)
    else:
        halves = next(
            StratifiedGroupKFold(2, shuffle=True, random_state=seed).split(domains, domains, groups)
        )
    return halves[0], halves[1]


def _classifier() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=INVERSE_STRENGTH, max_iter=200))


def _mapped(accuracy: Estimate, rows: int) -> Estimate:
    """Map accuracy to 2 (1 - 2 (1 - accuracy))."""
    value, low, high = (
        None if each is None else 4 * each - 2 for each in (accuracy.value, accuracy.low, accuracy.high)
    )
    return Estimate(value, rows, low, high)


def p_in_words(p: float) -> str:
    """Write a p value."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
