"""Makes a translation run's models: the source model, the adapted one, and `scratch`, at one seed.

How a translation model is trained and saved; the order of it all is the base's.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from nlp_transfer.config import AdaptationConfig, SourceStageConfig
from nlp_transfer.data.pairs import Direction, PairDomain, Pairs, TransferPairs
from nlp_transfer.making.base import ModelMaker
from nlp_transfer.making.settings import TranslationSettings
from nlp_transfer.making.translation_start import TranslationStart
from nlp_transfer.training.costs import Cost
from nlp_transfer.training.processes import computed_on_main

if TYPE_CHECKING:
    from nlp_transfer.inference.translator import Translator
    from nlp_transfer.models.translation import Architecture
    from nlp_transfer.training.adapt_translation import TrainedTranslator, TranslationProcedure

# Pairs that a saved model is compared with itself on.
PARITY_PAIRS = 16


class TranslationMaker(ModelMaker[Union[str, "Architecture"], "TranslationProcedure", "TrainedTranslator"]):
    """Makes the translation models of one run at one seed; see `ModelMaker`."""

    settings: TranslationSettings
    data: TransferPairs

    # Where adaptation starts -----------------------------------------------------------------------

    def is_trained(self) -> bool:
        """Tell whether there is a model before adaptation: without one there is nothing to transfer."""
        given = (self.settings.source_stage, self.settings.model_path, self.settings.continue_from)
        return any(each is not None for each in given)

    def start_is_there(self) -> bool:
        """Tell whether the trained model that adaptation starts from is there by now: a source model is made
        by the run.
        """
        start, _ = self.start()
        return isinstance(start, str) and (start != str(self.source_folder) or self.source_folder.is_dir())

    def _first_start(self) -> tuple[str | Architecture, str | None]:
        from nlp_transfer.models.translation import Architecture

        if self.settings.model_path is not None:
            return self.settings.model_path, self.settings.revision
        return Architecture(**dataclasses.asdict(self.settings.architecture)), None  # type: ignore[arg-type]

    @cached_property
    def _start_model(self) -> TranslationStart:
        start, revision = self.start()
        path = start if isinstance(start, str) else None
        return TranslationStart(path, revision=revision, settings=self.settings, data=self.data)

    def translator(self) -> Translator:
        """Load the model that adaptation starts from, for translating."""
        return self._start_model.translator()

    def related(self) -> dict[str, str]:
        """Return for each language that the start lacks the start's own code of the nearest one."""
        return self._start_model.related

    # The source model ------------------------------------------------------------------------------

    def _source_inputs(self, stage: SourceStageConfig, source: PairDomain) -> list[Any]:
        from nlp_transfer.models.loading import model_identity
        from nlp_transfer.training import adapt_translation
        from nlp_transfer.training.arguments import DEFAULTS

        settings = self.settings
        start = (
            dataclasses.asdict(settings.architecture)
            if settings.architecture is not None
            else model_identity(str(settings.model_path), revision=settings.revision)
        )
        rows = [source.train.fingerprint(), source.dev.fingerprint()]
        defaults = [DEFAULTS, adapt_translation.DEFAULTS, adapt_translation.BATCH_TOKENS]
        return [start, rows, dataclasses.asdict(self._procedure(stage)), defaults]

    def _save_source(self, trained: TrainedTranslator, folder: Path) -> None:
        _, source = self._source_stage()
        self._save_as(trained, folder, directions=source.directions, pairs=source.test)

    # Training --------------------------------------------------------------------------------------

    def scratch(self, cost: Cost) -> TrainedTranslator:
        """Train the same architecture from random weights on the target alone, for as long as `adapted`."""
        from nlp_transfer.training.adapt_translation import replay_for

        start, revision = self.start()
        procedure = self._adaptation_procedure()
        beside = (
            replay_for(procedure, pairs=len(self.data.target.train)) if self.data.source is not None else 0.0
        )
        return self._train(
            "scratch",
            start,
            self.data.target,
            cost,
            procedure=dataclasses.replace(procedure, freeze_layers=0, passes_factor=1 + beside),
            revision=revision,
            pretrained=False,
        )

    def _train_model(
        self, start: str | Architecture, procedure: TranslationProcedure, domain: PairDomain, **options: Any
    ) -> TrainedTranslator:
        from nlp_transfer.training.adapt_translation import train_translator

        return train_translator(start, procedure, domain.train, domain.dev, **options)

    def _procedure(self, stage: SourceStageConfig | AdaptationConfig) -> TranslationProcedure:
        from nlp_transfer.training.adapt_translation import TranslationProcedure

        adaptation = self.settings.adaptation
        targets = adaptation.target_modules
        return TranslationProcedure(
            method=stage.method,
            max_length_tokens=self.settings.max_length_tokens,
            seed=self.seed,
            arguments=self._arguments(stage),
            batch_tokens=stage.batch_tokens,
            rank=adaptation.rank,
            alpha=adaptation.alpha,
            target_modules=targets if isinstance(targets, str) else list(targets),
            new_pieces=adaptation.new_pieces,
        )

    def _adaptation_procedure(self) -> TranslationProcedure:
        start = self._start_model
        return dataclasses.replace(super()._adaptation_procedure(), related=start.related, far=start.is_far)

    # Saving ----------------------------------------------------------------------------------------

    def _save(self, trained: TrainedTranslator, folder: Path) -> None:
        self._save_as(trained, folder, directions=self._start_model.directions(), pairs=self.data.target.test)

    def _save_as(
        self, trained: TrainedTranslator, folder: Path, *, directions: list[Direction], pairs: Pairs
    ) -> None:
        from nlp_transfer.models.translation import Use
        from nlp_transfer.publishing.save_translation import save_translator

        use = Use(
            directions=directions,
            max_length_tokens=self.settings.max_length_tokens,
            num_beams=self.settings.num_beams,
            target_ratio=max(trained.target_ratio, self._start_model.earlier_use()[1]),
        )
        computed_on_main(lambda: save_translator(trained.loaded, folder, use=use, pairs=_few(pairs)))

    def _copy_start(self) -> None:
        """Without target pairs the model that adaptation would start from is the adapted one; a language that
        it lacks is the related one by another name.
        """
        related = self.related()
        computed_on_main(lambda: self._save_start(related))

    def _save_start(self, related: dict[str, str]) -> None:
        from nlp_transfer.models.translation import Use, add_language
        from nlp_transfer.publishing.save_translation import save_translator

        start = self.translator()
        for language, like in related.items():
            add_language(start.loaded, language, like=like)
        use = Use(
            directions=self._start_model.directions(),
            max_length_tokens=self.settings.max_length_tokens,
            num_beams=self.settings.num_beams,
            target_ratio=start.target_ratio,
        )
        save_translator(start.loaded, self.model_folder, use=use, pairs=_few(self.data.target.test))


def _few(pairs: Pairs) -> Pairs:
    """Return the pairs that a saved model is compared with itself on."""
    return pairs.take(range(min(len(pairs), PARITY_PAIRS)))
