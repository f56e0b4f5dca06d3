"""What the tests of whole runs share: a recipe that takes seconds, a finished run, and who trained what."""

from __future__ import annotations

import logging
import shutil
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from looking import Call, Ended
from tiny import easy_recipe

from nlp_transfer import SentimentTransfer, cli
from nlp_transfer.config import parse_config
from nlp_transfer.training import adapt, fit

MakeRecipe = Callable[..., SentimentTransfer]


@pytest.fixture(scope="session")
def make_recipe(tiny_model: Any, domains: dict[str, Path]) -> MakeRecipe:
    """Return a function that makes a recipe from movies to products; `section__key=value` changes it."""

    def make(output_dir: Path, **changes: Any) -> SentimentTransfer:
        return SentimentTransfer(
            parse_config(easy_recipe(output_dir, tiny_model("bert"), domains, **changes))
        )

    return make


@pytest.fixture(scope="session")
def finished(make_recipe: MakeRecipe, tmp_path_factory: Any) -> Path:
    """The folder of a finished run by the method `full`; no test changes it."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    make_recipe(folder).run()
    return Path(folder)


@pytest.fixture
def finished_copy(finished: Path, tmp_path: Path) -> Iterator[Path]:
    """The finished run, which a test may change here: it is put back afterwards."""
    shutil.copytree(finished, tmp_path / "kept")
    yield finished
    shutil.rmtree(finished)
    shutil.copytree(tmp_path / "kept", finished)


@pytest.fixture
def trained(monkeypatch: Any) -> list[str]:
    """The labels of all trainings that a test started."""
    labels: list[str] = []

    def watched(*given: Any, run: fit.TrainingRun, **settings: Any) -> Any:
        labels.append(run.label)
        return fit.fit(*given, run=run, **settings)

    monkeypatch.setattr(adapt, "fit", watched)
    return labels


@pytest.fixture
def call(monkeypatch: Any, capsys: Any) -> Iterator[Call]:
    """Run the command in this process, as the shell would; what it sets up is undone afterwards."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    log = logging.getLogger("nlp_transfer")
    before = log.handlers, log.level, log.propagate
    for name, value in (("TRANSFORMERS_VERBOSITY", "error"), ("HF_HUB_VERBOSITY", "error")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["/usr/bin/nlp-transfer", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return Ended(int(ended.value.code or 0), printed.out, printed.err)

    with warnings.catch_warnings():
        yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)
    log.handlers, log.level, log.propagate = before
