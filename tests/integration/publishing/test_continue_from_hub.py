"""A chain that begins on the Hub: from a whole model or from an adapter on its base; what its card says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_server import FakeHub
from looking import report_of
from runs_to_publish import CARD, ENCODER, TEXTS, files_of
from tiny import LABELS

from nlp_transfer import SentimentTransfer, load_adapted
from nlp_transfer.models.resolving import resolve_model
from nlp_transfer.publishing.hub import push_model

MakeRecipe = Callable[..., SentimentTransfer]


def continued(make_recipe: MakeRecipe, folder: Path, before: str) -> SentimentTransfer:
    return make_recipe(
        folder, continue_from=before, data__source=None, evaluation__baselines=["majority", "zero_shot"],
        adaptation__guard={"max_drop": 0.5},
    )  # fmt: skip


def test_a_model_on_the_hub_is_continued_from_and_named_as_the_base(
    hub: FakeHub, tiny_model: Any, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    hub.add("ada/model", {**files_of(tiny_model("bert", labels=LABELS)), "README.md": CARD.encode()})
    report = continued(make_recipe, tmp_path / "next", "ada/model").run()
    chain = report.content["chain"]
    assert (chain["continued_from"], chain["steps"]) == ("ada/model", ["ada/model", "next"])
    assert "ada/model has no run folder" in " ".join(chain["notes"])
    card = push_model(tmp_path / "next", "ada/next", dry_run=True).card
    assert "base_model: ada/model" in card
    assert "## The chain" in card
    assert str(tmp_path) not in card
    # The step after it still knows where the chain began, and scores what the step before was scored on.
    continued(make_recipe, tmp_path / "third", str(tmp_path / "next")).run()
    chain = report_of(tmp_path / "third")["chain"]
    assert chain["steps"] == ["ada/model", "next", "third"]
    assert chain["origin"]["path"] == "ada/model"
    assert [each["name"] for each in chain["test_sets"]] == ["target of next"]
    result = push_model(tmp_path / "third", "ada/third", dry_run=True)
    assert "target of next" in result.card
    assert "base_model: ada/model" in result.card
    assert str(tmp_path) not in result.card


def test_an_adapter_on_the_hub_is_put_on_its_base_first(
    hub: FakeHub, lora_run: Path, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    push_model(lora_run, "ada/lora")
    recipe = continued(make_recipe, tmp_path / "next", "ada/lora")
    assert recipe.continuing.model is not None
    start = recipe.continuing.model.path
    assert Path(resolve_model(start)).is_dir()
    assert load_adapted(start).logits(TEXTS) == pytest.approx(load_adapted(lora_run).logits(TEXTS), abs=1e-5)
    assert recipe.run().content["chain"]["continued_from"] == "ada/lora"
    assert ENCODER in hub.repos
