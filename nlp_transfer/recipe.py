"""The base of both recipes: check, train, evaluate, report, save, each from what the one before left in the
folder.

A subclass says what its data, its systems and its models are; this class keeps the order and assembles the
report. How a stage is run once and remembered stands in stages.py.
"""

from __future__ import annotations

import dataclasses
import logging
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nlp_transfer.chain import Chain, Outcome, preflight_findings, take_predictions
from nlp_transfer.config import RecipeConfig, load_config
from nlp_transfer.continuing import Continuing
from nlp_transfer.data.checks import gravest_first
from nlp_transfer.data.in_memory import kept_domain
from nlp_transfer.errors import ConfigError, DataError, RunError
from nlp_transfer.evaluation.predicted import predictions_folder
from nlp_transfer.history import TestSet
from nlp_transfer.runs import RunFolder, environment, fingerprint, refusal_of, refuse_model, write_json
from nlp_transfer.stages import StagedRun

if TYPE_CHECKING:
    from nlp_transfer.data.checks import DataReport
    from nlp_transfer.publishing.hub import PushResult
    from nlp_transfer.reporting.report import TransferReport

logger = logging.getLogger(__name__)


class TransferRecipe(StagedRun):
    """One recipe: a configuration and a run folder.

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
        self._checked: DataReport | None = None
        self.continuing = Continuing(config, self.folder, load=self._load_earlier, metric=self.primary_metric)

    @classmethod
    def from_config(
        cls,
        config: str | Path | Mapping[str, Any],
        overrides: Sequence[str] = (),
        *,
        data: Mapping[str, Any] | None = None,
        continue_from: str | Path | None = None,
    ) -> Self:
        """Build the recipe from a YAML file, or from nested dictionaries, and `key.sub=value` overrides.

        Args:
            config: the file, or its content.
            overrides: values to change.
            data: rows that the program holds, in place of the file's, by domain (`target`, `source`): a
                `datasets.Dataset` or `DatasetDict`, a `pandas.DataFrame`, or dictionaries.
            continue_from: an adapted model to go on from: a run folder, its `model/`, or a Hub id.

        Raises:
            ConfigError: the file or an override is wrong; all problems are listed.
            DataError: `data` holds something else.
        """
        given = None if continue_from is None else str(continue_from)
        domains = {name: kept_domain(name, rows) for name, rows in (data or {}).items()}
        return cls(load_config(config, overrides, domains=domains, continue_from=given))

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

    # The stages ------------------------------------------------------------------------------------

    def check(self) -> DataReport:
        """Look at the data before anything is trained.

        Returns:
            Counts of both domains and what is doubtful about them.

        Raises:
            DataError: something cannot work; the message says how to mend it.
        """
        if self._checked is None:
            self._checked = self._with_chain(self._check_data())
        report = self._checked
        if report.blocking:
            raise DataError(
                "the data cannot be used:\n"
                + "\n".join(f"  - {f.evidence}: {f.advice}" for f in report.blocking)
            )
        return report

    def require_machine(self) -> None:
        """Stop where this machine cannot train as the recipe asks.

        Raises:
            ConfigError: the `training` blocks ask for a GPU or a package that is not there.
        """
        config = self.config
        stages = [] if config.source_stage is None else [config.source_stage.training]
        blocks = [{**config.training, **stage} for stage in (*stages, config.adaptation.training)]
        if not any(blocks):
            return
        from nlp_transfer.training.arguments import require_machine

        for block in blocks:
            require_machine(block)

    def train(self) -> None:
        """Check the data, make the source model and adapt it; finished stages are not run again.

        Under a guard the model is also scored on what it must not lose.

        Raises:
            RunError: the guard refused the model; the report is written, `model/` is `refused_model/`.
        """
        with self._run_folder() as folder:
            self._require_not_refused()
            report = self.check()
            if self._finished("adapted") is None:
                self.require_machine()
            inputs = self._fingerprint
            self._on_main(lambda: self._begin(folder, report, inputs=inputs))
            if self._has_source_stage():
                self._stage("source_model", self._train_source)
            self._stage("adapted", self._train_adapted)
            if self.config.adaptation.guard is not None:
                self._score_chain()
                if self._on_main(self._is_refused):
                    # Nobody is to find the model as if it were good: the report says why it is not.
                    self.evaluate()

    def evaluate(self) -> TransferReport:
        """Score the adapted model and everything it is compared with, and write the report.

        Raises:
            RunError: the run folder holds no trained model, or the guard refused it.
        """
        with self._run_folder() as folder:
            self._require_not_refused()
            if self._finished("adapted") is None:
                raise RunError(
                    f"{folder.path} holds no model adapted from this data; run `nlp-transfer train` first"
                )
            self._evaluate_systems()
            self._stage("evidence", self._keep_evidence)
            report = self._on_main(self._report_and_card)
            if self._on_main(self._is_refused):
                self._refuse()
            return report

    def run(self) -> TransferReport:
        """Check, train, evaluate and report."""
        with self._run_folder():
            self.train()
            return self.evaluate()

    def push_to_hub(
        self,
        repo_id: str | None = None,
        private: bool | None = None,
        *,
        merge: bool = False,
        dry_run: bool = False,
        override: str | None = None,
        token: str | None = None,
        tag: str | None = None,
    ) -> PushResult:
        """Publish the adapted model with its card, figures and report; see `publishing.hub.push_model`.

        Args:
            repo_id: owner/name; None takes `hub.repo_id`.
            private: whether a new repository is private; None takes `hub.private`.
            merge: for LoRA the merged weights, not the adapter.
            dry_run: check and describe everything, send nothing.
            override: why closed gates are passed over; the card states it.
            token: a Hub token with write access; None takes the one of `hf auth login` or HF_TOKEN.
            tag: the name of this revision; None is the next free one of v1, v2, ...

        Raises:
            ConfigError: no repository is named.
            PublishError: the run is not finished, or a gate, the token or the name is wrong.
            RunError: the Hub cannot be reached or fails.
        """
        from nlp_transfer.publishing.hub import push_model

        name = repo_id or self.config.hub.repo_id
        if name is None:
            raise ConfigError("name the repository to publish to: push_to_hub('owner/name'), or hub.repo_id")
        return self._on_main(
            lambda: push_model(
                self.folder, name, private=self.config.hub.private if private is None else private,
                merge=merge, dry_run=dry_run, override=override, token=token, tag=tag,
            )
        )  # fmt: skip

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

    def _evaluate_systems(self) -> None:
        """Score every system that is not scored yet, into `predictions/`."""
        for seed in self.config.evaluation.seeds:
            for system in [*self.baselines(), "adapted"]:
                self._stage(f"score {system} seed {seed}", self._scoring(system, seed))
        self._score_chain()

    def cost_of(self, system: str) -> dict[str, Any]:
        """Return what making a scored system cost, at the first seed."""
        folder = self._require_folder()
        stage = "adapted" if system == "adapted" else f"score {system} seed {self.first_seed}"
        return folder.finished(stage, inputs=self._fingerprint) or {}

    def predictions_folder(self, seed: int) -> Path:
        """Return where the predictions of one of `evaluation.seeds` are."""
        return predictions_folder(self.folder, seed, first=self.first_seed)

    # The chain of adaptations ----------------------------------------------------------------------

    @cached_property
    def chain(self) -> Chain | None:
        """What the run must not lose; None where it continues from nothing and has no guard."""
        return self.continuing.chain(
            self.data.source, knows_source=self._possible_baselines().get("zero_shot", False)
        )

    def _with_chain(self, report: DataReport) -> DataReport:
        """Add what is to be known of the chain before training."""
        if self.chain is None:
            return report
        domains = [domain for domain in (self.data.source, self.data.target) if domain is not None]
        found = preflight_findings(self.chain, domains)
        return dataclasses.replace(report, findings=gravest_first([*report.findings, *found]))

    def _score_chain(self) -> None:
        """Score the model before and the one after on every test set of the chain that was found."""
        if self.chain is None or not self.chain.scored:
            return
        sets, seed = self.chain.scored, self.first_seed
        for system in [*({"zero_shot"} & set(self.baselines())), "adapted"]:
            self._stage(f"score {system} seed {seed}", self._scoring(system, seed))
        self._stage(
            f"score chain {fingerprint([each.fingerprint for each in sets])}",
            lambda: self._scored_chain(sets),
        )

    def _scored_chain(self, sets: Sequence[TestSet]) -> dict[str, Any]:
        earlier = self.continuing.model
        run = None if earlier is None else earlier.run
        missing = self._on_main(lambda: take_predictions(self.folder, run, sets))
        for system, unscored in missing.items():
            if unscored:
                self._score_test_sets(system, unscored)
        return {"test_sets": len(sets)}

    @cached_property
    def outcome(self) -> Outcome | None:
        """What became of the chain, once it is scored; None where there is none."""
        return self._chain_outcome()

    def _is_refused(self) -> bool:
        return self.outcome is not None and self.outcome.refused

    def _refuse(self) -> None:
        """Put the model away and say so.

        Raises:
            RunError: always.
        """
        self._on_main(self._put_model_away)
        self._require_not_refused()

    def _put_model_away(self) -> None:
        if self.outcome is not None:
            words = next(finding for finding in self.outcome.findings if finding.check == "guard")
            reason = f"the guard refused it: {words.evidence}; {words.advice}"
            refuse_model(self.folder, reason)

    def _require_not_refused(self) -> None:
        """Stop where the guard refused this run's model; a refusal that was interrupted is completed."""
        reason = self._on_main(lambda: refusal_of(self.folder))
        if reason is None:
            return
        if self._is_main():
            refuse_model(self.folder, reason)
        raise RunError(
            f"the model of {self.folder} is not handed over, {reason}. Its weights are in refused_model/, "
            "the scores in report.md; run again with another output_dir"
        )

    # What the stages share -------------------------------------------------------------------------

    def _begin(self, folder: RunFolder, report: DataReport, *, inputs: str) -> None:
        """Write into the run folder what the run is made of."""
        seeds = self.config.evaluation.seeds
        folder.begin(environment(seeds=seeds, num_processes=self.num_processes()), inputs=inputs)
        write_json(folder.path / "data.json", report.as_dict())

    def _report_and_card(self) -> TransferReport:
        from nlp_transfer.publishing.model_card import write_card

        report = self._build_report(self.check())
        write_card(self.folder)
        return report

    def _has_source_stage(self) -> bool:
        return (
            self.config.data.source is not None
            and self.config.source_stage is not None
            and self.config.continue_from is None
        )
