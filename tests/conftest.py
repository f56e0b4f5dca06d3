"""What all tests share: tiny models, two easy domains, and a cache of their own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny import THINGS, build_tiny_model, sentences, write_csv
from tiny_translation import build_tiny_translator

TinyModel = Callable[..., Path]
Domains = dict[str, Path]
# Tiny models are slower on two threads than on one. Set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep encodings, source models and downloads out of the user's cache, and the Hub out of all tests."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NLP_TRANSFER_CACHE", str(folder))
        patch.setenv("TOKENIZERS_PARALLELISM", "false")
        yield folder


@pytest.fixture(scope="session")
def downloads(own_cache: Path) -> Path:
    """The cache folder that the tests with real data share, so that each archive is fetched once."""
    return own_cache


@pytest.fixture(scope="session")
def domains(tmp_path_factory: pytest.TempPathFactory) -> Domains:
    """Two csv files of 120 easily separable sentences each: `movies` and `products`."""
    folder = tmp_path_factory.mktemp("domains")
    return {
        domain: write_csv(folder / f"{domain}.csv", ("text", "label"), sentences(domain, 120, seed=0))
        for domain in THINGS
    }


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """Return a function that makes (once) the folder of a tiny random model with a real tokenizer."""
    made: dict[str, Path] = {}

    def make(
        family: str = "bert", *, labels: Sequence[str] | None = None, seed: int = 0, **settings: Any
    ) -> Path:
        key = json.dumps([family, labels, seed, settings], sort_keys=True)
        if key not in made:
            made[key] = tmp_path_factory.mktemp(family.replace("-", "_"))
            build_tiny_model(made[key], family, labels=labels, seed=seed, settings=settings)
        return made[key]

    return make


@pytest.fixture(scope="session")
def tiny_translator(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """Return a function that makes (once) the folder of a tiny random translation model."""
    made: dict[str, Path] = {}

    def make(family: str = "marian", *, seed: int = 0, **settings: Any) -> Path:
        key = json.dumps([family, seed, settings], sort_keys=True)
        if key not in made:
            made[key] = tmp_path_factory.mktemp(family) / family
            build_tiny_translator(made[key], family, seed=seed, **settings)
        return made[key]

    return make
