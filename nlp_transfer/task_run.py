"""A run of one of the tasks: what a task has to provide, and which systems the run has at which seed.

The order of it all is the recipe's (recipe.py).
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_transfer.config import RecipeConfig
from nlp_transfer.continuing import Continuing
from nlp_transfer.errors import ConfigError
from nlp_transfer.evaluation.predicted import predictions_folder
from nlp_transfer.stages import StagedRun

if TYPE_CHECKING:
    from nlp_transfer.chain import Outcome
    from nlp_transfer.data.checks import DataReport
    from nlp_transfer.domain_texts import Samples
    from nlp_transfer.history import TestSet
    from nlp_transfer.reporting.report import TransferReport

logger = logging.getLogger(__name__)


class TaskRun(StagedRun):
    """A configuration of one task, and the folder that its stages fill.

    Args:
        config: a validated recipe.

    Raises:
        ConfigError: the recipe is for another task.
    """

    task: str
    primary_metric: str

    def __init__(self, config: RecipeConfig) -> None:
        if config.task != self.task:
            raise ConfigError(f"task is {config.task}; {type(self).__name__} runs {self.task} recipes")
        super().__init__(config)
        self.continuing = Continuing(config, self.folder, load=self._load_earlier, metric=self.primary_metric)

    # What a subclass provides ----------------------------------------------------------------------

    @abstractmethod
    def _check_data(self) -> DataReport:
        """Look at the data without training anything."""

    @property
    @abstractmethod
    def data(self) -> Any:
        """Both domains, split, with the training rows of the first of `evaluation.seeds`."""

    @abstractmethod
    def _load_data(self, seed: int) -> Any:
        """Read and split both domains, with the training rows of one of `evaluation.seeds`."""

    @abstractmethod
    def _load_earlier(self, config: RecipeConfig) -> Any:
        """Read and split both domains of an earlier run of the chain, as that run did."""

    @abstractmethod
    def _score_test_sets(self, system: str, sets: Sequence[TestSet]) -> None:
        """Write a system's predictions for test sets of the chain: `zero_shot` is the model before, `adapted`
        the one after.
        """

    @abstractmethod
    def _chain_outcome(self) -> Outcome | None:
        """Sum up what became of the chain; None where there is none."""

    @abstractmethod
    def _sample_texts(self) -> Samples:
        """Return samples of both domains' texts as the model sees them before it learns any; none where there
        is nothing to compare, or no trained model yet.
        """

    @abstractmethod
    def _train_source(self) -> dict[str, Any]:
        """Make the source model; return its cost."""

    @abstractmethod
    def _train_adapted(self) -> dict[str, Any]:
        """Make the adapted model in `model/`; return its cost."""

    @abstractmethod
    def _possible_baselines(self) -> dict[str, bool]:
        """Tell of each of the task's systems whether this run can have it."""

    @abstractmethod
    def _scoring(self, system: str, seed: int) -> Callable[[], dict[str, Any]]:
        """Return what scores a system at one of `evaluation.seeds` into `predictions/` and tells its cost."""

    @abstractmethod
    def _keep_evidence(self) -> dict[str, Any]:
        """Keep what the report's diagnostics look at beside the predictions; return what that took."""

    @abstractmethod
    def _build_report(self, data: DataReport) -> TransferReport:
        """Compare the predictions and write the report into the run folder."""

    def write_test_sources(self, path: Path) -> None:
        """Write the target's test sources for another system, where the task can compare with one."""
        raise ConfigError(f"--write-test is for translation; this is a {self.task} recipe")

    @abstractmethod
    def save_pretrained(self, folder: str | Path) -> Path:
        """Copy the adapted model to a folder, reload it there and require the same outputs."""

    # Seeds and systems -----------------------------------------------------------------------------

    @property
    def first_seed(self) -> int:
        """The seed whose model is kept."""
        return self.config.evaluation.seeds[0]

    def training_seed(self, seed: int) -> int:
        """Return what starts and orders training at one of `evaluation.seeds`."""
        return int(self.config.training.get("seed", 0)) + seed

    def data_for(self, seed: int) -> Any:
        """Return both domains with the training rows of one of `evaluation.seeds`."""
        if seed == self.first_seed:
            return self.data
        if seed not in self._data_of:
            self._data_of[seed] = self._load_data(seed)
        return self._data_of[seed]

    def _row_fingerprints(self) -> list[list[str]]:
        """Hash what each domain learns, selects on and is scored on, at each of `evaluation.seeds`."""
        every = [self.data_for(seed) for seed in self.config.evaluation.seeds]
        domains = [domain for data in every for domain in (data.target, data.source) if domain is not None]
        return [[rows.fingerprint() for rows in (d.train, d.dev, d.test)] for d in domains]

    @cached_property
    def _data_of(self) -> dict[int, Any]:
        return {}

    def can_have(self, system: str) -> bool:
        """Tell whether this run can have one of the task's systems."""
        return self._possible_baselines().get(system, False)

    def baselines(self) -> list[str]:
        """Return the asked-for systems that this run can have."""
        possible = self._possible_baselines()
        for system in self.config.evaluation.baselines:
            if not possible.get(system, False):
                logger.info("%s: cannot be measured in this run", system)
        return [system for system in self.config.evaluation.baselines if possible.get(system, False)]

    def cost_of(self, system: str) -> dict[str, Any]:
        """Return what making a scored system cost, at the first seed."""
        folder = self._require_folder()
        stage = "adapted" if system == "adapted" else f"score {system} seed {self.first_seed}"
        return folder.finished(stage, inputs=self._fingerprint) or {}

    def predictions_folder(self, seed: int) -> Path:
        """Return where the predictions of one of `evaluation.seeds` are."""
        return predictions_folder(self.folder, seed, first=self.first_seed)

    def _has_source_stage(self) -> bool:
        return (
            self.config.data.source is not None
            and self.config.source_stage is not None
            and self.config.continue_from is None
        )
