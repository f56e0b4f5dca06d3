"""The report as a page: well formed, one file, the right numbers, and text from data escaped everywhere."""

from __future__ import annotations

import base64
import copy
import hashlib
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from sample_reports import (
    CURVES,
    NASTY_AS_TEXT,
    OWNED,
    TABLE_ORDER,
    WORST,
    content,
    nasty_content,
    side_by_side,
    without_source,
)

from nlp_transfer.errors import ConfigError
from nlp_transfer.reporting import plots
from nlp_transfer.reporting.html import report_html
from nlp_transfer.reporting.lights import TOPICS, lights_of, tally
from nlp_transfer.reporting.markdown import ALTERNATIVE_TEXTS
from nlp_transfer.reporting.report import TransferReport
from nlp_transfer.reporting.side_by_side import SideBySide, judgement, save_page, side_by_side_html
from nlp_transfer.reporting.wording import metric_of
from nlp_transfer.reporting.worst import worst_classified

VOID = {"meta", "link", "img", "br", "hr"}


class Tree(HTMLParser):
    """Reads a page, holds that every element is closed in order, and gathers tables, texts, attributes."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if any(cell in self.open for cell in ("th", "td")):
            self.rows[-1][-1] = " ".join(f"{self.rows[-1][-1]} {text}".split())
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(text)

    def of(self, tag):
        return [attributes for name, attributes in self.seen if name == tag]


def page_of(given, **more):
    return report_html(TransferReport(given), **more)


def translation():
    """A translation run: a metric on its own scale, another system of comparison, and one from a file."""
    given = without_source()
    given |= {"task": "translation", "primary_metric": "chrf++"}
    names = {"majority": "copy", "zero_shot": "zero_shot", "scratch": "scratch", "adapted": "adapted"}
    given["systems"] = {new: given["systems"][old] for old, new in names.items()} | {
        "apertium": given["systems"]["tfidf"]
    }
    for place, system in enumerate(given["systems"].values()):
        value = 20.0 + 9.5 * place
        system["target"] = {"chrf++": {"value": value, "low": value - 1.5, "high": value + 1.5, "n": 2000}}
        system.pop("per_seed")
    given["verdict"] |= {"against": "scratch", "sentence": "Transfer helped: adapted is above scratch."}
    given["comparisons"] = []
    return given


# The page ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [content, nasty_content, without_source, translation])
def test_every_page_is_well_formed_and_refers_to_nothing(make):
    tree = Tree(page_of({**make(), "curves": CURVES}, worst_rows=WORST))
    addresses = [value for _, found in tree.seen for key, value in found.items() if key in ("src", "href")]
    assert addresses == ["data:,"]
    assert not [key for _, found in tree.seen for key in found if key.startswith("on") or key == "style"]
    ids = [found["id"] for _, found in tree.seen if "id" in found]
    assert len(ids) == len(set(ids))
    labelled = [found["aria-labelledby"] for _, found in tree.seen if "aria-labelledby" in found]
    assert {one for each in labelled for one in each.split()} <= set(ids)
    assert not re.search(r"url\(|@import|https?:", "".join(tree.texts["style"] + tree.texts["script"]))


def test_the_policy_names_the_one_style_and_the_one_script_by_their_hashes():
    page = page_of(nasty_content(), worst_rows=WORST)
    tree = Tree(page)
    policy = next(found["content"] for found in tree.of("meta") if "http-equiv" in found)
    assert policy.split("; ")[0] == "default-src 'none'"
    for tag in ("style", "script"):
        assert len(tree.of(tag)) == 1
        inside = re.search(rf"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL).group(1)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_it_opens_with_the_verdict_and_a_figure():
    page = page_of(content())
    tree = Tree(page)
    places = [page.index(part) for part in ("<h1", "<svg", 'id="systems"', 'id="lights"', 'id="comparisons"')]
    assert places == sorted(places)
    assert [text.strip() for text in tree.texts["strong"]] == ["Transfer helped"]
    assert "3.3 points." in "".join(tree.texts["h1"])
    assert "x: Transfer helped: 3.3 points." in tree.texts["title"]
    described = "".join(tree.texts["desc"])
    assert "adapted 83.4 (81.4 to 85.4)" in described and "majority 50.0 (48.0 to 52.0)" in described


def test_the_tables_hold_the_numbers():
    rows = Tree(page_of(content())).rows
    assert [
        "adapted", "best 83.4 81.4 to 85.4", "77.8 75.8 to 79.8", "348.0", "900", "source, then target",
    ] in rows  # fmt: skip
    assert [row[0] for row in rows[1:8]] == TABLE_ORDER
    assert ["adapted", "40.0", "8.0", "300.0", "900", "22,713,602", "100.00%"] in rows
    assert ["dropped, by reason", "empty: 3, label not mapped: 1,200", "–"] in rows
    assert ["adapted", "target", "82.4", "84.4"] in rows
    shown = next(row for row in rows if row[:4] == ["adapted", "target_only", "target", "macro-F1 points"])
    assert shown[4:] == ["−0.4 −1.0 to +0.2", "", "0.300", "–", "paired bootstrap"]


def test_a_translation_run_is_shown_by_its_own_metric_and_systems():
    page = page_of(translation())
    metric = metric_of("chrf++")
    rows = Tree(page).rows
    assert rows[0][1] == f"{metric.heading} on target"
    shown = {row[0]: row[1] for row in rows[1:6]}
    assert set(shown) == {"copy", "scratch", "zero_shot", "adapted", "apertium"}
    low, high = metric.text(47.0), metric.text(50.0)
    assert f"{metric.text(48.5)} {low} to {high}" in shown["adapted"].replace("best ", "")
    assert "58 target pairs" not in page and "64 target pairs" in page


def test_text_from_data_is_escaped_wherever_it_stands():
    page = page_of(nasty_content(), worst_rows=WORST)
    tree = Tree(page)
    assert tree.of("img") == [] and len(tree.of("script")) == 1
    assert OWNED in "".join(tree.texts["td"])
    assert sum(row.count(NASTY_AS_TEXT) for row in tree.rows) >= 7
    assert NASTY_AS_TEXT in "".join(tree.texts["title"])
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", page)


def test_the_configuration_keeps_its_lines_and_its_indentation():
    given = content()
    given["provenance"]["config"] = {"hub": {"note": "two  spaces\n</pre><script>"}, "plain": 1}
    shown = "".join(Tree(page_of(given)).texts["pre"])
    assert "hub:\n  note:" in shown and "two  spaces" in shown and "</pre><script>" in shown


def test_what_there_is_not_is_left_out():
    bare = without_source() | {"comparisons": [], "findings": [], "provenance": {}}
    for system in bare["systems"].values():
        del system["cost"], system["per_seed"]
    headings = Tree(page_of(bare)).texts["h2"]
    assert headings == ["Systems", "Promises and risks"]
    assert "Learning curves" not in page_of(bare)


def test_a_column_that_no_comparison_fills_is_left_out():
    given = content()
    given["comparisons"] = given["comparisons"][1:]
    page = page_of(given)
    assert "McNemar" in page_of(content()) and "McNemar" not in page


def test_a_verdict_that_was_not_measured_is_shown_too():
    given = content()
    sentence = "Whether transfer helped was not measured: target_only was not run."
    given["verdict"] = {"transfer": "not_measured", "against": "target_only", "sentence": sentence}
    tree = Tree(page_of(given))
    assert tree.texts["strong"] == ["Whether transfer helped was not measured"]
    assert "target_only was not run." in "".join(tree.texts["h1"])
    assert tree.of("h1")[0]["class"] == "not_measured"


def test_nothing_scored_still_makes_a_page():
    given = content()
    given["systems"] = {}
    given["comparisons"] = []
    page = Tree(page_of(given))
    assert page.of("desc") == []
    assert page.texts["h2"][0] == "Systems"


def test_the_runs_figures_are_put_into_the_page(tmp_path):
    figures = []
    for name, size in (("systems", (8, 8)), ("confusion", (30, 20)), ("of_my_own", (5, 6))):
        figures.append(tmp_path / f"{name}.png")
        Image.new("L", size).save(figures[-1])
    pictures = Tree(page_of(content(), figures=figures)).of("img")
    shown = [(each["alt"], each["width"], each["height"]) for each in pictures]
    assert shown == [(ALTERNATIVE_TEXTS["confusion"], "30", "20"), ("of my own", "5", "6")]
    for picture, figure in zip(pictures, figures[1:], strict=True):
        kind, _, content_of = picture["src"].partition(",")
        assert (kind, base64.b64decode(content_of)) == ("data:image/png;base64", figure.read_bytes())


def test_a_report_is_saved_as_a_page_too(tmp_path):
    TransferReport(content()).save(tmp_path, worst_rows=WORST)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page == page_of(content(), worst_rows=WORST)


def test_long_texts_are_cut_and_numbers_keep_their_place():
    rows = Tree(page_of(content(), worst_rows=WORST)).rows
    shown = next(row for row in rows if row[0] == "r2")
    assert len(shown[1]) == 700 and shown[1].endswith("…")
    assert shown[4] == "0.9"


# The lights -------------------------------------------------------------------------------------------------


def finding(check="of_my_own", severity="info", value=0.1, threshold=0.2, evidence="so many rows"):
    return {
        "check": check, "severity": severity, "value": value, "threshold": threshold, "evidence": evidence,
        "advice": "look at it",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (finding(severity="block"), ("stop", "of my own", "check")),
        (finding("forgetting", "warn"), ("look", "Forgetting", "risk")),
        (finding("speed_against_scratch"), ("ok", "Trains faster", "promise")),
        (finding("generalisation_train_test"), ("ok", "Overfitting", "risk")),
        (finding("calibration", value=None), ("not_measured", "Overconfidence", "risk")),
        (
            finding("coverage", value=None, threshold=None, evidence="not measured: 3 rows"),
            ("not_measured", "Overconfidence", "risk"),
        ),
        (finding("licence", value=None, threshold=None), ("ok", "Licence", "risk")),
        (finding("licence", "warn", None, None), ("look", "Licence", "risk")),
        (finding(severity="unheard_of"), ("look", "of my own", "check")),
    ],
)
def test_a_finding_becomes_a_light(given, expected):
    report = content() | {"findings": [given]}
    light = next(light for light in lights_of(TransferReport(report)) if light.check == given["check"])
    assert (light.state, light.said, light.kind) == expected


@pytest.mark.parametrize(
    ("transfer", "state"),
    [("helped", "ok"), ("no_evidence", "look"), ("harmed", "stop"), ("not_measured", "not_measured")],
)
def test_the_verdict_is_a_light_too(transfer, state):
    given = content()
    given["verdict"] = {"transfer": transfer, "against": "target_only", "sentence": "Words: and more."}
    light = next(light for light in lights_of(TransferReport(given)) if light.check == "verdict")
    assert (light.state, light.evidence) == (state, "and more.")


def test_lights_come_gravest_first_and_what_no_check_spoke_of_is_listed_as_not_measured():
    given = content() | {"findings": [finding(), finding("forgetting", "warn"), finding(severity="block")]}
    lights = lights_of(TransferReport(given))
    states = [light.state for light in lights]
    assert states == sorted(states, key=["stop", "look", "ok", "not_measured"].index)
    silent = {light.said for light in lights if light.state == "not_measured"}
    assert silent == {topic.said for topic in TOPICS if topic.unmeasured} - {"Forgetting"}
    assert tally(lights) == [("stop", 1), ("look", 1), ("ok", 2), ("not_measured", len(silent))]


def test_no_check_belongs_to_two_topics():
    names = [name for topic in TOPICS for name in topic.checks]
    assert [name for name in names if sum(topic.holds(name) for topic in TOPICS) != 1] == []


def test_a_light_has_a_word():
    rows = Tree(page_of(nasty_content())).rows
    words = {row[1] for row in rows if len(row) == 6 and row[1].split(" ", 1)[-1] in ("stop", "look", "ok")}
    assert words == {"× stop", "! look", "✓ ok"}
    assert ["Needs less data promise", "– not measured", "–", "–", ""] in [row[:5] for row in rows]


# The figures ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([50.2, 84.0], ["50", "60", "70", "80"]),
        ([0.0, 1.0], ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ([-0.031, 0.052], ["−0.02", "0.00", "0.02", "0.04"]),
        ([12.0, 9000.0], ["0", "2000", "4000", "6000", "8000"]),
    ],
)
def test_ticks_are_round_and_few(values, expected):
    axis = plots.Axis(values)
    assert [tick.text for tick in axis.ticks()] == expected
    assert all(0 <= tick.at <= 100 for tick in axis.ticks())


def test_an_axis_of_one_value_has_room_around_it():
    axis = plots.Axis([100.0, 100.0])
    assert axis.at(100.0) == 50.0
    assert len(axis.ticks()) >= 2


def test_intervals_of_both_domains_stand_on_one_axis():
    entry = {"value": 0.6, "low": 0.5, "high": 0.7}
    scored = {"a": {"target": entry, "source": None}, "b": {"target": entry | {"high": 1.0}, "source": entry}}
    target, source = plots.interval_panels(
        scored, {"target": "n = 2", "source": "n = 3"}, metric_of("accuracy"), adapted=["b"], reference="a"
    )
    assert [(mark.name, mark.adapted) for mark in target.marks] == [("a", False), ("b", True)]
    # Values from 50 to 100 with 4% of room on either side: 60 stands at (60 - 48) / 54.
    assert target.marks[0].at == source.marks[0].at == pytest.approx(22.22)
    assert source.marks[0].top == target.marks[1].top, "each system keeps its row"
    assert target.reference == plots.Tick(target.marks[0].at, "a") and source.reference is None
    assert source.description == "b 60.0 (50.0 to 70.0)"


def test_learning_curves_rise_over_a_logarithmic_axis():
    points = [
        {"system": "adapted", "size": size, "value": value, "low": None, "high": None}
        for size, value in ((64, 0.7), (16, 0.6), (256, 0.8))
    ]
    drawn = plots.learning_curves(
        [*points, {"system": "adapted", "size": 0, "value": 0.1}], metric_of("accuracy")
    )
    (curve,) = drawn.curves
    across = [point.x for point in curve.points]
    assert across[1] - across[0] == pytest.approx(across[2] - across[1], abs=0.02)
    assert [point.y for point in curve.points] == sorted((point.y for point in curve.points), reverse=True)
    assert all(point.low == point.y == point.high for point in curve.points), "no interval, no whisker"
    assert [tick.text for tick in drawn.sizes] == ["16", "64", "256"]
    assert plots.learning_curves([], metric_of("accuracy")) is None


def test_every_system_of_a_task_has_a_look_of_its_own():
    systems = ("majority", "tfidf", "zero_shot", "probe", "target_only", "scratch", "adapted")
    points = [{"system": name, "size": 16, "value": 0.5, "low": 0.4, "high": 0.6} for name in systems]
    drawn = plots.learning_curves(points, metric_of("accuracy"))
    assert sorted(curve.look for curve in drawn.curves) == list(range(len(systems)))
    page = page_of({**content(), "curves": points})
    legend = page[page.index('<ul class="legend">') : page.index("</ul>", page.index('<ul class="legend">'))]
    shapes = [each.split("/>")[0] for each in legend.split('class="shape"')[1:]]
    assert len(set(shapes)) == len(systems)


def test_curves_are_drawn_where_the_content_has_them():
    tree = Tree(page_of({**content(), "curves": CURVES}))
    assert "scratch with 16 labels: 55.0" in "".join(tree.texts["desc"])
    assert ["adapted", "256", "84.0 82.0 to 85.0"] in tree.rows


# The worst rows ---------------------------------------------------------------------------------------------


def test_the_worst_rows_are_wrong_and_surest_first():
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.99, 0.01], [0.3, 0.7]])
    rows = worst_classified(
        probabilities, np.array([1, 0, 1, 1]), ids=list("abcd"), texts=list("ABCD"), label_names=["n", "p"]
    )
    assert [row["id"] for row in rows] == ["c", "a", "b"]
    assert rows[0] == {
        "id": "c", "text": "C", "label": "p", "predicted": "n", "p_predicted": 0.99, "p_label": 0.01,
    }  # fmt: skip


def test_a_metric_in_the_worst_rows_is_written_as_everywhere():
    rows = [{"id": "a", "macro_f1": 0.25}, {"id": "b", "macro_f1": None}]
    shown = Tree(page_of(content(), worst_rows=rows)).rows
    assert [row for row in shown if len(row) == 2] == [["id", "macro-F1"], ["a", "25.0"], ["b", "–"]]


def test_a_faultless_model_has_no_worst_rows():
    assert (
        worst_classified(np.eye(2), np.array([0, 1]), ids=["a", "b"], texts=["", ""], label_names=["n", "p"])
        == []
    )


# Several runs -----------------------------------------------------------------------------------------------


def test_the_comparison_says_which_run_is_best_and_what_is_noise():
    found = side_by_side()
    assert found.best == "full"
    assert found.sentence == (
        "full scores best: accuracy 83.4% on 1,398 target test rows, beyond row noise and seed noise above "
        f"{NASTY_AS_TEXT}; no evidence of a difference from probe."
    )
    assert [judgement(each) for each in found.judged] == [
        "no evidence of a difference", "full is better", "probe is better",
    ]  # fmt: skip


def test_the_better_run_may_stand_second():
    found = side_by_side(scores=(0.62, 0.834, 0.8))
    assert found.best == "probe"
    assert judgement(found.judged[0]) == "probe is better"
    assert found.sentence.count("above full;") == 1


def test_the_comparison_as_a_page_is_well_formed_and_escaped():
    tree = Tree(side_by_side_html(side_by_side()))
    assert len(tree.of("script")) == 1 and tree.of("img") == []
    assert [text.strip() for text in tree.texts["strong"]] == ["full scores best"]
    assert ["adaptation.method", "full", "probe", "–"] in tree.rows
    assert ["full", "probe", "+3.3 −1.7 to +8.3", "assumed", "no evidence of a difference"] in tree.rows
    assert tree.texts["h2"] == [
        "Runs",
        "Each against each, on target",
        "What differs",
        "Every system",
        "Paired comparisons",
    ]


def test_runs_are_listed_where_they_have_no_scores():
    found = side_by_side()
    given = copy.deepcopy(next(iter(found.runs.values())).content) | {"systems": {}}
    empty = SideBySide({name: TransferReport(given) for name in found.runs}, [], [], {}, [])
    assert empty.sentence == "No run has a score on the target."
    assert "What differs" not in Tree(side_by_side_html(empty)).texts["h2"]


def test_a_page_that_cannot_be_written_is_one_message(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ConfigError, match=r"file/page\.html cannot be written: .*/file is a file and no folder"
    ):
        save_page(side_by_side(), tmp_path / "file" / "page.html")
    with pytest.raises(ConfigError, match=r"cannot be written to .*/aaa"):
        save_page(side_by_side(), tmp_path / ("a" * 300))
