"""The scorers of both tasks: which metrics they have, and how much their seeds are believed to vary.

A classification is an array of probabilities, a translation a list of texts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nlp_transfer.evaluation import scores, translation_scores
from nlp_transfer.evaluation.compare import Measures, Scored, Scorer, number_groups
from nlp_transfer.evaluation.intervals import mcnemar_p

Array = npt.NDArray[np.float64]
# A system's accuracy varies over draws of its n training rows by about this over sqrt(n): 5 points at 16
# rows, 0.6 at 1,024. It stands in where a run has one seed; benchmarks/results/quality_*.json has the spread
# over five.
SEED_SPREAD_AT_ONE_ROW = 0.2
# A system's chrF++ is taken to vary over seeds by this standard deviation where a run has one seed: an
# assumption that the benchmark of translation measures.
ASSUMED_CHRF_SEED_SPREAD = 1.0


def classification_scorer(
    references: npt.NDArray[np.int64], *, groups: Sequence[str] | None, resamples: int, seed: int = 0
) -> Scorer[Array]:
    """Build the scorer of probabilities of shape (rows, classes).

    Args:
        references: true class ids, shape (rows,).
        groups: what rows belong together, or None.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    truth, numbers = references.tolist(), number_groups(groups)

    def score(probabilities: Array, weights: Array) -> Scored:
        return Scored(
            scores.classification_scores(probabilities, truth),
            scores.resampled_scores(probabilities, truth, weights),
        )

    def mcnemar(first: Array, second: Array) -> dict[str, float]:
        right = [each.argmax(axis=1) == references for each in (first, second)]
        return {"mcnemar_p": mcnemar_p(right[0], right[1], groups=numbers)}

    measures = Measures(scores.METRICS, scores.COMPARED, scores.PRIMARY, score, mcnemar)
    return Scorer(measures, rows=len(references), groups=numbers, resamples=resamples, seed=seed)


def translation_scorer(
    references: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    resamples: int,
    tgt_lang: str | None = None,
    seed: int = 0,
) -> Scorer[Sequence[str]]:
    """Build the scorer of translations, one text a row.

    Args:
        references: one reference each, shape (rows,).
        groups: what rows belong together, or None.
        resamples: of the bootstrap.
        tgt_lang: language of the translations, which decides BLEU's tokenisation.
        seed: of the bootstrap.

    >>> scorer = translation_scorer(["Gardar", "Abrir o ficheiro"], resamples=100, tgt_lang="gl")
    >>> scorer.scores([["Gardar", "Abrir o ficheiro"]])["chrf++"]
    {'value': 100.0, 'low': 100.0, 'high': 100.0, 'n': 2}
    """

    def score(translations: Sequence[str], weights: Array) -> Scored:
        # The rows are counted once for the value and for all resamples: TER takes seconds.
        statistics = translation_scores.sentence_statistics(translations, references, tgt_lang=tgt_lang)
        return _scored_counts(statistics, weights)

    numbers = number_groups(groups)
    return Scorer(
        _translation_measures(score), rows=len(references), groups=numbers, resamples=resamples, seed=seed
    )


def counted_translation_scorer(
    rows: int, *, resamples: int, seed: int = 0
) -> Scorer[translation_scores.SentenceStatistics]:
    """Build the scorer of translations whose rows were counted already: it needs no reference any more.

    Args:
        rows: how many there are.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    return Scorer(
        _translation_measures(_scored_counts), rows=rows, groups=None, resamples=resamples, seed=seed
    )


def _translation_measures(score: Callable[[Any, Array], Scored]) -> Measures[Any]:
    return Measures(
        translation_scores.METRICS, translation_scores.COMPARED, translation_scores.PRIMARY, score
    )


def _scored_counts(statistics: translation_scores.SentenceStatistics, weights: Array) -> Scored:
    whole = translation_scores.resampled_scores(statistics, np.ones((1, len(statistics.chrf))))
    values = {name: float(value[0]) for name, value in whole.items()}
    return Scored(values, translation_scores.resampled_scores(statistics, weights))


def assumed_accuracy_spread(train_rows: int) -> float:
    """Return the standard deviation over seeds that is assumed of an accuracy; few training rows mean more.

    >>> assumed_accuracy_spread(16)
    0.05
    """
    return SEED_SPREAD_AT_ONE_ROW / math.sqrt(max(1, train_rows))
