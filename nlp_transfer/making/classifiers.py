"""Makes the models of a sentiment run: source model, adapted model, and what the baselines need, at one seed.

How a classifier is trained and saved; the order of it all is the base's, probes are probes.py's.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_transfer.config import AdaptationConfig, SourceStageConfig
from nlp_transfer.data.rows import EMPTY, DomainData, Rows, TransferData
from nlp_transfer.evidence_files import sample, source_set_aside
from nlp_transfer.making.base import ModelMaker
from nlp_transfer.making.probes import ProbeMaker
from nlp_transfer.making.settings import ClassifierSettings
from nlp_transfer.source_models import note_trust
from nlp_transfer.training.costs import Cost
from nlp_transfer.training.processes import computed_on_main

if TYPE_CHECKING:
    from nlp_transfer.training.adapt import Trained
    from nlp_transfer.training.probing import FrozenProbe
    from nlp_transfer.training.procedure import Procedure
    from nlp_transfer.training.unlabelled import Unlabelled

# Texts that a saved model is compared with itself on.
PARITY_TEXTS = 64
# Labelled target rows that a source model is asked for: no answer gets surer with more.
MAX_ASKED_ROWS = 2_000
# What says nothing about a source model that is not made by LoRA.
LORA_ONLY = ("rank", "alpha", "target_modules")
# What a source stage never sets.
ADAPTATION_ONLY = ("soup", "class_weights", "selection_metric", "early_stopping")


class ClassifierMaker(ModelMaker[str, "Procedure", "Trained"]):
    """Makes the classifiers of one run at one seed; see `ModelMaker`."""

    settings: ClassifierSettings
    data: TransferData

    @cached_property
    def probes(self) -> ProbeMaker:
        """What fits probes on the run's data."""
        return ProbeMaker(self.settings, self.data, seed=self.seed)

    # Whether the source may be learnt from ---------------------------------------------------------

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

    # The source model ------------------------------------------------------------------------------

    def _first_start(self) -> tuple[str, str | None]:
        return self.settings.model_path, self.settings.revision

    def _source_inputs(self, stage: SourceStageConfig, source: DomainData) -> list[Any]:
        from nlp_transfer.models.loading import model_identity
        from nlp_transfer.training.arguments import DEFAULTS
        from nlp_transfer.training.procedure import METHOD_ARGUMENTS, passes_for

        identity = model_identity(self.settings.model_path, revision=self.settings.revision)
        rows = [source.train.fingerprint(), source.dev.fingerprint(), self.data.label_names]
        unsaid = ADAPTATION_ONLY if stage.method == "lora" else (*ADAPTATION_ONLY, *LORA_ONLY)
        procedure = dataclasses.asdict(self._procedure(stage))
        derived = [DEFAULTS, METHOD_ARGUMENTS.get(stage.method, {}), passes_for(len(source.train))]
        return [
            identity,
            rows,
            {key: value for key, value in procedure.items() if key not in unsaid},
            derived,
        ]

    def _make_source(self, folder: Path, cost: Cost) -> None:
        stage, source = self._source_stage()
        if stage.method == "probe":
            self._save_probe(self.probes.fit_source(stage, source, cost), folder)
        else:
            super()._make_source(folder, cost)

    # Adaptation, and the baselines that train alike ------------------------------------------------

    def _make_adapted(self, cost: Cost) -> None:
        self.decide_trust()
        if self.learns() and self.settings.adaptation.method == "probe":
            self._save_probe(self.fit_adapted_probe(cost), self.model_folder)
        else:
            super()._make_adapted(cost)

    def learns(self) -> bool:
        """Tell whether there is anything of the target to learn from, with labels or without."""
        return super().learns() or self.data.unlabelled is not None

    def unlearnt_dev(self) -> Rows:
        """Return the target's dev rows that the adapted model has not learnt; a probe is fitted on all of
        them.
        """
        return EMPTY if self.learns() and self.settings.adaptation.method == "probe" else self.data.target.dev

    def adapt(self, cost: Cost, *, adapter_folder: Path | None = None) -> Trained:
        """Train from the start on the target, with source rows beside it; without either, where the source is
        set aside.
        """
        if self.source_set_aside:
            return self.without_source("adapted", cost, pretrained=True, adapter_folder=adapter_folder)
        return super().adapt(cost, adapter_folder=adapter_folder)

    def without_source(
        self, system: str, cost: Cost, *, pretrained: bool, adapter_folder: Path | None = None
    ) -> Trained:
        """Train on the target alone, by the adapted model's procedure; not `pretrained` starts at random."""
        return self._train(
            system,
            self.settings.model_path,
            self.data.target,
            cost,
            procedure=self._adaptation_procedure(),
            revision=self.settings.revision,
            pretrained=pretrained,
            adapter_folder=adapter_folder,
            unlabelled=self._unlabelled(),
        )

    def fit_adapted_probe(self, cost: Cost) -> FrozenProbe:
        """Fit on both domains; an earlier or a tuned source model's encoder is taken, else the pretrained
        one.
        """
        if self.settings.continue_from is not None:
            return self.probes.fit(self.settings.continue_from, cost)
        if self.source_set_aside:
            return self.probes.fit(self.settings.model_path, cost, rows=self.data.target.selection)
        stage = self.settings.source_stage
        tuned = stage is not None and stage.method != "probe"
        return self.probes.fit(str(self.source_folder) if tuned else self.settings.model_path, cost)

    # Training --------------------------------------------------------------------------------------

    def _train_model(self, start: str, procedure: Procedure, domain: DomainData, **options: Any) -> Trained:
        from nlp_transfer.training.adapt import train_classifier

        return train_classifier(start, procedure, domain.train, domain.dev, **options)

    def _procedure(self, stage: SourceStageConfig | AdaptationConfig) -> Procedure:
        from nlp_transfer.training.procedure import Procedure

        adaptation = self.settings.adaptation
        return Procedure(
            method=stage.method,
            label_names=self.data.label_names,
            max_length_tokens=self.settings.max_length_tokens,
            seed=self.seed,
            arguments=self._arguments(stage),
            rank=adaptation.rank,
            alpha=adaptation.alpha,
            target_modules=adaptation.target_modules,
        )

    def _adaptation_procedure(self) -> Procedure:
        """Return how the target is learnt, by `adapted` and by the baselines without a source alike.

        Beside a probe the baselines are trained in full: a probe without a source is the system `probe`
        already.
        """
        adaptation = self.settings.adaptation
        return dataclasses.replace(
            super()._adaptation_procedure(),
            method="full" if adaptation.method == "probe" else adaptation.method,
            soup=adaptation.soup,
            class_weights=adaptation.class_weights,
            selection_metric=adaptation.selection_metric,
        )

    def _learnt_beside(self) -> dict[str, Any]:
        return {**super()._learnt_beside(), "unlabelled": self._unlabelled()}

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

    # Saving ----------------------------------------------------------------------------------------

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

    def _copy_start(self) -> None:
        from nlp_transfer.publishing.save import save_model

        start, revision = self.start()
        computed_on_main(
            lambda: save_model(start, self.model_folder, texts=self._parity_texts(), revision=revision)
        )

    def _parity_texts(self) -> list[str]:
        return list(self.data.target.test.texts[:PARITY_TEXTS])
