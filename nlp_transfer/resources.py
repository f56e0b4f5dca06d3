"""Finds `recipes/` and `data_cards/`: inside the installed package, else at the repository's root."""

from __future__ import annotations

from pathlib import Path

from nlp_transfer.errors import TransferError


def resource_dir(name: str) -> Path:
    """Return the folder of shipped recipes or data cards.

    A wheel carries them inside the package; an editable install reads the repository's.

    Raises:
        TransferError: neither place has it.
    """
    package = Path(__file__).parent
    for folder in (package / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise TransferError(f"the installation of nlp-transfer has no {name}; install it again")
