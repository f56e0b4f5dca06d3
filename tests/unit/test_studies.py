"""Comparing runs: the same rows or none, the right numbers, and one message for what cannot be compared."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.console import Console
from sample_reports import content

from nlp_transfer.data.rows import Rows
from nlp_transfer.errors import ConfigError, DataError
from nlp_transfer.evaluation.predicted import read_predicted
from nlp_transfer.evaluation.predictions import write_counts, write_predictions
from nlp_transfer.evaluation.translation_scores import chrf_of_counts, sentence_statistics
from nlp_transfer.reporting.side_by_side import judgement, render_side_by_side, side_by_side_html
from nlp_transfer.studies import compare_runs

ROWS = 400
LABELS = np.arange(ROWS) % 2


def write_run(
    folder, *, wrong, wrong_source=0, seeds=(0,), groups=None, fingerprints=("aaaa", "bbbb"), **config
):
    """Leave what a finished run leaves: a report, and predictions that miss the first `wrong` rows."""
    report = content()
    report["provenance"] |= {"seeds": list(seeds)}
    report["provenance"]["config"] = {"output_dir": str(folder), "evaluation": {"bootstrap": 400}, **config}
    for (domain, errors), fingerprint in zip(
        (("target", wrong), ("source", wrong_source)), fingerprints, strict=True
    ):
        if fingerprint is None:
            report["provenance"]["data"][domain] = {}
            for system in report["systems"].values():
                system[domain] = {}
            continue
        report["provenance"]["data"][domain] |= {"test": ROWS, "fingerprint": fingerprint}
        value = 1 - errors / ROWS
        report["systems"]["adapted"][domain]["accuracy"] = {
            "value": value, "low": value - 0.02, "high": value + 0.02, "n": ROWS,
        }  # fmt: skip
        rows = Rows([f"r{row}" for row in range(ROWS)], ["text"] * ROWS, LABELS, groups)
        for seed in seeds:
            place = folder / "predictions" / (f"seed-{seed}" if seed != seeds[0] else "")
            place.mkdir(parents=True, exist_ok=True)
            predicted = np.where(np.arange(ROWS) < errors, 1 - LABELS, LABELS)
            probabilities = np.where(np.eye(2)[predicted] > 0, 0.9, 0.1)
            write_predictions(place / f"adapted.{domain}.jsonl", rows, probabilities, ["no", "yes"])
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    return folder


def difference(found, *names, metric="accuracy", domain="target"):
    return next(
        each
        for each in found.differences
        if (each["system"], each["against"], each["metric"], each["domain"]) == (*names, metric, domain)
    )


def test_two_runs_differ_by_the_rows_on_which_one_is_wrong(tmp_path):
    runs = [write_run(tmp_path / "good", wrong=40), write_run(tmp_path / "bad", wrong=120, wrong_source=8)]
    found = compare_runs(runs)
    assert list(found.runs) == ["good", "bad"]
    entry = difference(found, "good", "bad")
    assert entry["difference"] == pytest.approx(80 / ROWS)
    # 80 of 400 rows differ, all for the better: the standard error is sqrt(0.2 * 0.8 / 400) = 0.02.
    assert entry["low"] == pytest.approx(0.2 - 1.96 * 0.02, abs=0.008)
    assert entry["high"] == pytest.approx(0.2 + 1.96 * 0.02, abs=0.008)
    assert entry["p"] == pytest.approx(2 / 401)
    assert entry["mcnemar_p"] < 1e-20
    assert entry["noise_low"] < entry["low"] and entry["noise_high"] > entry["high"]
    assert difference(found, "good", "bad", domain="source")["difference"] == pytest.approx(8 / ROWS)
    assert found.best == "good"
    assert found.notes == []


def test_each_run_is_compared_with_each_and_equal_ones_show_no_evidence(tmp_path):
    found = compare_runs(
        [write_run(tmp_path / name, wrong=wrong) for name, wrong in (("a", 9), ("b", 9), ("c", 300))]
    )
    pairs = [(each["system"], each["against"], judgement(each)) for each in found.judged]
    assert pairs == [
        ("a", "b", "no evidence of a difference"), ("a", "c", "a is better"), ("b", "c", "b is better"),
    ]  # fmt: skip
    assert difference(found, "a", "b")["p"] == 1.0
    assert "above c; no evidence of a difference from b" in found.sentence


def test_a_better_score_on_few_labels_may_be_seed_noise(tmp_path):
    """64 labels leave 2.5 points of noise in each of two systems, so 5 points are not beyond it."""
    found = compare_runs([write_run(tmp_path / "a", wrong=20), write_run(tmp_path / "b", wrong=40)])
    entry = difference(found, "a", "b")
    assert entry["low"] > 0 and entry["noise_low"] < 0
    assert judgement(entry) == "no evidence of a difference"
    assert entry["seed_noise"] == "assumed"


def test_runs_are_compared_over_the_seeds_that_both_have(tmp_path):
    runs = [
        write_run(tmp_path / "three", wrong=10, seeds=(0, 1, 2)),
        write_run(tmp_path / "two", wrong=50, seeds=(0, 5)),
    ]
    entry = difference(compare_runs(runs), "three", "two")
    assert entry["seed_noise"] == "measured"
    assert entry["difference"] == pytest.approx(0.1)


def test_whole_groups_are_resampled_where_the_rows_have_them(tmp_path):
    def width(kind, groups):
        runs = [write_run(tmp_path / f"{kind}{wrong}", wrong=wrong, groups=groups) for wrong in (0, 80)]
        entry = difference(compare_runs(runs), f"{kind}0", f"{kind}80")
        return entry["high"] - entry["low"]

    assert width("grouped", [f"product {row // 40}" for row in range(ROWS)]) > 3 * width("single", None)


def test_groups_stand_in_the_file_as_numbers_alone(tmp_path):
    rows = Rows(["a", "b", "c"], ["", "", ""], np.array([0, 1, 0]), ["Ada's", "Bob's", "Ada's"])
    write_predictions(tmp_path / "p.jsonl", rows, np.eye(2)[[0, 1, 1]], ["no", "yes"])
    assert "Ada" not in (tmp_path / "p.jsonl").read_text()
    read = read_predicted(tmp_path / "p.jsonl")
    assert (read.ids, read.labels, read.label_names) == (["a", "b", "c"], ["no", "yes", "no"], ["no", "yes"])
    assert read.groups.tolist() == [0, 1, 0]
    assert read.probabilities.tolist() == [[1, 0], [0, 1], [0, 1]]


def test_a_run_without_named_groups_says_that_its_intervals_are_over_rows(tmp_path):
    runs = [write_run(tmp_path / "a", wrong=20), write_run(tmp_path / "b", wrong=40)]
    report = json.loads((runs[1] / "report.json").read_text())
    report["provenance"]["metric_signatures"] = {"interval": "percentile bootstrap, 1000 resamples of groups"}
    (runs[1] / "report.json").write_text(json.dumps(report))
    assert compare_runs(runs).notes == [
        "Rows are resampled one by one: the first run's predictions do not name their groups."
    ]


def test_labels_in_another_order_are_the_same_labels(tmp_path):
    runs = [write_run(tmp_path / "a", wrong=20), write_run(tmp_path / "b", wrong=20)]
    path = runs[1] / "predictions" / "adapted.target.jsonl"
    turned = []
    for line in path.read_text().splitlines():
        record = json.loads(line)
        record["probabilities"] = dict(reversed(record["probabilities"].items()))
        turned.append(json.dumps(record))
    path.write_text("\n".join(turned))
    assert difference(compare_runs(runs), "a", "b")["difference"] == 0.0


@pytest.mark.parametrize(("first", "second"), [("bbbb", "cccc"), ("bbbb", None)])
def test_a_source_that_is_not_the_same_is_left_out_and_said_so(tmp_path, first, second):
    runs = [
        write_run(tmp_path / name, wrong=20, fingerprints=("aaaa", source))
        for name, source in (("a", first), ("b", second))
    ]
    found = compare_runs(runs)
    assert found.domains == ["target"]
    assert {each["domain"] for each in found.differences} == {"target"}
    assert "source domain is left out" in found.notes[0]


def test_the_settings_that_differ_are_listed_and_where_a_run_lies_is_not_one(tmp_path):
    runs = [
        write_run(tmp_path / "a", wrong=20, adaptation={"method": "full", "rank": 16}, training={}),
        write_run(
            tmp_path / "b", wrong=20, adaptation={"method": "lora", "rank": 16}, training={"epochs": 3}
        ),
    ]
    assert compare_runs(runs).settings == {
        "adaptation.method": ["full", "lora"], "training.epochs": [None, 3],
    }  # fmt: skip


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path):
    runs = [write_run(tmp_path / part / "run", wrong=20) for part in ("x", "y")]
    assert list(compare_runs(runs).runs) == ["x/run", "y/run"]


# What cannot be compared ------------------------------------------------------------------------------------


def test_other_test_rows_are_refused_with_what_each_run_has(tmp_path):
    runs = [
        write_run(tmp_path / name, wrong=20, fingerprints=(target, "bbbb"))
        for name, target in (("a", "aaaa"), ("b", "ffff"))
    ]
    with pytest.raises(
        DataError, match=r"same target test rows, got a: 400 rows \(aaaa\), b: 400 rows \(ffff\)"
    ):
        compare_runs(runs)


@pytest.mark.parametrize("names", [[], ["a"], ["a", "a"], ["a", "../{}/a"]])
def test_it_takes_two_different_runs(tmp_path, names):
    write_run(tmp_path / "a", wrong=20)
    with pytest.raises(ConfigError, match="two different runs or more"):
        compare_runs([tmp_path / name.format(tmp_path.name) for name in names])


def test_a_run_of_another_task_is_refused(tmp_path):
    runs = [write_run(tmp_path / "a", wrong=20), write_run(tmp_path / "b", wrong=20)]
    report = json.loads((runs[1] / "report.json").read_text()) | {"task": "translation"}
    (runs[1] / "report.json").write_text(json.dumps(report))
    with pytest.raises(ConfigError, match=r"runs of one task, got .*b \(translation\)"):
        compare_runs(runs)


SENTENCES = [f"o ficheiro {row} non se pode abrir agora" for row in range(200)]


def write_translation_run(folder, *, wrong, seeds=(0,), ids=None, signature="nrefs:1"):
    """Leave what a finished translation run leaves: the first `wrong` rows are another sentence."""
    report = content() | {"task": "translation", "primary_metric": "chrf++"}
    written = ["nada que ver" if row < wrong else reference for row, reference in enumerate(SENTENCES)]
    statistics = sentence_statistics(written, SENTENCES, tgt_lang="gl")
    value = float(chrf_of_counts(statistics.chrf.sum(axis=0)))
    score = {"value": value, "low": value - 1, "high": value + 1, "n": len(SENTENCES)}
    report["systems"] = {"adapted": {"target": {"chrf++": score}, "source": {}, "cost": {}}}
    report["provenance"] = {
        "config": {"output_dir": str(folder), "evaluation": {"bootstrap": 400}}, "seeds": list(seeds),
        "metric_signatures": {"chrf++": signature},
        "data": {
            "target": {"train": 90, "dev": 10, "test": len(SENTENCES), "fingerprint": "a"}, "source": {},
        },
    }  # fmt: skip
    for seed in seeds:
        place = folder / "predictions" / (f"seed-{seed}" if seed != seeds[0] else "")
        place.mkdir(parents=True, exist_ok=True)
        rows = ids or [f"r{row}" for row in range(len(SENTENCES))]
        write_counts(place / "adapted.target.counts.npz", rows, statistics)
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    return folder


def test_translation_runs_differ_by_the_rows_that_one_gets_wrong(tmp_path):
    runs = [write_translation_run(tmp_path / name, wrong=wrong) for name, wrong in (("a", 0), ("b", 100))]
    found = compare_runs(runs)
    entry = difference(found, "a", "b", metric="chrf++")
    scores = [found.runs[name].score("adapted", "target", "chrf++")["value"] for name in ("a", "b")]
    assert scores[0] == pytest.approx(100)
    assert entry["difference"] == pytest.approx(scores[0] - scores[1])
    assert entry["low"] < entry["difference"] < entry["high"]
    assert entry["noise_low"] < entry["low"] and entry["seed_noise"] == "assumed"
    assert {each["metric"] for each in found.differences} == {"chrf++", "bleu"}
    assert found.sentence.startswith("a scores best: chrF++ 100.0 on 200 target test rows, beyond row noise")
    assert judgement(entry) == "a is better"
    console = Console(file=io.StringIO(), width=120)
    render_side_by_side(found, console)
    assert "pairs" in console.file.getvalue() and "labels" not in console.file.getvalue()
    page = side_by_side_html(found)
    assert "chrF++" in page and "Translation transfer" in page and "target pairs" in page


def test_translation_runs_are_compared_over_the_seeds_that_both_have(tmp_path):
    runs = [
        write_translation_run(tmp_path / "three", wrong=10, seeds=(0, 1, 2)),
        write_translation_run(tmp_path / "two", wrong=50, seeds=(0, 5)),
    ]
    assert difference(compare_runs(runs), "three", "two", metric="chrf++")["seed_noise"] == "measured"


def test_translations_of_other_rows_or_another_way_of_counting_are_told(tmp_path):
    one = write_translation_run(tmp_path / "one", wrong=0)
    other = write_translation_run(tmp_path / "other", wrong=0, ids=[f"x{row}" for row in range(200)])
    with pytest.raises(DataError, match="the predictions of other on target have other rows"):
        compare_runs([one, other])
    counted = write_translation_run(tmp_path / "counted", wrong=0, signature="nrefs:1|version:9")
    assert "count chrF++ in different ways" in compare_runs([one, counted]).notes[0]


def test_a_translation_run_without_counts_is_told_how_to_get_them(tmp_path):
    runs = [write_translation_run(tmp_path / name, wrong=0) for name in ("a", "b")]
    (runs[1] / "predictions" / "adapted.target.counts.npz").unlink()
    with pytest.raises(DataError, match=r"no counts at .*b/predictions.* `nlp-transfer evaluate`"):
        compare_runs(runs)
    (runs[1] / "predictions" / "adapted.target.counts.npz").write_bytes(b"torn")
    with pytest.raises(DataError, match="must hold counts of translations"):
        compare_runs(runs)


def test_a_folder_without_a_report_is_refused(tmp_path):
    write_run(tmp_path / "a", wrong=20)
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="is not a run folder: it has no report"):
        compare_runs([tmp_path / "a", tmp_path / "b"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no predictions at"),
        ("", "must hold a prediction as JSON on each line"),
        ("{", "must hold a prediction as JSON on each line"),
        ('{"id": "a"}', "must hold a prediction as JSON on each line"),
        (
            '{"id": "a", "label": "no", "probabilities": {"no": 1, "yes": 0}}',
            "b on target have other rows or labels",
        ),
    ],
)
def test_predictions_that_are_not_there_or_not_these_are_refused(tmp_path, text, message):
    runs = [write_run(tmp_path / "a", wrong=20), write_run(tmp_path / "b", wrong=20)]
    path = runs[1] / "predictions" / "adapted.target.jsonl"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(DataError, match=message):
        compare_runs(runs)


# How it is shown --------------------------------------------------------------------------------------------


def printed(found, *, columns=80, encoding="utf-8"):
    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, encoding=encoding), width=columns)
    render_side_by_side(found, console)
    console.file.flush()
    return raw.getvalue().decode(encoding)


def test_the_terminal_shows_runs_differences_and_settings(tmp_path):
    runs = [write_run(tmp_path / "a", wrong=20, rank=16), write_run(tmp_path / "b", wrong=120, rank=8)]
    text = printed(compare_runs(runs))
    assert max(map(len, text.splitlines())) <= 80
    lines = [line.split() for line in text.splitlines()]
    assert ["a", "64", "95.0", "+-2.0", "100.0", "+-2.0", "helped", "348.0", "900"] in lines
    assert any(line[:3] == ["a", "b", "+25.0"] and line[-3:] == ["a", "is", "better"] for line in lines)
    assert ["rank", "16", "8"] in lines


def test_a_terminal_that_knows_only_ascii_gets_ascii(tmp_path):
    runs = [write_run(tmp_path / "ä\x1b[31m[bold]", wrong=20), write_run(tmp_path / "b", wrong=120)]
    text = printed(compare_runs(runs), encoding="ascii")
    assert "?[bold] scores best" in text and "\x1b" not in text


def test_the_page_and_the_values_say_the_same(tmp_path):
    found = compare_runs([write_run(tmp_path / "a", wrong=20), write_run(tmp_path / "b", wrong=120)])
    values = found.as_dict()
    assert json.loads(json.dumps(values)) == values
    assert values["runs"]["a"]["target"]["value"] == 0.95
    assert values["differences"][0]["judgement"] == "a is better"
    assert "+25.0" in side_by_side_html(found)
