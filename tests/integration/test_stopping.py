"""Ctrl-C and SIGTERM in any phase of a run: the status, the command that goes on, and nothing lost."""

from __future__ import annotations

import json
import logging
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from pausing import paused_in_training
from phases import started
from safetensors.torch import load_file
from short_runs import Run, largest_difference, short_recipe

from nlp_transfer.errors import RunError
from nlp_transfer.training.checkpoints import newest_whole_checkpoint

STATUS = {signal.SIGTERM: 143, signal.SIGINT: 130}


def stop_in(run: Run, phase: str, number: signal.Signals, cache: Path) -> list[str]:
    """Stop a run in a phase; return the last lines that it wrote."""
    process = started(["run", run.recipe], run.folder.parent, stop_at=phase, NLP_TRANSFER_CACHE=str(cache))
    assert process.wait_for(phase), f"{phase} did not come: {process.log.read_text()}"
    assert process.end(number) == STATUS[number], process.log.read_text()
    return process.log.read_text().splitlines()[-2:]


@pytest.mark.parametrize(
    ("kind", "phases"),
    [
        ("sentiment lp_ft", ("data", "training", "checkpoint", "save", "evaluation", "report")),
        ("sentiment probe", ("encoding", "training", "save", "encoding")),
    ],
)
def test_a_run_that_is_stopped_in_every_phase_in_turn_ends_as_one_that_was_not(
    kind: str, phases: tuple[str, ...], tiny_model: Any, tmp_path: Path
) -> None:
    content = short_recipe(kind, tmp_path, tiny_model("bert"))
    whole, stopped = Run(content, tmp_path / "whole"), Run(content, tmp_path / "stopped")
    for number, phase in enumerate(phases):
        said = stop_in(stopped, phase, list(STATUS)[number % 2], tmp_path / "cache")
        assert said == [
            "nlp-transfer: stopped; the same command goes on from the last finished stage or checkpoint:",
            f"  nlp-transfer run {stopped.recipe}",
        ]
    assert not (stopped.folder / "report.json").exists()
    for run, cache in ((stopped, "cache"), (whole, "another cache")):
        process = started(["run", run.recipe], run.folder.parent, NLP_TRANSFER_CACHE=str(tmp_path / cache))
        assert process.finish() == 0, process.log.read_text()
    assert stopped.steps() == whole.steps()
    assert largest_difference(stopped, whole) < 1e-6
    assert stopped.predictions() == whole.predictions()
    assert stopped.report() == whole.report()
    assert [path.name for path in stopped.folder.rglob(".*")] == [".lock"]


@pytest.mark.parametrize("dev_rows", [True, False], ids=["with dev rows", "without"])
def test_a_signal_in_training_loses_no_step_and_no_loss(
    dev_rows: bool, tiny_model: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without dev rows a run has no checkpoints, and losses are logged in the middle of a stop."""
    content = short_recipe("sentiment lora", tmp_path, tiny_model("bert"))
    content["training"]["logging_steps"] = 4
    if not dev_rows:
        content["data"]["target"]["train_size"] = 150
    whole, stopped = Run(content, tmp_path / "whole"), Run(content, tmp_path / "stopped")
    whole.train()
    paused = paused_in_training(["train", stopped.recipe], tmp_path / "stopped", stage="adapted", step=6)
    assert paused.end(signal.SIGTERM) == 143
    assert "adapted: stopping behind this step, with a checkpoint" in paused.log.read_text()
    with caplog.at_level(logging.INFO, logger="nlp_transfer"):
        stopped.train()
    assert "adapted: going on from step 6" in caplog.messages
    assert stopped.steps() == whole.steps()
    assert largest_difference(stopped, whole) < 1e-6


@pytest.mark.parametrize("what", ["weights", "gradient"])
def test_numbers_that_explode_stop_the_run_and_the_checkpoint_before_stays(
    what: str, tiny_model: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    from nlp_transfer.training.callbacks import ProgressBar

    content = short_recipe("sentiment full", tmp_path, tiny_model("bert"))
    run = Run(content, tmp_path / "tried")
    at = 20  # behind the first checkpoint

    def exploding(self: Any, args: Any, state: Any, control: Any, *, model: Any, **_: Any) -> None:
        if state.global_step == at:
            trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
            value = torch.full_like(trained[0], torch.inf)
            if what == "weights":
                trained[0].data = value
            else:
                trained[0].register_hook(lambda gradient: value)

    monkeypatch.setattr(ProgressBar, "on_step_begin", exploding, raising=False)
    named = rf"^adapted: the (loss|gradient's norm) is (nan|inf) at step {at + 1}; lower training"
    with pytest.raises(RunError, match=named):
        run.train()
    newest = newest_whole_checkpoint(run.checkpoints()[-1].parent)
    assert newest is not None
    assert int(newest.name[11:]) < at
    assert all(weights.isfinite().all() for weights in load_file(newest / "model.safetensors").values())
    assert not (run.folder / "model").exists()


def test_the_same_seed_gives_the_same_report(tiny_model: Any, tmp_path: Path) -> None:
    content = short_recipe("sentiment lora", tmp_path, tiny_model("bert"))
    runs = [Run(content, tmp_path / name) for name in ("one", "two")]
    for run in runs:
        process = started(
            ["run", run.recipe], run.folder.parent, NLP_TRANSFER_CACHE=str(run.folder.parent / "cache")
        )
        assert process.finish() == 0, process.log.read_text()
    one, two = (run.report() for run in runs)
    assert json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
    assert largest_difference(*runs) == 0
