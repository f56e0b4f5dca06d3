"""A learning curve over two sizes and two seeds: its files, its numbers, and going on where it stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nlp_transfer.curve import LearningCurve, gaps_closed, run_curve, summed_up
from nlp_transfer.errors import ConfigError, DataError
from nlp_transfer.reporting.report import TransferReport


@pytest.fixture(scope="module")
def finished_curve(make_recipe: Any, tmp_path_factory: Any) -> Path:
    folder = tmp_path_factory.mktemp("curve") / "run"
    config = make_recipe(folder, evaluation__baselines=["zero_shot", "target_only"]).config
    run_curve(config, sizes=[32, 16], seeds=2)
    return Path(folder)


def test_a_curve_has_every_system_at_every_size_with_every_seed(finished_curve: Path) -> None:
    curve = json.loads((finished_curve / "curve.json").read_text())
    cells = {(point["system"], point["size"]): len(point["per_seed"]) for point in curve["curves"]}
    assert cells == {
        (system, size): 2 for system in ("zero_shot", "target_only", "adapted") for size in (16, 32)
    }


def test_its_points_are_the_runs_own_scores(finished_curve: Path) -> None:
    curve = json.loads((finished_curve / "curve.json").read_text())
    report = json.loads((finished_curve / "size-16" / "report.json").read_text())
    point = next(p for p in curve["curves"] if (p["system"], p["size"]) == ("adapted", 16))
    assert point["value"] == report["systems"]["adapted"]["target"]["accuracy"]["value"]
    assert point["per_seed"] == report["systems"]["adapted"]["per_seed"]["target"]
    assert report["provenance"]["data"]["target"]["train"] == 16


def test_it_leaves_a_table_and_a_figure(finished_curve: Path) -> None:
    assert (finished_curve / "curve.png").read_bytes().startswith(b"\x89PNG")
    text = (finished_curve / "curve.md").read_text()
    assert "| system | 16 | 32 | area |" in text and "| adapted |" in text
    findings = json.loads((finished_curve / "curve.json").read_text())["findings"]
    assert [finding["check"] for finding in findings] == ["labels_saved", "gap_closed"]
    assert "24 rows, at least 30 are needed" in findings[1]["evidence"]
    assert findings[1]["evidence"] in text


def test_its_page_is_the_largest_runs_report_with_the_curves(finished_curve: Path) -> None:
    page = (finished_curve / "report.html").read_text()
    assert "32 target labels" in page
    assert 'id="curves"' in page
    assert 'id="curves"' not in (finished_curve / "size-32" / "report.html").read_text()
    point = json.loads((finished_curve / "curve.json").read_text())["curves"][0]
    assert f"{100 * point['value']:.1f}" in page


def test_started_again_it_trains_nothing(finished_curve: Path, make_recipe: Any, trained: list[str]) -> None:
    config = make_recipe(finished_curve, evaluation__baselines=["zero_shot", "target_only"]).config
    run_curve(config, sizes=[16, 32], seeds=2)
    assert trained == []


@pytest.mark.parametrize(("sizes", "seeds"), [([], 1), ([0, 16], 1), ([16], 0)])
def test_senseless_sizes_and_seeds_are_refused(
    make_recipe: Any, tmp_path: Path, sizes: list[int], seeds: int
) -> None:
    with pytest.raises(ConfigError, match="--sizes 16,64,256 --seeds 3"):
        run_curve(make_recipe(tmp_path / "run").config, sizes=sizes, seeds=seeds)


@pytest.mark.parametrize("sizes", [[16, 9999], [9999, 16]])
def test_a_size_beyond_the_rows_is_refused_before_anything_is_trained(
    make_recipe: Any, tmp_path: Path, sizes: list[int], trained: list[str]
) -> None:
    with pytest.raises(DataError, match=r"at size 9,999: data.target.train_size is 9999 and only 96 "):
        run_curve(make_recipe(tmp_path / "run").config, sizes=sizes, seeds=1)
    assert not trained and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("size-32/config.yaml", r"size-32 holds a run with another configuration"),
        ("size-32", r"size-32 is a file; name a folder"),
        ("report.json", r"run holds a run, whose report.html .*output_dir=.*run_curve"),
        ("config.yaml", r"run holds a run, whose report.html .*output_dir=.*run_curve"),
    ],
)
def test_a_folder_with_something_else_is_refused_before_anything_is_trained(
    make_recipe: Any, tmp_path: Path, place: str, message: str, trained: list[str]
) -> None:
    file = tmp_path / "run" / place
    file.parent.mkdir(parents=True)
    file.write_text("task: other\n")
    with pytest.raises(ConfigError, match=message):
        run_curve(make_recipe(tmp_path / "run").config, sizes=[16, 32], seeds=1)
    assert not trained
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]


def test_the_gap_to_learning_from_the_target_alone_is_closed_by_half(tmp_path: Path) -> None:
    """Of 100 rows: the source model 60, the target alone with 32 labels 80, adapted with 16 70."""
    right = {
        (16, "adapted", ""): 70, (16, "zero_shot", ""): 60, (16, "target_only", ""): 50,
        (32, "adapted", ""): 90, (32, "zero_shot", ""): 60, (32, "target_only", ""): 78,
        (32, "target_only", "seed-1"): 82, (32, "adapted", "seed-1"): 90, (16, "adapted", "seed-1"): 70,
        (16, "target_only", "seed-1"): 50,
    }  # fmt: skip
    for (size, system, seed), rows in right.items():
        folder = tmp_path / f"size-{size}" / "predictions" / seed
        folder.mkdir(parents=True, exist_ok=True)
        lines = [
            {"id": str(row), "label": "positive", "probabilities": {"negative": 1 - sure, "positive": sure}}
            for row in range(100)
            for sure in [0.9 if row < rows else 0.1]
        ]
        (folder / f"{system}.target.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    points = [
        {"system": system, "size": size, "per_seed": [0.5] * (1 if system == "zero_shot" else 2)}
        for size in (16, 32)
        for system in ("zero_shot", "target_only", "adapted")
    ]
    curve = LearningCurve("sentiment", "accuracy", points, {}, None)
    closed = gaps_closed(tmp_path, curve)
    assert list(closed) == [16]
    assert closed[16].value == pytest.approx(0.5)
    assert closed[16].low is not None and closed[16].high is not None
    assert 0.2 < closed[16].low < 0.5 < closed[16].high < 0.8
    without = [point for point in points if point["system"] != "target_only"]
    assert gaps_closed(tmp_path, LearningCurve("sentiment", "accuracy", without, {}, None)) == {}


def report_with(adapted: list[float], target_only: list[float]) -> TransferReport:
    systems = {
        name: {
            "target": {"accuracy": {"value": sum(v) / len(v), "low": min(v), "high": max(v), "n": 100}},
            "source": {},
            "per_seed": {"target": v},
        }
        for name, v in (("adapted", adapted), ("target_only", target_only))
    }
    content = {
        "schema": 1, "task": "sentiment", "primary_metric": "accuracy", "systems": systems, "comparisons": [],
        "findings": [], "verdict": {"transfer": "helped", "against": "target_only", "sentence": ""},
        "provenance": {"data": {}},
    }  # fmt: skip
    return TransferReport(content)


def test_labels_saved_are_those_that_reach_what_the_target_alone_reaches_at_last() -> None:
    """The target alone reaches 0.8 with 256 labels, transfer with 16: sixteen times as many."""
    curve = summed_up(
        "sentiment",
        {
            16: report_with([0.80] * 3, [0.60] * 3),
            64: report_with([0.85] * 3, [0.70] * 3),
            256: report_with([0.90] * 3, [0.80] * 3),
        },
    )
    assert curve.saved is not None
    assert (curve.saved.score, curve.saved.ratio.value) == (pytest.approx(0.8), pytest.approx(16))
    assert curve.areas["target_only"].value == pytest.approx(0.7)
