"""What a run's models are made of: plain values out of its recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nlp_transfer.config import AdaptationConfig, ArchitectureConfig, SourceStageConfig


@dataclass(frozen=True, kw_only=True)
class MakerSettings:
    """What both tasks have."""

    model_path: str | None
    revision: str | None
    max_length_tokens: int
    source_stage: SourceStageConfig | None
    adaptation: AdaptationConfig
    training: dict[str, Any]
    """TrainingArguments of all stages."""
    continue_from: str | None = None
    """The earlier model that adaptation starts from, in place of a source model."""


@dataclass(frozen=True, kw_only=True)
class ClassifierSettings(MakerSettings):
    """A sentiment run's models: always out of a pretrained encoder."""

    model_path: str


@dataclass(frozen=True, kw_only=True)
class TranslationSettings(MakerSettings):
    """A translation run's models: out of a pretrained one, or made anew in a shape."""

    architecture: ArchitectureConfig | None
    num_beams: int
