"""Chains of translation runs: a language is added, those before are kept or the guard says they are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from looking import report_of
from tiny_translation import english, translated, write_pairs

from nlp_transfer import TranslationTransfer, load_adapted
from nlp_transfer.config import parse_config
from nlp_transfer.errors import ModelError, RunError
from nlp_transfer.models.translation import read_description

Make = Callable[..., TranslationTransfer]
SHAPE = {
    "vocabulary_size": 300, "hidden_size": 32, "feed_forward_size": 64, "encoder_layers": 1,
    "decoder_layers": 1, "attention_heads": 2, "dropout": 0.0, "init_std": 0.15,
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: Any) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pairs")
    seeds = {"es": 1, "gl": 2, "ast": 3}
    return {
        lang: write_pairs(folder / f"{lang}.csv", 260 if lang == "es" else 140, lang=lang, seed=seed)
        for lang, seed in seeds.items()
    }


@pytest.fixture(scope="module")
def make(files: dict[str, Path]) -> Make:
    """Return a function that makes a recipe of one language; with `before` it continues."""

    def made(
        folder: Path, lang: str, *, before: Path | None = None, source: str | None = None, **adaptation: Any
    ) -> TranslationTransfer:
        def domain(code: str) -> dict[str, Any]:
            return {"path": str(files[code]), "src_lang": "en", "tgt_lang": code}

        first = before is None
        training = {"num_train_epochs": 20 if first else 4}
        return TranslationTransfer(
            parse_config(
                {
                    "task": "translation", "output_dir": str(folder),
                    "continue_from": None if first else str(before),
                    "model": {"architecture": dict(SHAPE), "max_length_tokens": 32},
                    "data": {"target": domain(lang), "source": domain(source) if source else None},
                    "source_stage": None,
                    "adaptation": {"batch_tokens": 600, "training": training, **adaptation},
                    "training": {"learning_rate": 1e-2, "bf16": False, "logging_steps": 1},
                    "evaluation": {"bootstrap": 100, "num_beams": 1, "baselines": ["copy", "zero_shot"]},
                }
            )
        )  # fmt: skip

    return made


@pytest.fixture(scope="module")
def first(make: Make, tmp_path_factory: Any) -> Path:
    folder = Path(tmp_path_factory.mktemp("first") / "spanish")
    make(folder, "es").run()
    return folder


@pytest.fixture(scope="module")
def second(make: Make, first: Path, tmp_path_factory: Any) -> Path:
    folder = Path(tmp_path_factory.mktemp("second") / "galician")
    make(folder, "gl", before=first).run()
    return folder


def test_a_continued_model_adds_a_language_and_keeps_the_others(first: Path, second: Path) -> None:
    description = read_description(second / "model")
    assert description is not None
    assert description["directions"] == [["en", "gl"], ["en", "es"]]
    earlier = read_description(first / "model")
    assert earlier is not None
    assert description["target_ratio"] >= earlier["target_ratio"]
    model = load_adapted(second)
    assert {"es", "gl"} <= set(model.loaded.family.languages())
    (chain,) = [report_of(second)["chain"]]
    assert (chain["metric"], chain["steps"]) == ("chrf++", ["pretrained model", "spanish", "galician"])
    (kept,) = chain["test_sets"]
    before = report_of(first)["systems"]["adapted"]["target"]["chrf++"]["value"]
    assert kept["name"] == "target of spanish"
    assert kept["scores"] == [None, before, kept["now"]["value"]]
    assert kept["change"]["difference"] == pytest.approx(kept["now"]["value"] - before)
    # The model before is the zero-shot one, and was better than copying at the language that it knew.
    assert before > 60
    assert "spanish" in (second / "model" / "README.md").read_text()


def test_the_earlier_language_is_translated_as_the_model_does(second: Path, make: Make, first: Path) -> None:
    (entry,) = report_of(second)["chain"]["test_sets"]
    file = second / "predictions" / "chain" / f"adapted.{entry['fingerprint']}.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    pairs = make(first, "es").data.target.test
    assert [row["id"] for row in rows] == pairs.ids
    written = load_adapted(second).translate(pairs.sources, tgt_lang="es")
    assert [row["translation"] for row in rows] == written


def test_a_chain_of_three_is_refused_by_a_guard_of_no_loss_and_passes_a_wide_one(
    make: Make, second: Path, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=r"of 2 earlier test sets .* chrF\+\+ below its best score"):
        make(tmp_path / "strict", "ast", before=second, guard={"max_drop": 0.0}).run()
    chain = report_of(tmp_path / "strict")["chain"]
    assert chain["steps"] == ["pretrained model", "spanish", "galician", "strict"]
    assert [each["name"] for each in chain["test_sets"]] == ["target of spanish", "target of galician"]
    spanish, galician = (each["scores"] for each in chain["test_sets"])
    assert chain["backward_transfer"]["value"] == pytest.approx(
        ((spanish[3] - spanish[1]) + (galician[3] - galician[2])) / 2
    )
    assert max(max(scores[:3], key=lambda s: s or 0) - scores[3] for scores in (spanish, galician)) > 0
    assert not (tmp_path / "strict" / "model").exists()
    with pytest.raises(ModelError, match="the guard refused it"):
        load_adapted(tmp_path / "strict")
    make(tmp_path / "wide", "ast", before=second, guard={"max_drop": 100}).run()
    directions = read_description(tmp_path / "wide" / "model")
    assert directions is not None
    assert directions["directions"] == [["en", "ast"], ["en", "gl"], ["en", "es"]]


def test_replay_of_the_earlier_language_is_scored_as_that_test_set(
    make: Make, first: Path, tmp_path: Path
) -> None:
    """Beside Galician pairs other Spanish ones are too near to be tested on: it is a test set of its own."""
    report = make(tmp_path / "replayed", "gl", before=first, source="es", replay=1.0).run()
    sets = report.content["chain"]["test_sets"]
    assert [each["name"] for each in sets] == ["target of spanish", "source of replayed"]
    assert sets[1]["now"]["value"] == report.score("adapted", "source", "chrf++")["value"]
    assert sets[1]["scores"][-2] == report.score("zero_shot", "source", "chrf++")["value"]
    assert not (tmp_path / "replayed" / "source_model").exists()


def test_a_model_of_the_other_task_is_refused(make: Make, tiny_model: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is no translation model but a Bert"):
        make(tmp_path / "run", "gl", before=tiny_model("bert", labels=["negative", "positive"])).check()
    (tmp_path / "other" / "model").mkdir(parents=True)
    (tmp_path / "other" / "model" / "config.json").write_text("{}")
    (tmp_path / "other" / "config.yaml").write_text(
        "{task: sentiment, output_dir: x, model: {path: x}, data: {target: {path: x.csv}}}"
    )
    with pytest.raises(ModelError, match="is a model of sentiment, and this is a translation recipe"):
        make(tmp_path / "run", "gl", before=tmp_path / "other").check()


def test_earlier_test_sentences_are_left_out_of_training(make: Make, first: Path, tmp_path: Path) -> None:
    """Files that are split already may hold an earlier run's test sentences among their training ones."""
    from tiny import write_csv

    tested = make(first, "es").data.target.test.sources[:5]
    others = [text for text in english(200, seed=8) if text not in tested]
    parts = {"train": [*tested, *others[:60]], "test": others[60:80]}
    splits = {
        name: str(
            write_csv(tmp_path / f"{name}.csv", ("en", "gl"), [(t, translated(t, "gl")) for t in texts])
        )
        for name, texts in parts.items()
    }
    recipe = make(tmp_path / "run", "gl", before=first)
    content = {**recipe._resolved(), "evaluation": {}}
    content["data"]["target"] |= {"path": None, "splits": splits}
    changed = TranslationTransfer(parse_config(content))
    assert changed.data.target.dropped["in an earlier test set"] >= 5
    assert not set(tested) & set(changed.data.target.selection.sources)
