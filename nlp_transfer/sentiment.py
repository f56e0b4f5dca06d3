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
from nlp_transfer.evidence import EvidenceKeeper
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
    def model_path(self) -> str:
        """The pretrained encoder; parsing has seen to it that there is one."""
        return str(self.config.model.path)

    def _load_data(self, seed: int) -> TransferData:
        from nlp_transfer.models.loading import model_labels

        config = dataclasses.replace(self.config.data, seed=self.config.data.seed + seed)
        known = None
        if not self._has_source_stage():
            known = model_labels(self.model_path, revision=self.config.model.revision)
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
            model_path=self.model_path,
            revision=config.model.revision,
            max_length_tokens=config.model.max_length_tokens,
            source_stage=config.source_stage if self._has_source_stage() else None,
            adaptation=config.adaptation,
            training=config.training,
        )
        return ModelMaker(settings, self.data_for(seed), seed=self.training_seed(seed), folder=self.folder)

    def _check_data(self) -> DataReport:
        from nlp_transfer.data.checks import check_data
        from nlp_transfer.models.loading import load_tokenizer, require_length

        self._require_methods_that_fit()
        model = self.config.model
        require_length(self.model_path, model.max_length_tokens, revision=model.revision)
        tokenizer = load_tokenizer(self.model_path, revision=model.revision)
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

    @cached_property
    def _fingerprint(self) -> str:
        domains = [self.data.target, *([self.data.source] if self.data.source is not None else [])]
        from nlp_transfer.models.loading import model_identity

        rows = [[rows.fingerprint() for rows in (d.train, d.dev, d.test)] for d in domains]
        model = self.config.model
        return fingerprint(rows, model_identity(self.model_path, revision=model.revision))

    def _train_source(self) -> dict[str, Any]:
        return self.maker(self.first_seed).train_source().as_dict()

    def _train_adapted(self) -> dict[str, Any]:
        cost = self.maker(self.first_seed).train_adapted().as_dict()
        self._evidence().calibrate()
        return cost

    def _keep_evidence(self) -> dict[str, Any]:
        return self._evidence().keep([*self.baselines(), "adapted"])

    def _evidence(self) -> EvidenceKeeper:
        return EvidenceKeeper(self.maker(self.first_seed), self.predictions_folder(self.first_seed))

    def _scoring(self, system: str, seed: int) -> Callable[[], dict[str, Any]]:
        folder, kept = self.predictions_folder(seed), seed == self.first_seed
        return lambda: SystemScorer(self.maker(seed)).score(system, folder, kept=kept).as_dict()

    def _possible_baselines(self) -> dict[str, bool]:
        labelled = len(self.data.training_rows()) > 0
        return {
            "majority": labelled,
            "tfidf": labelled,
            "zero_shot": self._has_source_stage() or self._model_has_head(),
            "probe": labelled,
            "target_only": len(self.data.target.train) > 0 and self._has_source_stage(),
            "scratch": len(self.data.target.train) > 0,
        }

    def _model_has_head(self) -> bool:
        from nlp_transfer.models.loading import model_labels

        return model_labels(self.model_path, revision=self.config.model.revision) is not None

    def _build_report(self, data: DataReport) -> TransferReport:
        from nlp_transfer.sentiment_report import build_report

        return build_report(self, data, systems=[*self.baselines(), "adapted"])

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
