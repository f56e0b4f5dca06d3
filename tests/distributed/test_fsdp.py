"""FSDP trains a model in shards, and saves it whole: one process loads it with `transformers` alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from launched import RECIPES, TESTS
from looking import plain_logits
from trainings import Case, train_case

FSDP = str(RECIPES / "accelerate" / "fsdp.yaml")


@pytest.fixture(scope="module")
def start(tiny_model: Any) -> str:
    return str(tiny_model("bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))


@pytest.fixture(scope="module")
def sharded(start: str, launch: Any, tmp_path_factory: Any) -> Path:
    folder = tmp_path_factory.mktemp("sharded")
    ended = launch(
        *("--config_file", FSDP, "--mixed_precision", "no", "--main_process_port", "0"),
        *(str(TESTS / "sharded.py"), start, str(folder)),
        settings={"ACCELERATE_USE_CPU": "true"},
    )
    assert ended.returncode == 0, ended.stderr
    return Path(folder)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_model_trained_in_shards_is_saved_whole(
    method: str, start: str, sharded: Path, tmp_path: Path
) -> None:
    found = json.loads((sharded / "found.json").read_text())
    alone = train_case(Case("sentiment", method, start), tmp_path)
    weights = sum(parameter.numel() for parameter in alone.model.parameters())
    assert found["num_processes"] == 2
    assert 0.4 * weights < found["shard"] < 0.6 * weights
    expected = [record["loss"] for record in alone.fit.history if "loss" in record]
    first, second = found["methods"][method]["totals"]
    assert first == second  # both processes have the whole model: both score with it
    assert found["methods"][method]["losses"] == pytest.approx(expected, rel=1e-4)
    alone.model.save_pretrained(tmp_path / "alone")
    alone.tokenizer.save_pretrained(tmp_path / "alone")
    texts = ["a superb phone", "the plot is dull"]
    assert plain_logits(sharded / method, texts) == pytest.approx(
        plain_logits(tmp_path / "alone", texts), abs=1e-4
    )
