"""Whole runs as pages, and several of them side by side by the command."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nlp_transfer import SentimentTransfer, cli

MakeRecipe = Callable[..., SentimentTransfer]


@pytest.fixture
def call(monkeypatch: Any, capsys: Any) -> Callable[..., tuple[int, str, str]]:
    """Run the command; return its status, what it printed, and what it complained of."""
    monkeypatch.setattr(cli, "log_to_stderr", lambda level: None)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nlp-transfer", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def second(make_recipe: MakeRecipe, tmp_path_factory: Any) -> Path:
    """A run of few steps on the same rows."""
    folder = tmp_path_factory.mktemp("second") / "short"
    make_recipe(folder, training__max_steps=1, evaluation__baselines=["majority", "zero_shot"]).run()
    return Path(folder)


def test_a_run_leaves_a_page_that_shows_its_errors(second: Path) -> None:
    page = (second / "report.html").read_text(encoding="utf-8")
    records = [
        json.loads(line) for line in (second / "predictions/adapted.target.jsonl").read_text().splitlines()
    ]
    wrong = [each for each in records if each["label"] != each["predicted"]]
    assert wrong
    worst = min(wrong, key=lambda each: each["probabilities"][each["label"]])
    shown = page[page.index('id="worst"') :]
    assert f'dir="auto">{worst["id"]}</th>' in shown
    assert page.count("data:image/png;base64,") == 2


def test_the_command_says_where_the_page_is(second: Path, call: Any, tmp_path: Path) -> None:
    assert call("report", second, "--html") == (0, f"{second / 'report.html'}\n", "")
    status, out, err = call("report", tmp_path, "--html")
    assert (status, out) == (2, "")
    assert "is not a run folder: it has no report.html" in err


def test_runs_are_compared_by_the_command(finished: Path, second: Path, call: Any, tmp_path: Path) -> None:
    page = tmp_path / "new" / "runs.html"
    status, out, _ = call("compare", finished, second, "--html", page)
    assert status == 0
    assert out.startswith("run scores best: accuracy ")
    assert "training.max_steps" in out and "evaluation.baselines" in out
    assert "training.max_steps" in page.read_text(encoding="utf-8")
    status, out, _ = call("compare", finished, second, "--json")
    (first, *_) = json.loads(out)["differences"]
    scores = [
        json.loads((run / "report.json").read_text())["systems"]["adapted"]["target"]["accuracy"]["value"]
        for run in (finished, second)
    ]
    assert first["difference"] == pytest.approx(scores[0] - scores[1])


def test_one_run_is_not_enough(finished: Path, call: Any) -> None:
    status, out, err = call("compare", finished)
    assert (status, out) == (2, "")
    assert err.startswith("nlp-transfer: compare needs two different runs or more")
