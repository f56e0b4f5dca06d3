"""The reference pages that are made from the code: the keys of a recipe and the commands.

conf.py puts them in where a page has a comment such as `<!-- config reference -->`. What a key or a command
means is said once, in config/keys.py and commands/.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from nlp_transfer.config.reference import config_reference


def cli_reference() -> str:
    """Write every command as Markdown, as typer documents it."""
    written = subprocess.run(
        [sys.executable, "-m", "typer", "nlp_transfer.cli", "utils", "docs", "--name", "nlp-transfer"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return written.partition("\n")[2].strip()


PAGES: dict[str, Callable[[], str]] = {
    "<!-- config reference -->": config_reference,
    "<!-- command reference -->": cli_reference,
}
