"""Pretrained classifiers from the Hub, a folder or an installed package, with their labels in a known order.

A head is reused only where its class names are the wanted ones in the wanted order; otherwise it starts anew,
and the caller is told which weights did. Weights are read from safetensors alone, and no code of a model's is
run.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from nlp_transfer.data.sources import file_sha256
from nlp_transfer.errors import ModelError
from nlp_transfer.models.resolving import resolve_model

logger = logging.getLogger(__name__)
# These number a text's positions from the padding's id on, so that the first two of the table are not for
# texts.
COUNT_FROM_PADDING = ("roberta", "xlm-roberta", "camembert", "mpnet", "xlm-roberta-xl", "data2vec-text")
POSITIONS_BEFORE_TEXT = 2
# Encoders and decoders that read no text without a beginning of its translation.
READ_WITH_TARGET = ("t5", "mt5", "umt5", "longt5", "switch_transformers")


@dataclass(frozen=True)
class LoadedClassifier:
    """A classifier, its tokenizer, and the names of the weights that start at random."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    fresh: list[str]


def model_labels(path: str, *, revision: str | None = None) -> list[str] | None:
    """Return the class names of a model's head in its order, or None where it has none of its own.

    Raises:
        ModelError: the model cannot be found or read.
    """
    config = read_model_config(path, revision)
    return own_label_names(config) if is_classifier(config) else None


def has_unnamed_head(path: str, *, revision: str | None = None) -> bool:
    """Tell whether a model has a head whose classes are LABEL_0, LABEL_1, ...: which is which, nobody says.

    Raises:
        ModelError: the model cannot be found or read.
    """
    config = read_model_config(path, revision)
    return is_classifier(config) and own_label_names(config) is None


def head_labels(path: str, *, revision: str | None = None) -> list[str]:
    """Return the class names of a model's outputs, LABEL_0, LABEL_1, ... where it names none.

    Raises:
        ModelError: the model cannot be found or read.
    """
    return label_names_of(read_model_config(path, revision))


def is_classifier(config: PreTrainedConfig) -> bool:
    """Tell whether a model was saved with a head that classifies texts."""
    return any(name.endswith("ForSequenceClassification") for name in config.architectures or [])


def label_names_of(config: PreTrainedConfig) -> list[str]:
    """Return the class names of a config in the head's order, the library's LABEL_0, LABEL_1, ...
    included.
    """
    return [str(config.id2label[number]) for number in sorted(config.id2label)]


def own_label_names(config: PreTrainedConfig) -> list[str] | None:
    """Return the class names that a config declares, or None for the library's LABEL_0, LABEL_1, ..."""
    names = label_names_of(config)
    return None if all(name == f"LABEL_{number}" for number, name in enumerate(names)) else names


def model_identity(path: str, *, revision: str | None = None) -> str:
    """Name a model's very self: a hash of a folder's weights and JSON files, the commit of a Hub model."""
    folder = Path(resolve_model(path))
    if folder.is_dir():
        # The JSON files hold the configuration and the tokenizer: other ones make another model of the same
        # weights.
        files = [file for pattern in ("*.safetensors", "*.json") for file in sorted(folder.glob(pattern))]
        return " ".join(f"{file.name}:{file_sha256(file)}" for file in files)
    return f"{path}@{getattr(read_model_config(path, revision), '_commit_hash', None) or revision}"


def load_tokenizer(path: str, *, revision: str | None = None) -> PreTrainedTokenizerBase:
    """Load a model's tokenizer.

    Raises:
        ModelError: it cannot be found or read, is empty, or cannot pad.
    """
    with as_model_error(path):
        tokenizer = AutoTokenizer.from_pretrained(resolve_model(path), revision=revision)
    # Where its files are missing, the library makes one that knows its special tokens alone, in silence.
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise ModelError(
            f"{path} has no tokenizer: save the one that it was trained with beside it (tokenizer.json)"
        )
    if tokenizer.pad_token is None:
        raise ModelError(
            f"the tokenizer of {path} has no padding token, so texts cannot be batched; choose an encoder"
        )
    return tokenizer


def load_classifier(
    path: str, *, label_names: Sequence[str], revision: str | None = None, pretrained: bool = True
) -> LoadedClassifier:
    """Load a sequence classifier whose outputs are `label_names` in this order, as float32.

    Args:
        path: Hub id, folder, or `package://module/folder`.
        label_names: the classes, in the order of the head's outputs.
        revision: Hub revision.
        pretrained: False starts every weight at random (the `scratch` system).

    Raises:
        ModelError: the model cannot be found, read, or is no classifier.
    """
    config = read_model_config(path, revision)
    other_labels = label_names_of(config) != list(label_names)
    has_head = is_classifier(config)
    config.id2label = dict(enumerate(label_names))
    config.label2id = {name: number for number, name in enumerate(label_names)}
    config.problem_type = "single_label_classification"
    tokenizer = load_tokenizer(path, revision=revision)
    with as_model_error(path), quiet_library():
        if not pretrained:
            model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
            return LoadedClassifier(model, tokenizer, [name for name, _ in model.named_parameters()])
        model, info = AutoModelForSequenceClassification.from_pretrained(
            resolve_model(path),
            revision=revision,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    fresh = sorted(set(info["missing_keys"]) | {key for key, *_ in info["mismatched_keys"]})
    if other_labels and (has_head or not fresh):
        logger.info("%s has a head for other labels; it starts anew for %s", path, ", ".join(label_names))
        fresh = sorted({*fresh, *head_parameters(model)})
        _start_head_anew(model)
    return LoadedClassifier(model, tokenizer, fresh)


def _start_head_anew(model: PreTrainedModel) -> None:
    """Give a classifier a new one's head: the library does not initialise again what it has loaded."""
    new = head_modules(AutoModelForSequenceClassification.from_config(model.config, dtype=torch.float32))
    for name, module in head_modules(model).items():
        module.load_state_dict(new[name].state_dict())


def load_encoder(path: str, *, revision: str | None = None) -> PreTrainedModel:
    """Load a model without its head, as float32.

    Raises:
        ModelError: it cannot be found or read.
    """
    with as_model_error(path), quiet_library():
        return AutoModel.from_pretrained(
            resolve_model(path), revision=revision, dtype=torch.float32, use_safetensors=True
        )


def max_input_tokens(config: PreTrainedConfig) -> int | None:
    """Return how many tokens a model can read at most, or None where it has no limit."""
    positions = getattr(config, "max_position_embeddings", None)
    if positions is None or not getattr(config, "position_biased_input", True):
        return None
    return int(positions) - (POSITIONS_BEFORE_TEXT if config.model_type in COUNT_FROM_PADDING else 0)


def require_length(path: str, max_length_tokens: int, *, revision: str | None = None) -> None:
    """Check that a model can read texts of this length; it would fail in the middle of a run.

    Raises:
        ModelError: it cannot, or cannot be found.
    """
    limit = max_input_tokens(read_model_config(path, revision))
    if limit is not None and max_length_tokens > limit:
        raise ModelError(
            f"model.max_length_tokens is {max_length_tokens} and {path} reads {limit} at most; lower it"
        )


def require_encoder(path: str, *, revision: str | None = None) -> None:
    """Check that a model can be made a classifier of texts.

    Raises:
        ModelError: it cannot, or cannot be found.
    """
    config = read_model_config(path, revision)
    if (
        type(config) in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
        and config.model_type not in READ_WITH_TARGET
    ):
        return
    named = ", ".join(config.architectures or []) or config.model_type
    advice = (
        "set task: translation to adapt a translation model, or choose an encoder (BERT's kind)"
        if config.is_encoder_decoder
        else "choose an encoder (BERT's kind)"
    )
    raise ModelError(f"{path} is no encoder that can classify but a {named}; {advice}")


def base_model(model: PreTrainedModel) -> nn.Module:
    """Return a classifier's encoder."""
    return getattr(model, model.base_model_prefix)  # type: ignore[no-any-return]


def head_modules(model: PreTrainedModel) -> dict[str, nn.Module]:
    """Return the modules of a classifier that are not its encoder, by name, where they have weights."""
    return {
        name: module
        for name, module in model.named_children()
        if name != model.base_model_prefix and any(True for _ in module.parameters())
    }


def head_parameters(model: PreTrainedModel) -> list[str]:
    """Return the names of the weights that are not the encoder's."""
    prefix = f"{model.base_model_prefix}."
    return [name for name, _ in model.named_parameters() if not name.startswith(prefix)]


def read_model_config(path: str, revision: str | None) -> PreTrainedConfig:
    """Load a model's configuration.

    Raises:
        ModelError: the model cannot be found or read.
    """
    with as_model_error(path):
        return AutoConfig.from_pretrained(resolve_model(path), revision=revision)


@contextlib.contextmanager
def quiet_library() -> Iterator[None]:
    """Keep the library's notes on fresh weights and its loading bar away; the caller says what matters."""
    from transformers.utils import logging as library

    level, bar = library.get_verbosity(), library.is_progress_bar_enabled()
    library.set_verbosity_error()
    library.disable_progress_bar()
    try:
        yield
    finally:
        library.set_verbosity(level)
        if bar:
            library.enable_progress_bar()


@contextlib.contextmanager
def as_model_error(path: str) -> Iterator[None]:
    """Turn what the library raises for a model that cannot be read into one message."""
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    try:
        yield
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ImportError,
        RuntimeError,
        SafetensorError,
        StrictDataclassError,
    ) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"the model {path} cannot be loaded ({reason}). Give a Hub id that exists (with the network "
            "there), a folder that save_pretrained wrote, or package://module/folder"
        ) from error


def save_json(path: Path, value: Any) -> None:
    """Write a small JSON file beside a model."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
