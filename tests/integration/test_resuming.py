"""A run that is started again goes on, trains nothing twice, and refuses what is not the same run."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from looking import Killed, accuracy, kill_in, plain_logits, report_of
from tiny import sentences, write_csv

from nlp_transfer import SentimentTransfer
from nlp_transfer.errors import ConfigError, RunError
from nlp_transfer.models.loading import model_identity
from nlp_transfer.runs import RunFolder

MakeRecipe = Callable[..., SentimentTransfer]


def test_a_second_run_trains_nothing_and_reports_the_same(
    finished: Path, make_recipe: MakeRecipe, trained: list[str], monkeypatch: Any
) -> None:
    before = report_of(finished)
    monkeypatch.setattr(
        "nlp_transfer.training.probing.fit_frozen_probe", lambda *_, **__: pytest.fail("a probe was fitted")
    )
    assert make_recipe(finished).run().content == before == report_of(finished)
    assert trained == []


def test_another_configuration_is_refused_with_the_difference(
    finished: Path, make_recipe: MakeRecipe
) -> None:
    with pytest.raises(ConfigError) as caught:
        make_recipe(finished, data__target__train_size=16, adaptation__method="lora").run()
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{finished} holds a run with another configuration (- there, + here):"
    assert {line.strip() for line in lines[1:-1]} == {
        "-    train_size: 32",
        "+    train_size: 16",
        "-  method: full",
        "+  method: lora",
    }
    assert lines[-1] == "choose another output_dir, or delete that folder"


def test_other_data_in_the_same_folder_is_refused(
    finished_copy: Path, make_recipe: MakeRecipe, domains: dict[str, Path], trained: list[str]
) -> None:
    model = (finished_copy / "model" / "model.safetensors").read_bytes()
    content = domains["products"].read_text()
    domains["products"].write_text(content.replace("phone", "telephone"))
    try:
        recipe = make_recipe(finished_copy)
        with pytest.raises(ConfigError, match="holds a run on other data than is there now"):
            recipe.run()
        with pytest.raises(
            RunError, match="holds no model adapted from this data; run `nlp-transfer train` first"
        ):
            recipe.evaluate()
    finally:
        domains["products"].write_text(content)
    assert trained == []
    assert (finished_copy / "model" / "model.safetensors").read_bytes() == model
    make_recipe(finished_copy).run()
    assert trained == []


def test_a_killed_run_goes_on_where_it_was(
    finished: Path, make_recipe: MakeRecipe, tmp_path: Path, trained: list[str], monkeypatch: Any
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        kill_in("target_only", patch)
        with pytest.raises(Killed):
            make_recipe(folder).run()
    assert not (folder / "report.json").exists()
    del trained[:]
    make_recipe(folder).run()
    assert trained == ["target_only"]
    expected = report_of(finished)["systems"]
    for system, scored in report_of(folder)["systems"].items():
        assert scored["target"] == expected[system]["target"]


@pytest.mark.parametrize("member", ["", ": 2 of 3"])
def test_a_run_killed_in_training_ends_as_one_that_was_not(
    member: str, make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: Any
) -> None:
    """With enough target rows for dev rows and checkpoints; in the midst of a soup too."""
    from nlp_transfer.training import callbacks

    write_csv(tmp_path / "many.csv", ("text", "label"), sentences("products", 300, seed=0))
    changes = {
        "data__target": {"path": str(tmp_path / "many.csv")},
        "evaluation__baselines": ["majority"],
        "adaptation__training": {"num_train_epochs": 3},
        "adaptation__soup": 3 if member else 1,
    }
    make_recipe(tmp_path / "whole", **changes).run()
    whole_step = callbacks.ProgressBar.on_step_end

    def killing(self: Any, args: Any, state: Any, control: Any, **other: Any) -> None:
        whole_step(self, args, state, control, **other)
        if self.label == f"adapted{member}" and state.global_step > 0.7 * state.max_steps:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.ProgressBar, "on_step_end", killing)
        with pytest.raises(Killed):
            make_recipe(tmp_path / "killed", **changes).run()
    assert list(tmp_path.glob("killed/checkpoints/adapted-*/checkpoint-*"))
    assert not (tmp_path / "killed" / "model").exists()
    recipe = make_recipe(tmp_path / "killed", **changes)
    recipe.run()
    texts = recipe.data.target.test.texts
    assert np.allclose(
        plain_logits(tmp_path / "killed" / "model", texts),
        plain_logits(tmp_path / "whole" / "model", texts),
        atol=1e-5,
    )
    histories = [
        [
            (line["stage"], line["step"], line.get("loss"), line.get("eval_loss"))
            for line in map(json.loads, (tmp_path / name / "history.jsonl").read_text().splitlines())
        ]
        for name in ("killed", "whole")
    ]
    # A training that was finished before tells its sum again, behind the lines of the one that was killed.
    killed, whole = (
        sorted((line for line in lines if line[0].startswith("adapted")), key=lambda line: line[0])
        for lines in histories
    )
    assert killed == whole


def test_the_stages_can_be_run_one_by_one(
    make_recipe: MakeRecipe, tmp_path: Path, trained: list[str]
) -> None:
    folder = tmp_path / "run"
    recipe = make_recipe(folder, evaluation__baselines=["majority"])
    with pytest.raises(
        RunError, match="holds no model adapted from this data; run `nlp-transfer train` first"
    ):
        recipe.evaluate()
    with pytest.raises(RunError, match="holds no trained model; run `nlp-transfer train` first"):
        recipe.save_pretrained(tmp_path / "out")
    assert recipe.check().blocking == []
    recipe.train()
    assert (folder / "model").is_dir()
    assert not (folder / "report.json").exists()
    report = make_recipe(folder, evaluation__baselines=["majority"]).evaluate()
    assert report.systems.keys() == {"majority", "adapted"}
    assert trained.count("adapted") == 1


@pytest.mark.parametrize(
    "name",
    [
        "model/model.safetensors", "predictions/adapted.target.jsonl", "predictions/zero_shot.source.jsonl",
        "evidence/temperature.json", "evidence/texts.npz", "state.json",
    ],
)  # fmt: skip
def test_a_damaged_file_ends_the_run_with_what_mends_it(
    name: str, finished_copy: Path, make_recipe: MakeRecipe
) -> None:
    before = accuracy(finished_copy, "adapted")
    whole = (finished_copy / name).read_bytes()
    (finished_copy / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RunError, match=rf"{name} is damaged or missing .* delete state\.json in its run"):
        make_recipe(finished_copy).run()
    (finished_copy / "state.json").unlink()
    make_recipe(finished_copy).run()
    assert accuracy(finished_copy, "adapted") == before


def test_a_folder_in_use_is_not_touched(finished: Path, make_recipe: MakeRecipe) -> None:
    with (
        RunFolder(finished, resolved_config=(finished / "config.yaml").read_text()),
        pytest.raises(RunError, match="another run is at work"),
    ):
        make_recipe(finished).run()


# The source model, kept across runs ---------------------------------------------------------------


def test_another_run_takes_the_same_source_model(
    finished: Path, make_recipe: MakeRecipe, tmp_path: Path, trained: list[str]
) -> None:
    changes = {"evaluation__baselines": ["majority"], "data__target__train_size": 16}
    make_recipe(tmp_path / "same", **changes).train()
    assert trained == ["adapted"]
    names = ["model.safetensors", "tokenizer.json", "cost.json"]
    assert [(tmp_path / "same" / "source_model" / name).read_bytes() for name in names] == [
        (finished / "source_model" / name).read_bytes() for name in names
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"source_stage__training": {"learning_rate": 5e-3}},
        {"training__seed": 1},
        {"model__max_length_tokens": 20},
        {"data__source__train_size": 80},
    ],
    ids=["another rate", "another seed", "another length", "other rows"],
)
def test_another_source_stage_makes_another_source_model(
    changes: dict[str, Any], finished: Path, make_recipe: MakeRecipe, tmp_path: Path, trained: list[str]
) -> None:
    make_recipe(tmp_path / "other", evaluation__baselines=["majority"], **changes).train()
    assert trained == ["source model", "adapted"]


def test_another_rank_makes_another_source_model_where_it_is_made_by_lora(
    make_recipe: MakeRecipe, tmp_path: Path, trained: list[str]
) -> None:
    for rank in (2, 3):
        make_recipe(tmp_path / str(rank), source_stage__method="lora", adaptation__rank=rank).train()
    assert trained == ["source model", "adapted"] * 2


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_damaged_source_model_is_made_again(
    name: str,
    finished: Path,
    make_recipe: MakeRecipe,
    tmp_path: Path,
    trained: list[str],
    own_cache: Path,
    caplog: Any,
) -> None:
    weights = (finished / "source_model" / "model.safetensors").read_bytes()
    cost = (finished / "source_model" / "cost.json").read_bytes()
    (kept,) = [
        path.parent for path in own_cache.glob("source_models/*/cost.json") if path.read_bytes() == cost
    ]
    (kept / name).write_bytes((kept / name).read_bytes()[:20])
    with caplog.at_level(logging.WARNING, logger="nlp_transfer"):
        make_recipe(tmp_path / "run", evaluation__baselines=["majority"]).train()
    assert trained == ["source model", "adapted"]
    assert f"the source model kept in {kept} is damaged; training it again" in caplog.text
    assert (tmp_path / "run" / "source_model" / "model.safetensors").read_bytes() == weights
    assert (kept / "model.safetensors").read_bytes() == weights
    # From here on it is the finished run's again, for the next test.
    (kept / "cost.json").write_bytes(cost)
    (kept / "whole.txt").write_text(model_identity(str(kept)))
