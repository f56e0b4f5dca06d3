"""README.md and docs/: every command, YAML and Python snippet is run or checked; every link leads somewhere.

Command lines are parsed by the command line itself; those that take a moment are run, in a folder that holds
what a reader of the page would have by then: the page's recipes, with tiny models in the place of real ones,
and the finished runs under the names that the page gives them. Training and the network are left to other
tests.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from snippets import NOT_RUN, PAGES, ROOT, Snippet, anchors, commands, links, snippets, tagged
from tiny import sentences, write_csv
from tiny_translation import easy_pairs, write_pairs

from nlp_transfer import TranslationTransfer, cli
from nlp_transfer.config import RecipeConfig, load_config, parse_config, read_yaml, reference, write_yaml
from nlp_transfer.config.keys import SECTIONS
from nlp_transfer.data.cards import load_card
from nlp_transfer.errors import PublishError, RunError
from nlp_transfer.resources import list_recipes

sys.path.insert(0, str(ROOT / "docs"))
import generated

TAGS = ("", "yaml", "python", *NOT_RUN)
# A page whose pieces of recipes and whose runs are all of translation.
TRANSLATION_PAGE = "docs/translation.md"
TAKE_A_RECIPE = ("check", "run", "train", "evaluate", "curve")
# What takes seconds on tiny models; of `push` the dry run.
QUICK = ("check", "report", "compare", "predict", "translate", "push", "cards list", "cards show",
         "recipes list", "recipes copy", "recipes keys")  # fmt: skip
SHELL = [snippet for snippet in snippets() if not snippet.tag]
PROGRAMS = ("nlp-transfer", "accelerate", "python", "sphinx-build", "cat", "hf")


# What is what ------------------------------------------------------------------------------------------


def is_output(snippet: Snippet) -> bool:
    """Tell README's untagged blocks without a command: the table of a run, the tree."""
    return snippet.page == "README.md" and not any(
        line.startswith(tuple(f"{program} " for program in PROGRAMS)) for line in snippet.text.splitlines()
    )


def of_page(page: str) -> list[list[str]]:
    return [
        words
        for snippet in SHELL
        if snippet.page == page and not is_output(snippet)
        for words in commands(snippet.text)
    ]


def parsed(words: list[str]) -> tuple[str, dict[str, Any]]:
    """Parse an nlp-transfer command line as the command would; return the command and its parameters."""
    group: Any = typer.main.get_command(cli.app)
    context = group.make_context("nlp-transfer", list(words[1:]))
    named: list[str] = []
    while hasattr(group, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        name, group, rest = group.resolve_command(context, rest)
        named.append(name)
        context = group.make_context(name, rest, parent=context)
    return " ".join(named), dict(context.params)


def recipes_of(page: str) -> dict[str, dict[str, Any]]:
    """Return the recipes that a page writes out, by the files that they are put into."""
    return {
        str(snippet.file): read_yaml(snippet.text, where=str(snippet))
        for snippet in tagged("yaml")
        if snippet.page == page and snippet.file
    }


def completed(content: dict[str, Any], page: str) -> dict[str, Any]:
    """Add what a piece of a recipe leaves out and a recipe must have."""
    task = "translation" if page == TRANSLATION_PAGE else "sentiment"
    whole = {"task": task, "output_dir": "runs/mine", "model": {"path": "a/model"}, **content}
    return {**whole, "data": {"target": {"path": "mine.csv"}, **content.get("data", {})}}


# Tags, YAML, links -------------------------------------------------------------------------------------


def test_every_snippet_has_a_tag_that_says_how_it_is_checked():
    assert [f"{each}: {each.tag}" for each in snippets() if each.tag not in TAGS] == []
    assert [
        f"{each}: {words}" for each in SHELL if not is_output(each)
        for words in commands(each.text) if words[0] not in PROGRAMS
    ] == []  # fmt: skip


@pytest.mark.parametrize("snippet", tagged("yaml"), ids=str)
def test_yaml_is_a_recipe_or_the_head_of_a_card(snippet, tmp_path):
    content = read_yaml(snippet.text, where=str(snippet))
    if "nlp_transfer" in content:
        card = tmp_path / "card.md"
        card.write_text(f"---\n{snippet.text}---\nWhat the rows are.\n")
        assert load_card(str(card)).spec.declared.rows == sum(
            content["nlp_transfer"]["declared"]["labels"].values()
        )
        return
    config = parse_config(completed(content, snippet.page), where=str(snippet))
    assert isinstance(config, RecipeConfig)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_pages_files_and_headings(page):
    for link in links(page):
        if re.match(r"https?://", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link


# Command lines -----------------------------------------------------------------------------------------


def require_recipe(name: Path, overrides: list[str], page: str, folder: Path) -> None:
    """Validate the recipe that a command names, with the command's changes: a shipped one, or the page's."""
    copied = {
        words[words.index("--to") + 1]: words[3]
        for words in of_page(page)
        if words[:3] == ["nlp-transfer", "recipes", "copy"] and "--to" in words
    }
    shipped = str(name).removeprefix("recipes/").removesuffix(".yaml")
    if shipped in list_recipes() or str(name) in copied:
        source = ROOT / "recipes" / f"{copied.get(str(name), shipped)}.yaml"
    else:
        # A page that names a recipe which another one writes out.
        known = {
            file: content
            for each in PAGES
            for file, content in recipes_of(str(each.relative_to(ROOT))).items()
        }
        known |= recipes_of(page)
        source = folder / name.name
        source.write_text(write_yaml(known[str(name)]))
    load_config(source, overrides)


@pytest.mark.parametrize("snippet", [each for each in SHELL if not is_output(each)], ids=str)
def test_command_lines_are_ones_that_the_program_takes(snippet, tmp_path):
    for words in commands(snippet.text):
        if words[0] == "nlp-transfer":
            command, given = parsed(words)
            if command in TAKE_A_RECIPE:
                require_recipe(given["config"], given["overrides"] or [], snippet.page, tmp_path)
            if command == "recipes copy":
                assert given["name"] in list_recipes()
            if command in ("cards show", "cards prepare"):
                assert load_card(given["name"]).body
        elif words[0] == "accelerate":
            require_launch(words[2:], snippet.page, tmp_path)
        elif words[:3] == ["python", "-m", "pip"]:
            extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
            assert set(re.findall(r"\[(\w+)\]", words[-1])) <= set(extras)
            assert (ROOT / words[words.index("-c") + 1]).is_file()
        else:
            # Others' programs: what may be read of their arguments here is that they are the known ones.
            assert words in (
                ["python", "-m", "pytest"], ["hf", "auth", "login"],
                ["sphinx-build", "-q", "-W", "--keep-going", "docs", "build/docs"],
            ) or (words[0] == "cat" and len(words) == 2)  # fmt: skip


def require_launch(words: list[str], page: str, folder: Path) -> None:
    """Have accelerate's own parser read a launch line, and validate script, hardware and recipe."""
    from accelerate.commands.launch import launch_command_parser

    given = launch_command_parser().parse_args(words)
    assert (ROOT / given.training_script).is_file()
    assert given.config_file is None or (ROOT / given.config_file).is_file()
    flag, recipe, *overrides = given.training_script_args
    assert flag == "--config"
    require_recipe(Path(recipe), overrides, page, folder)


# A page's commands and Python, for real -----------------------------------------------------------------


@pytest.fixture(scope="session")
def translation_run(tiny_translator: Any, tmp_path_factory: Any) -> Path:
    """The folder of a finished run of translation, as short as one can be."""
    root = Path(tmp_path_factory.mktemp("translation"))
    content = {
        "task": "translation",
        "output_dir": str(root / "run"),
        "model": {"path": str(tiny_translator("marian")), "max_length_tokens": 60},
        "data": {
            "target": {"path": str(write_pairs(root / "pairs.csv", 400)), "src_lang": "en", "tgt_lang": "es"}
        },
        "source_stage": None,
        "training": {"max_steps": 2, "bf16": False},
        "evaluation": {"bootstrap": 100, "num_beams": 1, "baselines": ["copy"]},
    }
    TranslationTransfer(parse_config(content)).run()
    return root / "run"


@pytest.fixture
def reader(
    tmp_path: Path,
    monkeypatch: Any,
    finished_copy: Path,
    translation_run: Path,
    tiny_model: Any,
    tiny_translator: Any,
    domains: dict[str, Path],
) -> Iterator[Callable[[str], None]]:
    """Return what puts the files and the runs of a page's reader into the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    log = logging.getLogger("nlp_transfer")
    before = log.handlers, log.level, log.propagate

    def prepare(page: str) -> None:
        Path("runs").mkdir()
        for name in runs_of(page):
            (Path("runs") / name).symlink_to(translation_run if translates(name, page) else finished_copy)
        write_inputs()
        for file, content in recipes_of(page).items():
            model = tiny_translator("marian") if content["task"] == "translation" else tiny_model("bert")
            small = {**content, "model": {"path": str(model), "max_length_tokens": 40}}
            if "source" in content["data"]:
                small["data"] = {**content["data"], "source": {"path": str(domains["movies"])}}
            Path(file).write_text(write_yaml(small))

    yield prepare
    log.handlers, log.level, log.propagate = before


def runs_of(page: str) -> set[str]:
    """Return the names of the runs that a page speaks of."""
    text = "".join(each.text for each in snippets() if each.page == page)
    return set(re.findall(r"\bruns/(\w+)", text))


def translates(run: str, page: str) -> bool:
    """Tell whether a run of a page is one of translation."""
    outputs = {
        content["output_dir"] for content in recipes_of(page).values() if content["task"] == "translation"
    }
    return page == TRANSLATION_PAGE or f"runs/{run}" in outputs


def write_inputs() -> None:
    """Write the files that the pages read: reviews with stars and products, texts, pairs, a catalogue."""
    stars = {"negative": 1, "positive": 5}
    reviews = [
        (text, stars[label], f"p{row % 40}")
        for row, (text, label) in enumerate(sentences("products", 160, seed=0))
    ]
    for name in ("reviews.csv", "new.csv", "mine.csv"):
        write_csv(Path(name), ("review", "stars", "product"), reviews)
    for name in ("reviews.txt", "new.txt"):
        Path(name).write_text("the red file opens\nthe old window closes\n")
    write_pairs(Path("easy.csv"), 300)
    Path("pairs.csv").write_text(Path("easy.csv").read_text().replace("en,es", "English,Galician", 1))
    head = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\n'
    Path("translations/gl").mkdir(parents=True)
    pairs = easy_pairs(300)
    entries = [
        f'msgid "{source}"\nmsgstr "{target}"\n'
        for source, target in zip(pairs.sources, pairs.targets, strict=True)
    ]
    Path("translations/gl/app.po").write_text(head + "\n".join(entries))
    Path("gl.po").write_text(
        f'{head}msgid "the red file"\nmsgstr ""\n\nmsgid "a house"\nmsgstr "unha casa"\n'
    )


def run_command(words: list[str], given_to_stdin: str, monkeypatch: Any) -> None:
    """Run a command in this process; an error that a user would see is raised."""
    import io

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given_to_stdin.encode()), encoding="utf-8"))
    group: Any = typer.main.get_command(cli.app)
    group.main(list(words[1:]), prog_name="nlp-transfer", standalone_mode=False)


def is_quick(words: list[str]) -> bool:
    if words[0] != "nlp-transfer":
        return False
    command, given = parsed(words)
    if command == "push":
        return bool(given["dry_run"])
    return command in QUICK and not str(given.get("config", "")).startswith("recipes/")


def quick_commands(page: str) -> list[list[str]]:
    return [words for words in of_page(page) if is_quick(words)]


WITH_QUICK = [page for page in (str(each.relative_to(ROOT)) for each in PAGES) if quick_commands(page)]


@pytest.mark.parametrize("page", WITH_QUICK)
def test_a_reader_can_run_the_quick_commands_of_a_page(page, reader, monkeypatch, capsys):
    reader(page)
    for words in quick_commands(page):
        make_runs_distinct(words)
        try:
            run_command(words, "the red file opens\n", monkeypatch)
        except PublishError as error:
            # The tiny base model has no licence, and no other gate is closed.
            assert words[1] == "push"
            assert "1 gate(s) are closed:\n  - base licence" in str(error)
        assert capsys.readouterr().out or "--output" in words, words


def test_the_page_on_chains_runs(reader, monkeypatch, capsys):
    page = "docs/transfer-learning.md"
    lines = [words for words in of_page(page) if words[1] == "run" and "--continue-from" in words]
    assert len(lines) == 2
    reader(page)
    for words in lines:
        make_runs_distinct(words)
    for words in lines:
        # A page's runs are there; these are to be made.
        for name in ("returns", "returns_guarded"):
            if (Path("runs") / name).is_symlink():
                (Path("runs") / name).unlink()
        small = ["training.bf16=false", "adaptation.training.num_train_epochs=2", "evaluation.bootstrap=100"]
        try:
            run_command([*words, *small], "", monkeypatch)
            assert "Continued from reviews." in capsys.readouterr().out
        except RunError as error:
            # Tiny models forget; the guard is there to say so.
            assert "returns_guarded" in str(error)


def make_runs_distinct(words: list[str]) -> None:
    """Make the compared runs folders of their own: one run is not compared with itself."""
    import shutil

    for run in [word for word in words if word.startswith("runs/")]:
        finished = Path(run).resolve()
        if Path(run).is_symlink():
            Path(run).unlink()
            shutil.copytree(finished, run)


@pytest.mark.parametrize("snippet", tagged("python"), ids=str)
def test_python_runs(snippet, reader, finished, translation_run, capsys):
    reader(snippet.page)
    for file in re.findall(r'from_config\("([\w.]+)"', snippet.text):
        # The finished run's own recipe: running it again trains nothing. Other rows need the page's own.
        if "data=" in snippet.text:
            continue
        task = recipes_of(snippet.page)[file]["task"]
        run = translation_run if task == "translation" else finished
        Path(file).write_text((run / "config.yaml").read_text())
    code = snippet.text.replace("evaluation.seeds=[0,1,2]", "evaluation.seeds=[0]")
    exec(compile(code, str(snippet), "exec"), {"__name__": "snippet"})
    assert capsys.readouterr().out or "print" not in snippet.text
    if "save_pretrained" in snippet.text:
        saved = re.findall(r'save_pretrained\("([\w/]+)"\)', snippet.text)
        assert all((Path(folder) / "model.safetensors").is_file() for folder in saved)


# What must not drift ------------------------------------------------------------------------------------


def words_in_code(page: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", (ROOT / page).read_text(encoding="utf-8")))


def test_every_field_and_every_finding_of_a_run_is_documented(finished):
    report = json.loads((finished / "report.json").read_text())
    fields = {
        *report,
        *report["verdict"],
        *report["provenance"],
        *report["comparisons"][0],
        *report["findings"][0],
    }
    fields |= {*report["systems"], *report["systems"]["adapted"], *report["systems"]["adapted"]["cost"]}
    fields |= set(report["systems"]["adapted"]["target"])
    fields |= {*report["systems"]["adapted"]["target"]["accuracy"], *report["provenance"]["data"]["target"]}
    checks = {finding["check"] for finding in report["findings"]}
    assert (fields | checks) - words_in_code("docs/report.md") == set()


def test_every_documented_check_is_one_of_the_code():
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "nlp_transfer").rglob("*.py"))
    rows = re.findall(
        r"^\| (`\w+`(?:, `\w+`)*) \| (?:both|sentiment|translation)[^|]*\|",
        (ROOT / "docs/report.md").read_text(),
        re.M,
    )
    documented = {check for row in rows for check in re.findall(r"`(\w+)`", row)}
    # Names that end in the systems that are compared are put together when the run is.
    together = {
        name
        for name in documented
        if name.startswith(("speed_against_", "stochastic_order_", "generalisation_"))
    }
    assert len(documented) > 30
    assert {check for check in documented - together if f'"{check}"' not in code} == set()


def test_functions_named_as_there_are_there():
    import importlib

    named = re.findall(r"`(\w+)\.(\w+)`", (ROOT / "docs/transfer-learning.md").read_text())
    functions = [
        (module, name) for module, name in named if (ROOT / f"nlp_transfer/diagnostics/{module}.py").is_file()
    ]
    assert len(functions) > 8
    for module, name in functions:
        assert callable(getattr(importlib.import_module(f"nlp_transfer.diagnostics.{module}"), name))


def test_the_keys_of_every_section_are_written_out_with_their_words():
    written = reference.config_reference()
    for section in SECTIONS.values():
        for name, hint, field in reference.keys_of(section):
            assert f"- **`{name}`** (" in written
            assert field.description or getattr(hint, "__doc__", None), f"{section.__name__}.{name}"
    assert (
        "- **`rank`** (whole number, at least 1; default: `16`). Rank of LoRA's matrices (peft's r)."
        in written
    )
    assert re.search(r"- \*\*`baselines`\*\* \(list of [^;]*; default: all of the task\)\.", written)
    assert "- **`target`** (section; required). The domain to adapt to." in written


def test_every_command_is_in_the_reference():
    group: Any = typer.main.get_command(cli.app)
    written = generated.cli_reference()
    for name, command in group.commands.items():
        assert f"`nlp-transfer {name}`" in written
        for inner in getattr(command, "commands", {}):
            assert f"`nlp-transfer {name} {inner}`" in written
