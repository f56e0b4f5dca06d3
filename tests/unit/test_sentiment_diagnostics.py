"""The diagnostics of a whole sentiment run, on made-up runs whose faults are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nlp_transfer.data.rows import DomainData, Rows, TransferData
from nlp_transfer.diagnostics.sentiment_run import FinishedRun, run_diagnostics
from nlp_transfer.runs import read_history

LABELS = ["negative", "positive"]
ALWAYS = {
    "personal_data", "new_words", "label_shift", "domain_gap", "accuracy_without_labels",
    "estimated_label_shift",
    "negative_transfer", "stochastic_order_adapted_target_only", "speed_against_target_only", "last_step",
    "calibration", "coverage",
}  # fmt: skip
WITH_FEATURES = {"domain_distance", "two_sample_test", "kernel_two_sample_test"}
WITH_LEARNT = {"generalisation_train_test", "membership_inference"}


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
        features={"source": generator.normal(size=(1000, 8)), "target": generator.normal(size=(360, 8))},
        token_counts={"source": np.full(1000, 6.0), "target": np.full(360, 12.0)},
        learnt={
            "zero_shot": answers(target.train.labels, accuracy=0.75),
            "adapted": answers(target.train.labels, accuracy=1.0, confidence=0.99),
        },
        dev=answers(target.dev.labels, accuracy=0.8),
    )
    found = by_name(full)
    assert set(found) == ALWAYS | WITH_FEATURES | WITH_LEARNT | {"tokens_per_word"}
    assert found["domain_distance"].severity == "info"
    assert "at least 1,000 are needed" in found["two_sample_test"].evidence
    # "the battery died 3" has four words, "the film is dull 3" has five.
    assert found["tokens_per_word"].value == pytest.approx((12 / 4) / (6 / 5))
    assert found["membership_inference"].severity == "warn"
    assert found["membership_inference"].value > 0.7
    assert found["generalisation_train_test"].value == pytest.approx(1 - 0.82)
    assert "n = 60" in found["calibration"].evidence


def test_the_numbers_are_those_of_the_run():
    found = by_name(finished())
    assert found["negative_transfer"].value == pytest.approx(0.78 - 0.82)
    assert "row noise and assumed seed noise" in found["negative_transfer"].evidence
    assert found["domain_gap"].value == pytest.approx(0.84 - 0.82)
    assert "+10.0" in found["domain_gap"].evidence
    assert found["new_words"].value == pytest.approx(0.5)
    assert found["label_shift"].value == 0
    assert found["speed_against_target_only"].value == pytest.approx(30 / 10)
    assert found["last_step"].value < 0.001
    assert "5 are needed" in found["stochastic_order_adapted_target_only"].evidence
    assert "0 dev rows" in found["calibration"].evidence
    assert found["accuracy_without_labels"].value == pytest.approx(0, abs=0.05)


def test_a_source_that_harms_is_told():
    finding = by_name(finished(adapted=0.50, target_only=0.90, seeds=5))["negative_transfer"]
    assert (finding.severity, finding.value) == ("warn", pytest.approx(0.4))
    assert "measured seed noise" in finding.evidence


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
