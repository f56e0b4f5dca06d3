"""Two processes train as one does: the same losses and gradients from the same global batches."""

from __future__ import annotations

import json
from typing import Any

import pytest
from launched import RECIPES
from trainings import DEV_ROWS, STEPS, Case, build_translator, run, write_cases

KINDS = [
    (task, method) for task in ("sentiment", "self_training", "translation") for method in ("full", "lora")
]
Logged = list[dict[str, float]]


@pytest.fixture(scope="module")
def models(tiny_model: Any, tmp_path_factory: Any) -> dict[str, str]:
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    translator = build_translator(tmp_path_factory.mktemp("marian"))
    classifier = str(tiny_model("bert", **still))
    return {"sentiment": classifier, "self_training": classifier, "translation": str(translator)}


@pytest.fixture(scope="module")
def alone(models: dict[str, str], tmp_path_factory: Any) -> dict[tuple[str, str, int], Logged]:
    """What one process logs, by task, method and accumulation steps."""
    folder = tmp_path_factory.mktemp("alone")
    return {
        (task, method, steps): run(Case(task, method, models[task], accumulation=steps), folder)
        for task, method in KINDS
        for steps in (1, 2)
    }


@pytest.fixture(scope="module")
def together(
    models: dict[str, str], launch: Any, tmp_path_factory: Any
) -> dict[tuple[str, str, int], Logged]:
    """What two processes log."""
    file = tmp_path_factory.mktemp("together") / "cases.json"
    cases = [
        Case(*kind, models[kind[0]], accumulation=steps, processes=2) for kind in KINDS for steps in (1, 2)
    ]
    write_cases(file, cases)
    hardware = str(RECIPES / "accelerate" / "cpu_2.yaml")
    ended = launch("--config_file", hardware, "--main_process_port", "0", "-m", "trainings", str(file))
    assert ended.returncode == 0, ended.stderr
    found = json.loads(file.with_suffix(".logged.json").read_text())
    assert found["num_processes"] == 2
    return {(case.task, case.method, case.accumulation): found["logged"][case.name] for case in cases}


def values(logged: Logged, name: str) -> list[float]:
    return [record[name] for record in logged if name in record]


def require_same(found: Logged, expected: Logged) -> None:
    for name in ("loss", "grad_norm"):
        assert len(values(expected, name)) == STEPS
        assert values(found, name) == pytest.approx(values(expected, name), rel=1e-4)


@pytest.mark.parametrize("steps", [1, 2], ids=["", "two accumulation steps"])
@pytest.mark.parametrize(("task", "method"), KINDS)
def test_two_processes_train_as_one(task: str, method: str, steps: int, alone: Any, together: Any) -> None:
    require_same(together[task, method, steps], alone[task, method, 1])


@pytest.mark.parametrize(("task", "method"), KINDS)
def test_accumulation_changes_nothing(task: str, method: str, alone: Any) -> None:
    require_same(alone[task, method, 2], alone[task, method, 1])


@pytest.mark.parametrize(("task", "method"), KINDS)
def test_each_dev_row_is_counted_once(task: str, method: str, alone: Any, together: Any) -> None:
    name = "eval_chrf" if task == "translation" else "eval_accuracy"
    found, expected = (values(each[task, method, 1], name) for each in (together, alone))
    assert len(found) == 2
    assert found == pytest.approx(expected, rel=1e-9)
    if task != "translation":
        assert [score * DEV_ROWS for score in found] == pytest.approx(
            [round(score * DEV_ROWS) for score in found]
        )
