"""Runs the diagnostics that cost seconds over what a finished sentiment run has at hand.

What needs arrays that a run did not keep (features, probabilities of learnt rows) is left out. The source
model's worth and forgetting are judged beside the scores, in sentiment_report.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nlp_transfer.data.rows import DomainData, TransferData, joined_texts
from nlp_transfer.diagnostics import (
    calibration,
    mismatch,
    overfitting,
    personal_data,
    privacy,
    speed,
    stochastic_order,
    text_mismatch,
    transfer,
    unlabelled,
)
from nlp_transfer.diagnostics.estimates import Array, Estimate, share
from nlp_transfer.findings import Finding

# The systems that learnt from the target alone, in the order in which they are taken to compare with.
WITHOUT_SOURCE = ("target_only", "scratch")
SMALLEST_PROBABILITY = 1e-12


@dataclass(frozen=True)
class FinishedRun:
    """What a sentiment run has at hand when all its systems are scored."""

    data: TransferData
    predicted: Mapping[str, Mapping[str, Sequence[Array]]]
    """Domain, then system, to one array a seed of probabilities of its test rows, shape (rows, classes)."""
    verdict: Mapping[str, Any] = field(default_factory=dict)
    """The report's: it holds the difference with its interval where there was something to compare with."""
    history: Sequence[Mapping[str, Any]] = ()
    """The records of history.jsonl."""
    seed: int = 0
    """The first seed, whose predictions and history the diagnostics of single models look at."""
    learnt: Mapping[str, Array] = field(default_factory=dict)
    """`zero_shot` and `adapted` to probabilities of the target's training rows, shape (rows, classes)."""
    dev: Array | None = None
    """The adapted model's probabilities of the target's dev rows, shape (rows, classes)."""
    features: Mapping[str, Array] = field(default_factory=dict)
    """Domain to features of its train and dev rows, shape (rows, hidden)."""
    token_counts: Mapping[str, Array] = field(default_factory=dict)
    """Domain to tokens of each of its train and dev rows, shape (rows,)."""


def run_diagnostics(run: FinishedRun) -> list[Finding]:
    """Measure every promise and risk that the run's arrays allow.

    Args:
        run: `predicted["target"]` holds at least `adapted`.

    Returns:
        One finding a diagnostic, in the order: mismatch, transfer, learning, trust, privacy.
    """
    findings = [*_personal_data(run.data)]
    if run.data.source is not None:
        findings += _mismatch(run, run.data.source)
        findings += _across_domains(run, run.data.source)
    findings += [*_transfer(run), *_learning(run), *_trust(run), *_membership(run)]
    return findings


def _personal_data(data: TransferData) -> Iterator[Finding]:
    for domain in filter(None, (data.target, data.source)):
        found = personal_data.scan_personal_data(domain.selection.texts)
        yield personal_data.personal_data_finding(domain.name, found)


def _mismatch(run: FinishedRun, source: DomainData) -> Iterator[Finding]:
    """Compare texts, labels and features of the two domains; test rows count among the target's texts."""
    target = run.data.target
    texts = joined_texts(target.selection.texts, target.test.texts)
    yield text_mismatch.new_words_finding(text_mismatch.new_words(source.selection.texts, texts))
    shift = text_mismatch.label_share_difference(
        source.selection.labels, target.test.labels, classes=len(run.data.label_names)
    )
    yield text_mismatch.label_shift_finding(shift)
    if {"source", "target"} <= set(run.token_counts):
        yield text_mismatch.tokens_per_word_finding(
            *(_tokens_per_word(domain, run.token_counts[name])
              for name, domain in (("source", source), ("target", target)))
        )  # fmt: skip
    if {"source", "target"} <= set(run.features):
        sides = run.features["source"], run.features["target"]
        yield mismatch.distance_finding(mismatch.domain_distance(*sides))
        yield mismatch.two_sample_finding(mismatch.classifier_test(*sides))
        yield mismatch.kernel_finding(mismatch.maximum_mean_discrepancy(*sides))


def _across_domains(run: FinishedRun, source: DomainData) -> Iterator[Finding]:
    """Hold source test rows beside target ones: the gap, and what can be told without target labels."""
    target, classes = run.data.target, len(run.data.label_names)
    gaps = [
        transfer.domain_gap(
            _right(run.predicted["source"][system][0], source),
            _right(run.predicted["target"][system][0], target),
        )
        for system in ("zero_shot", "adapted")
        if system in run.predicted["target"]
    ]
    if len(gaps) == 2:
        yield transfer.domain_gap_finding(*gaps)
    # Both are made for a model that learnt the source alone: one that learnt the target is better there.
    system = "zero_shot" if "zero_shot" in run.predicted["target"] else "adapted"
    on_source, on_target = (run.predicted[name][system][0] for name in ("source", "target"))
    right = _right(on_target, target)
    yield unlabelled.atc_finding(
        unlabelled.average_thresholded_confidence(on_source, source.test.labels, on_target),
        system=system,
        truth=share(int(right.sum()), len(right)),
    )
    shift = unlabelled.estimate_label_shift(
        on_source.argmax(axis=1), source.test.labels, on_target.argmax(axis=1), classes=classes
    )
    yield unlabelled.estimated_shift_finding(shift, run.data.label_names)


def _transfer(run: FinishedRun) -> Iterator[Finding]:
    """Compare with what learnt from the target alone: the verdict's difference, and the order over seeds."""
    target, systems, verdict = run.data.target, run.predicted["target"], run.verdict
    if "difference" in verdict:
        gap = Estimate(-verdict["difference"], len(target.test), -verdict["high"], -verdict["low"])
        noise = f"row noise and {verdict['seed_noise']} seed noise"
        yield transfer.negative_transfer_finding(gap, noise=noise)
    against = next((system for system in WITHOUT_SOURCE if system in systems), None)
    if against is not None:
        scores = [
            np.asarray([_right(each, target).mean() for each in systems[name]])
            for name in ("adapted", against)
        ]
        order = stochastic_order.almost_stochastic_order(*scores)
        yield stochastic_order.order_finding(order, systems=("adapted", against))


def _learning(run: FinishedRun) -> Iterator[Finding]:
    """Look at how training went: speed, the best step, rows learnt by heart."""
    for system in WITHOUT_SOURCE:
        if system in run.predicted["target"]:
            found = speed.speed_up(_history(run, "adapted"), _history(run, system))
            yield speed.speed_finding(found, against=system)
    scored = [record for record in _history(run, "adapted") if record.get("eval_accuracy") is not None]
    loss = overfitting.last_step_loss(
        [record["step"] for record in scored],
        [record["eval_accuracy"] for record in scored],
        dev_rows=len(run.data.target.dev),
    )
    yield overfitting.last_step_finding(loss)
    target = run.data.target
    if "adapted" in run.learnt:
        learnt = run.learnt["adapted"].argmax(axis=1) == target.train.labels
        gap = overfitting.generalisation_gap(learnt, _right(run.predicted["target"]["adapted"][0], target))
        yield overfitting.generalisation_finding(gap)


def _trust(run: FinishedRun) -> Iterator[Finding]:
    """Look at the adapted model's probabilities, with the temperature of its dev rows."""
    target, tested = run.data.target, run.predicted["target"]["adapted"][0]
    dev = np.empty((0, tested.shape[1])) if run.dev is None else run.dev
    labels = target.dev.labels if run.dev is not None else np.empty(0, dtype=np.int64)
    temperature = calibration.fit_temperature(_logarithms(dev), labels)
    before = calibration.calibration_error(tested, target.test.labels)
    after = temperature.temperature
    if after.value is not None:
        scaled = calibration.scale(_logarithms(tested), after.value)
        after = calibration.calibration_error(scaled, target.test.labels)
    yield calibration.calibration_finding(before, after, temperature)
    yield calibration.coverage_finding(calibration.accuracy_against_coverage(tested, target.test.labels))


def _membership(run: FinishedRun) -> Iterator[Finding]:
    """Tell learnt target rows from test rows, with the source model as the reference."""
    target, systems = run.data.target, ("zero_shot", "adapted")
    if not set(systems) <= set(run.learnt) or "zero_shot" not in run.predicted["target"]:
        return
    learnt = [privacy.row_losses(run.learnt[system], target.train.labels) for system in systems]
    unseen = [
        privacy.row_losses(run.predicted["target"][system][0], target.test.labels) for system in systems
    ]
    found = privacy.membership_inference(
        privacy.membership_scores(*learnt), privacy.membership_scores(*unseen)
    )
    yield privacy.membership_finding(found)


def _tokens_per_word(domain: DomainData, token_counts: Array) -> Estimate:
    words = [len(text_mismatch.words_of(text)) for text in domain.selection.texts]
    return text_mismatch.tokens_per_word(token_counts, np.asarray(words, dtype=np.float64))


def _right(probabilities: Array, domain: DomainData) -> npt.NDArray[np.bool_]:
    """Return whether each test row is right, shape (rows,)."""
    right: npt.NDArray[np.bool_] = probabilities.argmax(axis=1) == domain.test.labels
    return right


def _history(run: FinishedRun, stage: str) -> list[Mapping[str, Any]]:
    """Return the records of one stage, of the first seed."""
    return [
        record for record in run.history if record.get("stage") == stage and record.get("seed") == run.seed
    ]


def _logarithms(probabilities: Array) -> Array:
    """Return log-probabilities, which are logits up to a constant a row."""
    logarithms: Array = np.log(probabilities.clip(SMALLEST_PROBABILITY))
    return logarithms
