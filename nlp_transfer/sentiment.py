"""Sentiment transfer: a source domain with many labels, a target domain with few or none.

Makes the source model, adapts it, scores it beside every baseline on the same held-out rows of both domains, and
reports. How a model is trained, scored and reported stands in the packages that this module calls.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_transfer.data.classification import TransferData, load_transfer_data
from nlp_transfer.errors import ConfigError, DataError
from nlp_transfer.recipe import TransferRecipe
from nlp_transfer.runs import fingerprint
from nlp_transfer.systems import SystemRunner, SystemSettings

if TYPE_CHECKING:
    from nlp_transfer.data.checks import DataReport
    from nlp_transfer.reporting.report import TransferReport

logger = logging.getLogger(__name__)


class SentimentTransfer(TransferRecipe):
    """Adapts an encoder from one domain of labelled texts to another; see `TransferRecipe` for the stages.

    >>> from nlp_transfer.config import parse_config
    >>> recipe = SentimentTransfer(parse_config({"task": "sentiment", "output_dir": "runs/example",
    ...     "model": {"path": "sentence-transformers/all-MiniLM-L6-v2"},
    ...     "data": {"target": {"path": "mine.csv"}}}))
    >>> recipe.folder.name
    'example'
    """

    task = "sentiment"

    @cached_property
    def data(self) -> TransferData:
        """Both domains, split, with the training rows of the first of `evaluation.seeds`."""
        return self._load_data(self.first_seed)

    @property
    def first_seed(self) -> int:
        """The seed whose model is kept."""
        return self.config.evaluation.seeds[0]

    def data_for(self, seed: int) -> TransferData:
        """Return both domains with the training rows of one of `evaluation.seeds`."""
        return self.data if seed == self.first_seed else self._load_data(seed)

    def _load_data(self, seed: int) -> TransferData:
        from nlp_transfer.models.loading import model_labels

        config = dataclasses.replace(self.config.data, seed=self.config.data.seed + seed)
        known = None
        if not self._has_source_stage():
            known = model_labels(self.config.model.path, revision=self.config.model.revision)
        data = load_transfer_data(config, model_labels=known)
        if not len(data.target.train) and not self._has_source_stage() and known is None:
            raise DataError("no target label, no source domain and a model without a head of its own: nothing to learn from")
        return data

    @property
    def runner(self) -> SystemRunner:
        """What trains and scores the systems of this run."""
        config = self.config
        return SystemRunner(
            SystemSettings(
                model_path=config.model.path, revision=config.model.revision,
                max_length_tokens=config.model.max_length_tokens,
                source_stage=config.source_stage if self._has_source_stage() else None,
                adaptation=config.adaptation, training=config.training,
            ),
            folder=self.folder,
        )  # fmt: skip

    def _check_data(self) -> DataReport:
        from nlp_transfer.data.checks import check_data
        from nlp_transfer.models.loading import load_tokenizer

        self._require_methods_that_fit()
        tokenizer = load_tokenizer(self.config.model.path, revision=self.config.model.revision)
        return check_data(self.data, tokenizer=tokenizer, max_length_tokens=self.config.model.max_length_tokens)

    def _require_methods_that_fit(self) -> None:
        stage, method = self.config.source_stage, self.config.adaptation.method
        if self._has_source_stage() and stage is not None and stage.method == "probe" and method != "probe":
            raise ConfigError(
                f"source_stage.method is probe, which leaves no weights for adaptation.method {method} to start from; "
                "set adaptation.method: probe, or source_stage.method: full"
            )

    def _data_fingerprint(self) -> str:
        domains = [self.data.target, *([self.data.source] if self.data.source is not None else [])]
        return fingerprint([[rows.fingerprint() for rows in (d.train, d.dev, d.test)] for d in domains])

    def _train_source(self) -> dict[str, Any]:
        return self.runner.train_source(self.data, seed=self._training_seed(self.first_seed)).as_dict()

    def _train_adapted(self) -> dict[str, Any]:
        return self.runner.train_adapted(self.data, seed=self._training_seed(self.first_seed), keep=True).as_dict()

    def _training_seed(self, seed: int) -> int:
        return int(self.config.training.get("seed", 0)) + seed

    def _evaluate_systems(self) -> None:
        systems = [*self._baselines(), "adapted"]
        for seed in self.config.evaluation.seeds:
            data = self.data_for(seed)
            for system in systems:
                self._stage(f"score {system} seed {seed}", self._scoring(system, data, seed))

    def _scoring(self, system: str, data: TransferData, seed: int) -> Callable[[], dict[str, Any]]:
        def score() -> dict[str, Any]:
            first = seed == self.first_seed
            cost = self.runner.score(system, data, seed=self._training_seed(seed), folder=self._predictions(seed), kept=first)
            return cost.as_dict()

        return score

    def cost_of(self, system: str) -> dict[str, Any]:
        """Return what making a scored system cost, at the first seed."""
        folder = self._require_folder()
        stage = "adapted" if system == "adapted" else f"score {system} seed {self.first_seed}"
        return folder.finished(stage, inputs=self._data_fingerprint()) or {}

    def _predictions(self, seed: int) -> Path:
        folder = self.folder / "predictions"
        return folder if seed == self.first_seed else folder / f"seed-{seed}"

    def _baselines(self) -> list[str]:
        """Return the asked-for systems that this run can have."""
        can = {
            "majority": len(self.data.training_rows()) > 0,
            "tfidf": len(self.data.training_rows()) > 0,
            "zero_shot": self._has_source_stage() or self._model_has_head(),
            "probe": len(self.data.training_rows()) > 0,
            "target_only": len(self.data.target.train) > 0 and self._has_source_stage(),
            "scratch": len(self.data.target.train) > 0,
        }
        asked = self.config.evaluation.baselines
        for system in asked:
            if not can.get(system, False):
                logger.info("%s: cannot be measured in this run", system)
        return [system for system in asked if can.get(system, False)]

    def _model_has_head(self) -> bool:
        from nlp_transfer.models.loading import model_labels

        return model_labels(self.config.model.path, revision=self.config.model.revision) is not None

    def _build_report(self, data: DataReport) -> TransferReport:
        from nlp_transfer.sentiment_report import build_report

        return build_report(self, data, systems=[*self._baselines(), "adapted"])

    def save_pretrained(self, folder: str | Path) -> Path:
        """Copy the adapted model to a folder, reload it there and require the same logits within 1e-5.

        Raises:
            RunError: nothing was trained yet, or the reloaded model scores differently.
        """
        from nlp_transfer.publishing.save import save_model

        sample = self.data.target.test.texts[:64]
        return save_model(self.folder / "model", Path(folder), texts=sample)
