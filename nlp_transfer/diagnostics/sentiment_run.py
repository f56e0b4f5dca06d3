"""Runs the diagnostics that cost seconds over what a finished sentiment run has at hand.

What needs arrays that a run did not keep is left out (evidence.py says what a run keeps). The source model's
worth and forgetting are judged beside the scores, in sentiment_report.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nlp_transfer.data.rows import DomainData, TransferData
from nlp_transfer.diagnostics import (
    calibration,
    forgetting,
    overfitting,
    personal_data,
    privacy,
    resources,
    speed,
    stochastic_order,
    text_mismatch,
    transfer,
    unlabelled,
)
from nlp_transfer.diagnostics.before_training import distances
from nlp_transfer.diagnostics.clusters import effective_rows
from nlp_transfer.diagnostics.estimates import Array, Estimate, Integers, missing, share_of
from nlp_transfer.diagnostics.histories import system_history
from nlp_transfer.diagnostics.measuring import measured
from nlp_transfer.diagnostics.samples import SMALLEST_PROBABILITY, Answers, TextSample
from nlp_transfer.diagnostics.source_trust import SourceTrust, source_trust_finding
from nlp_transfer.diagnostics.temperature import Temperature, scale
from nlp_transfer.evaluation.compare import number_groups
from nlp_transfer.findings import Finding

# The systems that learnt from the target alone, in the order in which they are taken to compare with.
WITHOUT_SOURCE = ("target_only", "scratch")


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
    learnt: Mapping[str, Answers] = field(default_factory=dict)
    """What `zero_shot` and `adapted` say of a sample of the target's training rows."""
    dev: Answers | None = None
    """What the adapted model says of the target's dev rows."""
    source_dev: Answers | None = None
    """What it says of a sample of the source's dev rows."""
    temperature: Temperature | None = None
    """What was fitted on those, and stands beside the model; None where nothing was fitted."""
    trust: SourceTrust | None = None
    """What the source model was worth on the target's training rows; None where nobody asked."""
    samples: Mapping[str, TextSample] = field(default_factory=dict)
    """Domain to a sample of its texts."""
    drift: forgetting.Drift | None = None
    """How far the adapted weights are from those that adaptation started from."""
    costs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """System to what making it took, as in the report."""
    stored_mb: Mapping[str, float] = field(default_factory=dict)
    """What is to be stored of the adapted model, `model` and `adapter`, in MB."""


def run_diagnostics(run: FinishedRun, *, seconds: dict[str, float] | None = None) -> list[Finding]:
    """Measure every promise and risk that the run's arrays allow.

    Args:
        run: `predicted["target"]` holds at least `adapted`.
        seconds: is filled with what each group of diagnostics took.

    Returns:
        One finding a diagnostic, in the order: mismatch, transfer, learning, trust, privacy.
    """
    return measured(DIAGNOSTICS, run, seconds=seconds)


def _personal_data(run: FinishedRun) -> Iterator[Finding]:
    for domain in filter(None, (run.data.target, run.data.source)):
        found = personal_data.scan_personal_data(domain.selection.texts)
        yield personal_data.personal_data_finding(domain.name, found)


def _tokens(run: FinishedRun) -> Iterator[Finding]:
    """Tell how finely the pretrained vocabulary cuts either domain."""
    if {"source", "target"} <= set(run.samples):
        yield text_mismatch.tokens_per_word_finding(
            *(text_mismatch.tokens_per_word(each.token_counts, each.word_counts)
              for each in (run.samples["source"], run.samples["target"]))
        )  # fmt: skip


def _distance(run: FinishedRun) -> Iterator[Finding]:
    """Compare features of the two domains."""
    if {"source", "target"} <= set(run.samples):
        yield from distances(run.samples)


def _across_domains(run: FinishedRun) -> Iterator[Finding]:
    """Hold source test rows beside target ones: the gap, and what can be told without target labels."""
    source, target, classes = run.data.source, run.data.target, len(run.data.label_names)
    if source is None:
        return
    groups = _groups(source), _groups(target)
    gaps = [
        transfer.domain_gap(
            _right(run.predicted["source"][system][0], source),
            _right(run.predicted["target"][system][0], target),
            groups=groups,
        )
        for system in ("zero_shot", "adapted")
        if system in run.predicted["target"]
    ]
    if len(gaps) == 2:
        yield transfer.domain_gap_finding(*gaps)
    # Both are made for a model that learnt the source alone: one that learnt the target is better there.
    system = "zero_shot" if "zero_shot" in run.predicted["target"] else "adapted"
    on_source, on_target = (run.predicted[name][system][0] for name in ("source", "target"))
    yield unlabelled.atc_finding(
        unlabelled.average_thresholded_confidence(on_source, source.test.labels, on_target, groups=groups),
        system=system,
        truth=share_of(_right(on_target, target), groups[1]),
    )
    shift = unlabelled.estimate_label_shift(
        on_source.argmax(axis=1),
        source.test.labels,
        on_target.argmax(axis=1),
        classes=classes,
        groups=groups,
    )
    yield unlabelled.estimated_shift_finding(shift, run.data.label_names)


def _transfer(run: FinishedRun) -> Iterator[Finding]:
    """Compare with what learnt from the target alone: the verdict's difference, and the order over seeds."""
    target, systems, verdict = run.data.target, run.predicted["target"], run.verdict
    if "difference" in verdict:
        gap = Estimate(-verdict["difference"], len(target.test), -verdict["high"], -verdict["low"])
        noise = f"row noise and {verdict['seed_noise']} seed noise"
        yield transfer.negative_transfer_finding(gap, against=verdict["against"], noise=noise)
    if run.trust is not None:
        yield source_trust_finding(run.trust)
    if run.data.source is not None and "zero_shot" in systems:
        answered = systems["zero_shot"][0].argmax(axis=1)
        yield transfer.source_harm_finding(
            transfer.source_harm(answered, target.test.labels, groups=_groups(target))
        )
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
    own = system_history(run.history, "adapted", seed=run.seed)
    for system in WITHOUT_SOURCE:
        if system in run.predicted["target"]:
            other = system_history(run.history, system, seed=run.seed)
            yield speed.speed_finding(
                speed.speed_up(own.records, other.records), against=system, trainings=own.trainings,
                source_seconds=run.costs.get("adapted", {}).get("source_seconds", 0.0),
            )  # fmt: skip
    scored = [record for record in own.records if record.get("eval_accuracy") is not None]
    loss = overfitting.last_step_loss(
        [record["step"] for record in scored],
        [record["eval_accuracy"] for record in scored],
        dev_rows=len(run.data.target.dev),
        worth=None if run.dev is None else effective_rows(run.dev.right, run.dev.groups),
    )
    yield overfitting.last_step_finding(loss, trainings=own.trainings)
    yield from _generalisation(run)
    if run.drift is not None:
        yield forgetting.drift_finding(run.drift)
    if run.costs:
        yield resources.resources_finding(run.costs, against=WITHOUT_SOURCE, stored_mb=run.stored_mb)


def _generalisation(run: FinishedRun) -> Iterator[Finding]:
    """Hold learnt and dev rows beside test rows, and dev rows of the two domains beside each other."""
    target = run.data.target
    test = Answers(run.predicted["target"]["adapted"][0], target.test.labels, _groups(target))
    for sides, first, second, advice in (
        (("train", "test"), run.learnt.get("adapted"), test, overfitting.OVERFITTED),
        (("dev", "test"), run.dev, test, overfitting.OVERFITTED),
        (("dev", "source dev"), run.dev, run.source_dev, overfitting.SPECIALISED),
    ):
        if first is not None and second is not None:
            gap = overfitting.generalisation_gap(
                first.right, second.right, groups=(first.groups, second.groups)
            )
            yield overfitting.generalisation_finding(gap, sides=sides, advice=advice)


def _trust(run: FinishedRun) -> Iterator[Finding]:
    """Look at the adapted model's probabilities, with the temperature of its dev rows."""
    target, tested = run.data.target, run.predicted["target"]["adapted"][0]
    temperature = run.temperature or Temperature(missing(0, "none was fitted"), None, None)
    groups = _groups(target)
    before = calibration.calibration_error(tested, target.test.labels, groups=groups)
    after = temperature.temperature
    if after.value is not None:
        scaled = scale(_logarithms(tested), after.value)
        after = calibration.calibration_error(scaled, target.test.labels, groups=groups)
    yield calibration.calibration_finding(before, after, temperature)
    coverage = calibration.accuracy_against_coverage(tested, target.test.labels, groups=groups)
    yield calibration.coverage_finding(coverage)


def _membership(run: FinishedRun) -> Iterator[Finding]:
    """Tell learnt target rows from test rows, with the source model as the reference where there is one."""
    target, tested = run.data.target, run.predicted["target"]
    if "adapted" not in run.learnt:
        return
    referred = "zero_shot" in run.learnt and "zero_shot" in tested
    learnt, unseen = (
        privacy.membership_scores(
            answers["zero_shot"].losses if referred else np.zeros(len(answers["adapted"].labels)),
            answers["adapted"].losses,
        )
        for answers in (
            run.learnt,
            {system: Answers(per_seed[0], target.test.labels) for system, per_seed in tested.items()},
        )
    )
    groups = run.learnt["adapted"].groups, _groups(target)
    found = privacy.membership_inference(learnt, unseen, groups=groups)
    yield privacy.membership_finding(found, reference="zero_shot" if referred else None)


# Groups of diagnostics in the report's order, by the names under which their time is told.
DIAGNOSTICS: Mapping[str, Callable[[FinishedRun], Iterable[Finding]]] = {
    "personal data": _personal_data,
    "tokens": _tokens,
    "domain distance": _distance,
    "across domains": _across_domains,
    "transfer": _transfer,
    "learning": _learning,
    "calibration": _trust,
    "membership": _membership,
}


def _right(probabilities: Array, domain: DomainData) -> npt.NDArray[np.bool_]:
    """Return whether each test row is right, shape (rows,)."""
    right: npt.NDArray[np.bool_] = probabilities.argmax(axis=1) == domain.test.labels
    return right


def _groups(domain: DomainData) -> Integers | None:
    """Return the group number of each test row, None where rows stand alone."""
    return number_groups(domain.test.groups)


def _logarithms(probabilities: Array) -> Array:
    """Return log-probabilities, which are logits up to a constant a row."""
    logarithms: Array = np.log(probabilities.clip(SMALLEST_PROBABILITY))
    return logarithms
