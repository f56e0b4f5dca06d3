"""Chains of sentiment runs: what a model goes on from, what of it must not be lost, and who sees to that."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from looking import Call, Killed, accuracy, kill_in, report_of
from tiny import LABELS, sentences, write_csv

from nlp_transfer import SentimentTransfer, load_adapted
from nlp_transfer.config import write_yaml
from nlp_transfer.errors import ConfigError, DataError, ModelError, PublishError, RunError
from nlp_transfer.models.loading import model_labels
from nlp_transfer.publishing.hub import push_model
from nlp_transfer.runs import refuse_model

MakeRecipe = Callable[..., SentimentTransfer]
SYSTEMS = ["majority", "zero_shot", "target_only"]


def other_words(rows: list[tuple[str, str]], *, things: str, flipped: bool = False) -> list[tuple[str, str]]:
    """Return sentences about other things; flipped, they teach the opposite of all others."""
    other = {LABELS[0]: LABELS[1], LABELS[1]: LABELS[0]}
    return [(f"{text} {things}", other[label] if flipped else label) for text, label in rows]


@pytest.fixture(scope="module")
def files(tmp_path_factory: Any) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("steps")
    rows = {
        "books": other_words(sentences("movies", 120, seed=5), things="book"),
        "flipped": other_words(sentences("products", 120, seed=6), things="book", flipped=True),
    }
    return {name: write_csv(folder / f"{name}.csv", ("text", "label"), each) for name, each in rows.items()}


@pytest.fixture(scope="module")
def step(make_recipe: MakeRecipe, files: dict[str, Path]) -> MakeRecipe:
    """Return a function that makes a recipe which continues, without a source domain."""

    def make(folder: Path, before: Path | str, data: str = "books", **changes: Any) -> SentimentTransfer:
        settings = {
            "continue_from": str(before), "data__source": None, "data__target": {"path": str(files[data])},
            "evaluation__baselines": SYSTEMS, **changes,
        }  # fmt: skip
        return make_recipe(folder, **settings)

    return make


@pytest.fixture(scope="module")
def second(finished: Path, step: MakeRecipe, tmp_path_factory: Any) -> Path:
    """The folder of a run that continues from the finished one; no test changes it."""
    folder = Path(tmp_path_factory.mktemp("second") / "books")
    step(folder, finished).run()
    return folder


def test_a_continued_run_starts_from_the_earlier_model_and_trains_no_source_stage(
    second: Path, finished: Path
) -> None:
    assert not (second / "source_model").exists()
    stages = {json.loads(line)["stage"] for line in (second / "history.jsonl").read_text().splitlines()}
    assert stages == {"adapted", "target_only"}
    assert report_of(second)["provenance"]["config"]["continue_from"] == str(finished)
    texts = ["the book is superb", "what a dull book"]
    lines = (second / "predictions" / "zero_shot.target.jsonl").read_text().splitlines()
    rows = {json.loads(line)["id"]: json.loads(line)["probabilities"]["positive"] for line in lines}
    data = step_data(second)
    expected = load_adapted(finished).probabilities([data[each] for each in rows])
    assert [*rows.values()] == pytest.approx([*expected[:, 1]], abs=1e-5)
    assert [each["label"] for each in load_adapted(second).predict(texts)] == ["positive", "negative"]


def step_data(folder: Path) -> dict[str, str]:
    import csv

    path = report_of(folder)["provenance"]["config"]["data"]["target"]["path"]
    with open(path, encoding="utf-8", newline="") as file:
        return {str(number): row["text"] for number, row in enumerate(csv.DictReader(file))}


def test_a_chain_of_three_scores_every_earlier_test_set_at_each_step(
    finished: Path, second: Path, step: MakeRecipe, tmp_path: Path
) -> None:
    report = step(tmp_path / "third", second / "model", "flipped").run()
    chain = report.content["chain"]
    assert (chain["continued_from"], chain["metric"]) == ("books", "accuracy")
    assert chain["steps"] == ["source model", "run", "books", "third"]
    assert [each["name"] for each in chain["test_sets"]] == ["source of run", "target of run", "target of books"]
    first, middle = report_of(finished)["systems"], report_of(second)
    for each in chain["test_sets"][:2]:
        before = [first[system][each["domain"]]["accuracy"]["value"] for system in ("zero_shot", "adapted")]
        assert each["scores"][:2] == before
        known = next(one for one in middle["chain"]["test_sets"] if one["name"] == each["name"])
        assert each["scores"][:3] == known["scores"]
        assert each["scores"][3] == each["now"]["value"]
        assert each["now"]["n"] == 24
    assert chain["test_sets"][2]["scores"][:3] == [
        None, middle["systems"]["zero_shot"]["target"]["accuracy"]["value"], accuracy(second, "adapted"),
    ]  # fmt: skip
    scores = [each["scores"] for each in chain["test_sets"]]
    transfer = sum(s[-1] - s[at] for s, at in zip(scores, (0, 1, 2), strict=True)) / 3
    assert chain["backward_transfer"]["value"] == pytest.approx(transfer)
    assert chain["backward_transfer"]["n"] == 3
    # The opposite of everything before was learnt.
    assert transfer < -0.3
    assert not any(each["kept"] for each in chain["test_sets"])
    findings = {finding["check"]: finding for finding in report.findings}
    assert findings["chain_backward_transfer"]["severity"] == "warn"
    for shown in (
        (tmp_path / "third" / "report.md").read_text(),
        (tmp_path / "third" / "report.html").read_text(),
        (tmp_path / "third" / "model" / "README.md").read_text(),
        str(report),
    ):
        assert "source of run" in shown
