"""The pages in a real Chromium: they open, sort, print, keep to themselves; text from data stays text."""

from __future__ import annotations

import base64
import itertools
from pathlib import Path

import chromium
import pytest
from sample_reports import (
    CURVES,
    NASTY_AS_TEXT,
    OWNED,
    WORST,
    content,
    nasty_content,
    side_by_side,
    without_source,
)
from selenium.webdriver.common.keys import Keys

from nlp_transfer.reporting.html import report_html
from nlp_transfer.reporting.report import TransferReport
from nlp_transfer.reporting.side_by_side import save_page

PAGES = ("whole", "nasty", "bare", "runs")
SYSTEMS = "section[aria-labelledby=systems] table"
# A PNG of one grey point.
POINT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="session")
def driver(tmp_path_factory):
    started = chromium.start(tmp_path_factory.mktemp("profile"))
    yield started
    started.quit()


@pytest.fixture
def open_page(driver):
    """Return a function that opens a file, wide and light; how it is shown is put back afterwards."""

    def opened(path):
        page = chromium.Page(driver, path)
        page.set_width(1280)
        page.set_media()
        return page

    yield opened
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """A whole report, one full of markup, one with nothing that can be left out, and a comparison of runs."""
    folder = tmp_path_factory.mktemp("pages")
    figure = folder / "confusion.png"
    figure.write_bytes(POINT)
    bare = without_source() | {"comparisons": [], "findings": [], "provenance": {}}
    for system in bare["systems"].values():
        del system["cost"], system["per_seed"]
    shown = {"figures": [figure], "worst_rows": WORST}
    for name, given, more in (
        ("whole", {**content(), "curves": CURVES}, shown),
        ("nasty", {**nasty_content(), "curves": CURVES}, shown),
        ("bare", bare, {}),
    ):
        (folder / name).mkdir()
        page = report_html(TransferReport(given), **more)
        (folder / name / "report.html").write_text(page, encoding="utf-8")
    save_page(side_by_side(), folder / "runs" / "report.html")
    return {name: folder / name / "report.html" for name in PAGES}


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_it_opens_without_a_request_and_without_a_complaint(open_page, pages, name, width):
    page = open_page(pages[name])
    page.set_width(width)
    page.driver.refresh()
    assert page.find("h1").is_displayed()
    assert set(page.requests()) == {pages[name].as_uri()}
    assert page.complaints() == []


def test_its_own_policy_stops_what_would_leave_it_or_run_in_it(open_page, pages):
    page = open_page(pages["whole"])
    stopped = page.driver.execute_async_script("""
        const done = arguments[0], seen = [];
        addEventListener("securitypolicyviolation", (event) => {
            seen.push(event.effectiveDirective);
            if (seen.length === 4) done(seen);
        });
        const add = (tag, given) => document.body.append(Object.assign(document.createElement(tag), given));
        add("img", {src: "https://example.invalid/x.png"});
        add("script", {textContent: "document.title = 'owned'"});
        add("style", {textContent: "body {display: none}"});
        fetch("https://example.invalid/x").catch(() => null);
    """)
    assert sorted(stopped) == ["connect-src", "img-src", "script-src-elem", "style-src-elem"]
    assert page.driver.title != "owned"


@pytest.mark.parametrize(("name", "width"), itertools.product(PAGES, [320, 390, 768, 1280]))
def test_only_tables_scroll_sideways_never_the_page(open_page, pages, name, width):
    page = open_page(pages[name])
    page.set_width(width)
    page.ask("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert page.ask("document.scrollingElement.scrollWidth") <= width
    assert page.ask("document.querySelector('h1').getBoundingClientRect().right") <= width


def first_column(page, selector):
    return page.ask(
        f"[...document.querySelector('{selector}').tBodies[0].rows].map((r) => r.cells[0].innerText)"
    )


def directions(page, selector):
    headings = f"[...document.querySelector('{selector}').tHead.rows[0].cells]"
    return page.ask(f"{headings}.map((each) => each.getAttribute('aria-sort'))")


def test_a_click_on_a_heading_sorts_and_another_turns_it_round(open_page, pages):
    page = open_page(pages["whole"])
    button = page.find(f"{SYSTEMS} th:nth-child(2) button")
    button.click()
    rising = ["majority", "scratch", "tfidf", "zero_shot", "probe", "target_only", "adapted"]
    assert first_column(page, SYSTEMS) == rising
    assert directions(page, SYSTEMS) == [None, "ascending", None, None, None, None]
    button.click()
    assert first_column(page, SYSTEMS) == rising[::-1]
    assert directions(page, SYSTEMS)[1] == "descending"
    page.find(f"{SYSTEMS} th:nth-child(1) button").click()
    assert first_column(page, SYSTEMS) == sorted(rising)
    assert directions(page, SYSTEMS) == ["ascending", None, None, None, None, None]


def test_tables_are_sorted_by_keyboard(open_page, pages):
    page = open_page(pages["whole"])
    page.ask("document.querySelector('section .scroll').focus()")
    for _ in range(5):
        page.driver.switch_to.active_element.send_keys(Keys.TAB)
    reached = page.driver.switch_to.active_element
    assert reached.text == "peak memory, MB"
    assert page.ask("getComputedStyle(arguments[0]).outlineStyle", reached) == "solid"
    reached.send_keys(Keys.ENTER)
    assert first_column(page, SYSTEMS)[0] == "adapted", "900 MB"
    page.driver.switch_to.active_element.send_keys(Keys.SPACE)
    assert first_column(page, SYSTEMS)[-1] == "adapted"


def test_what_was_not_measured_comes_last_in_both_directions(open_page, pages):
    page = open_page(pages["whole"])
    lights = "section[aria-labelledby=lights] table"
    numbers = f"[...document.querySelector('{lights}').tBodies[0].rows].map((r) => r.cells[2].innerText)"
    for _ in range(2):
        page.find(f"{lights} th:nth-child(2) button").click()
    assert page.ask(numbers)[0] == "–", "turned round, so that it does not come last by chance"
    for expected in (["−0.008", "0", "0.033"], ["0.033", "0", "−0.008"]):
        page.find(f"{lights} th:nth-child(3) button").click()
        shown = page.ask(numbers)
        assert shown[:3] == expected
        assert set(shown[3:]) == {"–"}


@pytest.mark.parametrize("width", [390, 1280])
def test_a_review_that_holds_markup_stays_text(open_page, pages, width):
    page = open_page(pages["nasty"])
    page.set_width(width)
    assert page.driver.title.endswith(NASTY_AS_TEXT)
    assert page.ask("document.scripts.length") == 1
    assert page.ask("document.querySelectorAll('main img:not([src^=\"data:image/png\"])').length") == 0
    worst = page.find("section[aria-labelledby=worst]").text
    assert OWNED in worst
    assert page.find("h1").text.replace("\n", " ") == NASTY_AS_TEXT
    page.ask("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert "<script>" in page.find("pre").text
    assert page.complaints() == []


def test_printing_opens_what_is_closed_and_closes_it_again(open_page, pages):
    page = open_page(pages["whole"])
    page.ask("""addEventListener("beforeprint", () => {
        window.closedOnPaper = document.querySelectorAll("details:not([open])").length;
    })""")
    paper = page.driver.print_page()
    assert len(base64.b64decode(paper)) > 20_000
    assert page.ask("window.closedOnPaper") == 0
    assert page.ask("document.querySelectorAll('details[open]').length") == 0


@pytest.mark.parametrize("width", [390, 794])
def test_on_paper_it_is_black_on_white_with_whole_tables(open_page, pages, width):
    page = open_page(pages["whole"])
    page.set_width(width)
    page.set_media(scheme="dark", medium="print")
    style = "getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    assert page.ask(style, "body", "backgroundColor") == "rgb(255, 255, 255)"
    assert page.ask(style, "summary", "display") == "none"
    assert page.ask(style, ".fold tbody", "display") == "table-row-group", (
        "not folded, though paper is narrow"
    )
    assert page.ask(style, ".scroll", "overflowX") == "visible"
    assert page.ask(style, "tr", "breakInside") == "avoid"


def test_on_paper_no_table_is_wider_than_the_page(open_page, pages):
    page = open_page(pages["whole"])
    # A4 without its margins, in CSS pixels.
    page.set_width(688)
    page.set_media(medium="print")
    page.ask("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    widths = page.ask("[...document.querySelectorAll('table')].map((t) => t.getBoundingClientRect().right)")
    assert max(widths) <= 688


def test_on_a_phone_lights_are_cards_and_their_numbers_are_named(open_page, pages):
    page = open_page(pages["whole"])
    page.set_width(390)
    row = page.find("section[aria-labelledby=lights] tbody tr")
    assert row.text.splitlines()[:2] == ["Forgetting", "risk"]
    label = page.ask("getComputedStyle(document.querySelector('.fold td.number'), '::before').content")
    assert label.replace('"', "").strip().startswith("number")
    assert page.ask("arguments[0].getBoundingClientRect().width", row) <= 390


# Contrast ---------------------------------------------------------------------------------------------------

# The ratio of WCAG 2.2 (relative luminance) between each text and the nearest background that is not clear.
CONTRAST = """(() => {
    const parse = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
    const linear = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
    const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    const behind = (node) => {
        for (let at = node; at; at = at.parentElement) {
            const colour = parse(getComputedStyle(at).backgroundColor);
            if (colour.length === 3 || colour[3] > 0) return colour;
        }
        return [255, 255, 255];
    };
    const faint = [];
    for (const node of document.querySelectorAll("body *")) {
        const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
        if (!own || ["SCRIPT", "STYLE", "title", "desc"].includes(node.tagName)) continue;
        const style = getComputedStyle(node);
        const text = light(parse(node instanceof SVGElement ? style.fill : style.color));
        const ground = light(behind(node));
        const ratio = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
        if (ratio < 4.5) faint.push([node.tagName, node.textContent.slice(0, 40), ratio]);
    }
    return faint;
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["whole", "runs"])
def test_all_text_stands_out_in_light_and_in_dark(open_page, pages, name, scheme):
    page = open_page(pages[name])
    page.set_media(scheme=scheme)
    ground = page.ask("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(251, 251, 249)", "dark": "rgb(19, 21, 25)"}[scheme]
    assert page.ask(CONTRAST) == []


def test_the_page_is_small(pages):
    for path in pages.values():
        html = path.read_text(encoding="utf-8")
        images = sum(len(part.split('"', 1)[0]) for part in html.split("data:image/png;base64,")[1:])
        assert len(html.encode()) - images < 150_000


def test_no_file_stands_beside_the_page(pages):
    assert {path.name for path in Path(pages["runs"]).parent.iterdir()} == {"report.html"}
