"""Fits a run's probes at one seed: logistic regression on frozen encodings, so that no weight of an encoder
moves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nlp_transfer.config import SourceStageConfig
from nlp_transfer.data.rows import DomainData, Rows, TransferData
from nlp_transfer.making.settings import ClassifierSettings
from nlp_transfer.training.costs import Cost

if TYPE_CHECKING:
    from nlp_transfer.training.probing import FrozenProbe


class ProbeMaker:
    """Fits probes on one run's data.

    Args:
        settings: how.
        data: both domains, with this seed's training rows.
        seed: divides the rows that a probe's strength is chosen on.
    """

    def __init__(self, settings: ClassifierSettings, data: TransferData, *, seed: int) -> None:
        self.settings = settings
        self.data = data
        self.seed = seed

    def fit(self, encoder: str, cost: Cost, *, rows: Rows | None = None) -> FrozenProbe:
        """Fit a probe on an encoder's vectors of `rows`, None of all training rows; its strength is chosen
        for the target's.
        """
        return self._fit(
            encoder,
            self.data.training_rows() if rows is None else rows,
            self.data.target.selection,
            cost,
            class_weights=self.settings.adaptation.class_weights,
            bf16=self.encodes_in_bf16(),
        )

    def fit_source(self, stage: SourceStageConfig, source: DomainData, cost: Cost) -> FrozenProbe:
        """Fit a probe that is a source model: on the pretrained encoder and the source's rows alone."""
        return self._fit(
            self.settings.model_path,
            source.selection,
            source.selection,
            cost,
            class_weights=None,
            bf16=self._bf16(stage.training),
        )

    def encodes_in_bf16(self) -> bool:
        """Tell whether what is fitted on encodings gets them in bfloat16, as weights are trained in it."""
        return self._bf16(self.settings.adaptation.training)

    def _bf16(self, stage: dict[str, Any]) -> bool:
        from nlp_transfer.training.arguments import native_bf16

        return bool({**self.settings.training, **stage}.get("bf16", native_bf16()))

    def _fit(
        self,
        encoder: str,
        rows: Rows,
        select_on: Rows,
        cost: Cost,
        *,
        class_weights: str | None,
        bf16: bool,
    ) -> FrozenProbe:
        from nlp_transfer.training.probing import fit_frozen_probe

        probe = fit_frozen_probe(
            encoder,
            rows,
            select_on,
            label_names=self.data.label_names,
            max_length_tokens=self.settings.max_length_tokens,
            seed=self.seed,
            revision=self.settings.revision if encoder == self.settings.model_path else None,
            class_weights=class_weights,
            bf16=bf16,
        )
        cost.trainable_parameters, cost.trainable_share = probe.parameters, probe.parameters / probe.total
        return probe
