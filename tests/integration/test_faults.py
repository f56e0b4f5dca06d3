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

KINDS = ("sentiment full", "sentiment lora", "translation full")
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


@pytest.mark.parametrize("lost", ["cut", "missing"])
def test_a_damaged_newest_checkpoint_costs_the_steps_since_the_one_before(
    lost: str, whole: Callable[[str], Run], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = whole("sentiment full")
    damaged = Run(expected.content, tmp_path / "damaged")
    pause(damaged, step=max(line[1] for line in expected.steps()) - 1).end(signal.SIGKILL)
    before, newest = damaged.checkpoints()[-2:]
    if lost == "cut":
        content = (newest / "model.safetensors").read_bytes()
        (newest / "model.safetensors").write_bytes(content[: len(content) // 2])
    else:
        shutil.rmtree(newest)
    with caplog.at_level(logging.INFO, logger="nlp_transfer"):
        damaged.train()
    told = f"{newest} cannot be gone on from: model.safetensors is cut short; taking the one before"
    assert (told in caplog.messages) == (lost == "cut")
    assert f"{STAGE}: going on from step {before.name[11:]}" in caplog.messages
    require_same(damaged, expected)
