"""Sentiment transfer: a source domain with many labels, a target domain with few or none.

Makes the source model, adapts it, scores it beside every baseline on the same held-out rows of both domains,
and reports. How a model is trained, scored and reported stands in the packages that this module calls.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_transfer.chain import Outcome, chain_file
from nlp_transfer.config import RecipeConfig
from nlp_transfer.data.classification import load_transfer_data
from nlp_transfer.data.rows import TransferData
from nlp_transfer.data.unlabelled import load_unlabelled
from nlp_transfer.domain_texts import Samples, classifier_samples
from nlp_transfer.earlier import required_labels
from nlp_transfer.errors import ConfigError, DataError, LabelError, RunError
from nlp_transfer.evaluation.scores import PRIMARY
from nlp_transfer.evidence import EvidenceKeeper
from nlp_transfer.guarding import require_not_refused
from nlp_transfer.history import TestSet
from nlp_transfer.making.classifiers import PARITY_TEXTS, ClassifierMaker
from nlp_transfer.making.named_head import with_named_head
from nlp_transfer.making.settings import ClassifierSettings
from nlp_transfer.models.asked import asked_of_modules
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
    primary_metric = PRIMARY

    @cached_property
    def data(self) -> TransferData:
        """Both domains, split, with the training rows of the first of `evaluation.seeds`."""
        return self._load_data(self.first_seed)

    @cached_property
    def model_path(self) -> str:
        """The pretrained encoder, its head's classes named; parsing has seen to it that there is one."""
        model, path = self.config.model, str(self.config.model.path)
        if model.label_names is None:
            return path
        return with_named_head(path, model.label_names, revision=model.revision)

    def _load_data(self, seed: int) -> TransferData:
        from nlp_transfer.models.loading import model_labels

        config = dataclasses.replace(self.config.data, seed=self.config.data.seed + seed)
        known = self._earlier_labels
        if known is None and not self._has_source_stage():
            known = model_labels(self.model_path, revision=self.config.model.revision)
        try:
            data = self.continuing.without_test_rows(load_transfer_data(config, model_labels=known))
        except LabelError as error:
            if self._earlier_labels is None:
                raise
            raise DataError(
                f"{error}\nThe classes are those of {self.config.continue_from}, which this run goes on from"
            ) from error
        if not len(data.target.train) and not self._has_source_stage() and known is None:
            stage = "no source domain" if config.source is None else "no source stage (source_stage: null)"
            raise DataError(
                f"nothing to learn from: no target label, {stage}, and a model without a head that names its "
                "classes"
            )
        unlabelled = self.config.adaptation.unlabelled
        if unlabelled is None:
            return data
        texts = load_unlabelled(unlabelled, data, seed=config.seed, forbidden=self.continuing.test_keys)
        return dataclasses.replace(data, unlabelled=texts)

    @cached_property
    def _earlier_labels(self) -> list[str] | None:
        """The classes of the model that the run continues from, in its order."""
        return None if self.continuing.model is None else required_labels(self.continuing.model)

    def _load_earlier(self, config: RecipeConfig) -> TransferData:
        data = dataclasses.replace(config.data, seed=config.data.seed + config.evaluation.seeds[0])
        found = load_transfer_data(data, model_labels=self._earlier_labels)
        if config.adaptation.unlabelled is None:
            return found
        try:
            texts = load_unlabelled(config.adaptation.unlabelled, found, seed=data.seed)
        except DataError as error:
            logger.warning(
                "what %s learnt without labels is not known any more: %s", config.output_dir, error
            )
            return found
        return dataclasses.replace(found, unlabelled=texts)

    def _start(self) -> tuple[str, str | None]:
        """Return the model that training starts from first, path and revision."""
        if self.continuing.model is not None:
            return self.continuing.model.path, None
        return self.model_path, self.config.model.revision

    def maker(self, seed: int) -> ClassifierMaker:
        """Return what makes the models at one of `evaluation.seeds`."""
        config = self.config
        settings = ClassifierSettings(
            model_path=self.model_path,
            revision=config.model.revision,
            max_length_tokens=config.model.max_length_tokens,
            source_stage=config.source_stage if self._has_source_stage() else None,
            adaptation=config.adaptation,
            training=config.training,
            continue_from=None if self.continuing.model is None else self.continuing.model.path,
        )
        return ClassifierMaker(
            settings, self.data_for(seed), seed=self.training_seed(seed), folder=self.folder
        )

    def _check_data(self) -> DataReport:
        from nlp_transfer.data import row_findings
        from nlp_transfer.data.checks import check_data
        from nlp_transfer.diagnostics.before_training import words_and_labels
        from nlp_transfer.models.loading import has_unnamed_head, load_tokenizer

        self._require_methods_that_fit()
        path, revision = self._start()
        for each, at in {(self.model_path, self.config.model.revision), (path, revision)}:
            self._require_model_that_fits(each, at)
        tokenizer = load_tokenizer(path, revision=revision)
        more = list(words_and_labels(self.data))
        if not self._has_source_stage() and has_unnamed_head(path, revision=revision):
            more.append(row_findings.unnamed_head(path))
        return check_data(
            self.data,
            tokenizer=tokenizer,
            max_length_tokens=self.config.model.max_length_tokens,
            more=more,
        )

    def _require_methods_that_fit(self) -> None:
        stage, method = self.config.source_stage, self.config.adaptation.method
        if self._has_source_stage() and stage is not None and stage.method == "probe" and method != "probe":
            raise ConfigError(
                f"source_stage.method is probe, which leaves no weights for adaptation.method {method} to "
                "start from; set adaptation.method: probe, or source_stage.method: full"
            )

    def _require_model_that_fits(self, path: str, revision: str | None) -> None:
        from nlp_transfer.models.loading import require_encoder, require_length
        from nlp_transfer.models.outlines import require_classifier_modules

        require_encoder(path, revision=revision)
        require_length(path, self.config.model.max_length_tokens, revision=revision)
        for asked in asked_of_modules(self.config):
            require_classifier_modules(path, revision=revision, **asked)

    @cached_property
    def _fingerprint(self) -> str:
        from nlp_transfer.models.loading import model_identity

        rows: list[Any] = self._row_fingerprints()
        if self.data.unlabelled is not None:
            rows.append(self.data.unlabelled.fingerprint())
        model = self.config.model
        start = [model_identity(self.model_path, revision=model.revision)]
        if self.continuing.model is not None:
            start.append(model_identity(self.continuing.model.path))
        return fingerprint(rows, *start)

    def _sample_texts(self) -> Samples:
        return classifier_samples(self.maker(self.first_seed))

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

    def _score_test_sets(self, system: str, sets: Sequence[TestSet]) -> None:
        SystemScorer(self.maker(self.first_seed)).score_test_sets(
            system,
            {chain_file(self.folder, system, each.fingerprint): each.rows.test for each in sets},
        )

    def _chain_outcome(self) -> Outcome | None:
        from nlp_transfer.sentiment_report import chain_outcome

        return chain_outcome(self)

    def _possible_baselines(self) -> dict[str, bool]:
        labelled = len(self.data.training_rows()) > 0
        continued = self.continuing.model is not None
        return {
            "majority": labelled,
            "tfidf": labelled,
            "zero_shot": continued or self._has_source_stage() or self._model_has_head(),
            "probe": labelled,
            "target_only": len(self.data.target.train) > 0 and (continued or self._has_source_stage()),
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

        require_not_refused(self.folder)
        model = self.folder / "model"
        if not model.is_dir():
            raise RunError(f"{self.folder} holds no trained model; run `nlp-transfer train` first")
        return save_model(str(model), Path(folder), texts=self.data.target.test.texts[:PARITY_TEXTS])
