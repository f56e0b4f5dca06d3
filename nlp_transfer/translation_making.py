"""Makes a translation run's models: the source model, the adapted one, and `scratch`, at one seed.

As making.py does for classifiers. Scoring the models is left to translation_systems.py.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_transfer.config import AdaptationConfig, ArchitectureConfig, SourceStageConfig
from nlp_transfer.data.pairs import PairDomain, Pairs, TransferPairs
from nlp_transfer.evaluation.mixes import write_mix
from nlp_transfer.runs import fingerprint, versions
from nlp_transfer.source_models import kept_source_model, source_seconds
from nlp_transfer.training.costs import Cost, measured
from nlp_transfer.training.processes import computed_on_main, is_main, num_processes

if TYPE_CHECKING:
    from nlp_transfer.inference.translator import Translator
    from nlp_transfer.models.translation import Architecture
    from nlp_transfer.training.adapt_translation import TrainedTranslator, TranslationProcedure

# Pairs that a saved model is compared with itself on.
PARITY_PAIRS = 16
# Dev pairs that the related languages are compared on.
RELATED_PAIRS = 200


@dataclass(frozen=True)
class TranslationSettings:
    """What a run's systems are made of: plain values out of its recipe."""

    model_path: str | None
    architecture: ArchitectureConfig | None
    revision: str | None
    max_length_tokens: int
    source_stage: SourceStageConfig | None
    adaptation: AdaptationConfig
    training: dict[str, Any]
    num_beams: int
    continue_from: str | None = None
    """The earlier model that adaptation starts from, in place of a source model."""


class TranslationMaker:
    """Makes the models of one run at one seed.

    Args:
        settings: how.
        data: both domains, with this seed's training pairs.
        seed: starts and orders training.
        folder: the run folder.
    """

    def __init__(
        self, settings: TranslationSettings, data: TransferPairs, *, seed: int, folder: Path
    ) -> None:
        self.settings = settings
        self.data = data
        self.seed = seed
        self.folder = folder
        self.source_folder = folder / "source_model"
        self.model_folder = folder / "model"

    # The two models that are kept ------------------------------------------------------------------

    def train_source(self) -> Cost:
        """Make the source model in `source_model/`, or take the same one from the cache."""
        return kept_source_model(self._source_key(), self._train_source_into, into=self.source_folder)

    def train_adapted(self) -> Cost:
        """Adapt to the target, into `model/` (and `adapter/` for LoRA)."""
        with measured() as cost:
            cost.source_seconds = source_seconds(self.source_folder)
            if len(self.data.target.train):
                trained = self.adapt(cost, adapter_folder=self.folder / "adapter")
                if is_main():
                    write_mix(self.folder, trained.fit.mix)
                self._save(trained, self.model_folder)
            else:
                self._copy_start()
        return cost

    def adapt(self, cost: Cost, *, adapter_folder: Path | None = None) -> TrainedTranslator:
        """Train from the start on the target, with source pairs beside it."""
        start, revision = self.start()
        source = self.data.source
        return self._train(
            "adapted",
            start,
            self.data.target,
            cost,
            procedure=dataclasses.replace(
                self._adaptation_procedure(), related=self.related(), mix=self.settings.adaptation.mix
            ),
            revision=revision,
            replayed=source.train if source is not None else None,
            source_dev=source.dev if source is not None else None,
            adapter_folder=adapter_folder,
        )

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
            procedure=dataclasses.replace(
                procedure, related=self.related(), freeze_layers=0, passes_factor=1 + beside
            ),
            revision=revision,
            pretrained=False,
        )

    # Where adaptation starts -----------------------------------------------------------------------

    def start(self) -> tuple[str | Architecture, str | None]:
        """Return where adaptation starts and its revision: an earlier model, the source model, the pretrained
        one, or a shape.
        """
        if self.settings.continue_from is not None:
            return self.settings.continue_from, None
        if self.settings.source_stage is not None:
            return str(self.source_folder), None
        return self._first_start()

    def is_trained(self) -> bool:
        """Tell whether there is a model before adaptation: without one there is nothing to transfer."""
        given = (self.settings.source_stage, self.settings.model_path, self.settings.continue_from)
        return any(each is not None for each in given)

    def _first_start(self) -> tuple[str | Architecture, str | None]:
        from nlp_transfer.models.translation import Architecture

        if self.settings.model_path is not None:
            return self.settings.model_path, self.settings.revision
        return Architecture(**dataclasses.asdict(self.settings.architecture)), None  # type: ignore[arg-type]

    def translator(self) -> Translator:
        """Load the model that adaptation starts from, for translating.

        The directions are the domains' own, those of the target first.
        """
        from nlp_transfer.inference.devices import device
        from nlp_transfer.inference.translator import Translator
        from nlp_transfer.models.generation import USUAL_TARGET_RATIO
        from nlp_transfer.models.loading import resolve_model
        from nlp_transfer.models.translation import load_translator, read_description

        start, revision = self.start()
        if not isinstance(start, str):
            raise RuntimeError("a model that is made anew translates nothing before it is trained")
        loaded = load_translator(start, revision=revision)
        loaded.model.to(device())
        description = read_description(Path(resolve_model(start))) or {}
        return Translator(
            loaded,
            directions=self._directions(),
            max_length_tokens=self.settings.max_length_tokens,
            num_beams=self.settings.num_beams,
            target_ratio=float(description.get("target_ratio", USUAL_TARGET_RATIO)),
        )

    def _directions(self) -> list[tuple[str, str]]:
        domains = [self.data.target, *([self.data.source] if self.data.source is not None else [])]
        own = [direction for domain in domains for direction in domain.directions]
        return list(dict.fromkeys([*own, *self._earlier_use()[0]]))

    def _earlier_use(self) -> tuple[list[tuple[str, str]], float]:
        """Return what an earlier model translates and how long its translations get: it stays able to."""
        from nlp_transfer.models.loading import resolve_model
        from nlp_transfer.models.translation import read_description

        if self.settings.continue_from is None:
            return [], 0.0
        described = read_description(Path(resolve_model(self.settings.continue_from))) or {}
        directions = [(str(src), str(tgt)) for src, tgt in described.get("directions", [])]
        return directions, float(described.get("target_ratio", 0.0))

    def related(self) -> dict[str, str]:
        """Return for each language that the start lacks the start's own code of the nearest one."""
        return self._related

    @cached_property
    def _related(self) -> dict[str, str]:
        start, _ = self.start()
        if not isinstance(start, str):
            return {}
        from nlp_transfer.related import related_languages

        return computed_on_main(
            lambda: related_languages(
                self.translator(),
                self.data.target.directions,
                self._selection_pairs(),
                chosen=self.settings.adaptation.related_lang,
            )
        )

    def _selection_pairs(self) -> Pairs:
        """Return the target's dev pairs, or training pairs where it has too few."""
        target = self.data.target
        pairs = target.dev if len(target.dev) else target.train
        return pairs.take(range(min(len(pairs), RELATED_PAIRS)))

    # Training --------------------------------------------------------------------------------------

    def _source_key(self) -> str:
        """Hash everything that the source model follows from."""
        from nlp_transfer.models.loading import model_identity
        from nlp_transfer.training import adapt_translation
        from nlp_transfer.training.arguments import DEFAULTS, native_bf16

        stage, source = self._source_stage()
        settings = self.settings
        start = (
            dataclasses.asdict(settings.architecture)
            if settings.architecture is not None
            else model_identity(str(settings.model_path), revision=settings.revision)
        )
        rows = [source.train.fingerprint(), source.dev.fingerprint()]
        procedure = dataclasses.asdict(self._procedure(stage.method, stage.training, stage.batch_tokens))
        machine = [native_bf16(), num_processes(), versions()]
        defaults = [DEFAULTS, adapt_translation.DEFAULTS, adapt_translation.BATCH_TOKENS]
        return fingerprint(start, rows, procedure, defaults, machine)

    def _source_stage(self) -> tuple[SourceStageConfig, PairDomain]:
        if self.settings.source_stage is None or self.data.source is None:
            raise RuntimeError("a run without a source stage has no source model")
        return self.settings.source_stage, self.data.source

    def _train_source_into(self, folder: Path) -> Cost:
        stage, source = self._source_stage()
        start, revision = self._first_start()
        with measured() as cost:
            trained = self._train(
                "source model",
                start,
                source,
                cost,
                procedure=self._procedure(stage.method, stage.training, stage.batch_tokens),
                revision=revision,
            )
            self._save(trained, folder, directions=source.directions, pairs=source.test)
        return cost

    def _train(
        self,
        label: str,
        start: str | Architecture,
        domain: PairDomain,
        cost: Cost,
        *,
        procedure: TranslationProcedure,
        **options: Any,
    ) -> TrainedTranslator:
        """Train one model and note what it took; `options` are `train_translator`'s."""
        from nlp_transfer.training.adapt_translation import train_translator

        trained = train_translator(
            start,
            procedure,
            domain.train,
            domain.dev,
            label=label,
            folder=self.folder / "checkpoints" / f"{label.replace(' ', '_')}-{self.seed}",
            history=self.folder / "history.jsonl",
            **options,
        )
        cost.seconds, cost.selection_seconds = trained.fit.seconds, trained.fit.selection_seconds
        cost.tokens_per_second, cost.padding_share = trained.fit.tokens_per_second, trained.fit.padding_share
        cost.trainable_parameters, cost.trainable_share = trained.trainable, trained.trainable / trained.total
        return trained

    def _adaptation_procedure(self) -> TranslationProcedure:
        adaptation = self.settings.adaptation
        return dataclasses.replace(
            self._procedure(adaptation.method, adaptation.training, adaptation.batch_tokens),
            freeze_layers=adaptation.freeze_layers,
            replay=adaptation.replay,
            early_stopping=adaptation.early_stopping,
        )

    def _procedure(
        self, method: str, training: dict[str, Any], batch_tokens: int | None
    ) -> TranslationProcedure:
        from nlp_transfer.training.adapt_translation import TranslationProcedure

        adaptation = self.settings.adaptation
        arguments = {
            key: value for key, value in {**self.settings.training, **training}.items() if key != "seed"
        }
        targets = adaptation.target_modules
        return TranslationProcedure(
            method=method,
            max_length_tokens=self.settings.max_length_tokens,
            seed=self.seed,
            arguments=arguments,
            batch_tokens=batch_tokens,
            rank=adaptation.rank,
            alpha=adaptation.alpha,
            target_modules=targets if isinstance(targets, str) else list(targets),
            new_pieces=adaptation.new_pieces,
        )

    # Saving ---------------------------------------------------------------------------------------

    def _save(
        self,
        trained: TrainedTranslator,
        folder: Path,
        *,
        directions: list[tuple[str, str]] | None = None,
        pairs: Pairs | None = None,
    ) -> None:
        from nlp_transfer.models.translation import Use
        from nlp_transfer.publishing.save_translation import save_translator

        use = Use(
            directions=directions or self._directions(),
            max_length_tokens=self.settings.max_length_tokens,
            num_beams=self.settings.num_beams,
            target_ratio=max(trained.target_ratio, self._earlier_use()[1]),
        )
        computed_on_main(
            lambda: save_translator(trained.loaded, folder, use=use, pairs=self._parity_pairs(pairs))
        )

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
            directions=self._directions(),
            max_length_tokens=self.settings.max_length_tokens,
            num_beams=self.settings.num_beams,
            target_ratio=start.target_ratio,
        )
        save_translator(start.loaded, self.model_folder, use=use, pairs=self._parity_pairs(None))

    def _parity_pairs(self, pairs: Pairs | None) -> Pairs:
        chosen = self.data.target.test if pairs is None else pairs
        return chosen.take(range(min(len(chosen), PARITY_PAIRS)))
