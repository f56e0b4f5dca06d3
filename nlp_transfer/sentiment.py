"""Sentiment transfer: a source domain with many labels, a target domain with few or none.

Makes the source model, adapts it, scores it beside every baseline on the same held-out rows of both domains,
and reports. How a model is trained, scored and reported stands in the packages that this module calls.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_transfer.data.classification import load_transfer_data
from nlp_transfer.data.rows import TransferData
from nlp_transfer.errors import ConfigError, DataError, RunError
from nlp_transfer.making import PARITY_TEXTS, ModelMaker, SystemSettings
from nlp_transfer.recipe import TransferRecipe
from nlp_transfer.runs import fingerprint
from nlp_transfer.systems import SystemScorer

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
        if seed == self.first_seed:
            return self.data
        if seed not in self._data_of:
            self._data_of[seed] = self._load_data(seed)
        return self._data_of[seed]

    @cached_property
    def _data_of(self) -> dict[int, TransferData]:
        return {}

    def _load_data(self, seed: int) -> TransferData:
        from nlp_transfer.models.loading import model_labels

        config = dataclasses.replace(self.config.data, seed=self.config.data.seed + seed)
        known = None
        if not self._has_source_stage():
            known = model_labels(self.config.model.path, revision=self.config.model.revision)
        data = load_transfer_data(config, model_labels=known)
        if not len(data.target.train) and not self._has_source_stage() and known is None:
            raise DataError(
                "nothing to learn from: no target label, no source domain, and a model without a head"
            )
        return data

    def maker(self, seed: int) -> ModelMaker:
        """Return what makes the models at one of `evaluation.seeds`."""
        config = self.config
        settings = SystemSettings(
            model_path=config.model.path,
            revision=config.model.revision,
            max_length_tokens=config.model.max_length_tokens,
            source_stage=config.source_stage if self._has_source_stage() else None,
            adaptation=config.adaptation,
            training=config.training,
        )
        training_seed = int(config.training.get("seed", 0)) + seed
        return ModelMaker(settings, self.data_for(seed), seed=training_seed, folder=self.folder)

    def _check_data(self) -> DataReport:
        from nlp_transfer.data.checks import check_data
        from nlp_transfer.models.loading import load_tokenizer, require_length

        self._require_methods_that_fit()
        model = self.config.model
        require_length(model.path, model.max_length_tokens, revision=model.revision)
        tokenizer = load_tokenizer(model.path, revision=model.revision)
        return check_data(
            self.data, tokenizer=tokenizer, max_length_tokens=self.config.model.max_length_tokens
        )

    def _require_methods_that_fit(self) -> None:
        stage, method = self.config.source_stage, self.config.adaptation.method
        if self._has_source_stage() and stage is not None and stage.method == "probe" and method != "probe":
            raise ConfigError(
                f"source_stage.method is probe, which leaves no weights for adaptation.method {method} to "
                "start from; set adaptation.method: probe, or source_stage.method: full"
            )

    def _data_fingerprint(self) -> str:
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        domains = [self.data.target, *([self.data.source] if self.data.source is not None else [])]
        from nlp_transfer.models.loading import model_identity

        rows = [[rows.fingerprint() for rows in (d.train, d.dev, d.test)] for d in domains]
        model = self.config.model
        return fingerprint(rows, model_identity(model.path, revision=model.revision))

    def _train_source(self) -> dict[str, Any]:
        return self.maker(self.first_seed).train_source().as_dict()

    def _train_adapted(self) -> dict[str, Any]:
        return self.maker(self.first_seed).train_adapted().as_dict()

    def _evaluate_systems(self) -> None:
        for seed in self.config.evaluation.seeds:
            for system in [*self._baselines(), "adapted"]:
                self._stage(f"score {system} seed {seed}", self._scoring(system, seed))

    def _scoring(self, system: str, seed: int) -> Callable[[], dict[str, Any]]:
        folder, kept = self.predictions_folder(seed), seed == self.first_seed
        return lambda: SystemScorer(self.maker(seed)).score(system, folder, kept=kept).as_dict()

    def cost_of(self, system: str) -> dict[str, Any]:
        """Return what making a scored system cost, at the first seed."""
        folder = self._require_folder()
        stage = "adapted" if system == "adapted" else f"score {system} seed {self.first_seed}"
        return folder.finished(stage, inputs=self._data_fingerprint()) or {}

    def predictions_folder(self, seed: int) -> Path:
        """Return where the predictions of one of `evaluation.seeds` are."""
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

        model = self.folder / "model"
        if not model.is_dir():
            raise RunError(f"{self.folder} holds no trained model; run `nlp-transfer train` first")
        return save_model(str(model), Path(folder), texts=self.data.target.test.texts[:PARITY_TEXTS])
