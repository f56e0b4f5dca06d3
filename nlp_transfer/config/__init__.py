"""A recipe's YAML as validated, frozen dataclasses.

Below the builders, code takes plain values, never a config.
"""

from nlp_transfer.config.keys import (
    BASELINES,
    FORMATS,
    POSSIBLE_BASELINES,
    SENTIMENT_KEYS,
    STRICT,
    TRANSLATION_KEYS,
    AdaptationConfig,
    ArchitectureConfig,
    DataConfig,
    DomainConfig,
    EvaluationConfig,
    GuardConfig,
    HubConfig,
    Label,
    Method,
    ModelConfig,
    RecipeConfig,
    SourceStageConfig,
    System,
    UnlabelledConfig,
)
from nlp_transfer.config.reading import apply_override, as_dict, load_config, parse_config
from nlp_transfer.config.yaml_text import read_yaml, write_yaml, yaml_reader

__all__ = [
    "BASELINES",
    "FORMATS",
    "POSSIBLE_BASELINES",
    "SENTIMENT_KEYS",
    "STRICT",
    "TRANSLATION_KEYS",
    "AdaptationConfig",
    "ArchitectureConfig",
    "DataConfig",
    "DomainConfig",
    "EvaluationConfig",
    "GuardConfig",
    "HubConfig",
    "Label",
    "Method",
    "ModelConfig",
    "RecipeConfig",
    "SourceStageConfig",
    "System",
    "UnlabelledConfig",
    "apply_override",
    "as_dict",
    "load_config",
    "parse_config",
    "read_yaml",
    "write_yaml",
    "yaml_reader",
]
