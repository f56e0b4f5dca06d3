"""Translation transfer: a parent with ample sentence pairs, a child language with few or none.

Makes the source model, adapts it, scores it beside every baseline on the same held-out pairs of both domains,
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
from nlp_transfer.data.pairs import TransferPairs
from nlp_transfer.data.parallel import load_transfer_pairs
from nlp_transfer.disk import require_folder_of
from nlp_transfer.domain_texts import Samples, translation_samples
from nlp_transfer.errors import ConfigError, DataError, RunError
from nlp_transfer.evaluation.translation_scores import PRIMARY
from nlp_transfer.guarding import require_not_refused
from nlp_transfer.history import TestSet
from nlp_transfer.making.settings import TranslationSettings
from nlp_transfer.making.translators import PARITY_PAIRS, TranslationMaker
from nlp_transfer.recipe import TransferRecipe
from nlp_transfer.runs import fingerprint
from nlp_transfer.translation_evidence import keep_translation_evidence
from nlp_transfer.translation_systems import TranslationScorer
from nlp_transfer.whole_files import write_text

if TYPE_CHECKING:
    from nlp_transfer.data.checks import DataReport
    from nlp_transfer.reporting.report import TransferReport

logger = logging.getLogger(__name__)


class TranslationTransfer(TransferRecipe):
    """Adapts a translation model from well-resourced language pairs to a less common one; see
    `TransferRecipe` for the stages.

    >>> from nlp_transfer.config import parse_config
    >>> recipe = TranslationTransfer(parse_config({"task": "translation", "output_dir": "runs/example",
    ...     "model": {"path": "embedded://romance"},
    ...     "data": {"target": {"path": "pairs.tsv", "src_lang": "en", "tgt_lang": "gl"}}}))
    >>> recipe.folder.name
    'example'
    """

    task = "translation"
    primary_metric = PRIMARY

    @cached_property
    def data(self) -> TransferPairs:
        """Both domains, split, with the training pairs of the first of `evaluation.seeds`."""
        return self._load_data(self.first_seed)

    def _load_data(self, seed: int) -> TransferPairs:
        config = dataclasses.replace(self.config.data, seed=self.config.data.seed + seed)
        data = self.continuing.without_test_rows(load_transfer_pairs(config))
        made_anew = self.config.model.path is None and self.continuing.model is None
        if not len(data.target.train) and made_anew and not self._has_source_stage():
            raise DataError("nothing to learn from: no target pair, no source domain, and no model")
        return data

    def _load_earlier(self, config: RecipeConfig) -> TransferPairs:
        data = dataclasses.replace(config.data, seed=config.data.seed + config.evaluation.seeds[0])
        return load_transfer_pairs(data)

    def maker(self, seed: int) -> TranslationMaker:
        """Return what makes the models at one of `evaluation.seeds`."""
        if seed not in self._makers:
            config = self.config
            settings = TranslationSettings(
                model_path=config.model.path,
                architecture=config.model.architecture,
                revision=config.model.revision,
                max_length_tokens=config.model.max_length_tokens,
                source_stage=config.source_stage if self._has_source_stage() else None,
                adaptation=config.adaptation,
                training=config.training,
                num_beams=config.evaluation.num_beams,
                continue_from=None if self.continuing.model is None else self.continuing.model.path,
            )
            self._makers[seed] = TranslationMaker(
                settings, self.data_for(seed), seed=self.training_seed(seed), folder=self.folder
            )
        return self._makers[seed]

    @cached_property
    def _makers(self) -> dict[int, TranslationMaker]:
        return {}

    def _check_data(self) -> DataReport:
        from nlp_transfer.data.pair_checks import check_pairs
        from nlp_transfer.translation_preflight import check_model
        from nlp_transfer.translation_report import read_external

        read_external(self)
        encode = check_model(self.config, self.data, earlier=self.continuing.model)
        return check_pairs(self.data, encode=encode, max_length_tokens=self.config.model.max_length_tokens)

    @cached_property
    def _fingerprint(self) -> str:
        from nlp_transfer.models.loading import model_identity

        rows = self._row_fingerprints()
        model = self.config.model
        start: Any = (
            model_identity(model.path, revision=model.revision)
            if model.path is not None
            else dataclasses.asdict(model.architecture)  # type: ignore[arg-type]
        )
        earlier = self.continuing.model
        return fingerprint(rows, start, *([] if earlier is None else [model_identity(earlier.path)]))

    def _sample_texts(self) -> Samples:
        return translation_samples(self.maker(self.first_seed))

    def _train_source(self) -> dict[str, Any]:
        return self.maker(self.first_seed).train_source().as_dict()

    def _train_adapted(self) -> dict[str, Any]:
        return self.maker(self.first_seed).train_adapted().as_dict()

    def _keep_evidence(self) -> dict[str, Any]:
        seed = self.first_seed
        return keep_translation_evidence(self.maker(seed), self.predictions_folder(seed))

    def _scoring(self, system: str, seed: int) -> Callable[[], dict[str, Any]]:
        folder, kept = self.predictions_folder(seed), seed == self.first_seed
        return lambda: TranslationScorer(self.maker(seed)).score(system, folder, kept=kept).as_dict()

    def _possible_baselines(self) -> dict[str, bool]:
        return {
            "copy": True,
            "zero_shot": self.maker(self.first_seed).is_trained(),
            # Without a model to start from the adapted one is itself made from nothing.
            "scratch": len(self.data.target.train) > 0 and self.maker(self.first_seed).is_trained(),
        }

    def _score_test_sets(self, system: str, sets: Sequence[TestSet]) -> None:
        TranslationScorer(self.maker(self.first_seed)).score_test_sets(
            system,
            {chain_file(self.folder, system, each.fingerprint): each.rows.test for each in sets},
        )

    def _chain_outcome(self) -> Outcome | None:
        from nlp_transfer.translation_report import chain_outcome

        return chain_outcome(self)

    def _build_report(self, data: DataReport) -> TransferReport:
        from nlp_transfer.translation_report import build_report

        return build_report(self, data, systems=[*self.baselines(), "adapted"])

    def write_test_sources(self, path: Path) -> None:
        """Write the target's test sources to a file, a line each, for another system to translate.

        Raises:
            ConfigError: the file cannot be written there.
        """
        require_folder_of(path)
        sources = [" ".join(text.split()) for text in self.data.target.test.sources]
        try:
            write_text(path, "".join(f"{text}\n" for text in sources))
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error}") from error

    def save_pretrained(self, folder: str | Path) -> Path:
        """Copy the adapted model to a folder, reload it there and require the same logits and translations.

        Raises:
            RunError: nothing was trained yet, or the reloaded model translates differently.
        """
        from nlp_transfer.models.translation import Use, read_description
        from nlp_transfer.publishing.save_translation import copy_translator

        require_not_refused(self.folder)
        model = self.folder / "model"
        description = read_description(model)
        if description is None:
            raise RunError(f"{self.folder} holds no trained model; run `nlp-transfer train` first")
        pairs = self.data.target.test
        sample = pairs.take(range(min(len(pairs), PARITY_PAIRS)))
        return copy_translator(model, Path(folder), use=Use(**description), pairs=sample)
