"""A run that is killed, stopped or damaged goes on by the same command, and ends as if nothing had been."""

from __future__ import annotations

import logging
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pausing import Paused, paused_in_training
from short_runs import Run, largest_difference, short_recipe

from nlp_transfer.errors import RunError

KINDS = ("sentiment full", "sentiment lora", "translation full", "translation lora")
STAGE = "adapted"


def pause(run: Run, *, step: int) -> Paused:
    return paused_in_training(["train", run.recipe], run.folder.parent, stage=STAGE, step=step)


def require_same(found: Run, expected: Run, *, said: str = "") -> None:
    """Require the same weights within 1e-6 and the same lines of history, each once."""
    # The history first: it names the step where the two part.
    assert found.steps() == expected.steps(), said
    assert largest_difference(found, expected) < 1e-6, said


@pytest.fixture(scope="module")
def whole(tiny_model: Any, tmp_path_factory: Any) -> Callable[[str], Run]:
    """Return a function that trains a kind of run (once) without a fault."""
    made: dict[str, Run] = {}

    def make(kind: str) -> Run:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind.replace(" ", "-"))
            content = short_recipe(kind, folder, tiny_model("bert"))
            made[kind] = Run(content, folder / "whole")
            made[kind].train()
        return made[kind]

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_goes_on_and_ends_with_the_same_weights(
    kind: str, whole: Callable[[str], Run], tmp_path: Path
) -> None:
    expected = whole(kind)
    steps = max(line[1] for line in expected.steps())
    step = random.SystemRandom().randrange(1, steps)
    killed = Run(expected.content, tmp_path / "killed")
    assert pause(killed, step=step).end(signal.SIGKILL) == -signal.SIGKILL
    assert not (killed.folder / "model").exists()
    killed.train()
    require_same(killed, expected, said=f"killed at step {step} of {steps}")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.endswith("lora")])
def test_the_runs_of_lora_train_an_adapter(kind: str, whole: Callable[[str], Run]) -> None:
    """A model that is made anew has none: it is trained in full, whatever the method."""
    run = whole(kind)
    assert {path.name for path in run.newest_weights()} == {"adapter_model.safetensors"}
    assert (run.folder / "adapter" / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_run_says_how_to_go_on_and_a_second_one_waits_for_its_end(
    number: signal.Signals, status: int, whole: Callable[[str], Run], tmp_path: Path
) -> None:
    expected = whole("sentiment full")
    stopped = Run(expected.content, tmp_path / "stopped")
    paused = pause(stopped, step=max(line[1] for line in expected.steps()) - 1)
    with pytest.raises(RunError, match="another run is at work"):
        stopped.train()
    assert paused.end(number) == status
    assert paused.log.read_text().splitlines()[-2:] == [
        "nlp-transfer: stopped; the same command goes on from the last finished stage or checkpoint:",
        f"  nlp-transfer train {stopped.recipe}",
    ]
    stopped.train()
    require_same(stopped, expected)


@pytest.mark.parametrize(
    ("lost", "kind"), [("cut", "sentiment full"), ("cut", "sentiment lora"), ("missing", "sentiment full")]
)
def test_a_damaged_newest_checkpoint_costs_the_steps_since_the_one_before(
    lost: str, kind: str, whole: Callable[[str], Run], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = whole(kind)
    damaged = Run(expected.content, tmp_path / "damaged")
    pause(damaged, step=max(line[1] for line in expected.steps()) - 1).end(signal.SIGKILL)
    before, newest = damaged.checkpoints()[-2:]
    (weights,) = damaged.newest_weights()
    assert weights.parent == newest
    if lost == "cut":
        weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    else:
        shutil.rmtree(newest)
    with caplog.at_level(logging.INFO, logger="nlp_transfer"):
        damaged.train()
    told = {
        "cut": f"{newest} cannot be gone on from: {weights.name} is cut short; taking the one before",
        "missing": f"{newest} was saved and is missing; taking the one before",
    }
    assert [message for message in caplog.messages if str(newest) in message] == [told[lost]]
    assert f"{STAGE}: going on from step {before.name[11:]}" in caplog.messages
    require_same(damaged, expected)
    assert damaged.left_over() == []


def test_what_a_fault_left_half_written_is_found(whole: Callable[[str], Run], tmp_path: Path) -> None:
    """Otherwise the count of left-overs in benchmarks/faults.py could not be anything but zero."""
    expected = whole("sentiment lora")
    run = Run(expected.content, tmp_path / "copied")
    shutil.copytree(expected.folder, run.folder)
    assert run.left_over() == []
    for name in ("predictions/part.adapted.jsonl", ".model.x1.part/new/config.json", "evidence/a.part"):
        (run.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (run.folder / name).write_text("")
    half = [".model.x1.part", "evidence/a.part", "predictions/part.adapted.jsonl"]
    assert run.left_over() == half
    (run.folder / "adapter" / "adapter_model.safetensors").write_bytes(b"1")
    assert run.left_over() == sorted(["adapter", *half])
