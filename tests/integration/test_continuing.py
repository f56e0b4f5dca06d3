"""Chains of sentiment runs: what a model goes on from, what of it must not be lost, and who sees to that."""

from __future__ import annotations

import csv
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
    path = Path(report_of(folder)["provenance"]["config"]["data"]["target"]["path"])
    with path.open(encoding="utf-8", newline="") as file:
        return {str(number): row["text"] for number, row in enumerate(csv.DictReader(file))}


def test_a_chain_of_three_scores_every_earlier_test_set_at_each_step(
    finished: Path, second: Path, step: MakeRecipe, tmp_path: Path
) -> None:
    report = step(tmp_path / "third", second / "model", "flipped").run()
    chain = report.content["chain"]
    assert (chain["continued_from"], chain["metric"]) == ("books", "accuracy")
    assert chain["steps"] == ["source model", "run", "books", "third"]
    assert [each["name"] for each in chain["test_sets"]] == [
        "source of run",
        "target of run",
        "target of books",
    ]
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


# The guard ---------------------------------------------------------------------------------------------


def test_a_guard_lets_a_model_pass_that_kept_what_it_knew(
    finished: Path, step: MakeRecipe, tmp_path: Path
) -> None:
    report = step(tmp_path / "kept", finished, adaptation__guard={"max_drop": 0.5}).run()
    assert report.content["chain"]["guard"]["accepted"] is True
    finding = next(each for each in report.findings if each["check"] == "guard")
    assert (finding["severity"], finding["threshold"]) == ("info", 0.5)
    assert "The guard let the model pass." in str(report)
    assert (tmp_path / "kept" / "model").is_dir()


def test_a_guard_refuses_a_model_that_lost_more(
    finished: Path, step: MakeRecipe, tmp_path: Path, call: Call, trained: list[str]
) -> None:
    folder = tmp_path / "lost"
    changes = {"adaptation__guard": {"max_drop": 0.01}, "adaptation__method": "lora"}
    recipe = step(folder, finished, "flipped", **changes)
    (tmp_path / "lost.yaml").write_text(write_yaml(recipe._resolved()))
    ended = call("run", tmp_path / "lost.yaml", "--continue-from", finished)
    assert (ended.status, ended.out) == (1, "")
    last = ended.err.splitlines()[-1]
    assert last.startswith(
        f"nlp-transfer: the model of {folder} is not handed over, the guard refused it: of 2 earlier test"
    )
    assert "points of accuracy below its best score, and 1 are allowed (n = 24 rows)" in ended.err
    assert "Traceback" not in ended.err
    names = {path.name for path in folder.iterdir()}
    assert not {"model", "adapter"} & names
    assert {"refused_model", "refused_adapter", "report.json", "report.md", "report.html"} <= names
    chain = report_of(folder)["chain"]
    assert chain["guard"]["accepted"] is False
    blocking = [each for each in report_of(folder)["findings"] if each["severity"] == "block"]
    assert [each["check"] for each in blocking] == ["guard"]
    assert "The guard refused the model for" in (folder / "report.md").read_text()
    for place in (folder, folder / "model", folder / "adapter"):
        with pytest.raises(ModelError, match="no model to hand over: the guard refused it: of 2 earlier"):
            load_adapted(place)
    with pytest.raises(PublishError, match="is not published: the guard refused it"):
        push_model(folder, "me/lost", dry_run=True, override="we want it")
    with pytest.raises(ModelError, match="cannot be continued from: the guard refused it"):
        step(tmp_path / "next", folder).check()
    with pytest.raises(RunError, match="not handed over"):
        step(folder, finished, "flipped", **changes).save_pretrained(tmp_path / "out")
    # Started again it says the same, and trains nothing.
    del trained[:]
    again = call("run", tmp_path / "lost.yaml")
    assert (again.status, again.err.splitlines()[-1]) == (1, last)
    assert trained == []


def test_training_alone_is_guarded_too_and_a_killed_refusal_is_completed(
    finished: Path, step: MakeRecipe, tmp_path: Path, monkeypatch: Any
) -> None:
    folder = tmp_path / "lost"
    changes = {"adaptation__guard": {"max_drop": 0.01}, "evaluation__baselines": ["majority"]}

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("nlp_transfer.guarding.refuse_model", killed)
        with pytest.raises(Killed):
            step(folder, finished, "flipped", **changes).train()
    assert (folder / "report.json").is_file()
    with pytest.raises(RunError, match="not handed over"):
        step(folder, finished, "flipped", **changes).train()
    assert not (folder / "model").exists()
    # Between the mark and the renaming.
    (folder / "refused_model").replace(folder / "model")
    with pytest.raises(ModelError, match="the guard refused it"):
        load_adapted(folder)
    with pytest.raises(RunError, match="not handed over"):
        step(folder, finished, "flipped", **changes).evaluate()
    assert not (folder / "model").exists()


def test_a_first_run_is_guarded_on_its_source(
    make_recipe: MakeRecipe, files: dict[str, Path], tmp_path: Path
) -> None:
    changes = {
        "data__target": {"path": str(files["flipped"])}, "adaptation__replay": 0.0,
        "evaluation__baselines": ["majority"], "adaptation__guard": {"max_drop": 0.02},
    }  # fmt: skip
    with pytest.raises(RunError, match="of 1 earlier test sets source of run lost most"):
        make_recipe(tmp_path / "run", **changes).run()
    chain = report_of(tmp_path / "run")["chain"]
    assert (chain["continued_from"], chain["steps"]) == (None, ["source model", "run"])
    (source,) = chain["test_sets"]
    assert source["lost"] == pytest.approx(source["scores"][0] - source["scores"][1])
    assert source["scores"][1] == accuracy(tmp_path / "run", "adapted", "source")


def test_a_first_run_without_a_source_has_nothing_to_guard(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    report = make_recipe(
        tmp_path / "run", data__source=None, evaluation__baselines=["majority"],
        adaptation__guard={"max_drop": 0.0},
    ).run()  # fmt: skip
    finding = next(each for each in report.findings if each["check"] == "guard")
    assert finding["evidence"] == "not measured: there is no earlier test set yet"


# What a model can be continued from --------------------------------------------------------------------


def test_other_labels_than_the_models_are_refused(step: MakeRecipe, finished: Path, tmp_path: Path) -> None:
    rows = [(text, f"{label}ly") for text, label in sentences("products", 40, seed=3)]
    path = write_csv(tmp_path / "other.csv", ("text", "label"), rows)
    with pytest.raises(DataError) as caught:
        step(tmp_path / "run", finished, data__target={"path": str(path)}).check()
    message = str(caught.value)
    assert "the label(s) negatively, positively are none of the known ones (negative, positive)" in message
    assert f"The classes are those of {finished}, which this run goes on from" in message


def test_labels_keep_the_models_order(
    step: MakeRecipe, make_recipe: MakeRecipe, files: dict[str, Path], tmp_path: Path
) -> None:
    """The data alone would put them in the alphabet's order, and declares them so."""
    upside_down = {"label_names": ["positive", "negative"]}
    before = make_recipe(
        tmp_path / "before", data__source=None, evaluation__baselines=["majority"],
        data__target={"path": str(files["books"]), **upside_down},
    )  # fmt: skip
    before.run()
    target = {"path": str(files["books"]), "label_names": LABELS, "train_size": 0}
    report = step(tmp_path / "after", tmp_path / "before", data__target=target).run()
    assert model_labels(str(tmp_path / "after" / "model")) == ["positive", "negative"]
    assert report.score("adapted", "target", "accuracy")["value"] == accuracy(tmp_path / "before", "adapted")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "nothing", "there is no folder"),
        (
            lambda folder: (folder / "config.yaml").write_text("task: sentiment") and folder,
            "run without a model",
        ),
    ],
    ids=["no folder", "an untrained run"],
)
def test_what_is_no_model_is_refused(
    make: Callable[[Path], Path], words: str, step: MakeRecipe, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=words):
        step(tmp_path / "run", make(tmp_path)).check()


def test_a_probe_and_a_bare_encoder_have_nothing_to_go_on_from(
    step: MakeRecipe, make_recipe: MakeRecipe, tiny_model: Any, tmp_path: Path
) -> None:
    make_recipe(tmp_path / "probe", adaptation__method="probe", evaluation__baselines=["majority"]).train()
    with pytest.raises(ModelError, match="is a probe: its regression is fitted anew"):
        step(tmp_path / "run", tmp_path / "probe").check()
    with pytest.raises(ModelError, match="no classifier with named labels"):
        step(tmp_path / "run", tiny_model("bert")).check()


def test_a_model_without_a_run_folder_has_only_its_files(
    step: MakeRecipe, finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished / "model", tmp_path / "bought")
    report = step(tmp_path / "run", tmp_path / "bought", adaptation__guard={"max_drop": 0.0}).run()
    chain = report.content["chain"]
    assert (chain["steps"], chain["test_sets"]) == (["bought", "run"], [])
    finding = next(each for each in report.findings if each["check"] == "chain_start")
    assert (finding["severity"], finding["evidence"]) == (
        "warn",
        "bought has no run folder, so that what it could do before is not known here: its earlier test sets "
        "are not scored again",
    )
    assert "not measured" in next(each for each in report.findings if each["check"] == "guard")["evidence"]


def test_another_model_in_the_same_folder_is_refused_with_the_difference(
    second: Path, finished: Path, step: MakeRecipe, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        step(second, tmp_path / "other").run()
    # YAML puts a long path on a line of its own.
    changes = "".join(line.strip() for line in str(caught.value).splitlines()[1:-1])
    assert changes.replace(":+  ", ":").replace(":-  ", ":").replace(": ", ":") == (
        f"-continue_from:{finished}+continue_from:{tmp_path / 'other'}"
    )


def test_a_changed_earlier_model_is_other_data(second: Path, finished: Path, step: MakeRecipe) -> None:
    config = finished / "model" / "config.json"
    content = config.read_text()
    config.write_text(json.dumps({**json.loads(content), "changed": True}))
    try:
        with pytest.raises(ConfigError, match="holds a run on other data than is there now"):
            step(second, finished).run()
    finally:
        config.write_text(content)


# Earlier test sets that are gone ----------------------------------------------------------------------


@pytest.fixture
def lonely(make_recipe: MakeRecipe, domains: dict[str, Path], tmp_path: Path) -> Path:
    """A run whose data may be changed."""
    path = shutil.copyfile(domains["products"], tmp_path / "mine.csv")
    make_recipe(
        tmp_path / "lonely", data__source=None, data__target={"path": str(path)},
        evaluation__baselines=["majority"],
    ).run()  # fmt: skip
    return tmp_path / "lonely"


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "changed"])
def test_an_earlier_test_set_that_is_not_there_is_not_counted_as_kept(
    gone: bool, lonely: Path, step: MakeRecipe, tmp_path: Path
) -> None:
    data = tmp_path / "mine.csv"
    rows = data.read_text()
    data.unlink() if gone else data.write_text(rows.replace("phone", "telephone"))
    report = step(tmp_path / "next", lonely).run()
    (lost,) = report.content["chain"]["test_sets"]
    assert (lost["name"], lost["kept"], lost["now"]) == ("target of lonely", None, None)
    finding = next(each for each in report.findings if each["check"] == "chain_test_sets")
    reason = "its data cannot be read again" if gone else "its data has changed since"
    assert finding["evidence"].startswith(
        f"the earlier test set target of lonely could not be found and is not counted as kept: {reason}"
    )
    assert "Could not be found, and are not counted as kept: target of lonely." in " ".join(
        str(report).split()
    )
    with pytest.raises(DataError, match="not counted as kept"):
        step(tmp_path / "guarded", lonely, adaptation__guard={"max_drop": 0.5}).check()
    # The step after it still knows that there was one.
    again = step(tmp_path / "third", tmp_path / "next", "flipped").run()
    assert [(each["name"], each["kept"] is None) for each in again.content["chain"]["test_sets"]] == [
        ("target of lonely", True), ("target of next", False),
    ]  # fmt: skip


def test_runs_that_were_moved_together_are_found_beside_each_other(
    lonely: Path, step: MakeRecipe, tmp_path: Path
) -> None:
    step(tmp_path / "next", lonely).run()
    (tmp_path / "moved").mkdir()
    for name in ("lonely", "next"):
        shutil.move(tmp_path / name, tmp_path / "moved" / name)
    report = step(tmp_path / "third", tmp_path / "moved" / "next", "flipped").run()
    assert [bool(each["now"]) for each in report.content["chain"]["test_sets"]] == [True, True]


def test_a_model_that_was_trained_and_never_scored_is_scored_now(
    make_recipe: MakeRecipe, finished: Path, step: MakeRecipe, tmp_path: Path
) -> None:
    make_recipe(tmp_path / "trained").train()
    report = step(tmp_path / "next", tmp_path / "trained").run()
    scores = [each["scores"] for each in report.content["chain"]["test_sets"]]
    assert [each[:2] for each in scores] == [
        [None, accuracy(finished, "adapted", domain)] for domain in ("source", "target")
    ]
    assert report.content["chain"]["backward_transfer"]["value"] is not None


# Rows on both sides ------------------------------------------------------------------------------------


def test_earlier_test_rows_are_left_out_of_training_and_learnt_ones_are_told(
    finished: Path, make_recipe: MakeRecipe, step: MakeRecipe, tmp_path: Path
) -> None:
    earlier = make_recipe(finished).data.target
    test, train = ([*zip(rows.texts, rows.labels, strict=True)] for rows in (earlier.test, earlier.train))
    new = [(f"{text} book", label) for text, label in sentences("movies", 60, seed=9)]
    named = {
        "train": [*new[:40], *((text.upper(), LABELS[label]) for text, label in test[:5])],
        "test": [*new[40:], *((text, LABELS[label]) for text, label in train[:4])],
    }
    splits = {
        name: str(write_csv(tmp_path / f"{name}.csv", ("text", "label"), rows))
        for name, rows in named.items()
    }
    recipe = step(tmp_path / "run", finished, data__target={"splits": splits})
    findings = {finding.check: finding for finding in recipe.check().findings}
    assert findings["earlier_test_overlap"].evidence == (
        "target: 5 of 45 training rows stand in an earlier run's test rows, and are left out"
    )
    assert findings["earlier_training_overlap"].severity == "warn"
    assert findings["earlier_training_overlap"].value == pytest.approx(4 / 24)
    assert len(recipe.data.target.train) == 40
    assert recipe.data.target.dropped == {"in an earlier test set": 5}
    texts = tmp_path / "texts.txt"
    texts.write_text("".join(f"{text}\n" for text, _ in [*test[:3], ("a text of nobody's", None)]))
    changes = {"adaptation__unlabelled": {"path": str(texts)}, "data__target": {"splits": splits}}
    learnt = step(tmp_path / "texts", finished, **changes).data.unlabelled
    assert learnt.texts == ["a text of nobody's"]
    assert learnt.dropped == {"in an earlier test set": 3}
    only = {"train": str(write_csv(tmp_path / "only.csv", ("text", "label"), named["train"][40:]))}
    with pytest.raises(DataError, match="all its training rows stand in test sets of earlier runs"):
        step(tmp_path / "none", finished, data__target={"splits": {**splits, **only}}).check()


# Going on ----------------------------------------------------------------------------------------------


def test_a_killed_continued_run_goes_on_where_it_was(
    second: Path, finished: Path, step: MakeRecipe, tmp_path: Path, trained: list[str], monkeypatch: Any
) -> None:
    folder = tmp_path / "books"
    with monkeypatch.context() as patch:
        kill_in("target_only", patch)
        with pytest.raises(Killed):
            step(folder, finished).run()
    with monkeypatch.context() as patch:
        patch.setattr(SentimentTransfer, "_score_test_sets", lambda *_: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            step(folder, finished).run()
    del trained[:]
    step(folder, finished).run()
    assert trained == []
    found, whole = (report_of(each)["chain"] for each in (folder, second))
    for chain in (found, whole):
        for each in chain["test_sets"]:
            del each["folder"]
    assert found == whole


def test_the_earlier_data_as_source_is_replayed_and_scored_once(
    finished: Path, step: MakeRecipe, domains: dict[str, Path], tmp_path: Path
) -> None:
    report = step(tmp_path / "run", finished, data__source={"path": str(domains["products"])}).run()
    sets = report.content["chain"]["test_sets"]
    assert [each["name"] for each in sets] == ["source of run", "target of run"]
    assert sets[1]["now"]["value"] == accuracy(tmp_path / "run", "adapted", "source")


def test_the_command_and_the_script_take_the_option(
    finished: Path, step: MakeRecipe, tmp_path: Path, call: Call, monkeypatch: Any
) -> None:
    from nlp_transfer import cli

    recipe = step(tmp_path / "run", "nowhere")
    content = recipe._resolved()
    del content["continue_from"]
    (tmp_path / "recipe.yaml").write_text(write_yaml(content))
    ended = call("check", tmp_path / "recipe.yaml", "--continue-from", tmp_path / "nothing")
    assert ended.status == 2
    assert "there is no folder" in ended.err
    assert call("check", tmp_path / "recipe.yaml", "--continue-from", finished).status == 0
    monkeypatch.setattr(
        "sys.argv",
        ["train.py", "--config", str(tmp_path / "recipe.yaml"), "--continue-from", str(finished)],
    )
    with pytest.raises(SystemExit) as left:
        cli.run_script("sentiment")
    assert not left.value.code
    assert report_of(tmp_path / "run")["chain"]["continued_from"] == "run"
    loaded = SentimentTransfer.from_config(tmp_path / "recipe.yaml", continue_from=finished)
    assert loaded.config.continue_from == str(finished)
