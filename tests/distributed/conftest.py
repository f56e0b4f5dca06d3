"""What the tests of several processes share: a function that starts them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping

import pytest
from launched import LIMIT_SECONDS, accelerate, environment

Launch = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def launch() -> Launch:
    """Return a function that runs `accelerate launch` to its end."""

    def run(*arguments: str, settings: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            accelerate(*arguments), capture_output=True, text=True, check=False,
            env=environment(**(settings or {})), timeout=LIMIT_SECONDS,
        )  # fmt: skip

    return run
