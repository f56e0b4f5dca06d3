"""Starts several processes by accelerate's own command, as a user does."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from nlp_transfer.resources import resource_dir

RECIPES = resource_dir("recipes")
TESTS = Path(__file__).parent
# Long for a busy machine; a hung rendezvous ends here.
LIMIT_SECONDS = 600


def environment(**changes: str) -> dict[str, str]:
    """Return the environment of a process that finds this checkout and these tests."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ACCELERATE_")}
    path = os.pathsep.join(
        [str(RECIPES.parent), str(TESTS), str(TESTS.parent), inherited.get("PYTHONPATH", "")]
    )
    return {**inherited, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **changes}


def accelerate(*arguments: str) -> list[str]:
    """Return the command `accelerate launch` of this interpreter."""
    return [sys.executable, "-m", "accelerate.commands.launch", *arguments]
