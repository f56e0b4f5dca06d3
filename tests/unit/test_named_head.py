"""A head that calls its classes LABEL_0, LABEL_1, ... is used where its user names them; none is guessed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlp_transfer.errors import ModelError
from nlp_transfer.inference.load import load_adapted
from nlp_transfer.making.named_head import with_named_head
from nlp_transfer.models.loading import load_classifier, model_labels

NAMES = ["bad", "good"]
TEXTS = ["the red file", "an old house", "good"]


@pytest.fixture
def unnamed(tiny_model: Any) -> Path:
    return Path(tiny_model("bert", labels=["LABEL_0", "LABEL_1"]))


def test_the_same_model_comes_back_with_its_classes_named(unnamed: Path) -> None:
    before = json.loads((unnamed / "config.json").read_text())
    folder = with_named_head(str(unnamed), NAMES)
    assert model_labels(folder) == NAMES
    assert load_classifier(folder, label_names=NAMES).fresh == []
    assert np.array_equal(load_adapted(folder).logits(TEXTS), load_adapted(str(unnamed)).logits(TEXTS))
    # The user's own folder is read, not changed.
    assert json.loads((unnamed / "config.json").read_text()) == before


def test_names_and_models_have_folders_of_their_own(unnamed: Path, tiny_model: Any) -> None:
    first = with_named_head(str(unnamed), NAMES)
    assert with_named_head(str(unnamed), NAMES) == first
    assert with_named_head(str(unnamed), NAMES[::-1]) != first
    assert model_labels(first) == NAMES
    other = tiny_model("roberta", labels=["LABEL_0", "LABEL_1"])
    assert with_named_head(str(other), NAMES) != first


def test_a_folder_whose_files_are_gone_is_made_again(unnamed: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(unnamed, tmp_path / "model"))
    folder = Path(with_named_head(str(moved), NAMES))
    (folder / "model.safetensors").unlink()
    assert with_named_head(str(moved), NAMES) == str(folder)
    assert load_classifier(str(folder), label_names=NAMES).fresh == []


def test_names_that_the_model_has_already_change_nothing(tiny_model: Any) -> None:
    model = str(tiny_model("bert", labels=NAMES))
    assert with_named_head(model, NAMES) == model


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        (NAMES, ["good", "bad"], r"names its classes itself \(bad, good\); leave model.label_names out"),
        (
            ["LABEL_0", "LABEL_1"],
            ["a", "b", "c"],
            "label_names has 3 names and the head of .* 2 classes",
        ),
        (None, NAMES, "names the classes of a head, and .* has none; leave it out"),
    ],
    ids=["named by itself", "another number", "no head"],
)
def test_names_that_do_not_fit_are_refused(
    labels: list[str] | None, names: list[str], message: str, tiny_model: Any
) -> None:
    with pytest.raises(ModelError, match=message):
        with_named_head(str(tiny_model("bert", labels=labels) if labels else tiny_model("bert")), names)
