"""A Hub on this machine for each test, and finished runs that started from a model on it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_server import WRITE_TOKEN, FakeHub, serving
from huggingface_hub import constants, hf_api
from huggingface_hub.utils import close_session
from huggingface_hub.utils import logging as hub_logging
from runs_to_publish import CARD, ENCODER, change_report, files_of, quick_run


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A Hub with one encoder on it. Here and in started processes it is the real one; ada is logged in."""
    with serving() as server:
        cache = tmp_path / "hub_cache"
        for name, value in {
            "HF_ENDPOINT": server.url, "HF_TOKEN": WRITE_TOKEN, "HF_HUB_CACHE": str(cache),
            "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "*",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        # The client read its settings when it was imported.
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no_token"))
        monkeypatch.setattr(hf_api.api, "endpoint", server.url)
        monkeypatch.setattr("transformers.utils.hub._hf_api", None)
        hub_logging.set_verbosity_error()
        yield server
        close_session()


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the client and we would have waited; nobody waits."""
    asked: list[float] = []
    monkeypatch.setattr(time, "sleep", asked.append)
    return asked


@pytest.fixture
def encoder(hub: FakeHub, tiny_model: Any) -> str:
    """The Hub id of a tiny encoder with a licence."""
    hub.add(ENCODER, {**files_of(tiny_model("bert")), "README.md": CARD.encode()})
    return ENCODER


@pytest.fixture
def full_run(encoder: str, finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run whose report says that it started from the encoder on the Hub."""
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    change_report(folder, lambda report: report["provenance"]["config"]["model"].update(path=encoder))
    return folder


@pytest.fixture
def lora_run(encoder: str, make_recipe: Callable[..., Any], tmp_path: Path) -> Path:
    """A run that adapted the Hub's encoder by LoRA, without a source domain."""
    return quick_run(make_recipe, tmp_path / "lora", encoder, "lora")


@pytest.fixture
def probe_run(encoder: str, make_recipe: Callable[..., Any], tmp_path: Path) -> Path:
    """A run that fitted a probe on the Hub's encoder."""
    return quick_run(make_recipe, tmp_path / "probe", encoder, "probe")
