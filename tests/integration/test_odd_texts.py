"""Odd texts through the whole path: predict, translate, and a run with its report and card."""

from __future__ import annotations

import csv
import json
import random
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from looking import Call
from odd_texts import ACTING, ODD
from tiny import easy_recipe, sentences

from nlp_transfer import load_adapted
from nlp_transfer.config import write_yaml


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_predict_answers_each_row_and_keeps_its_text(
    suffix: str, tiny_model: Any, tmp_path: Path, call: Call
) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", [{"text": text, "name": name} for name, text in ODD.items()])
    output = tmp_path / f"out.{suffix}"
    ended = call("predict", tiny_model("bert", labels=["no", "yes"]), "--input", source, "--output", output)
    assert ended.status == 0, ended.err
    if suffix == "jsonl":
        rows = [json.loads(line) for line in output.read_bytes().split(b"\n") if line]
    else:
        csv.field_size_limit(2**30)
        with output.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == list(ODD)
    for row, text in zip(rows, ODD.values(), strict=True):
        expected = text if suffix == "jsonl" else text.encode("utf-8", "replace").decode()
        assert row["text"] == expected
        assert row["label"] in ("no", "yes")


def test_a_text_is_labelled_the_same_whatever_stands_beside_it(tiny_model: Any) -> None:
    model = load_adapted(tiny_model("bert", labels=["no", "yes"]))
    together = model.predict(list(ODD.values()))
    for text, found in zip(ODD.values(), together, strict=True):
        (alone,) = model.predict([text])
        assert alone["score"] == pytest.approx(found["score"], abs=1e-5)


def test_translate_answers_each_row_or_names_the_one_that_is_too_long(
    tiny_translator: Any, tmp_path: Path, call: Call
) -> None:
    model = tiny_translator("m2m_100")
    for name, text in ODD.items():
        source, output = write_jsonl(tmp_path / "in.jsonl", [{"text": text}]), tmp_path / "out.jsonl"
        output.unlink(missing_ok=True)
        if name in ("one megabyte", "one long word"):
            continue  # below
        ended = call("translate", model, "--input", source, "--output", output, "--beams", 1)
        assert ended.status == 0, f"{name}: {ended.err}"
        (row,) = map(json.loads, output.read_bytes().splitlines())
        assert row["text"] == text
        assert isinstance(row["translation"], str)
    source = write_jsonl(tmp_path / "in.jsonl", [{"text": "a"}, {"text": ODD["one long word"]}])
    ended = call("translate", model, "--input", source, "--output", tmp_path / "none.jsonl")
    assert ended.status == 2
    assert "row 2 of the input" in ended.err
    assert not (tmp_path / "none.jsonl").exists()


class Tags(HTMLParser):
    """What a page's tags are; scripts that data brought would be among them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.within = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.within = tag == "script"

    def handle_data(self, data: str) -> None:
        if self.within:
            self.scripts.append(data)
            self.within = False


def test_a_run_on_odd_texts_and_labels_reports_without_harm(
    tiny_model: Any, tmp_path: Path, call: Call
) -> None:
    labels = {"negative": "<b>no</b>|*x*\x1b[31m", "positive": "yes\u202e & `y`"}
    draw = random.Random(0)
    rows = [
        {"text": f"{text} {draw.choice(list(ODD.values()))[:2_000]}", "label": labels[label]}
        for text, label in sentences("products", 120, seed=0)
    ]
    files = {"products": write_jsonl(tmp_path / "rows.jsonl", rows), "movies": tmp_path / "none"}
    content = easy_recipe(
        tmp_path / "run", tiny_model("bert"), files, data__source=None, source_stage=None,
        evaluation__baselines=["majority", "tfidf"],
    )  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(write_yaml(content))
    for command in ("check", "run"):
        ended = call(command, tmp_path / "recipe.yaml")
        assert ended.status == 0, ended.err
        assert not set(ACTING) & set(ended.out + ended.err.replace("\x1b[A", ""))
    run = tmp_path / "run"
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "alert(1)" not in "".join(Tags(page).scripts)
    assert "<b>no</b>" not in page
    for name in ("report.html", "report.md", "model/README.md"):
        text = (run / name).read_text(encoding="utf-8")
        assert not set(ACTING) & set(text), name
        assert not re.search(r"(?<![`\\\w])<script>alert", text), name
    ended = call("push", run, "ada/odd", "--dry-run", "--override", "a test\x1b[31m")
    assert ended.status in (0, 2)
    assert not set(ACTING) & set(ended.err)


def test_an_error_that_quotes_data_does_not_act_on_the_terminal(
    tiny_model: Any, tmp_path: Path, call: Call
) -> None:
    rows = [{"text": text, "label": f"{label}\x1b[2J"} for text, label in sentences("movies", 60, seed=0)]
    movies = [{"text": text, "label": label} for text, label in sentences("movies", 60, seed=0)]
    files = {
        "products": write_jsonl(tmp_path / "rows.jsonl", rows),
        "movies": write_jsonl(tmp_path / "movies.jsonl", movies),
    }
    (tmp_path / "recipe.yaml").write_text(
        write_yaml(easy_recipe(tmp_path / "run", tiny_model("bert"), files))
    )
    ended = call("check", tmp_path / "recipe.yaml")
    assert ended.status == 2
    assert "negative\\x1b[2J" in ended.err
    assert "\x1b" not in ended.err
