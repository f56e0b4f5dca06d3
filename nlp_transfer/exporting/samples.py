"""The rows that an exported model is compared on: a run's own test rows, or the model's own words."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nlp_transfer.config import load_config
from nlp_transfer.data.pairs import Pairs
from nlp_transfer.errors import ConfigError, DataError, ModelError
from nlp_transfer.publishing.gates import own_texts
from nlp_transfer.recipes_by_task import recipe_class
from nlp_transfer.reporting.report import TransferReport

logger = logging.getLogger(__name__)
# At a thousand rows one label is a tenth of a point; a beam search takes far longer for each row.
MOST_ROWS, MOST_PAIRS = 1000, 400


@dataclass(frozen=True)
class LabelledTexts:
    """Texts with the names of their labels, or with none; `what` says where they are from."""

    what: str
    texts: list[str]
    labels: list[str] | None


@dataclass(frozen=True)
class TranslatedTexts:
    """Sentence pairs, or sources whose `targets` are empty; `what` says where they are from."""

    what: str
    pairs: Pairs
    has_references: bool


def recipe_of(folder: Path) -> Path | None:
    """Return the recipe of the run that a model folder lies in; None outside of a run folder."""
    path = folder.parent / "config.yaml"
    return path if path.is_file() and (folder.parent / "data.json").is_file() else None


def labelled_sample(classifier: Any, recipe: Path | None) -> LabelledTexts:
    """Return a recipe's test rows, evenly spaced where there are many; without one, the model's own words.

    Args:
        classifier: whose labels the rows must have.
        recipe: a recipe's file.

    Raises:
        ConfigError: the recipe is of the other task.
        DataError: the rows cannot be read, are other ones than the run was scored on, or have other labels.
    """
    if recipe is None:
        texts = own_texts(classifier.tokenizer)
        return LabelledTexts(f"{len(texts)} texts made of the model's own words, without labels", texts, None)
    data = _target(recipe, task="sentiment")
    names = data.label_names
    if sorted(names) != sorted(classifier.label_names):
        raise DataError(
            f"{recipe}: its rows are labelled {', '.join(names)}, the model labels "
            f"{', '.join(classifier.label_names)}; name a recipe with the model's labels"
        )
    rows = data.test.take(_spaced(len(data.test), MOST_ROWS))
    what = f"{len(rows):,} of the {len(data.test):,} target test rows of {recipe.parent.name}/{recipe.name}"
    return LabelledTexts(what, rows.texts, [names[label] for label in rows.labels])


def translated_sample(translator: Any, recipe: Path | None) -> TranslatedTexts:
    """Return a recipe's test pairs, evenly spaced where there are many; without one, the model's own words.

    Args:
        translator: whose words and languages are used where there is no recipe.
        recipe: a recipe's file.

    Raises:
        ConfigError: the recipe is of the other task.
        DataError: the pairs cannot be read, or are other ones than the run was scored on.
    """
    if recipe is None:
        texts = own_texts(translator.tokenizer)
        count = len(texts)
        pairs = Pairs(
            [str(row) for row in range(count)], texts, [""] * count, [translator.directions[0]] * count
        )
        return TranslatedTexts(
            f"{count} texts made of the model's own words, without references", pairs, has_references=False
        )
    data = _target(recipe, task="translation")
    pairs = data.test.take(_spaced(len(data.test), MOST_PAIRS))
    what = f"{len(pairs):,} of the {len(data.test):,} target test pairs of {recipe.parent.name}/{recipe.name}"
    return TranslatedTexts(what, pairs, has_references=True)


def _target(recipe: Path, *, task: str) -> Any:
    """Read a recipe's target domain; that of a finished run must be the one that it was scored on."""
    config = load_config(recipe)
    if config.task != task:
        raise ConfigError(f"{recipe} is a recipe of {config.task}; the model is one of {task}")
    target = recipe_class(config.task)(config).data.target
    if not len(target.test):
        raise DataError(f"{recipe}: there are no test rows to compare on")
    report = recipe.parent / "report.json"
    if recipe.name == "config.yaml" and report.is_file():
        stated = TransferReport.from_json(report).content["provenance"].get("data", {})
        if stated.get("target", {}).get("fingerprint") not in (None, target.test.fingerprint()):
            raise DataError(
                f"the test rows of {recipe.parent} have changed since it was scored; put the files back, or "
                "name another recipe with --rows"
            )
    return target


def _spaced(count: int, most: int) -> Sequence[int]:
    """Return at most so many row numbers, evenly over all of them.

    >>> [int(row) for row in _spaced(10, 4)]
    [0, 3, 6, 9]
    """
    return [int(row) for row in np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))]


def require_task(model: Any, runtime: str) -> None:
    """Refuse a runtime that does not compute models of this task.

    Raises:
        ModelError: naming the one that does.
    """
    translates = hasattr(model, "translate")
    if translates and runtime == "onnx":
        raise ModelError("a translation model is exported with --runtime ctranslate2, not onnx")
    if not translates and runtime == "ctranslate2":
        raise ModelError("a classifier is exported with --runtime onnx, not ctranslate2")
