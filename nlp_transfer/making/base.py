"""The base of what makes a run's models, for both tasks: the source model, then the adapted one, at one seed.

A subclass says how a model of its task is trained and saved. The source model is kept across runs
(source_models.py); scoring the models is left to systems.py and translation_systems.py.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from nlp_transfer.config import AdaptationConfig, SourceStageConfig
from nlp_transfer.environment import versions
from nlp_transfer.evaluation.mixes import write_mix
from nlp_transfer.making.settings import MakerSettings
from nlp_transfer.runs import fingerprint
from nlp_transfer.source_models import kept_source_model, source_seconds
from nlp_transfer.training.costs import Cost, measured
from nlp_transfer.training.processes import is_main, num_processes

if TYPE_CHECKING:
    from nlp_transfer.training.adapt import Trained
    from nlp_transfer.training.adapt_translation import TrainedTranslator, TranslationProcedure
    from nlp_transfer.training.procedure import Procedure

# What a model can be made from besides a path: of a translation model its shape.
StartT = TypeVar("StartT")
ProcedureT = TypeVar("ProcedureT", bound="Procedure | TranslationProcedure")
TrainedT = TypeVar("TrainedT", bound="Trained | TrainedTranslator")


class ModelMaker(ABC, Generic[StartT, ProcedureT, TrainedT]):
    """Makes the models of one run at one seed.

    Args:
        settings: how.
        data: both domains, with this seed's training rows.
        seed: starts and orders training.
        folder: the run folder.
    """

    def __init__(self, settings: MakerSettings, data: Any, *, seed: int, folder: Path) -> None:
        self.settings = settings
        self.data = data
        self.seed = seed
        self.folder = folder
        self.source_folder = folder / "source_model"
        self.model_folder = folder / "model"

    # What a subclass provides ----------------------------------------------------------------------

    @abstractmethod
    def _first_start(self) -> tuple[StartT, str | None]:
        """Return what the first training of the run starts from, and its revision."""

    @abstractmethod
    def _procedure(self, stage: SourceStageConfig | AdaptationConfig) -> ProcedureT:
        """Return how a stage's model is trained, without what adaptation alone sets."""

    @abstractmethod
    def _train_model(
        self, start: StartT | str, procedure: ProcedureT, domain: Any, **options: Any
    ) -> TrainedT:
        """Train one model on a domain's training rows; `options` are those of the task's training."""

    @abstractmethod
    def _source_inputs(self, stage: SourceStageConfig, source: Any) -> list[Any]:
        """List what a source model of this code and machine follows from, as plain values."""

    @abstractmethod
    def _save(self, trained: TrainedT, folder: Path) -> None:
        """Save the adapted model and require that it reloads as the same."""

    def _save_source(self, trained: TrainedT, folder: Path) -> None:
        """Save the source model and require that it reloads as the same."""
        self._save(trained, folder)

    @abstractmethod
    def _copy_start(self) -> None:
        """Save the model that adaptation would start from as the adapted one: there is nothing to learn."""

    # The two models that are kept ------------------------------------------------------------------

    def train_source(self) -> Cost:
        """Make the source model in `source_model/`, or take the same one from the cache."""
        return kept_source_model(self._source_key(), self._train_source_into, into=self.source_folder)

    def train_adapted(self) -> Cost:
        """Adapt to the target, into `model/` (and `adapter/` for LoRA)."""
        with measured() as cost:
            cost.source_seconds = self.source_seconds()
            self._make_adapted(cost)
        return cost

    def _make_adapted(self, cost: Cost) -> None:
        if not self.learns():
            self._copy_start()
            return
        trained = self.adapt(cost, adapter_folder=self.folder / "adapter")
        if is_main():
            write_mix(self.folder, trained.fit.mix)
        self._save(trained, self.model_folder)

    def learns(self) -> bool:
        """Tell whether there is anything of the target to learn from."""
        return len(self.data.target.train) > 0

    def source_seconds(self) -> float:
        """Return what making the source model took, 0 where there is none."""
        return source_seconds(self.source_folder)

    # The source model ------------------------------------------------------------------------------

    def _source_stage(self) -> tuple[SourceStageConfig, Any]:
        """Return how the source model is made, and the domain that it learns."""
        if self.settings.source_stage is None or self.data.source is None:
            raise RuntimeError("a run without a source stage has no source model")
        return self.settings.source_stage, self.data.source

    def _source_key(self) -> str:
        """Hash everything that the source model follows from."""
        from nlp_transfer.training.arguments import native_bf16

        machine = [native_bf16(), num_processes(), versions()]
        return fingerprint(*self._source_inputs(*self._source_stage()), machine)

    def _train_source_into(self, folder: Path) -> Cost:
        with measured() as cost:
            self._make_source(folder, cost)
        return cost

    def _make_source(self, folder: Path, cost: Cost) -> None:
        stage, source = self._source_stage()
        start, revision = self._first_start()
        trained = self._train(
            "source model", start, source, cost, procedure=self._procedure(stage), revision=revision
        )
        self._save_source(trained, folder)

    # Adaptation ------------------------------------------------------------------------------------

    def start(self) -> tuple[StartT | str, str | None]:
        """Return where adaptation starts and its revision: an earlier model, the source model, or else what
        the first training of the run starts from.
        """
        if self.settings.continue_from is not None:
            return self.settings.continue_from, None
        if self.settings.source_stage is not None:
            return str(self.source_folder), None
        return self._first_start()

    def adapt(self, cost: Cost, *, adapter_folder: Path | None = None) -> TrainedT:
        """Train from the start on the target, with source rows beside it."""
        start, revision = self.start()
        return self._train(
            "adapted",
            start,
            self.data.target,
            cost,
            procedure=dataclasses.replace(self._adaptation_procedure(), mix=self.settings.adaptation.mix),
            revision=revision,
            adapter_folder=adapter_folder,
            **self._learnt_beside(),
        )

    def _adaptation_procedure(self) -> ProcedureT:
        """Return how the target is learnt, by `adapted` and by the baselines that train alike."""
        adaptation = self.settings.adaptation
        return dataclasses.replace(
            self._procedure(adaptation),
            freeze_layers=adaptation.freeze_layers,
            replay=adaptation.replay,
            early_stopping=adaptation.early_stopping,
        )

    def _learnt_beside(self) -> dict[str, Any]:
        """Return what `adapted` learns beside the target's labelled rows, as options of its training."""
        source = self.data.source
        if source is None:
            return {}
        return {"replayed": source.train, "source_dev": source.dev}

    # What both trainings share ---------------------------------------------------------------------

    def _train(
        self,
        label: str,
        start: StartT | str,
        domain: Any,
        cost: Cost,
        *,
        procedure: ProcedureT,
        **options: Any,
    ) -> TrainedT:
        """Train one model and note what it took."""
        trained = self._train_model(
            start,
            procedure,
            domain,
            label=label,
            folder=self.folder / "checkpoints" / f"{label.replace(' ', '_')}-{self.seed}",
            history=self.folder / "history.jsonl",
            **options,
        )
        cost.seconds, cost.selection_seconds = trained.fit.seconds, trained.fit.selection_seconds
        cost.tokens_per_second, cost.padding_share = trained.fit.tokens_per_second, trained.fit.padding_share
        cost.trainings = trained.fit.trainings
        cost.trainable_parameters, cost.trainable_share = trained.trainable, trained.trainable / trained.total
        return trained

    def _arguments(self, stage: SourceStageConfig | AdaptationConfig) -> dict[str, Any]:
        """Return a stage's TrainingArguments; the seed is the maker's."""
        given = {**self.settings.training, **stage.training}
        return {key: value for key, value in given.items() if key != "seed"}
