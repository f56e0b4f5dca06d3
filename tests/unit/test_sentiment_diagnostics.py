"""The diagnostics of a whole sentiment run, on made-up runs whose faults are known."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from nlp_transfer.data.rows import EMPTY, DomainData, Rows, TransferData
from nlp_transfer.diagnostics.before_training import words_and_labels
from nlp_transfer.diagnostics.estimates import Estimate
from nlp_transfer.diagnostics.forgetting import Drift
from nlp_transfer.diagnostics.sentiment_run import (
    DIAGNOSTICS,
    Answers,
    FinishedRun,
    TextSample,
    run_diagnostics,
)
from nlp_transfer.diagnostics.temperature import Temperature, fit_temperature
from nlp_transfer.runs import read_history

LABELS = ["negative", "positive"]
ALWAYS = {
    "personal_data", "domain_gap", "accuracy_without_labels",
    "estimated_label_shift",
    "negative_transfer", "source_harm", "stochastic_order_adapted_target_only",
    "speed_against_target_only", "last_step",
    "calibration", "coverage",
}  # fmt: skip
WITH_FEATURES = {"domain_distance", "two_sample_test", "kernel_two_sample_test"}
WITH_LEARNT = {
    "generalisation_train_test", "generalisation_dev_test", "generalisation_dev_source_dev",
    "membership_inference",
}  # fmt: skip


def text_sample(features: np.ndarray, *, tokens: int, words: int) -> TextSample:
    """Return a sample of texts that all have so many tokens and words."""
    rows = len(features)
    return TextSample(np.arange(rows).astype(str), features, np.full(rows, tokens), np.full(rows, words))


def rows(prefix: str, count: int, *, words: str) -> Rows:
    texts = [f"{words} {number % 7}" for number in range(count)]
    return Rows([f"{prefix}-{number}" for number in range(count)], texts, np.arange(count) % 2)


def domain(name: str, *, train: int, dev: int, test: int, words: str) -> DomainData:
    parts = {
        split: rows(f"{name}-{split}", count, words=words)
        for split, count in (("train", train), ("dev", dev), ("test", test))
    }
    return DomainData(name, LABELS, card=None, **parts)


def answers(labels, *, accuracy: float, seed: int = 0, confidence: float = 0.8):
    """Probabilities that are right for this share of the rows, surer where they are right."""
    generator = np.random.default_rng(seed)
    right = generator.permutation(len(labels)) < accuracy * len(labels)
    sure = np.clip(
        np.where(right, confidence, confidence - 0.1) + generator.normal(0, 0.03, len(labels)), 0.51, 0.999
    )
    positive = np.where(right == (labels == 1), sure, 1 - sure)
    return np.stack([1 - positive, positive], axis=1)


def finished(*, adapted: float = 0.82, target_only: float = 0.78, seeds: int = 1) -> FinishedRun:
    data = TransferData(
        target=domain("target", train=300, dev=60, test=1000, words="the battery died"),
        source=domain("source", train=800, dev=200, test=1000, words="the film is dull"),
        label_names=LABELS,
    )
    accuracies = {
        "target": {"zero_shot": 0.75, "target_only": target_only, "adapted": adapted},
        "source": {"zero_shot": 0.85, "target_only": 0.70, "adapted": 0.84},
    }
    tests = {"target": data.target.test, "source": data.source.test}
    predicted = {
        name: {
            system: [answers(tests[name].labels, accuracy=accuracy, seed=seed) for seed in range(seeds)]
            for system, accuracy in systems.items()
        }
        for name, systems in accuracies.items()
    }
    history = [
        {"stage": stage, "seed": 0, "step": step, "eval_accuracy": score}
        for stage, scores in (("adapted", [0.8, 0.82]), ("target_only", [0.6, 0.7, 0.8]))
        for step, score in zip([10, 20, 30], scores, strict=False)
    ]
    difference = adapted - target_only
    verdict = {
        "transfer": "no_evidence",
        "against": "target_only",
        "difference": difference,
        "low": difference - 0.05,
        "high": difference + 0.05,
        "seed_noise": "assumed" if seeds == 1 else "measured",
    }
    return FinishedRun(data=data, predicted=predicted, verdict=verdict, history=history)


def by_name(run: FinishedRun):
    findings = run_diagnostics(run)
    return {finding.check: finding for finding in findings}


def test_a_run_is_measured_with_what_it_has():
    assert set(by_name(finished())) == ALWAYS


def test_more_arrays_bring_more_findings():
    run = finished()
    generator = np.random.default_rng(0)
    target = run.data.target
    full = dataclasses.replace(
        run,
        samples={
            "source": text_sample(generator.normal(size=(1000, 8)), tokens=6, words=5),
            "target": text_sample(generator.normal(size=(360, 8)), tokens=12, words=4),
        },
        learnt={
            "zero_shot": Answers(answers(target.train.labels, accuracy=0.75), target.train.labels),
            "adapted": Answers(
                answers(target.train.labels, accuracy=1.0, confidence=0.99), target.train.labels
            ),
        },
        dev=Answers(answers(target.dev.labels, accuracy=0.8), target.dev.labels),
        source_dev=Answers(answers(run.data.source.dev.labels, accuracy=0.4), run.data.source.dev.labels),
        temperature=fit_temperature(np.log(answers(target.dev.labels, accuracy=0.8)), target.dev.labels),
        drift=Drift({"encoder.layer.0": 0.25, "classifier": 0.5}, 0.3, 1000, []),
        costs={
            "adapted": {
                "seconds": 10.0,
                "peak_rss_mb": 900.0,
                "trainable_share": 0.5,
                "tokens_per_second": 2000.0,
                "padding_share": 0.04,
                "source_seconds": 60.0,
            },
            "target_only": {"seconds": 5.0},
        },
        stored_mb={"model": 86.7},
    )
    found = by_name(full)
    assert set(found) == ALWAYS | WITH_FEATURES | WITH_LEARNT | {
        "tokens_per_word", "weight_drift", "resources",
    }  # fmt: skip
    assert found["domain_distance"].severity == "info"
    assert "at least 1,000 are needed" in found["two_sample_test"].evidence
    assert found["tokens_per_word"].value == pytest.approx((12 / 4) / (6 / 5))
    assert found["membership_inference"].severity == "warn"
    assert found["membership_inference"].value > 0.7
    assert found["generalisation_train_test"].value == pytest.approx(1 - 0.82)
    assert "against zero_shot" in found["membership_inference"].evidence
    assert found["generalisation_dev_test"].value == pytest.approx(0.8 - 0.82)
    dev_gap = found["generalisation_dev_source_dev"]
    assert (dev_gap.value, dev_gap.severity) == (pytest.approx(0.8 - 0.4), "warn")
    assert dev_gap.advice.startswith("the model knows the target better than the source")
    assert "accuracy on dev rows is above that on source dev rows by +40.0" in dev_gap.evidence
    assert "n = 60" in found["calibration"].evidence
    assert "most: classifier 50.0%, encoder.layer.0 25.0%" in found["weight_drift"].evidence
    assert found["resources"].value == pytest.approx(10 / 5)
    for words in ("10.0 s of training, 2.0 times target_only's 5.0 s; with the source model, made once for "
                  "all targets, 70.0 s, 14.0 times target_only's 5.0 s", "2,000 real tokens a second",
                  "4.0% of what was", "86.7 MB of weights to store as model"):  # fmt: skip
        assert words in found["resources"].evidence
    assert "the source model, made once, took 60.0 s more" in found["speed_against_target_only"].evidence


def test_without_a_source_model_learnt_rows_are_told_by_their_loss_alone():
    run = finished()
    train = run.data.target.train
    alone = {"adapted": Answers(answers(train.labels, accuracy=1.0, confidence=0.99), train.labels)}
    found = by_name(dataclasses.replace(run, learnt=alone))["membership_inference"]
    assert found.value > 0.7
    assert "without a reference model" in found.evidence


def test_a_model_that_was_not_changed_gives_its_learnt_rows_not_away():
    run = finished()
    train, same = run.data.target.train, run.predicted["target"]["zero_shot"]
    before = Answers(answers(train.labels, accuracy=0.75), train.labels)
    untouched = dataclasses.replace(
        run,
        predicted={**run.predicted, "target": {**run.predicted["target"], "adapted": same}},
        learnt={"zero_shot": before, "adapted": before},
    )
    assert by_name(untouched)["membership_inference"].value == 0.5


def test_the_temperature_of_the_dev_rows_mends_what_it_was_made_for():
    """Probabilities that are too sure by a factor of two on the logits: their temperature is two."""
    run = finished()
    test = run.data.target.test
    truth = np.random.default_rng(0).uniform(-3, 3, size=len(test))
    labels = (np.random.default_rng(1).random(len(test)) < 1 / (1 + np.exp(-truth))).astype(np.int64)
    sure = 1 / (1 + np.exp(-2 * truth))
    data = dataclasses.replace(
        run.data, target=dataclasses.replace(run.data.target, test=dataclasses.replace(test, labels=labels))
    )
    too_sure = np.stack([1 - sure, sure], axis=1)
    predicted = {**run.predicted, "target": {**run.predicted["target"], "adapted": [too_sure]}}
    fitted = Temperature(Estimate(2.0, 200, 1.8, 2.2), 0.5, 0.4)
    before = by_name(dataclasses.replace(run, data=data, predicted=predicted))["calibration"]
    after = by_name(dataclasses.replace(run, data=data, predicted=predicted, temperature=fitted))[
        "calibration"
    ]
    assert (before.severity, after.severity) == ("warn", "info")
    assert after.value < 0.05 < before.value
    assert "divided by the temperature 2.00" in after.evidence


def test_the_time_of_each_group_of_diagnostics_is_told():
    seconds: dict[str, float] = {}
    run_diagnostics(finished(), seconds=seconds)
    assert list(seconds) == list(DIAGNOSTICS)
    assert min(seconds.values()) >= 0


def test_the_numbers_are_those_of_the_run():
    found = by_name(finished())
    assert found["negative_transfer"].value == pytest.approx(0.78 - 0.82)
    assert "row noise and assumed seed noise" in found["negative_transfer"].evidence
    assert found["domain_gap"].value == pytest.approx(0.84 - 0.82)
    assert "+10.0" in found["domain_gap"].evidence
    assert found["speed_against_target_only"].value == pytest.approx(30 / 10)
    assert found["last_step"].value < 0.001
    assert "5 are needed" in found["stochastic_order_adapted_target_only"].evidence
    assert "none was fitted" in found["calibration"].evidence
    assert found["accuracy_without_labels"].value == pytest.approx(0, abs=0.05)


def test_a_source_that_harms_is_told():
    finding = by_name(finished(adapted=0.50, target_only=0.90, seeds=5))["negative_transfer"]
    assert (finding.severity, finding.value) == ("warn", pytest.approx(0.4))
    assert "measured seed noise" in finding.evidence


def test_a_source_that_says_the_opposite_is_told():
    run = finished()
    predicted = dict(run.predicted["target"], zero_shot=[answers(run.data.target.test.labels, accuracy=0.2)])
    flipped = dataclasses.replace(run, predicted={**run.predicted, "target": predicted})
    finding = by_name(flipped)["source_harm"]
    # Half of the labels are of either class, so that chance is one half whatever the answers' shares are.
    assert (finding.severity, finding.value) == ("warn", pytest.approx(0.2 - 0.5))
    assert by_name(run)["source_harm"].severity == "info"
    assert by_name(run)["source_harm"].value == pytest.approx(0.75 - 0.5)


def test_every_interval_of_test_rows_knows_their_groups():
    """Test rows of 100 reviews whose sentences have one label, and are right or wrong together."""
    run = finished()
    number = np.arange(1000) // 10
    domains, predicted = {"rows": {}, "groups": {}}, {}
    for place, name in enumerate(("target", "source")):
        generator, domain = np.random.default_rng(place), getattr(run.data, name)
        labels = (generator.random(100) < 0.5)[number].astype(np.int64)
        right = (generator.random(100) < 0.7)[number]
        positive = np.where(right == (labels == 1), 0.8, 0.2) + generator.uniform(-0.1, 0.1, 1000)
        scores = np.stack([1 - positive, positive], axis=1)
        predicted[name] = {"zero_shot": [scores], "adapted": [scores]}
        for kind, groups in (("rows", None), ("groups", [f"review {each}" for each in number])):
            test = dataclasses.replace(domain.test, labels=labels, groups=groups)
            domains[kind][name] = dataclasses.replace(domain, test=test)
    train, dev = run.data.target.train.labels, run.data.target.dev.labels
    without, found = (
        by_name(
            dataclasses.replace(
                run,
                data=dataclasses.replace(run.data, **domains[kind]),
                predicted=predicted,
                learnt={"adapted": Answers(answers(train, accuracy=0.9), train)},
                dev=Answers(answers(dev, accuracy=0.8), dev),
            )
        )
        for kind in ("rows", "groups")
    )
    for check in (
        "domain_gap", "source_harm", "calibration", "coverage", "accuracy_without_labels",
        "estimated_label_shift", "generalisation_train_test", "generalisation_dev_test",
        "membership_inference",
    ):  # fmt: skip
        assert width(found[check].evidence) > 1.05 * width(without[check].evidence), check
    shifts = [
        {f.check: f for f in words_and_labels(dataclasses.replace(run.data, **domains[kind]))}["label_shift"]
        for kind in ("rows", "groups")
    ]
    assert width(shifts[1].evidence) > 1.05 * width(shifts[0].evidence)


def width(evidence: str) -> float:
    """Width of the last interval that a finding tells, the widest of several."""
    ends = re.findall(r"95% interval ([+-]?[\d.]+) to ([+-]?[\d.]+)", evidence)
    return max(float(high) - float(low) for low, high in ends)


def test_words_and_labels_are_compared_before_anything_is_trained():
    data = finished().data
    found = {finding.check: finding for finding in words_and_labels(data)}
    assert found["new_words"].value == pytest.approx(0.5)
    assert found["label_shift"].value == 0
    assert list(words_and_labels(dataclasses.replace(data, source=None))) == []


def test_without_a_source_the_harm_is_that_of_the_pretrained_model():
    run = finished()
    alone = dataclasses.replace(
        run,
        data=dataclasses.replace(run.data, source=None),
        predicted={"target": {"scratch": run.predicted["target"]["target_only"], **run.predicted["target"]}},
        verdict={**run.verdict, "against": "scratch"},
    )
    words = by_name(alone)["negative_transfer"].evidence
    assert "adapted minus those of scratch, which starts from random weights" in words
    assert "source" not in words


def test_seeds_are_put_in_order():
    found = by_name(finished(seeds=5))["stochastic_order_adapted_target_only"]
    assert "over 5 seeds adapted is almost stochastically better than target_only" in found.evidence


def test_a_run_without_a_source_or_a_baseline_says_less():
    run = finished()
    alone = FinishedRun(
        data=dataclasses.replace(run.data, source=None),
        predicted={"target": {"adapted": run.predicted["target"]["adapted"]}},
    )
    assert set(by_name(alone)) == {"personal_data", "last_step", "calibration", "coverage"}


def test_both_domains_are_scanned_for_personal_data():
    run = finished()
    texts = run.data.source.train.texts
    texts[0] = "write to jane.doe@gmail.com"
    scanned = [finding for finding in run_diagnostics(run) if finding.check == "personal_data"]
    assert [(finding.severity, finding.value) for finding in scanned] == [("info", 0), ("warn", 1)]


def test_history_is_read_without_the_line_that_a_killed_run_tore(tmp_path):
    assert read_history(tmp_path) == []
    (tmp_path / "history.jsonl").write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "lo', encoding="utf-8")
    assert read_history(tmp_path) == [{"step": 1, "loss": 0.5}]


def with_groups(given: DomainData, *, rows_each: int) -> DomainData:
    """Have so many rows in a row belong together; no group stands in two splits."""
    parts = {
        split: dataclasses.replace(
            getattr(given, split),
            groups=[f"{split}-{row // rows_each}" for row in range(len(getattr(given, split)))],
        )
        for split in ("train", "dev", "test")
    }
    return dataclasses.replace(given, **parts)


def test_all_rows_of_a_domain_keep_their_groups():
    alone = finished().data.target
    assert alone.used.groups is None
    grouped = with_groups(alone, rows_each=10)
    used = grouped.used
    assert used.ids == [*grouped.train.ids, *grouped.dev.ids, *grouped.test.ids]
    assert len(set(used.groups)) == (300 + 60 + 1000) / 10
    assert used.groups[-1] == "test-99"
    unlabelled = dataclasses.replace(grouped, train=EMPTY, dev=EMPTY)
    assert unlabelled.used.groups == grouped.test.groups


def test_rows_of_one_review_widen_what_is_said_of_the_domains_and_of_the_last_step():
    run = finished()
    data = TransferData(
        target=with_groups(run.data.target, rows_each=20),
        source=with_groups(run.data.source, rows_each=20),
        label_names=LABELS,
    )
    (words, *_) = words_and_labels(data)
    assert words.check == "new_words"
    generator = np.random.default_rng(0)
    samples, worth_less = {}, {}
    for place, name in enumerate(("source", "target")):
        groups = np.repeat(np.arange(50), 20)
        features = generator.normal(size=(50, 30))[groups] + 0.2 * generator.normal(size=(1000, 30)) + place
        samples[name] = text_sample(features, tokens=6, words=5)
        worth_less[name] = dataclasses.replace(samples[name], groups=groups)
    right = np.repeat(np.arange(3) > 0, 20)
    dev = Answers(np.stack([1.0 - right, right], axis=1).astype(float), np.ones(60, dtype=np.int64))
    scored = zip([10, 20], [0.85, 0.75], strict=True)
    history = [
        {"stage": "adapted", "seed": 0, "step": step, "eval_accuracy": score} for step, score in scored
    ]
    run = dataclasses.replace(run, history=history)
    alone = by_name(dataclasses.replace(run, samples=samples, dev=dev))
    found = by_name(
        dataclasses.replace(
            run, samples=worth_less, dev=dataclasses.replace(dev, groups=np.repeat(np.arange(3), 20))
        )
    )
    for check in ("domain_distance", "two_sample_test", "kernel_two_sample_test"):
        assert found[check].evidence != alone[check].evidence
    assert "(50 rows a side)" in found["kernel_two_sample_test"].evidence
    # Three reviews tell little of an accuracy, sixty sentences more.
    assert 0 < found["last_step"].value < 0.5 * alone["last_step"].value
