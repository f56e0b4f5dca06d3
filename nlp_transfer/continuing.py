"""What a recipe continues from, found once: the earlier model, its chain, and the rows behind that.

A first run has none of it, but under a guard a chain of its own: its source's test rows.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from nlp_transfer.chain import Chain, with_own_source
from nlp_transfer.config import RecipeConfig
from nlp_transfer.data.leaks import row_keys, without_rows
from nlp_transfer.data.pairs import TransferPairs
from nlp_transfer.data.rows import TransferData
from nlp_transfer.earlier import EarlierModel, find_earlier_model
from nlp_transfer.errors import DataError, ModelError
from nlp_transfer.history import EarlierRows, History, first_step, history_of, read_run_config, with_rows

logger = logging.getLogger(__name__)
Data = TypeVar("Data", TransferData, TransferPairs)


class Continuing:
    """The earlier model of a recipe and everything that must not be lost of it.

    Args:
        config: the recipe.
        folder: its run folder.
        load: reads and splits both domains of an earlier run's recipe.
        metric: the task's primary one.
    """

    def __init__(
        self, config: RecipeConfig, folder: Path, *, load: Callable[[RecipeConfig], Any], metric: str
    ) -> None:
        self.config = config
        self.folder = folder
        self.load = load
        self.metric = metric

    @cached_property
    def model(self) -> EarlierModel | None:
        """The model that the run continues from; None for a first run.

        Raises:
            ModelError: it cannot be continued from, or is of another task.
        """
        if self.config.continue_from is None:
            return None
        found = find_earlier_model(self.config.continue_from)
        if found.run is not None and (task := read_run_config(found.run).task) != self.config.task:
            raise ModelError(
                f"{found.given} is a model of {task}, and this is a {self.config.task} recipe; continue "
                f"from a {self.config.task} model"
            )
        logger.info("continues from %s", found.given)
        return found

    @cached_property
    def history(self) -> History:
        """The chain up to the earlier model; of a first run what it starts from."""
        if self.model is not None:
            return history_of(self.model, metric=self.metric)
        model = self.config.model
        return History([first_step(self.config)], [], {"path": model.path, "revision": model.revision})

    @cached_property
    def rows(self) -> EarlierRows:
        """The rows behind the chain."""
        beside = self.folder if self.model is None or self.model.run is None else self.model.run
        return with_rows(self.history, self.load, beside=beside)

    @cached_property
    def test_keys(self) -> set[str]:
        """Keys of all rows that earlier runs of the chain test on (`row_keys`); they must not be learnt."""
        if self.model is None:
            return set()
        return {key for each in self.rows.sets if each.rows is not None for key in row_keys(each.rows.test)}

    def without_test_rows(self, data: Data) -> Data:
        """Leave the rows of earlier test sets out of what both domains are learnt from.

        Raises:
            DataError: nothing is left of a domain.
        """
        if self.model is None:
            return data
        parts: dict[str, Any] = {
            name: without_rows(domain, self.test_keys)
            for name in ("target", "source")
            if (domain := getattr(data, name)) is not None
        }
        for name, domain in parts.items():
            if len(getattr(data, name).train) and not len(domain.train):
                raise DataError(
                    f"data.{name}: all its training rows stand in test sets of earlier runs of the chain, "
                    "which must not be trained on; give it other rows"
                )
        return dataclasses.replace(data, **parts)

    def chain(self, source: Any, *, knows_source: bool) -> Chain | None:
        """Return what the run is held against; None where it continues from nothing and has no guard.

        Args:
            source: the run's own source domain, if any.
            knows_source: whether what it starts from can be scored on it.
        """
        guard = self.config.adaptation.guard
        if self.model is None and guard is None:
            return None
        own = source if knows_source else None
        return Chain(
            continued_from=None if self.model is None else self.model.name,
            history=self.history,
            sets=with_own_source(self.rows, self.history, own, run=self.folder),
            learnt=self.rows.learnt,
            max_drop=None if guard is None else guard.max_drop,
        )
