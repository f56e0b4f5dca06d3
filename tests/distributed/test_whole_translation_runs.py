"""Whole translation runs in two processes, and the finished run evaluated again: both stay in step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from launched import RECIPES
from tiny_translation import write_pairs

from nlp_transfer import TranslationTransfer
from nlp_transfer.config import parse_config, write_yaml

TRAIN = str(RECIPES / "low_resource_translation" / "train.py")
CPU_2 = ("--config_file", str(RECIPES / "accelerate" / "cpu_2.yaml"), "--main_process_port", "0")


@pytest.fixture(scope="module")
def content(tiny_translator: Any, tmp_path_factory: Any) -> dict[str, Any]:
    """A run that takes seconds, into a language that its model lacks: a related one is looked for."""
    folder = tmp_path_factory.mktemp("translation")
    pairs = {lang: write_pairs(folder / f"{lang}.csv", 90, lang=lang, seed=2) for lang in ("es", "gl")}
    return {
        "task": "translation",
        "output_dir": str(folder / "run"),
        "model": {"path": str(tiny_translator("marian")), "max_length_tokens": 32},
        "source_stage": None,
        "data": {
            "source": {"path": str(pairs["es"]), "src_lang": "en", "tgt_lang": "es"},
            "target": {"path": str(pairs["gl"]), "src_lang": "en", "tgt_lang": "gl", "train_size": 24},
        },
        "adaptation": {"batch_tokens": 300},
        "training": {"num_train_epochs": 1, "bf16": False, "logging_steps": 1},
        "evaluation": {"baselines": ["copy", "zero_shot"], "bootstrap": 100, "num_beams": 1},
    }


def written(content: dict[str, Any]) -> str:
    file = Path(content["output_dir"]).with_suffix(".yaml")
    file.write_text(write_yaml(content))
    return str(file)


def report_of(content: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads((Path(content["output_dir"]) / "report.json").read_text()))


def counted(report: dict[str, Any]) -> dict[tuple[str, str], int]:
    """Return the number of rows behind each score."""
    return {
        (name, domain): system[domain]["chrf++"]["n"]
        for name, system in report["systems"].items()
        for domain in ("target", "source")
        if system[domain]
    }


def test_a_translation_run_in_two_processes_scores_what_one_scores(
    content: dict[str, Any], launch: Any
) -> None:
    ended = launch(*CPU_2, TRAIN, "--config", written(content))
    assert ended.returncode == 0, ended.stderr
    together = report_of(content)
    assert together["provenance"]["num_processes"] == 2
    again = launch(*CPU_2, TRAIN, "--config", written(content))
    assert again.returncode == 0, again.stderr
    assert report_of(content) == together
    predictions = Path(content["output_dir"]) / "predictions"
    for path in sorted(predictions.glob("*.jsonl")):
        ids = [json.loads(line)["id"] for line in path.open()]
        assert len(ids) == len(set(ids)) > 0, path.name
    alone = {**content, "output_dir": f"{content['output_dir']}-alone"}
    TranslationTransfer(parse_config(alone)).run()
    assert counted(report_of(alone)) == counted(together)
    assert set(counted(together)) == {
        (system, domain) for system in ("copy", "zero_shot", "adapted") for domain in ("target", "source")
    }


def test_two_processes_take_a_model_over_that_there_are_no_pairs_for(
    content: dict[str, Any], launch: Any
) -> None:
    target = {**content["data"]["target"], "train_size": 0}
    untrained = {
        **content,
        "output_dir": f"{content['output_dir']}-untrained",
        "data": {**content["data"], "target": target},
    }
    ended = launch(*CPU_2, TRAIN, "--config", written(untrained))
    assert ended.returncode == 0, ended.stderr
    scores = report_of(untrained)["systems"]
    assert scores["adapted"]["target"] == scores["zero_shot"]["target"]
