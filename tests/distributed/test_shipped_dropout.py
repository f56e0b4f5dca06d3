"""With dropout as shipped two processes draw other zeros than one, and differ from it as its seeds do."""

from __future__ import annotations

import json
import math
import statistics
from typing import Any

import pytest
from launched import RECIPES
from trainings import DEV_ROWS, Case, build_translator, run, write_cases

KINDS = (("sentiment", "full"), ("sentiment", "lora"), ("translation", "full"))
STEPS = 24
ALONE_SEEDS, TOGETHER_SEEDS = range(5), range(3)
# Of Student's t between the seeds of one process and of two: with 6 degrees of freedom 0.1% are beyond it.
MOST_T = 5.96
Logged = list[dict[str, float]]


def case(kind: tuple[str, str], seed: int, models: dict[str, str], processes: int) -> Case:
    return Case(
        *kind, models[kind[0]], processes=processes, steps=STEPS, seed=seed, learning_rate=1e-2, dropout=True
    )


@pytest.fixture(scope="module")
def models(tiny_model: Any, tmp_path_factory: Any) -> dict[str, str]:
    translator = build_translator(tmp_path_factory.mktemp("marian"), dropout=0.1)
    return {"sentiment": str(tiny_model("bert")), "translation": str(translator)}


@pytest.fixture(scope="module")
def alone(models: dict[str, str], tmp_path_factory: Any) -> dict[tuple[str, str], list[Logged]]:
    """What each seed of one process logs."""
    folder = tmp_path_factory.mktemp("alone")
    return {kind: [run(case(kind, seed, models, 1), folder) for seed in ALONE_SEEDS] for kind in KINDS}


@pytest.fixture(scope="module")
def together(
    models: dict[str, str], launch: Any, tmp_path_factory: Any
) -> dict[tuple[str, str], list[Logged]]:
    """What each seed of two processes logs."""
    file = tmp_path_factory.mktemp("together") / "cases.json"
    cases = {kind: [case(kind, seed, models, 2) for seed in TOGETHER_SEEDS] for kind in KINDS}
    write_cases(file, [each for of_kind in cases.values() for each in of_kind])
    hardware = str(RECIPES / "accelerate" / "cpu_2.yaml")
    ended = launch("--config_file", hardware, "--main_process_port", "0", "-m", "trainings", str(file))
    assert ended.returncode == 0, ended.stderr
    logged = json.loads(file.with_suffix(".logged.json").read_text())["logged"]
    return {kind: [logged[each.name] for each in of_kind] for kind, of_kind in cases.items()}


def values(logged: Logged, name: str) -> list[float]:
    return [record[name] for record in logged if name in record]


def last_loss(logged: Logged) -> float:
    """Return the mean training loss of the last quarter of the steps."""
    return statistics.mean(values(logged, "loss")[-STEPS // 4 :])


def student_t(first: list[float], second: list[float], *, least_spread: float) -> float:
    """Return Student's t of two samples, their spread pooled and at least so large."""
    degrees = len(first) + len(second) - 2
    pooled = math.sqrt(
        sum(statistics.variance(sample) * (len(sample) - 1) for sample in (first, second)) / degrees
    )
    difference = statistics.mean(first) - statistics.mean(second)
    return difference / (max(pooled, least_spread) * math.sqrt(1 / len(first) + 1 / len(second)))


@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
def test_two_processes_learn_as_well_as_one(kind: Any, alone: Any, together: Any) -> None:
    one, two = ([last_loss(logged) for logged in each[kind]] for each in (alone, together))
    assert all(loss < values(logged, "loss")[0] for loss, logged in zip(two, together[kind], strict=True))
    assert abs(student_t(one, two, least_spread=1e-3)) < MOST_T, (one, two)
    if kind[0] == "sentiment":
        one, two = (
            [values(logged, "eval_accuracy")[-1] for logged in each[kind]] for each in (alone, together)
        )
        assert statistics.mean(two) > 0.7
        assert abs(student_t(one, two, least_spread=1 / DEV_ROWS)) < MOST_T, (one, two)


@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
def test_they_draw_other_zeros_and_count_the_same_rows(kind: Any, alone: Any, together: Any) -> None:
    for seed in TOGETHER_SEEDS:
        one, two = alone[kind][seed], together[kind][seed]
        assert values(one, "loss") != pytest.approx(values(two, "loss"), rel=1e-4)
        for accuracy in values(two, "eval_accuracy"):
            assert accuracy * DEV_ROWS == pytest.approx(round(accuracy * DEV_ROWS))
