"""Ctrl-C and SIGTERM on two processes: one checkpoint of both, the command that goes on, the status."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from launched import LIMIT_SECONDS, RECIPES, accelerate, environment
from short_runs import Run, largest_difference, short_recipe

CPU_2 = ("--config_file", str(RECIPES / "accelerate" / "cpu_2.yaml"), "--main_process_port", "0")
STAGE, STEP = "adapted", 6
STATUS = {signal.SIGTERM: 143, signal.SIGINT: 130}


def command(folder: Path, run: Run) -> list[str]:
    return [*CPU_2, "-m", "stopped_together", str(folder), STAGE, str(STEP), "train", run.recipe]


def wait_for(started: subprocess.Popen[str], *files: Path) -> None:
    until = time.monotonic() + LIMIT_SECONDS
    while not all(file.exists() for file in files):
        assert started.poll() is None and time.monotonic() < until, started.communicate()
        time.sleep(0.05)


@pytest.fixture(scope="module")
def content(tiny_model: Any, tmp_path_factory: Any) -> dict[str, Any]:
    """A run with dropout, whose losses are logged in the middle of a stop."""
    recipe = short_recipe("sentiment lora", tmp_path_factory.mktemp("rows"), tiny_model("bert"))
    recipe["training"] |= {"logging_steps": 4, "per_device_train_batch_size": 8}
    return recipe


@pytest.fixture(scope="module")
def whole(content: dict[str, Any], launch: Any, tmp_path_factory: Any) -> Run:
    """The run that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole")
    run = Run(content, folder / "whole")
    (folder / "go").touch()
    ended = launch(*command(folder, run))
    assert ended.returncode == 0, ended.stderr
    return run


@pytest.mark.parametrize(
    ("number", "who"),
    [(signal.SIGTERM, "launcher"), (signal.SIGINT, "terminal"), (signal.SIGTERM, "second process")],
)
def test_two_processes_stop_behind_the_same_step_and_go_on_from_it(
    number: signal.Signals, who: str, content: dict[str, Any], whole: Run, launch: Any, tmp_path: Path
) -> None:
    run = Run(content, tmp_path / "stopped")
    started = subprocess.Popen(
        accelerate(*command(tmp_path, run)), env=environment(), start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        wait_for(started, *(tmp_path / f"{rank}.stands" for rank in (0, 1)))
        if who == "terminal":
            # Which gives it to all; the launcher then passes its own on to both processes again.
            os.killpg(started.pid, number)
        else:
            second = int((tmp_path / "1.pid").read_text())
            os.kill(started.pid if who == "launcher" else second, number)
        told = (1,) if who == "second process" else (0, 1)
        wait_for(started, *(tmp_path / f"{rank}.noted" for rank in told))
        (tmp_path / "go").touch()
        _, said = started.communicate(timeout=LIMIT_SECONDS)
    finally:
        started.kill()
    assert [(tmp_path / f"{rank}.status").read_text() for rank in (0, 1)] == [str(STATUS[number])] * 2, said
    assert run.checkpoints()[-1].name == f"checkpoint-{STEP}", said
    assert {path.name for path in run.checkpoints()[-1].glob("rng_state*")} == {
        "rng_state_0.pth", "rng_state_1.pth"
    }  # fmt: skip
    assert said.count("nlp-transfer: stopped; the same command goes on from the last finished stage") == 1
    assert f"\n  accelerate launch {shlex.join(command(tmp_path, run))}\n" in said
    again = launch(*command(tmp_path, run))
    assert again.returncode == 0, again.stderr
    assert f"adapted: going on from step {STEP}" in again.stderr
    assert largest_difference(run, whole) < 1e-6
    for found, expected in zip(run.steps(), whole.steps(), strict=True):
        assert [value is None for value in found] == [value is None for value in expected]
        assert found[:2] == expected[:2]
        assert [value or 0.0 for value in found[2:]] == pytest.approx(
            [value or 0.0 for value in expected[2:]], rel=1e-5
        )
