"""Whole runs in two processes: one report, one history, one model; and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from launched import RECIPES
from tiny import easy_recipe

from nlp_transfer import SentimentTransfer
from nlp_transfer.config import write_yaml
from nlp_transfer.runs import RunFolder

TRAIN = str(RECIPES / "sentiment_transfer" / "train.py")
CPU_2 = ("--config_file", str(RECIPES / "accelerate" / "cpu_2.yaml"), "--main_process_port", "0")


@pytest.fixture(scope="module")
def recipe(tiny_model: Any, domains: dict[str, Path], tmp_path_factory: Any) -> Path:
    """The YAML of a run that takes seconds, `run/` beside it."""
    folder = tmp_path_factory.mktemp("two")
    content = easy_recipe(
        folder / "run", tiny_model("bert"), domains,
        evaluation__baselines=["majority", "target_only"], training__num_train_epochs=2,
    )  # fmt: skip
    (folder / "recipe.yaml").write_text(write_yaml(content))
    return Path(folder / "recipe.yaml")


@pytest.fixture(scope="module")
def ended(recipe: Path, launch: Any) -> Any:
    return launch(*CPU_2, TRAIN, "--config", str(recipe))


def test_a_run_in_two_processes_writes_everything_once(ended: Any, recipe: Path) -> None:
    assert ended.returncode == 0, ended.stderr
    run = recipe.parent / "run"
    report = json.loads((run / "report.json").read_text())
    assert report["provenance"]["num_processes"] == 2
    rows = report["provenance"]["data"]["target"]["test"]
    for system in ("majority", "target_only", "adapted"):
        assert report["systems"][system]["target"]["accuracy"]["n"] == rows
        ids = [json.loads(line)["id"] for line in (run / "predictions" / f"{system}.target.jsonl").open()]
        assert len(ids) == len(set(ids)) == rows
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    steps = [(line["stage"], line["step"]) for line in lines if "loss" in line]
    assert {stage for stage, _ in steps} == {"source model", "adapted", "target_only"}
    assert len(steps) == len(set(steps))
    assert ended.stdout.count("Sentiment transfer: 32 target labels") == 1


def test_one_process_scores_the_model_of_two_as_they_did(ended: Any, recipe: Path) -> None:
    run = recipe.parent / "run"
    folder = run / "predictions"
    together = records(folder)
    state = json.loads((run / "state.json").read_text())
    trained = {name: notes for name, notes in state.items() if name in ("data", "source_model", "adapted")}
    # target_only is trained again, which one process does with other dropout.
    kept = {"score target_only seed 0": state["score target_only seed 0"]}
    (run / "state.json").write_text(json.dumps({**trained, **kept}))
    again = [path for path in folder.iterdir() if not path.name.startswith("target_only")]
    assert {path.name for path in again} == {
        *("majority.source.jsonl", "majority.target.jsonl", "adapted.source.jsonl", "adapted.target.jsonl"),
        *("adapted.target_train.jsonl",),
    }
    for path in again:
        path.unlink()
    SentimentTransfer.from_config(recipe).evaluate()
    alone = records(folder)
    assert alone.keys() == together.keys()
    for key, record in alone.items():
        other = together[key]
        assert record.pop("probabilities") == pytest.approx(other.pop("probabilities"), abs=2e-6)
        assert record == other


def records(folder: Path) -> dict[str, dict[str, Any]]:
    """Return all predictions by file and row."""
    lines = [(path.name, json.loads(line)) for path in sorted(folder.glob("*.jsonl")) for line in path.open()]
    return {f"{name} {record['id']}": record for name, record in lines}


def test_a_folder_in_use_stops_both_processes(ended: Any, recipe: Path, launch: Any) -> None:
    run = recipe.parent / "run"
    with RunFolder(run, resolved_config=(run / "config.yaml").read_text()):
        again = launch(*CPU_2, TRAIN, "--config", str(recipe))
    assert again.returncode != 0
    assert f"nlp-transfer: another run is at work in {run}" in again.stderr
    assert "stopped; the same command goes on" not in again.stderr


def test_the_obvious_command_is_refused_with_the_one_that_works(recipe: Path, launch: Any) -> None:
    refused = launch("--cpu", "--num_processes", "2", TRAIN, "--config", str(recipe), "output_dir=other")
    assert refused.returncode != 0
    assert "nlp-transfer: 2 processes were asked for, and 1 started; this starts 2:" in refused.stderr
    assert f"--multi_gpu --num_processes 2 {TRAIN} --config {recipe} output_dir=other" in refused.stderr


def test_what_all_processes_find_wrong_is_told_once(recipe: Path, launch: Any) -> None:
    ended = launch(*CPU_2, TRAIN, "--config", str(recipe), "adaptation.methd=full")
    assert ended.returncode == 1  # the launcher's own
    assert ended.stderr.count("did you mean method") == 1
    assert "exitcode  : 2" in ended.stderr
