"""What the main process does alone for all of them."""

from __future__ import annotations

import pytest

from nlp_transfer.training.processes import computed_on_main


def test_the_main_process_never_waits_inside_what_it_does_alone() -> None:
    """With one process too: otherwise only a run with several would show it, by hanging."""
    with pytest.raises(RuntimeError, match="waits for the others inside what it does alone"):
        computed_on_main(lambda: computed_on_main(lambda: 1))
    # An error leaves nothing behind.
    assert computed_on_main(lambda: 2) == 2
