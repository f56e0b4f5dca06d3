"""A run with few labels keeps the mean of several trainings, and says what they took."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from looking import Call, plain_logits, report_of

from nlp_transfer.config import as_dict, write_yaml

MEMBERS = ["", ": 2 of 4", ": 3 of 4", ": 4 of 4"]


@pytest.fixture(scope="module")
def averaged(make_recipe: Any, tmp_path_factory: Any) -> Path:
    """The folder of a finished run with the default number of trainings."""
    folder = tmp_path_factory.mktemp("averaged") / "run"
    make_recipe(folder, adaptation__soup=None, evaluation__baselines=["majority", "target_only"]).run()
    return Path(folder)


def test_adapted_and_target_only_are_made_alike(averaged: Path) -> None:
    report = report_of(averaged)
    trainings = {name: system["cost"]["trainings"] for name, system in report["systems"].items()}
    assert trainings == {"majority": 0, "target_only": 4, "adapted": 4}
    lines = [json.loads(line) for line in (averaged / "history.jsonl").read_text().splitlines()]
    steps = Counter(line["stage"] for line in lines if "loss" in line)
    for system in ("adapted", "target_only"):
        each = [steps[f"{system}{member}"] for member in MEMBERS]
        assert each == [each[0]] * 4 and each[0] > 0
    assert "the mean of 4 trainings" in (averaged / "model" / "README.md").read_text()


def test_the_same_run_ends_in_the_same_weights(averaged: Path, make_recipe: Any, tmp_path: Path) -> None:
    again = make_recipe(tmp_path / "run", adaptation__soup=4)
    again.train()
    texts = again.data.target.test.texts
    scores = [plain_logits(folder / "model", texts) for folder in (averaged, tmp_path / "run")]
    assert np.allclose(*scores, atol=1e-6)
    once = make_recipe(tmp_path / "once")
    once.train()
    assert abs(plain_logits(tmp_path / "once" / "model", texts) - scores[0]).max() > 1e-3


@pytest.mark.parametrize(("value", "words"), [(0, "greater than or equal to 1"), ("two", "whole number")])
def test_a_number_that_is_none_is_refused(
    value: Any, words: str, make_recipe: Any, tmp_path: Path, call: Call
) -> None:
    content = as_dict(make_recipe(tmp_path / "run").config)
    content["adaptation"]["soup"] = value
    (tmp_path / "recipe.yaml").write_text(write_yaml(content))
    ended = call("run", tmp_path / "recipe.yaml")
    assert ended.status == 2
    assert "adaptation.soup" in ended.err and words in ended.err
    assert not (tmp_path / "run").exists()
