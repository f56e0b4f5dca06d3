"""Reports of translations: their words, their tables, their figures, and where text from the data may go."""

from __future__ import annotations

import html
import itertools
import json
import re

import matplotlib.axis
import matplotlib.text
import numpy as np
import pytest
from markdown_it import MarkdownIt
from rich.cells import cell_len
from sacrebleu.metrics import CHRF

from nlp_transfer.evaluation.lengths import LengthBin, chrf_by_length
from nlp_transfer.reporting import figures
from nlp_transfer.reporting.report import TransferReport
from nlp_transfer.reporting.terminal import report_text
from nlp_transfer.reporting.translation_figures import lengths_figure, translation_figures

# chrF++, BLEU, TER on the target's test rows.
SCORES = {
    "adapted": (47.0, 24.3, 47.4), "apertium 3.9": (44.7, 23.0, 45.1), "copy": (18.9, 5.1, 101.2),
    "zero_shot": (41.0, 18.3, 54.6), "scratch": (23.3, 4.4, 78.6),
}  # fmt: skip
ORDER = ["copy", "scratch", "zero_shot", "adapted", "apertium 3.9"]
NASTY = "<script>alert(1)</script> a|b `c` *s*\n# new ${y}$ \x1b[31mred\x1b[0m"


def entry(value, n=1000):
    return {"value": value, "low": value - 1.2, "high": value + 1.2, "n": n}


def content():
    return {
        "schema": 1,
        "task": "translation",
        "primary_metric": "chrf++",
        "systems": {
            name: {
                "target": {"chrf++": entry(chrf), "bleu": entry(bleu), "ter": entry(ter)},
                "source": {"chrf++": entry(chrf + 5, n=400)} if name in ("adapted", "zero_shot") else {},
                "cost": {"seconds": 40.0, "peak_rss_mb": 900.0} if name in ("adapted", "scratch") else {},
            }
            for name, (chrf, bleu, ter) in SCORES.items()
        },
        "comparisons": [
            {
                "system": "adapted", "against": "scratch", "domain": "target", "metric": metric,
                "difference": 23.7, "low": 22.3, "high": 25.0, "p": 0.002, "test": "paired bootstrap",
            }
            for metric in ("chrf++", "bleu")
        ],
        "findings": [],
        "verdict": {
            "transfer": "helped", "against": "scratch", "sentence": "Transfer helped: 23.7 chrF++.",
        },
        "provenance": {
            "config": {"task": "translation", "source_stage": None},
            "seeds": [0],
            "data": {
                "target": {"train": 950, "dev": 50, "test": 1000},
                "source": {"train": 20000, "dev": 0, "test": 400},
            },
        },
    }  # fmt: skip


def rows_of(text):
    return {name: line for line in text.splitlines() for name in SCORES if line.startswith(name)}


def test_the_terminal_counts_pairs_and_shows_the_three_metrics():
    text = report_text(TransferReport(content()), columns=110)
    assert text.splitlines()[0] == "Translation transfer: 1,000 target pairs, 20,000 source pairs"
    assert list(rows_of(text)) == ORDER
    assert re.split(r"\s{2,}", rows_of(text)["scratch"]) == [
        "scratch", "target", "23.3 ±1.2", "-", "4.4 ±1.2", "78.6 ±1.2", "40.0*", "900*",
    ]  # fmt: skip
    assert re.split(r"\s{2,}", rows_of(text)["apertium 3.9"])[:3] == [
        "apertium 3.9", "not known (external)", "44.7 ±1.2",
    ]  # fmt: skip
    assert "Scores on n = 1,000 target and n = 400 source test rows" in text
    assert "%" not in text.partition("Transfer helped")[0].replace("95%", "")


def test_the_lowest_ter_is_the_best_and_other_programs_compete():
    marked = {
        name: re.findall(r"\S+\*", line)
        for name, line in rows_of(report_text(TransferReport(content()), columns=80)).items()
    }
    assert marked["adapted"] == ["±1.2*", "±1.2*", "24.3*", "40.0*", "900*"]
    assert marked["apertium 3.9"] == ["45.1*"]
    assert marked["copy"] == []


@pytest.mark.parametrize("columns", [80, 120])
def test_any_name_of_another_program_fits(columns):
    given = content()
    given["systems"][NASTY * 3] = given["systems"].pop("apertium 3.9")
    text = report_text(TransferReport(given), columns=columns)
    assert max(cell_len(line) for line in text.splitlines()) <= columns
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, {"zero_shot": "parent", "adapted": "parent, then target", "scratch": "target"}),
        ({"source_stage": {}}, {"zero_shot": "source", "adapted": "source, then target"}),
        ({"source_stage": {}, "no source": True}, {"zero_shot": "parent", "adapted": "parent, then target"}),
    ],
)
def test_what_a_translation_system_learnt_from(change, expected):
    given = content()
    if "source_stage" in change:
        given["provenance"]["config"]["source_stage"] = change["source_stage"]
    if "no source" in change:
        given["provenance"]["data"]["source"] = {}
        for system in given["systems"].values():
            system["source"] = {}
    report = TransferReport(given)
    assert {name: report.learnt_from(name) for name in expected} == expected
    assert [report.learnt_from(name) for name in ("copy", "apertium 3.9")] == [
        "nothing", "not known (external)",
    ]  # fmt: skip


def cells(markdown):
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown)
    rows = re.findall(r"<tr>(.*?)</tr>", page, flags=re.DOTALL)
    return [[html.unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]


def test_markdown_writes_scores_as_they_are_and_no_column_that_is_empty():
    rows = cells(TransferReport(content()).to_markdown())
    assert ["system", "learnt from", "chrF++", "BLEU", "TER"] in rows
    assert ["copy", "nothing", "18.9 (17.7 to 20.1)", "5.1 (3.9 to 6.3)", "101.2 (100.0 to 102.4)"] in rows
    assert [
        "adapted", "scratch", "target", "chrF++", "+23.7 points", "+22.3 to +25.0", "0.002",
        "paired bootstrap",
    ] in rows  # fmt: skip
    assert "McNemar" not in TransferReport(content()).to_markdown()


WORST = [
    {"id": "7", "chrf++": 4.25, "source": "Continue?", "reference": "¿Siguir?", "translation": ""},
    {"id": NASTY, "chrf++": 6.0, "source": NASTY, "reference": "x" * 500, "translation": "half \ud800"},
]


def test_worst_rows_are_shown_and_never_in_report_json(tmp_path):
    report = TransferReport(content())
    report.save(tmp_path, worst_rows=WORST)
    rows = cells((tmp_path / "report.md").read_text(encoding="utf-8"))
    assert ["id", "chrF++", "source", "reference", "translation"] in rows
    assert ["7", "4.2", "Continue?", "¿Siguir?", ""] in rows
    nasty = rows[-1] if rows[-1][1] == "6.0" else next(row for row in rows if row[1] == "6.0")
    assert nasty[0] == "<script>alert(1)</script> a|b `c` *s* # new ${y}$ red"
    assert nasty[3] == "x" * 299 + "…"
    assert "<script" not in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "Siguir" not in (tmp_path / "report.json").read_text(encoding="utf-8")
    kept = json.loads((tmp_path / "worst_rows.json").read_text(encoding="utf-8"))
    assert kept == [WORST[0], {**WORST[1], "translation": "half ?"}]


def test_without_worst_rows_there_is_neither_section_nor_file(tmp_path):
    TransferReport(content()).save(tmp_path)
    assert "Worst rows" not in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert not (tmp_path / "worst_rows.json").exists()


# By length --------------------------------------------------------------------------------------------------

GENERATOR = np.random.default_rng(0)
SOURCES = ["s" * int(length) for length in GENERATOR.integers(5, 90, size=200)]
REFERENCES = [" ".join(GENERATOR.choice(["gardar", "o", "ficheiro", "novo", "na"], size=5)) for _ in SOURCES]
TRANSLATIONS = {
    "copy": SOURCES,
    "adapted": [text.replace("ficheiro", "arquivo") for text in REFERENCES],
    "scratch": ["o na o na" for _ in SOURCES],
    "apertium": REFERENCES,
}


def test_bins_hold_every_row_once_and_score_their_own_rows():
    bins = chrf_by_length(TRANSLATIONS, REFERENCES, SOURCES, resamples=50)
    assert len(bins) == 5
    assert sum(each.n for each in bins) == 200
    assert all(a.longest < b.shortest for a, b in itertools.pairwise(bins))
    assert all(30 <= each.n <= 50 for each in bins)
    for each in bins:
        own = [row for row, text in enumerate(SOURCES) if each.shortest <= len(text) <= each.longest]
        assert len(own) == each.n
        for name, (value, low, high) in each.scores.items():
            given = [TRANSLATIONS[name][row] for row in own], [[REFERENCES[row] for row in own]]
            assert value == pytest.approx(CHRF(word_order=2).corpus_score(*given).score)
            assert low <= value <= high
        assert each.scores["apertium"] == (100.0, 100.0, 100.0)


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([3] * 100, [(3, 3, 100)]),
        ([3] * 80 + [9] * 20, [(3, 3, 80), (9, 9, 20)]),
        ([3, 4, 5], [(3, 5, 3)]),
        ([3] * 35 + [4] * 35, [(3, 3, 35), (4, 4, 35)]),
    ],
)
def test_few_rows_and_equal_lengths_leave_fewer_bins(lengths, expected):
    sources = ["s" * length for length in lengths]
    bins = chrf_by_length({"copy": sources}, sources, sources, resamples=10)
    assert [(each.shortest, each.longest, each.n) for each in bins] == expected


def test_the_figure_by_length_is_written_with_the_systems(tmp_path):
    drawn = translation_figures(TRANSLATIONS, REFERENCES, SOURCES)
    TransferReport(content()).save(tmp_path, figures=drawn)
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"systems.png", "lengths.png"}
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "![chrF++ of the systems by length of the source" in markdown
    assert "Accuracy" not in markdown


def test_without_rows_or_systems_there_is_no_figure_by_length():
    assert translation_figures({"adapted": []}, [], []) == {}
    assert translation_figures({"apertium": ["x"]}, ["x"], ["x"]) == {}


def test_the_figure_by_length_holds_every_point_of_the_four_systems():
    bins = [
        LengthBin(5, 20, 100, {"copy": (19.0, 18.0, 20.0), "adapted": (50.0, 48.0, 52.0)}),
        LengthBin(21, 21, 90, {"copy": (20.0, 18.0, 22.0), "adapted": (45.0, 44.0, 46.0)}),
    ]
    panel = lengths_figure(bins).axes[0]
    assert [line.get_ydata().tolist() for line in panel.lines] == [[19.0, 20.0], [50.0, 45.0]]
    assert [label.get_text() for label in panel.get_xticklabels()] == ["5–20\nn = 100", "21\nn = 90"]
    assert {text.get_text() for text in panel.texts} >= {"copy", "adapted"}
    assert panel.get_title(loc="left") == "target (n = 190): chrF++ by length of the source"


def drawn_figures():
    names = ("copy", "scratch", "zero_shot", "adapted")
    for last in (
        (20.0, 20.1, 20.2, 20.3),
        (99.9, 100.0, 100.0, 100.0),
        (0.0, 0.0, 0.0, 0.0),
        (1, 50, 51, 99),
    ):
        scores = {name: (value, value, value) for name, value in zip(names, last, strict=True)}
        for count in (1, 5):
            yield lengths_figure([LengthBin(10000 * n, 10000 * n + 9999, 4000, scores) for n in range(count)])
    given = content()
    given["systems"]["a very long name of another program"] = given["systems"]["apertium 3.9"]
    yield figures.systems_figure(TransferReport(given))


def test_no_text_is_cut_off_and_none_lies_on_another():
    for figure in drawn_figures():
        figure.draw_without_rendering()
        hidden = {
            id(label)
            for tick in figure.findobj(matplotlib.axis.Tick)
            for label in (tick.label1, tick.label2)
            if not label.get_text() or not in_view(tick)
        }
        boxes = [
            (text.get_text(), text.get_window_extent())
            for text in figure.findobj(matplotlib.text.Text)
            if text.get_visible() and text.get_text().strip() and id(text) not in hidden
        ]
        for place, (text, box) in enumerate(boxes):
            assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1, text
            assert not [other for other, its in boxes[place + 1 :] if box.overlaps(its)], text


def in_view(tick):
    axis = tick.axes.xaxis if isinstance(tick, matplotlib.axis.XTick) else tick.axes.yaxis
    low, high = sorted(axis.get_view_interval())
    return low <= tick.get_loc() <= high
