"""Makes a run's models: the source model, the adapted one, and what the baselines need, at one seed.

The source model is kept across runs (source_models.py). Scoring the models is left to
systems.py.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_transfer.config import AdaptationConfig, SourceStageConfig
from nlp_transfer.data.rows import DomainData, Rows, TransferData
from nlp_transfer.evaluation.mixes import write_mix
from nlp_transfer.evidence_files import sample, source_set_aside
from nlp_transfer.runs import fingerprint, versions
from nlp_transfer.source_models import kept_source_model, note_trust, source_seconds
from nlp_transfer.training.costs import Cost, measured
from nlp_transfer.training.processes import computed_on_main, is_main, num_processes

if TYPE_CHECKING:
    from nlp_transfer.training.adapt import Procedure, Trained
    from nlp_transfer.training.probing import FrozenProbe
    from nlp_transfer.training.unlabelled import Unlabelled

# Texts that a saved model is compared with itself on.
PARITY_TEXTS = 64
# Labelled target rows that a source model is asked for: no answer gets surer with more.
MAX_ASKED_ROWS = 2_000
# What says nothing about a source model that is not made by LoRA.
LORA_ONLY = ("rank", "alpha", "target_modules")
# What a source stage never sets.
ADAPTATION_ONLY = ("class_weights", "selection_metric", "early_stopping")


@dataclass(frozen=True)
class SystemSettings:
    """What a run's systems are made of: plain values out of its recipe."""

    model_path: str
    revision: str | None
    max_length_tokens: int
    source_stage: SourceStageConfig | None
    adaptation: AdaptationConfig
    training: dict[str, Any]
    continue_from: str | None = None
    """The earlier model that adaptation starts from, in place of a source model."""


class ModelMaker:
    """Makes the models of one run at one seed.

    Args:
        settings: how.
        data: both domains, with this seed's training rows.
        seed: starts and orders training.
        folder: the run folder.
    """

    def __init__(self, settings: SystemSettings, data: TransferData, *, seed: int, folder: Path) -> None:
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
            cost.source_seconds = self.source_seconds()
            self.decide_trust()
            if not self.learns():
                self._copy_start()
            elif self.settings.adaptation.method == "probe":
                self._save_probe(self.fit_adapted_probe(cost), self.model_folder)
            else:
                trained = self.adapt(cost, adapter_folder=self.folder / "adapter")
                if is_main():
                    write_mix(self.folder, trained.fit.mix)
                self._save(trained, self.model_folder)
        return cost

    def learns(self) -> bool:
        """Tell whether there is anything of the target to learn from."""
        return len(self.data.target.train) > 0 or self.data.unlabelled is not None

    def decide_trust(self) -> None:
        """Ask the source model for labelled target rows, and note for all seeds whether it may be learnt
        from: it is one for all of them.
        """
        rows = self.data.target.selection
        asks = self.settings.adaptation.trust_source == "auto" and self.settings.continue_from is None
        if asks and self.settings.source_stage is not None and len(rows):
            drawn = rows.take(sample(len(rows), MAX_ASKED_ROWS, seed=self.seed))
            note_trust(self.folder, self.source_folder, drawn)

    @cached_property
    def source_set_aside(self) -> bool:
        """Whether the target is learnt without the source, which would harm it."""
        return computed_on_main(lambda: source_set_aside(self.folder))

    # Training --------------------------------------------------------------------------------------

    def _source_key(self) -> str:
        """Hash everything that the source model follows from."""
        from nlp_transfer.models.loading import model_identity
        from nlp_transfer.training.adapt import METHOD_ARGUMENTS, passes_for
        from nlp_transfer.training.arguments import DEFAULTS, native_bf16

        stage, source = self._source_stage()
        identity = model_identity(self.settings.model_path, revision=self.settings.revision)
        rows = [source.train.fingerprint(), source.dev.fingerprint(), self.data.label_names]
        procedure = dataclasses.asdict(self._procedure(stage.method, stage.training))
        unsaid = ADAPTATION_ONLY if stage.method == "lora" else (*ADAPTATION_ONLY, *LORA_ONLY)
        procedure = {key: value for key, value in procedure.items() if key not in unsaid}
        machine = [native_bf16(), num_processes(), versions()]
        derived = [DEFAULTS, METHOD_ARGUMENTS.get(stage.method, {}), passes_for(len(source.train))]
        return fingerprint(identity, rows, procedure, derived, machine)

    def _source_stage(self) -> tuple[SourceStageConfig, DomainData]:
        if self.settings.source_stage is None or self.data.source is None:
            raise RuntimeError("a run without a source stage has no source model")
        return self.settings.source_stage, self.data.source

    def _train_source_into(self, folder: Path) -> Cost:
        stage, source = self._source_stage()
        with measured() as cost:
            if stage.method == "probe":
                probe = self.fit_probe(
                    self.settings.model_path, cost, rows=source.selection, select_on=source.selection
                )
                self._save_probe(probe, folder)
            else:
                trained = self._train(
                    "source model",
                    self.settings.model_path,
                    source.train,
                    source.dev,
                    cost,
                    procedure=self._procedure(stage.method, stage.training),
                    revision=self.settings.revision,
                )
                self._save(trained, folder)
        return cost

    def adapt(self, cost: Cost, *, adapter_folder: Path | None = None) -> Trained:
        """Train from the start on the target, with source rows beside it; without either, where the source is
        set aside.
        """
        if self.source_set_aside:
            return self.without_source("adapted", cost, pretrained=True, adapter_folder=adapter_folder)
        start, revision = self.start()
        target, source = self.data.target, self.data.source
        return self._train(
            "adapted",
            start,
            target.train,
            target.dev,
            cost,
            procedure=dataclasses.replace(self._adaptation_procedure(), mix=self.settings.adaptation.mix),
            revision=revision,
            replayed=source.train if source is not None else None,
            source_dev=source.dev if source is not None else None,
            adapter_folder=adapter_folder,
            unlabelled=self._unlabelled(),
        )

    def _train(
        self,
        label: str,
        start: str,
        train: Rows,
        dev: Rows,
        cost: Cost,
        *,
        procedure: Procedure,
        **options: Any,
    ) -> Trained:
        """Train one classifier and note what it took; `options` are `train_classifier`'s."""
        from nlp_transfer.training.adapt import train_classifier

        folder = self.folder / "checkpoints" / f"{label.replace(' ', '_')}-{self.seed}"
        trained = train_classifier(
            start,
            procedure,
            train,
            dev,
            label=label,
            folder=folder,
            history=self.folder / "history.jsonl",
            **options,
        )
        cost.seconds, cost.selection_seconds = trained.fit.seconds, trained.fit.selection_seconds
        cost.tokens_per_second, cost.padding_share = trained.fit.tokens_per_second, trained.fit.padding_share
        cost.trainable_parameters, cost.trainable_share = trained.trainable, trained.trainable / trained.total
        return trained

    def _adaptation_procedure(self) -> Procedure:
        """Return how the target is learnt, by `adapted` and by the baselines without a source alike.

        Beside a probe the baselines are trained in full: a probe without a source is the system `probe`
        already.
        """
        adaptation = self.settings.adaptation
        method = "full" if adaptation.method == "probe" else adaptation.method
        return dataclasses.replace(
            self._procedure(method, adaptation.training),
            freeze_layers=adaptation.freeze_layers,
            replay=adaptation.replay,
            class_weights=adaptation.class_weights,
            selection_metric=adaptation.selection_metric,
            early_stopping=adaptation.early_stopping,
        )

    def _unlabelled(self) -> Unlabelled | None:
        """Return the target text that is learnt without labels; the baselines without a source get it too."""
        from nlp_transfer.training.unlabelled import Unlabelled

        config, texts = self.settings.adaptation.unlabelled, self.data.unlabelled
        if config is None or texts is None:
            return None
        return Unlabelled(
            texts=texts.texts,
            method=config.method,
            passes=config.passes,
            weight=config.weight,
            threshold=config.threshold,
            averaging=config.averaging,
            masked_share=config.masked_share,
            words_from=self.settings.model_path,
            words_revision=self.settings.revision,
        )

    def _procedure(self, method: str, training: dict[str, Any]) -> Procedure:
        from nlp_transfer.training.adapt import Procedure

        adaptation = self.settings.adaptation
        arguments = {
            key: value for key, value in {**self.settings.training, **training}.items() if key != "seed"
        }
        return Procedure(
            method=method,
            label_names=self.data.label_names,
            max_length_tokens=self.settings.max_length_tokens,
            seed=self.seed,
            arguments=arguments,
            rank=adaptation.rank,
            alpha=adaptation.alpha,
            target_modules=adaptation.target_modules,
        )

    def start(self) -> tuple[str, str | None]:
        """Return where adaptation starts, path and revision: an earlier model, the source model, or else the
        pretrained one.
        """
        if self.settings.continue_from is not None:
            return self.settings.continue_from, None
        if self.settings.source_stage is not None:
            return str(self.source_folder), None
        return self.settings.model_path, self.settings.revision

    def source_seconds(self) -> float:
        """Return what making the source model took, 0 where there is none."""
        return source_seconds(self.source_folder)

    def without_source(
        self, system: str, cost: Cost, *, pretrained: bool, adapter_folder: Path | None = None
    ) -> Trained:
        """Train on the target alone, by the adapted model's procedure; not `pretrained` starts at random."""
        target = self.data.target
        return self._train(
            system,
            self.settings.model_path,
            target.train,
            target.dev,
            cost,
            procedure=self._adaptation_procedure(),
            revision=self.settings.revision,
            pretrained=pretrained,
            adapter_folder=adapter_folder,
            unlabelled=self._unlabelled(),
        )

    # Probes ----------------------------------------------------------------------------------------

    def fit_adapted_probe(self, cost: Cost) -> FrozenProbe:
        """Fit on both domains; an earlier or a tuned source model's encoder is taken, else the pretrained
        one.
        """
        if self.settings.continue_from is not None:
            return self.fit_probe(self.settings.continue_from, cost)
        if self.source_set_aside:
            return self.fit_probe(self.settings.model_path, cost, rows=self.data.target.selection)
        stage = self.settings.source_stage
        tuned = stage is not None and stage.method != "probe"
        return self.fit_probe(str(self.source_folder) if tuned else self.settings.model_path, cost)

    def fit_probe(
        self, encoder: str, cost: Cost, *, rows: Rows | None = None, select_on: Rows | None = None
    ) -> FrozenProbe:
        """Fit a probe on all training rows, its strength chosen for the target's, unless told otherwise."""
        from nlp_transfer.training.probing import fit_frozen_probe

        probe = fit_frozen_probe(
            encoder,
            rows or self.data.training_rows(),
            select_on or self.data.target.selection,
            label_names=self.data.label_names,
            max_length_tokens=self.settings.max_length_tokens,
            seed=self.seed,
            revision=self.settings.revision if encoder == self.settings.model_path else None,
            class_weights=self.settings.adaptation.class_weights if select_on is None else None,
            bf16=self.encodes_in_bf16()
            if select_on is None
            else self._bf16(self._source_stage()[0].training),
        )
        cost.trainable_parameters, cost.trainable_share = probe.parameters, probe.parameters / probe.total
        return probe

    def encodes_in_bf16(self) -> bool:
        """Tell whether what is fitted on encodings gets them in bfloat16, as weights are trained in it."""
        return self._bf16(self.settings.adaptation.training)

    def _bf16(self, stage: dict[str, Any]) -> bool:
        from nlp_transfer.training.arguments import native_bf16

        return bool({**self.settings.training, **stage}.get("bf16", native_bf16()))

    # Saving ---------------------------------------------------------------------------------------

    def _copy_start(self) -> None:
        """Without target labels the model that adaptation would start from is the adapted one."""
        from nlp_transfer.publishing.save import save_model

        start, revision = self.start()
        computed_on_main(
            lambda: save_model(start, self.model_folder, texts=self._parity_texts(), revision=revision)
        )

    def _save(self, trained: Trained, folder: Path) -> None:
        from nlp_transfer.publishing.save import save_trained

        computed_on_main(
            lambda: save_trained(
                trained.model,
                trained.tokenizer,
                folder,
                texts=self._parity_texts(),
                max_length_tokens=self.settings.max_length_tokens,
            )
        )

    def _save_probe(self, probe: FrozenProbe, folder: Path) -> None:
        from nlp_transfer.training.probing import save_probe

        computed_on_main(lambda: save_probe(probe, folder))

    def _parity_texts(self) -> list[str]:
        return list(self.data.target.test.texts[:PARITY_TEXTS])
