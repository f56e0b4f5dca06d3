"""Stages of a run: each runs once, what it leaves is kept in the run folder, and the next goes on from there.

Several processes run the same code: all train together, the main one does the rest.
"""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from nlp_transfer.config import RecipeConfig, as_dict, write_yaml
from nlp_transfer.disk import write_failures_told
from nlp_transfer.runs import RunFolder

logger = logging.getLogger(__name__)
Made = TypeVar("Made")


class StagedRun(ABC):
    """A configuration and the folder that its stages fill.

    Args:
        config: a validated recipe.
    """

    def __init__(self, config: RecipeConfig) -> None:
        self.config = config
        self.folder = Path(config.output_dir).expanduser()
        self._open_folder: RunFolder | None = None

    @property
    @abstractmethod
    def _fingerprint(self) -> str:
        """A hash of every row that the run uses, and of the model that it starts from."""

    def _stage(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Run a stage unless it finished before from the same data; return its notes."""
        folder = self._require_folder()
        notes = self._finished(name)
        if notes is not None:
            logger.info("%s: finished before, not run again", name)
            return notes
        notes, inputs = make(), self._fingerprint
        self._on_main(lambda: folder.finish(name, inputs=inputs, notes=notes))
        return notes

    def _finished(self, name: str) -> dict[str, Any] | None:
        """Return a finished stage's notes. The main process looks for all: later it may be finished."""
        folder, inputs = self._require_folder(), self._fingerprint
        return self._on_main(lambda: folder.finished(name, inputs=inputs))

    @contextmanager
    def _run_folder(self) -> Iterator[RunFolder]:
        """Hold the run folder; inside another stage's hold, it is that one's."""
        if self._open_folder is not None:
            yield self._open_folder
            return
        from nlp_transfer.data.sources import cache_dir
        from nlp_transfer.training.launching import require_asked_processes
        from nlp_transfer.training.processes import WAITING_SECONDS, wait_at_most

        require_asked_processes()
        wait_at_most(
            {**self.config.training, **self.config.adaptation.training}.get("ddp_timeout", WAITING_SECONDS)
        )
        folder = self._closed_folder()
        # A folder that is refused stops all processes, not the one alone that holds it.
        self._on_main(folder.hold)
        self._open_folder = folder
        try:
            with write_failures_told(
                f"the run in {self.folder} stopped: a file could not be written",
                f"make room there and in the cache, {cache_dir()}; the same command goes on from the last "
                "finished stage or checkpoint",
            ):
                yield folder
        finally:
            self._open_folder = None
            folder.release()

    def require_own_folder(self) -> None:
        """Check that the run may write into its folder; nothing is made.

        Raises:
            ConfigError: the folder is or lies in a file, or holds a run with another configuration.
        """
        self._on_main(self._closed_folder().require_own)

    def _closed_folder(self) -> RunFolder:
        return RunFolder(self.folder, resolved_config=write_yaml(self._resolved()), main=self._is_main())

    def _require_folder(self) -> RunFolder:
        if self._open_folder is None:
            raise RuntimeError("a stage ran outside the run folder's hold")
        return self._open_folder

    def _resolved(self) -> dict[str, Any]:
        return json.loads(json.dumps(as_dict(self.config)))  # type: ignore[no-any-return]

    def _is_main(self) -> bool:
        from nlp_transfer.training.processes import is_main

        return is_main()

    def num_processes(self) -> int:
        """Return how many processes train together."""
        from nlp_transfer.training.processes import num_processes

        return num_processes()

    def _on_main(self, make: Callable[[], Made]) -> Made:
        """Compute something on the main process; the others wait and get the same object.

        Nothing in it may wait for the others again: see training/processes.py.
        """
        from nlp_transfer.training.processes import computed_on_main

        return computed_on_main(make)
