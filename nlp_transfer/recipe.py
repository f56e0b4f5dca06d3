"""The base of both recipes: check, train, evaluate, report, publish, each from what the one before left.

This class keeps the order. What a task provides for it stands in task_run.py, how a stage is run once and
remembered in stages.py.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nlp_transfer.chain import Chain, Outcome, preflight_findings, take_predictions
from nlp_transfer.config import load_config
from nlp_transfer.data.in_memory import kept_domain
from nlp_transfer.environment import environment
from nlp_transfer.errors import ConfigError, DataError, RunError
from nlp_transfer.evidence_files import write_texts
from nlp_transfer.guarding import put_away, require_not_refused
from nlp_transfer.history import TestSet
from nlp_transfer.runs import RunFolder, fingerprint
from nlp_transfer.task_run import TaskRun
from nlp_transfer.training.arguments import require_machine_for
from nlp_transfer.training.checkpoints import require_whole_model
from nlp_transfer.whole_files import write_json

if TYPE_CHECKING:
    from nlp_transfer.data.checks import DataReport
    from nlp_transfer.domain_texts import Samples
    from nlp_transfer.findings import Finding
    from nlp_transfer.publishing.hub import PushResult
    from nlp_transfer.reporting.report import TransferReport

logger = logging.getLogger(__name__)


class TransferRecipe(TaskRun):
    """One recipe: a configuration and a run folder.

    Args:
        config: a validated recipe.

    Raises:
        ConfigError: the recipe is for another task.
    """

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

    # The stages ------------------------------------------------------------------------------------

    def check(self) -> DataReport:
        """Look at the data before anything is trained.

        Returns:
            Counts of both domains and what is doubtful about them.

        Raises:
            DataError: something cannot work; the message says how to mend it.
        """
        report = self._checked
        if report.blocking:
            raise DataError(
                "the data cannot be used:\n"
                + "\n".join(f"  - {f.evidence}: {f.advice}" for f in report.blocking)
            )
        return report

    @cached_property
    def _checked(self) -> DataReport:
        return self._with_chain(self._check_data())

    def distances(self) -> list[Finding]:
        """Measure how far the two domains lie apart for the model that is to be adapted; nothing is trained.

        Takes as long as encoding up to 1,000 texts of each domain. `run` does it too, before it trains.

        Returns:
            `domain_distance` and two tests of whether the domains differ; none without a source, with sources
            in different languages, or where the model is still to be made.
        """
        return self._on_main(lambda: found_distances(self._sample_texts()))

    def require_machine(self) -> None:
        """Stop where this machine cannot train as the recipe asks.

        Raises:
            ConfigError: the `training` blocks ask for a GPU or a package that is not there.
        """
        require_machine_for(self.config)

    def train(self) -> None:
        """Check the data, make the source model and adapt it; finished stages are not run again.

        Under a guard the model is also scored on what it must not lose.

        Raises:
            RunError: the guard refused the model; the report is written, `model/` is `refused_model/`.
        """
        with self._run_folder() as folder:
            require_not_refused(self.folder)
            report = self.check()
            if self._finished("adapted") is None:
                self.require_machine()
            inputs = self._fingerprint
            self._on_main(lambda: self._begin(folder, report, inputs=inputs))
            self._look_at_domains()
            if self._has_source_stage():
                self._stage("source_model", self._train_source)
                # A parent that the run makes reads both domains only now.
                self._look_at_domains()
            self._stage("adapted", self._train_adapted)
            if self.config.adaptation.guard is not None:
                self._score_chain()
                if self._on_main(self._is_refused):
                    # Nobody is to find the model as if it were good: the report says why it is not.
                    self.evaluate()

    def evaluate(self) -> TransferReport:
        """Score the adapted model and everything it is compared with, and write the report.

        Raises:
            RunError: the run folder holds no trained model, or a damaged one, or the guard refused it.
        """
        with self._run_folder() as folder:
            require_not_refused(self.folder)
            if self._finished("adapted") is None:
                raise RunError(
                    f"{folder.path} holds no model adapted from this data; run `nlp-transfer train` first"
                )
            self._on_main(lambda: require_whole_model(self.folder / "model"))
            self._look_at_domains()
            self._evaluate_systems()
            self._stage("evidence", self._keep_evidence)
            report = self._on_main(self._report_and_card)
            self._on_main(self._put_refused_away)
            require_not_refused(self.folder)
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

    # What is scored ---------------------------------------------------------------------------------

    def _evaluate_systems(self) -> None:
        """Score every system that is not scored yet, into `predictions/`."""
        for seed in self.config.evaluation.seeds:
            for system in [*self.baselines(), "adapted"]:
                self._stage(f"score {system} seed {seed}", self._scoring(system, seed))
        self._score_chain()

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
        return report.with_findings(found)

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

    def _put_refused_away(self) -> None:
        if self.outcome is not None and self.outcome.refused:
            put_away(self.folder, self.outcome)

    def _look_at_domains(self) -> None:
        """Keep samples of both domains' texts for the report, and say how far the domains lie apart."""
        if self._finished("domains") is not None:
            return
        if (seconds := self._on_main(self._compare_domains)) is not None:
            self._stage("domains", lambda: {"seconds": seconds})

    def _compare_domains(self) -> float | None:
        """Return the seconds that it took; None where there is nothing to compare yet."""
        began = time.perf_counter()
        samples = self._sample_texts()
        if not samples:
            return None
        write_texts(self.folder, samples)
        for finding in found_distances(samples):
            if finding.check == "domain_distance":
                logger.info("before training: %s", finding.evidence)
        return round(time.perf_counter() - began, 4)

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


def found_distances(samples: Samples) -> list[Finding]:
    """Compare samples of the two domains; nothing where there are none."""
    from nlp_transfer.diagnostics.before_training import distances

    return list(distances(samples)) if samples else []
