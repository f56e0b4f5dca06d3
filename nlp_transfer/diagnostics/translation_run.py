"""Runs the diagnostics that cost seconds over what a finished translation run has at hand.

What needs a model was kept by translation_evidence.py. Whether translations are translations at all is
translation_sanity.py's; the parent's worth and forgetting are judged beside the scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nlp_transfer.data.pairs import PairDomain, Pairs, TransferPairs
from nlp_transfer.diagnostics import forgetting, overfitting, personal_data, resources, speed, text_mismatch
from nlp_transfer.diagnostics.estimates import MIN_ROWS, RESAMPLES, Array, Estimate, too_few
from nlp_transfer.diagnostics.measuring import measured
from nlp_transfer.evaluation.intervals import bootstrap_weights
from nlp_transfer.evaluation.translation_scores import chrf_of_counts, chrf_statistics
from nlp_transfer.findings import Finding

AGAINST = ("scratch",)
# Where every resample of the dev pairs scores alike, a step is still not known better than this.
LEAST_CHRF_ERROR = 0.1


@dataclass(frozen=True)
class FinishedTranslations:
    """What a translation run has at hand when all its systems are scored."""

    data: TransferPairs
    tested: Sequence[str]
    """The adapted model's translations of the target's test sources."""
    systems: Sequence[str] = ("adapted",)
    """The scored ones."""
    history: Sequence[Mapping[str, Any]] = ()
    """The records of history.jsonl."""
    seed: int = 0
    """Of the trainings in `history` that are looked at."""
    learnt: Mapping[str, str] = field(default_factory=dict)
    """Id to the adapted model's translation, of a sample of the target's training pairs."""
    drift: forgetting.Drift | None = None
    """How far the adapted weights are from those that adaptation started from."""
    costs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """System to what making it took, as in the report."""
    stored_mb: Mapping[str, float] = field(default_factory=dict)
    """What is to be stored of the adapted model, `model` and `adapter`, in MB."""


def run_diagnostics(run: FinishedTranslations, *, seconds: dict[str, float] | None = None) -> list[Finding]:
    """Measure every promise and risk that the run allows.

    Args:
        run: a finished one.
        seconds: is filled with what each group of diagnostics took.
    """
    return measured(DIAGNOSTICS, run, seconds=seconds)


def chrf_gap(learnt: Array, unseen: Array, *, seed: int = 0) -> Estimate:
    """chrF++ of learnt pairs minus chrF++ of unseen ones, with a bootstrap over the rows of both.

    Source: the generalisation gap of Goodfellow et al. 2016, Deep learning, section 5.2, in chrF++ (Popović
    2017).

    Args:
        learnt: `chrf_statistics` of learnt pairs, shape (learnt pairs, 24).
        unseen: of unseen ones, shape (unseen pairs, 24).
        seed: of the bootstrap.
    """
    n = min(len(learnt), len(unseen))
    if n < MIN_ROWS:
        return too_few(n, MIN_ROWS, "pairs on the smaller side")
    sides = []
    for place, counts in enumerate((learnt, unseen)):
        weights = bootstrap_weights(len(counts), resamples=RESAMPLES, seed=seed + place)
        sides.append((float(chrf_of_counts(counts.sum(axis=0))), chrf_of_counts(weights @ counts)))
    value = sides[0][0] - sides[1][0]
    low, high = np.percentile(sides[0][1] - sides[1][1], [2.5, 97.5]).tolist()
    return Estimate(value, n, min(low, value), max(high, value))


def _personal_data(run: FinishedTranslations) -> Iterator[Finding]:
    for domain in filter(None, (run.data.target, run.data.source)):
        pairs = domain.selection
        found = personal_data.scan_personal_data([*pairs.sources, *pairs.targets])
        yield personal_data.personal_data_finding(domain.name, found)


def _mismatch(run: FinishedTranslations) -> Iterator[Finding]:
    """Compare what is translated from, where both domains have it in one language."""
    source, target = run.data.source, run.data.target
    if source is None or _read_languages(source) != _read_languages(target):
        return
    texts = target.selection.sources + target.test.sources
    yield text_mismatch.new_words_finding(text_mismatch.new_words(source.selection.sources, texts))


def _learning(run: FinishedTranslations) -> Iterator[Finding]:
    """Look at how training went: speed, the best step, pairs learnt by heart, what moved."""
    own = _history(run, "adapted")
    for system in AGAINST:
        if system in run.systems:
            found = speed.speed_up(own, _history(run, system), score_key="eval_chrf")
            took = run.costs.get("adapted", {}).get("source_seconds", 0.0)
            yield speed.speed_finding(found, against=system, source_seconds=took)
    scored = [record for record in own if record.get("eval_chrf") is not None]
    loss = overfitting.last_step_loss(
        [record["step"] for record in scored],
        [record["eval_chrf"] for record in scored],
        dev_rows=len(run.data.target.dev),
        standard_errors=[max(record.get("eval_chrf_error") or 0.0, LEAST_CHRF_ERROR) for record in scored],
    )
    yield overfitting.last_step_finding(loss)
    yield from _generalisation(run)
    if run.drift is not None:
        yield forgetting.drift_finding(run.drift)
    if run.costs:
        yield resources.resources_finding(run.costs, against=AGAINST, stored_mb=run.stored_mb)


def _generalisation(run: FinishedTranslations) -> Iterator[Finding]:
    train, test = run.data.target.train, run.data.target.test
    rows = [row for row, row_id in enumerate(train.ids) if row_id in run.learnt]
    if not rows:
        return
    learnt: Pairs = train.take(rows)
    gap = chrf_gap(
        chrf_statistics([run.learnt[row_id] for row_id in learnt.ids], learnt.targets),
        chrf_statistics(run.tested, test.targets),
    )
    yield overfitting.generalisation_finding(
        gap, threshold=overfitting.MAX_CHRF_GAP, score="chrF++", factor=1.0, unit="points of chrF++"
    )


def _read_languages(domain: PairDomain) -> set[str]:
    return {src_lang for src_lang, _ in domain.directions}


def _history(run: FinishedTranslations, stage: str) -> list[Mapping[str, Any]]:
    return [each for each in run.history if each.get("stage") == stage and each.get("seed") == run.seed]


DIAGNOSTICS: Mapping[str, Callable[[FinishedTranslations], Iterable[Finding]]] = {
    "personal data": _personal_data,
    "words": _mismatch,
    "learning": _learning,
}
