"""Rows that a program holds: data sets, tables and dictionaries, in place of a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest

from nlp_transfer import SentimentTransfer
from nlp_transfer.data.in_memory import kept_domain
from nlp_transfer.data.tables import read_source
from nlp_transfer.errors import ConfigError, DataError
from tests.tiny import easy_recipe, sentences

ROWS = [{"text": text, "label": label} for text, label in sentences("products", 60, seed=3)]


def recipe_with(
    rows: Any, folder: Path, tiny_model: Callable[..., Path], domains: dict[str, Path], **options: Any
) -> SentimentTransfer:
    config = easy_recipe(folder / "run", tiny_model(), domains)
    return SentimentTransfer.from_config(config, data={"target": rows}, **options)


def test_a_run_learns_from_rows_that_the_program_holds(
    tmp_path: Path, tiny_model: Callable[..., Path], domains: dict[str, Path]
) -> None:
    recipe = recipe_with(pd.DataFrame(ROWS), tmp_path, tiny_model, domains)
    assert recipe.config.data.source is not None
    assert str(recipe.config.data.source.path) == str(domains["movies"])
    report = recipe.run()
    assert report.systems["adapted"]["target"]["accuracy"]["n"] == len(recipe.data.target.test)
    texts = {row["text"] for row in ROWS}
    assert set(recipe.data.target.selection.texts) | set(recipe.data.target.test.texts) <= texts


def test_the_same_rows_are_the_same_recipe_whatever_holds_them(
    tmp_path: Path, tiny_model: Callable[..., Path], domains: dict[str, Path]
) -> None:
    holders = (ROWS, iter(ROWS), pd.DataFrame(ROWS), datasets.Dataset.from_list(ROWS))
    paths = {
        str(recipe_with(rows, tmp_path, tiny_model, domains).config.data.target.path) for rows in holders
    }
    assert len(paths) == 1
    assert list(read_source(paths.pop())) == ROWS
    other = recipe_with(ROWS[:-1], tmp_path, tiny_model, domains)
    assert str(other.config.data.target.path) not in paths


def test_class_ids_of_a_data_set_become_their_names() -> None:
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])}
    )
    held = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, -1]}, features=features)
    kept = list(read_source(kept_domain("target", held)["path"]))
    assert [row["label"] for row in kept] == ["good", "bad", -1]


def test_splits_stay_splits() -> None:
    held = datasets.DatasetDict(
        {name: datasets.Dataset.from_list(ROWS[:4]) for name in ("train", "validation", "test")}
    )
    assert set(kept_domain("target", held)["splits"]) == {"train", "dev", "test"}
    with pytest.raises(DataError, match=r"data\.source: splits are train, .* not extra"):
        kept_domain("source", {"train": ROWS, "extra": ROWS})


def test_cells_that_json_has_no_word_for_are_kept_as_text() -> None:
    held = pd.DataFrame({"text": ["a"], "label": [np.int64(4)], "when": [pd.Timestamp("2026-01-02")]})
    assert list(read_source(kept_domain("target", held)["path"])) == [
        {"text": "a", "label": 4, "when": "2026-01-02 00:00:00"}
    ]


def test_a_table_may_have_any_columns() -> None:
    held = pd.DataFrame({"text": ["a"], "label": ["b"], "features": ["c"]})
    assert list(read_source(kept_domain("target", held)["path"])) == [
        {"text": "a", "label": "b", "features": "c"}
    ]


@pytest.mark.parametrize("said", [None, {}, {"target": None}, {"target": "mine.csv"}])
def test_rows_take_the_place_of_whatever_the_recipe_says(
    said: Any, tmp_path: Path, tiny_model: Callable[..., Path], domains: dict[str, Path]
) -> None:
    config = {**easy_recipe(tmp_path / "run", tiny_model(), domains), "data": said}
    recipe = SentimentTransfer.from_config(config, data={"target": ROWS})
    assert len(recipe.data.target.test) == 12


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (7, "give a datasets.Dataset, a pandas.DataFrame or rows as dictionaries, not int"),
        ("mine.csv", "a file is named in the recipe, by path"),
        ([("good", "positive")], "row 0 is a tuple, expected a dictionary"),
    ],
)
def test_anything_else_is_refused_and_leaves_nothing(rows: Any, message: str, own_cache: Path) -> None:
    with pytest.raises(DataError, match=message):
        kept_domain("target", rows)
    assert not list(own_cache.glob("rows/*.part"))


def test_a_configuration_may_be_a_dictionary_and_is_left_as_it_was(
    tmp_path: Path, tiny_model: Callable[..., Path], domains: dict[str, Path]
) -> None:
    config = easy_recipe(tmp_path / "run", tiny_model(), domains)
    before = {**config, "data": {**config["data"]}}
    recipe = SentimentTransfer.from_config(config, ["data.target.train_size=8"], data={"target": ROWS})
    assert recipe.config.data.target.train_size == 8
    assert config == before
    with pytest.raises(ConfigError, match=r"data\.targets: unknown key"):
        SentimentTransfer.from_config(config, data={"targets": ROWS})
