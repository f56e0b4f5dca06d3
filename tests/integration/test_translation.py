"""Whole translation runs on two easy languages: both routes, every method, and what the report says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from looking import Killed, report_of
from safetensors.torch import load_file
from tiny_translation import english, write_pairs

from nlp_transfer import TranslationTransfer, load_adapted
from nlp_transfer.config import parse_config
from nlp_transfer.data.parallel import english_side
from nlp_transfer.data.skeletons import skeleton
from nlp_transfer.errors import ModelError, RunError
from nlp_transfer.models.translation import read_description
from nlp_transfer.training import adapt_translation, callbacks, fit_translation

MakeRecipe = Callable[..., TranslationTransfer]
SHAPE = {
    "vocabulary_size": 300, "hidden_size": 32, "feed_forward_size": 64, "encoder_layers": 1,
    "decoder_layers": 1, "attention_heads": 2, "dropout": 0.0, "init_std": 0.15,
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: Any) -> dict[str, Path]:
    """Parent pairs (es) and child pairs (gl), of which few share a sentence."""
    folder = tmp_path_factory.mktemp("pairs")
    return {
        "es": write_pairs(folder / "es.csv", 260, lang="es", seed=1),
        "gl": write_pairs(folder / "gl.csv", 160, lang="gl", seed=2),
    }


@pytest.fixture(scope="module")
def make(files: dict[str, Path]) -> MakeRecipe:
    """Return a function that makes a recipe from es to gl; `section__key=value` changes it."""

    def made(output_dir: Path, **changes: Any) -> TranslationTransfer:
        content: dict[str, Any] = {
            "task": "translation",
            "output_dir": str(output_dir),
            "model": {"architecture": dict(SHAPE), "max_length_tokens": 32},
            "data": {
                "source": {"path": str(files["es"]), "src_lang": "en", "tgt_lang": "es"},
                "target": {"path": str(files["gl"]), "src_lang": "en", "tgt_lang": "gl", "train_size": 60},
            },
            "source_stage": {"batch_tokens": 600, "training": {"num_train_epochs": 20}},
            "adaptation": {"batch_tokens": 300, "training": {"num_train_epochs": 12, "learning_rate": 3e-3}},
            "training": {"learning_rate": 1e-2, "bf16": False, "logging_steps": 1},
            "evaluation": {"bootstrap": 100, "num_beams": 1},
        }
        for path, value in changes.items():
            *parents, last = path.split("__")
            node = content
            for name in parents:
                node = node.setdefault(name, {})
            node[last] = value
        return TranslationTransfer(parse_config(content))

    return made


@pytest.fixture(scope="module")
def finished(make: MakeRecipe, tmp_path_factory: Any) -> Path:
    """The folder of a finished run that made its own parent; no test changes it."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    make(folder).run()
    return Path(folder)


@pytest.fixture
def parent(finished: Path) -> dict[str, Any]:
    """A pretrained parent, as a user has one: the finished run's source model, by its folder."""
    return {
        "model": {"path": str(finished / "source_model"), "max_length_tokens": 32},
        "source_stage": None,
    }


def chrf(folder: Path, system: str, domain: str = "target") -> float:
    return float(report_of(folder)["systems"][system][domain]["chrf++"]["value"])


def translations(folder: Path, system: str, domain: str = "target") -> list[str]:
    lines = (folder / "predictions" / f"{system}.{domain}.jsonl").read_text().splitlines()
    return [json.loads(line)["translation"] for line in lines]


# Developing a model --------------------------------------------------------------------------------


def test_the_report_has_what_the_design_promises(finished: Path, make: MakeRecipe) -> None:
    report = report_of(finished)
    assert (report["schema"], report["task"], report["primary_metric"]) == (1, "translation", "chrf++")
    assert list(report["systems"]) == ["copy", "zero_shot", "scratch", "adapted"]
    data = make(finished).data
    for system, scored in report["systems"].items():
        assert set(scored["target"]) == {"chrf++", "bleu", "ter"}
        assert {score["n"] for score in scored["target"].values()} == {len(data.target.test)}
        for score in scored["target"].values():
            assert score["low"] <= score["value"] <= score["high"]
        assert bool(scored["source"]) == (system != "scratch")
        assert {"seconds", "selection_seconds", "peak_rss_mb", "trainable_parameters"} <= set(scored["cost"])
    against = {(entry["against"], entry["domain"], entry["metric"]) for entry in report["comparisons"]}
    assert {(system, "target", "chrf++") for system in ("copy", "zero_shot", "scratch")} <= against
    assert all(entry["system"] == "adapted" for entry in report["comparisons"])
    assert report["verdict"]["against"] == "scratch"
    assert report["verdict"]["transfer"] in ("helped", "no_evidence", "harmed")
    counts = report["provenance"]["data"]
    assert counts["target"]["train"] + counts["target"]["dev"] == 60
    assert counts["target"]["test"] == len(data.target.test)
    assert counts["source"]["directions"] == {"en-es": 260 - sum(counts["source"]["dropped"].values())}
    signatures = report["provenance"]["metric_signatures"]
    assert all("version:" in signatures[name] for name in ("chrf++", "bleu", "ter"))
    checks = {finding["check"] for finding in report["findings"]}
    assert {"source_model", "forgetting", "beats_copy", "small_test"} <= checks


def test_transfer_helps_on_languages_that_are_nearly_one(finished: Path) -> None:
    """The parent learns the easy language; adapted beats copying and the same budget from nothing."""
    assert chrf(finished, "zero_shot", "source") > 60
    assert chrf(finished, "adapted") > max(chrf(finished, "copy"), chrf(finished, "scratch")) + 5
    assert chrf(finished, "adapted") > chrf(finished, "zero_shot")


def test_the_numbers_are_sacrebleus(finished: Path, make: MakeRecipe) -> None:
    from sacrebleu.metrics import CHRF

    written = translations(finished, "adapted")
    expected = CHRF(word_order=2).corpus_score(written, [make(finished).data.target.test.targets]).score
    assert chrf(finished, "adapted") == pytest.approx(expected, abs=1e-6)
    assert translations(finished, "copy") == make(finished).data.target.test.sources


def test_no_sentence_of_the_data_stands_in_report_json_and_the_worst_rows_in_report_md(
    finished: Path, make: MakeRecipe
) -> None:
    text = (finished / "report.json").read_text()
    data = make(finished).data
    for pairs in (data.target.train, data.target.test, data.source.test):
        assert not [sentence for sentence in pairs.sources + pairs.targets if sentence in text]
    page = (finished / "report.md").read_text()
    assert len([text for text in data.target.test.sources if text in page]) >= 5


def test_no_test_sentence_was_trained_on(finished: Path, make: MakeRecipe) -> None:
    data = make(finished).data
    learnt = {skeleton(t) for d in (data.target, data.source) for t in english_side(d.selection)}
    tested = {skeleton(t) for d in (data.target, data.source) for t in english_side(d.test)}
    assert learnt and tested and not learnt & tested


def test_the_adapted_model_is_used_and_saved_elsewhere(
    finished: Path, make: MakeRecipe, tmp_path: Path
) -> None:
    recipe = make(finished)
    sources = recipe.data.target.test.sources
    translator = load_adapted(str(finished))
    assert (translator.src_lang, translator.tgt_lang) == ("en", "gl")
    assert translator.translate(sources) == translations(finished, "adapted")
    assert recipe.save_pretrained(tmp_path / "out") == tmp_path / "out"
    assert load_adapted(str(tmp_path / "out")).translate(sources) == translations(finished, "adapted")
    # The parent's language is still there to be asked for.
    assert translator.translate(sources, tgt_lang="es") != translations(finished, "adapted")
    with pytest.raises(RunError, match="holds no trained model; run `nlp-transfer train` first"):
        make(tmp_path / "nothing").save_pretrained(tmp_path / "out2")


def test_a_second_run_trains_nothing(finished: Path, make: MakeRecipe, monkeypatch: Any) -> None:
    monkeypatch.setattr(adapt_translation, "fit_translator", lambda *_, **__: pytest.fail("trained again"))
    before = report_of(finished)
    assert make(finished).run().content == before


def test_the_source_model_is_made_once(
    finished: Path, make: MakeRecipe, tmp_path: Path, monkeypatch: Any
) -> None:
    """Another run on the same parent pairs takes it from the cache."""
    labels = watched(monkeypatch)
    make(tmp_path / "run", data__target__train_size=20, evaluation__baselines=[]).run()
    assert labels == ["adapted"]
    assert (tmp_path / "run" / "source_model" / "model.safetensors").read_bytes() == (
        finished / "source_model" / "model.safetensors"
    ).read_bytes()


def watched(monkeypatch: Any) -> list[str]:
    """Return the labels of all trainings from here on."""
    labels: list[str] = []
    fit = fit_translation.fit_translator

    def watching(*given: Any, run: Any, **settings: Any) -> Any:
        labels.append(run.label)
        return fit(*given, run=run, **settings)

    monkeypatch.setattr(adapt_translation, "fit_translator", watching)
    return labels


# A pretrained parent -------------------------------------------------------------------------------


def test_a_parent_from_a_folder_is_taken_as_it_is(
    finished: Path, make: MakeRecipe, parent: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    make(folder, **parent).run()
    assert not (folder / "source_model").exists()
    # The same start, pairs and seed: the same weights as the run that made its parent itself.
    for system in ("zero_shot", "adapted"):
        assert translations(folder, system) == translations(finished, system)


def test_without_target_pairs_the_new_language_is_the_related_one(
    make: MakeRecipe, parent: dict[str, Any], tmp_path: Path, monkeypatch: Any
) -> None:
    labels = watched(monkeypatch)
    folder = tmp_path / "run"
    make(folder, **parent, data__target__train_size=0).run()
    report = report_of(folder)
    assert labels == []
    assert list(report["systems"]) == ["copy", "zero_shot", "adapted"]
    assert translations(folder, "adapted") == translations(folder, "zero_shot")
    assert report["verdict"]["transfer"] == "not_measured"
    texts = english(3, seed=9)
    translator = load_adapted(str(folder))
    assert translator.translate(texts) == translator.translate(texts, tgt_lang="es")


def test_from_a_language_that_the_parent_lacks(
    make: MakeRecipe, files: dict[str, Path], tiny_translator: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    recipe = make(
        folder,
        model={"path": str(tiny_translator("m2m_100")), "max_length_tokens": 32},
        data={"target": {
            "path": str(files["gl"]), "src_lang": "mwl", "tgt_lang": "en", "src_column": "gl",
            "tgt_column": "en", "train_size": 60, "test_size": 20,
        }},
        source_stage=None,
        adaptation={"method": "lora", "training": {"max_steps": 2}},
        evaluation__baselines=["copy", "zero_shot"],
    )  # fmt: skip
    recipe.run()
    related = json.loads((folder / "related_languages.json").read_text())
    assert list(related) == ["mwl"] and related["mwl"] != "en"
    assert {"copy", "zero_shot", "adapted"} == set(report_of(folder)["systems"])
    translator = load_adapted(str(folder))
    assert (translator.src_lang, translator.tgt_lang) == ("mwl", "en")
    assert len(translator.translate(["o ficheiro"])) == 1


def test_lora_leaves_its_adapter_and_a_whole_model(
    make: MakeRecipe, parent: dict[str, Any], tmp_path: Path, finished: Path
) -> None:
    folder = tmp_path / "run"
    make(folder, **parent, adaptation__method="lora", adaptation__rank=4, evaluation__baselines=[]).run()
    assert (folder / "adapter" / "adapter_model.safetensors").is_file()
    before, after = (
        load_file(path / "model.safetensors") for path in (finished / "source_model", folder / "model")
    )
    assert not [name for name in after if "lora" in name or "base_layer" in name]
    tables = [next(w for name, w in weights.items() if "shared" in name) for weights in (before, after)]
    known = next(row for row in range(len(tables[0])) if not np.array_equal(tables[0][row], tables[1][row]))
    # Every row but the new language's is the parent's.
    assert np.array_equal(tables[0][:known], tables[1][:known])
    cost = report_of(folder)["systems"]["adapted"]["cost"]
    assert 0 < cost["trainable_share"] < 0.5
    whole = re.escape(f"added to its vocabulary; load {folder / 'model'}, which is whole")
    with pytest.raises(ModelError, match=whole):
        load_adapted(folder / "adapter")


def test_into_english_several_seeds_and_replay(
    make: MakeRecipe, files: dict[str, Path], tmp_path: Path
) -> None:
    """The parent and the child the other way round; test sentences are the same English ones."""
    folder = tmp_path / "run"
    recipe = make(
        folder,
        data__source={"path": str(files["es"]), "src_lang": "es", "tgt_lang": "en", "train_size": 80},
        data__target={"path": str(files["gl"]), "src_lang": "gl", "tgt_lang": "en", "train_size": 24},
        source_stage={"training": {"num_train_epochs": 2}},
        adaptation={"replay": 1.0, "training": {"num_train_epochs": 1}},
        evaluation={"bootstrap": 100, "seeds": [0, 1], "num_beams": 1, "baselines": ["copy", "scratch"]},
    )
    recipe.run()
    report = report_of(folder)
    assert len(report["systems"]["adapted"]["per_seed"]["target"]) == 2
    assert report["provenance"]["seeds"] == [0, 1]
    drawn = [recipe.data_for(seed).target for seed in (0, 1)]
    assert set(drawn[0].train.ids) != set(drawn[1].train.ids)
    assert drawn[0].test.ids == drawn[1].test.ids
    assert (folder / "predictions" / "seed-1" / "scratch.target.jsonl").is_file()
    forth = make(tmp_path / "forth").data.target.test
    assert set(recipe.data.target.test.targets) == set(forth.sources)
    description = read_description(folder / "model")
    assert description is not None and description["directions"] == [["gl", "en"], ["es", "en"]]


def test_another_systems_output_stands_beside_ours(
    make: MakeRecipe, parent: dict[str, Any], tmp_path: Path
) -> None:
    recipe = make(tmp_path / "first", **parent)
    sources = tmp_path / "test.txt"
    recipe.write_test_sources(sources)
    assert sources.read_text().splitlines() == recipe.data.target.test.sources
    (tmp_path / "perfect.txt").write_text("".join(f"{t}\n" for t in recipe.data.target.test.targets))
    external = {"apertium": str(tmp_path / "perfect.txt")}
    changes = {**parent, "data__target__train_size": 0, "evaluation__external": external}
    make(tmp_path / "run", **changes).run()
    report = report_of(tmp_path / "run")
    assert list(report["systems"]) == ["copy", "zero_shot", "apertium", "adapted"]
    assert chrf(tmp_path / "run", "apertium") == pytest.approx(100.0)
    assert "apertium" in {entry["against"] for entry in report["comparisons"]}


def test_a_run_killed_in_adapting_ends_as_one_that_was_not(
    make: MakeRecipe, parent: dict[str, Any], tmp_path: Path, monkeypatch: Any
) -> None:
    changes = {**parent, "evaluation__baselines": ["copy"], "adaptation__training": {"num_train_epochs": 4}}
    make(tmp_path / "whole", **changes).run()
    step_end = callbacks.ProgressBar.on_step_end

    def killing(self: Any, args: Any, state: Any, control: Any, **other: Any) -> None:
        step_end(self, args, state, control, **other)
        if self.label == "adapted" and state.global_step > 0.7 * state.max_steps:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.ProgressBar, "on_step_end", killing)
        with pytest.raises(Killed):
            make(tmp_path / "killed", **changes).run()
    assert list(tmp_path.glob("killed/checkpoints/adapted-*/checkpoint-*"))
    assert not (tmp_path / "killed" / "model").exists()
    make(tmp_path / "killed", **changes).run()
    whole, killed = (
        load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "killed")
    )
    assert all(np.array_equal(whole[name], killed[name]) for name in whole)
    assert translations(tmp_path / "killed", "adapted") == translations(tmp_path / "whole", "adapted")


def test_several_target_languages_each_with_its_tag(
    make: MakeRecipe, files: dict[str, Path], tmp_path: Path
) -> None:
    """Two languages made anew in one model; neither is read with the other's tag."""
    write_pairs(tmp_path / "pt.csv", 60, lang="pt", seed=5).rename(tmp_path / "en-pt.csv")
    write_pairs(tmp_path / "gl.csv", 60, lang="gl", seed=6).rename(tmp_path / "en-gl.csv")
    folder = tmp_path / "run"
    make(
        folder,
        data={
            "target": {
                "path": str(tmp_path / "en-{tgt_lang}.csv"),
                "src_lang": "en",
                "tgt_lang": ["gl", "pt"],
            }
        },
        source_stage=None,
        adaptation={"training": {"num_train_epochs": 1}},
    ).run()
    report = report_of(folder)
    assert list(report["systems"]) == ["copy", "adapted"]
    assert report["verdict"]["transfer"] == "not_measured"
    assert report["provenance"]["data"]["target"]["directions"].keys() == {"en-gl", "en-pt"}
    translator = load_adapted(str(folder))
    assert translator.loaded.family.languages() == ["gl", "pt"]


def test_the_page_and_the_json_agree(finished: Path) -> None:
    page = (finished / "report.md").read_text()
    shown = re.findall(r"\d+\.\d", page)
    assert f"{chrf(finished, 'adapted'):.1f}" in shown


# Mixes with the start's weights -------------------------------------------------------------------


def test_dev_pairs_choose_the_mix_and_the_report_tells_it(
    make: MakeRecipe, parent: dict[str, Any], files: dict[str, Path], tmp_path: Path
) -> None:
    pairs = files["gl"].read_text().splitlines()
    parts = {"train": pairs[1:60], "dev": pairs[60:100], "test": pairs[100:]}
    for name, lines in parts.items():
        (tmp_path / f"{name}.csv").write_text("\n".join([pairs[0], *lines]) + "\n")
    splits = {name: str(tmp_path / f"{name}.csv") for name in parts}
    target = {"splits": splits, "src_lang": "en", "tgt_lang": "gl", "clean": False}
    # A learning rate of nearly nothing: the start and all mixes are one model, and the start is kept.
    changes = {**parent, "data__target": target, "evaluation__baselines": ["copy", "zero_shot"]}
    for name, rate, kept in (("still", 1e-12, [0.0]), ("learns", 3e-3, [0.5, 0.75, 1.0])):
        folder = tmp_path / name
        make(folder, **changes, adaptation__training={"num_train_epochs": 12, "learning_rate": rate}).run()
        report = report_of(folder)
        assert report["mix"]["alpha"] in kept
        assert [point["alpha"] for point in report["mix"]["points"]] == [0, 0.25, 0.5, 0.75, 1]
        assert all(point["source"] is not None for point in report["mix"]["points"])
        best = max(report["mix"]["points"], key=lambda point: point["target"])
        assert best["alpha"] == report["mix"]["alpha"] and report["mix"]["dev_rows"] >= 25
        finding = next(entry for entry in report["findings"] if entry["check"] == "weight_mix")
        assert finding["value"] == report["mix"]["alpha"]
        assert finding["severity"] == ("warn" if name == "still" else "info")
        assert (folder / "figures" / "mix.png").is_file()
    assert translations(tmp_path / "still", "adapted") == translations(tmp_path / "still", "zero_shot")


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_given_mix_is_that_share_of_the_change(
    method: str, make: MakeRecipe, parent: dict[str, Any], tmp_path: Path
) -> None:
    weights = {}
    for mix in (0.0, 0.5, 1.0):
        recipe = make(tmp_path / str(mix), **parent, adaptation__mix=mix, adaptation__method=method)
        recipe.train()
        weights[mix] = load_file(recipe.folder / "model" / "model.safetensors")
    moved = 0
    for name, whole in weights[1.0].items():
        change = whole - weights[0.0][name]
        torch.testing.assert_close(weights[0.5][name], weights[0.0][name] + change / 2, atol=1e-5, rtol=1e-4)
        moved += int(change.abs().max() > 1e-4)
    assert moved > 5
    start = load_file(Path(parent["model"]["path"]) / "model.safetensors")
    shared = "model.shared.weight"
    # All but the new language's row, which may take the place of an unused one.
    rows = (weights[0.0][shared][: len(start[shared])] != start[shared]).any(dim=1)
    assert rows.sum() <= 1
