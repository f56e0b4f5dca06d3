"""A system's history is that of its first training, with the seconds of all that it took."""

from __future__ import annotations

from typing import Any

import pytest

from nlp_transfer.diagnostics.histories import system_history
from nlp_transfer.diagnostics.overfitting import StepLoss, last_step_finding
from nlp_transfer.diagnostics.speed import Reached, SpeedUp, speed_finding


def records(stage: str, *seconds: float | None, seed: int = 0) -> list[dict[str, Any]]:
    return [
        {"stage": stage, "seed": seed, "step": 10 * number, "seconds": each}
        for number, each in enumerate(seconds, start=1)
    ]


def test_one_training_has_its_own_seconds() -> None:
    history = [
        *records("source", 50.0), *records("adapted", 2.0, 4.0), *records("adapted", 90.0, seed=1),
        *records("adapted again", 7.0),
    ]  # fmt: skip
    found = system_history(history, "adapted", seed=0)
    assert (found.records, found.trainings) == (history[1:3], 1)
    assert system_history(history, "scratch", seed=0).records == []


def test_several_trainings_take_the_seconds_of_each() -> None:
    history = [
        *records("adapted", 2.0, 4.0), *records("adapted: 2 of 3", 3.0), *records("adapted: 3 of 3", 3.0)
    ]  # fmt: skip
    found = system_history(history, "adapted", seed=0)
    assert found.trainings == 3
    assert [each["seconds"] for each in found.records] == [6.0, 12.0]


def test_what_comes_before_the_last_stage_counts() -> None:
    history = [
        *records("adapted: labels", 5.0, 10.0), *records("adapted: labels: 2 of 2", 11.0),
        *records("adapted", 1.0, None),
    ]  # fmt: skip
    found = system_history(history, "adapted", seed=0)
    assert found.trainings == 1
    assert [each["seconds"] for each in found.records] == [22.0, None]


def test_findings_say_of_how_many_trainings_they_are() -> None:
    loss = StepLoss(10, 0.9, 20, 0.85, 0.02, 120)
    assert last_step_finding(loss).evidence.endswith("(n = 120 dev rows)")
    several = last_step_finding(loss, trainings=4)
    assert several.evidence.endswith("(n = 120 dev rows; the first of 4 trainings)")
    assert several.value == pytest.approx(2.5)
    found = SpeedUp(0.8, Reached(30, 6.0), Reached(20, 4.0), "")
    assert "(n = 1 run each)" in speed_finding(found, against="scratch").evidence
    assert (
        "(n = 1 run each; steps of the first of 4 trainings, seconds of all)"
        in speed_finding(found, against="scratch", trainings=4).evidence
    )
