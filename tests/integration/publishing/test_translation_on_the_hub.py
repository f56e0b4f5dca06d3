"""A translation model through the Hub: pushed, then loaded by this package and by transformers, and equal."""

from __future__ import annotations

import ast
import contextlib
import io
import re
from pathlib import Path
from typing import Any

import torch
from hub_server import FakeHub
from runs_to_publish import CARD, files_of
from tiny_translation import english, write_pairs
from transformers import AutoModelForSeq2SeqLM

from nlp_transfer import TranslationTransfer, load_adapted
from nlp_transfer.config import parse_config

PARENT, CHILD = "tiny-org/parent", "ada/galician"


def adapted_run(folder: Path) -> Path:
    """Adapt the Hub's parent to a language that it lacks."""
    pairs = write_pairs(folder / "gl.csv", 120, lang="gl", seed=2)
    content = {
        "task": "translation",
        "output_dir": str(folder / "run"),
        "model": {"path": PARENT, "max_length_tokens": 32},
        "source_stage": None,
        "data": {"target": {"path": str(pairs), "src_lang": "en", "tgt_lang": "gl", "train_size": 40}},
        "adaptation": {"batch_tokens": 300},
        "training": {"num_train_epochs": 1, "bf16": False, "learning_rate": 1e-3},
        "evaluation": {"baselines": ["copy"], "bootstrap": 100, "num_beams": 1},
    }
    TranslationTransfer(parse_config(content)).run()
    return folder / "run"


def test_a_translation_model_comes_back_equal_from_the_hub(
    hub: FakeHub, tiny_translator: Any, tmp_path: Path
) -> None:
    from nlp_transfer.publishing.hub import push_model

    hub.add(PARENT, {**files_of(tiny_translator("marian")), "README.md": CARD.encode()})
    run = adapted_run(tmp_path)
    result = push_model(run, CHILD, override="a tiny model for a test")
    assert (result.kind, result.tag) == ("full", "v1")
    texts = english(4, seed=9)
    expected = load_adapted(run).translate(texts)
    assert load_adapted(CHILD, revision="v1").translate(texts) == expected
    kept, plain = (
        AutoModelForSeq2SeqLM.from_pretrained(each).state_dict() for each in (run / "model", CHILD)
    )
    assert kept.keys() == plain.keys()
    assert all(torch.equal(kept[name], plain[name]) for name in kept)
    # What the card tells a stranger to run, with the repository's name in it.
    card = hub.files(CHILD)["README.md"].decode()
    [code] = [found for found in re.findall(r"```python\n(.*?)```", card, re.DOTALL) if "AutoModel" in found]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    assert f'"{CHILD}", revision="v1"' in code
    assert ast.literal_eval(printed.getvalue()) == load_adapted(run).translate(["Save the file"])
