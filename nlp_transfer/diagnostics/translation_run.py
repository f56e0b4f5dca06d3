"""Runs the diagnostics that cost seconds over what a finished translation run has at hand.

What needs a model was kept by translation_evidence.py. Whether translations are translations at all is
translation_sanity.py's; the parent's worth and forgetting are judged beside the scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nlp_transfer.data.pairs import Pairs, TransferPairs
from nlp_transfer.diagnostics import (
    forgetting,
    mismatch,
    overfitting,
    personal_data,
    privacy,
    resources,
    speed,
    stochastic_order,
    text_mismatch,
    transfer,
)
from nlp_transfer.diagnostics.before_training import distances
from nlp_transfer.diagnostics.estimates import (
    MIN_ROWS,
    RESAMPLES,
    Array,
    Estimate,
    missing,
    too_few,
    unmeasured,
)
from nlp_transfer.diagnostics.histories import system_history
from nlp_transfer.diagnostics.measuring import measured
from nlp_transfer.diagnostics.samples import TextSample
from nlp_transfer.evaluation.intervals import bootstrap_weights
from nlp_transfer.evaluation.translation_scores import chrf_of_counts, chrf_statistics
from nlp_transfer.findings import Finding

AGAINST = ("scratch",)
# Where every resample of the dev pairs scores alike, a step is still not known better than this.
LEAST_CHRF_ERROR = 0.1
CHRF_UNIT = "points of chrF++"
# What stands in the way of a comparison of the two domains' texts.
OTHER_LANGUAGES = "source and target are not translated from one and the same language"
NO_STATES = "no states of an encoder were kept: before adaptation there is no trained one"


@dataclass(frozen=True)
class PairLosses:
    """How well translations were foreseen, in nats a character (training/pair_losses.py)."""

    adapted: Array
    """Under the adapted model, shape (pairs,); NaN for pairs that are too long."""
    zero_shot: Array | None = None
    """Under the model that adaptation started from; None where its weights were random."""


@dataclass(frozen=True)
class FinishedTranslations:
    """What a translation run has at hand when all its systems are scored."""

    data: TransferPairs
    counts: Mapping[str, Mapping[str, Array]]
    """Domain, then system, to `chrf_statistics` of its translations of the test pairs, shape (pairs, 24); of
    the first seed. `counts["target"]` holds at least `adapted`."""
    per_seed: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """System to its chrF++ on the target's test pairs, one a seed."""
    verdict: Mapping[str, Any] = field(default_factory=dict)
    """The report's: it holds the difference with its interval where there was something to compare with."""
    history: Sequence[Mapping[str, Any]] = ()
    """The records of history.jsonl."""
    seed: int = 0
    """Of the trainings in `history` that are looked at."""
    learnt: Mapping[str, str] = field(default_factory=dict)
    """Id to the adapted model's translation, of a sample of the target's training pairs."""
    dev: Mapping[str, str] = field(default_factory=dict)
    """The same of the target's dev pairs."""
    source_dev: Mapping[str, str] = field(default_factory=dict)
    """The same of the source's dev pairs."""
    losses: Mapping[str, PairLosses] = field(default_factory=dict)
    """Of samples of the target's training pairs, `learnt`, and of its test pairs, `test`."""
    samples: Mapping[str, TextSample] = field(default_factory=dict)
    """Domain to a sample of what is translated from, as the encoder that adaptation started from sees it."""
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


def _words(run: FinishedTranslations) -> Iterator[Finding]:
    """Compare what is translated from, where both domains have it in one language."""
    source, target = run.data.source, run.data.target
    if source is None:
        return
    if source.read_languages != target.read_languages:
        why = missing(0, OTHER_LANGUAGES)
        yield unmeasured("new_words", why, text_mismatch.MAX_NEW_WORDS_ABOVE_HALVES)
        return
    texts = target.selection.sources + target.test.sources
    yield text_mismatch.new_words_finding(text_mismatch.new_words(source.selection.sources, texts))


def _distance(run: FinishedTranslations) -> Iterator[Finding]:
    """Compare what the start's encoder makes of the two domains' sources, and how finely it cuts them."""
    if run.data.source is None:
        return
    if not {"source", "target"} <= set(run.samples):
        why = NO_STATES if run.data.read_one_language else OTHER_LANGUAGES
        yield unmeasured("domain_distance", missing(0, why), mismatch.MAX_DISTANCE)
        return
    source, target = run.samples["source"], run.samples["target"]
    yield text_mismatch.tokens_per_word_finding(
        *(text_mismatch.tokens_per_word(each.token_counts, each.word_counts) for each in (source, target)),
        check="tokens_per_word_of_domains",
    )
    yield from distances(run.samples)


def _transfer(run: FinishedTranslations) -> Iterator[Finding]:
    """Hold the domains beside each other, and the adapted model beside what learnt the target alone."""
    gaps = [
        chrf_gap(run.counts["source"][system], run.counts["target"][system])
        for system in ("zero_shot", "adapted")
        if system in run.counts.get("source", {}) and system in run.counts["target"]
    ]
    if len(gaps) == 2:
        # Two languages' chrF++ are not of one scale: what adaptation closed of the gap can be read, and no
        # threshold holds for what is left.
        yield transfer.domain_gap_finding(*gaps, threshold=None, score="chrF++", factor=1.0, unit=CHRF_UNIT)
    verdict = run.verdict
    if "difference" in verdict:
        gap = Estimate(-verdict["difference"], len(run.data.target.test), -verdict["high"], -verdict["low"])
        yield transfer.negative_transfer_finding(
            gap, against=verdict["against"], noise=f"row noise and {verdict['seed_noise']} seed noise",
            errors="errors (100 - chrF++)", factor=1.0, unit=CHRF_UNIT,
        )  # fmt: skip
    for system in AGAINST:
        if {"adapted", system} <= set(run.per_seed):
            scores = (np.asarray(run.per_seed[name], dtype=np.float64) for name in ("adapted", system))
            order = stochastic_order.almost_stochastic_order(*scores)
            yield stochastic_order.order_finding(order, systems=("adapted", system))


def _learning(run: FinishedTranslations) -> Iterator[Finding]:
    """Look at how training went: speed, the best step, pairs learnt by heart, what moved."""
    own = system_history(run.history, "adapted", seed=run.seed).records
    for system in AGAINST:
        if system in run.counts["target"]:
            other = system_history(run.history, system, seed=run.seed).records
            found = speed.speed_up(own, other, score_key="eval_chrf")
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
    """Hold learnt and dev pairs beside test pairs, and dev pairs of the two domains beside each other."""
    target, source = run.data.target, run.data.source
    test = run.counts["target"]["adapted"]
    learnt, dev = _counts(target.train, run.learnt), _counts(target.dev, run.dev)
    source_dev = None if source is None else _counts(source.dev, run.source_dev)
    for sides, first, second, threshold, advice in (
        (("train", "test"), learnt, test, overfitting.MAX_CHRF_GAP, overfitting.OVERFITTED),
        (("dev", "test"), dev, test, overfitting.MAX_CHRF_DEV_GAP, overfitting.OVERFITTED),
        (("dev", "source dev"), dev, source_dev, None, ""),
    ):
        if first is not None and second is not None:
            yield overfitting.generalisation_finding(
                chrf_gap(first, second), sides=sides, threshold=threshold, advice=advice,
                score="chrF++", factor=1.0, unit=CHRF_UNIT,
            )  # fmt: skip


def _membership(run: FinishedTranslations) -> Iterator[Finding]:
    """Tell learnt pairs from test pairs, with the model before adaptation as the reference if it was
    trained.
    """
    if not {"learnt", "test"} <= set(run.losses):
        return
    referred = all(each.zero_shot is not None for each in run.losses.values())
    learnt, unseen = (_membership_scores(run.losses[side], referred=referred) for side in ("learnt", "test"))
    found = privacy.membership_inference(learnt, unseen)
    yield privacy.membership_finding(found, reference="zero_shot" if referred else None)


def _membership_scores(losses: PairLosses, *, referred: bool) -> Array:
    """Return the scores of the pairs that are not too long."""
    before = losses.zero_shot if referred and losses.zero_shot is not None else np.zeros(len(losses.adapted))
    scores = privacy.membership_scores(before, losses.adapted)
    return scores[np.isfinite(scores)]


def _counts(pairs: Pairs, written: Mapping[str, str]) -> Array | None:
    """Count translations of those pairs that have one; None where there is none."""
    rows = [row for row, row_id in enumerate(pairs.ids) if row_id in written]
    if not rows:
        return None
    kept = pairs.take(rows)
    return chrf_statistics([written[row_id] for row_id in kept.ids], kept.targets)


DIAGNOSTICS: Mapping[str, Callable[[FinishedTranslations], Iterable[Finding]]] = {
    "personal data": _personal_data,
    "words": _words,
    "domain distance": _distance,
    "transfer": _transfer,
    "learning": _learning,
    "membership": _membership,
}
