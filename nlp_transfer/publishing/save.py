"""Saves models so that what comes back is what was trained: every folder is reloaded and compared before it
counts.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nlp_transfer.errors import ConfigError, RunError
from nlp_transfer.models.probe import DESCRIPTION
from nlp_transfer.whole_files import whole_folder

logger = logging.getLogger(__name__)
# Reloaded float32 weights give the same logits up to the order of additions.
MAX_LOGIT_DIFFERENCE = 1e-5
# What a saved model consists of; a folder with anything else in it is not replaced.
MODEL_SUFFIXES = (".json", ".safetensors", ".txt", ".model", ".spm", ".md", ".jinja")


def save_trained(
    model: Any, tokenizer: Any, folder: Path, *, texts: Sequence[str], max_length_tokens: int
) -> None:
    """Write a full classifier, reload it into a fresh object, and require the same logits.

    Args:
        model: a plain `transformers` classifier.
        tokenizer: the model's; the length limit is written into it.
        folder: is replaced whole, or not at all.
        texts: a sample to compare on.
        max_length_tokens: longer texts are cut.

    Raises:
        RunError: the reloaded model scores differently.
    """
    from nlp_transfer.inference.predict import predict_logits
    from nlp_transfer.models.loading import quiet_library

    tokenizer.model_max_length = max_length_tokens
    score = partial(predict_logits, model, tokenizer, texts, max_length_tokens=max_length_tokens)
    before = score()
    with whole_folder(folder) as part, quiet_library():
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)
        _require_same(part, texts, before, exactly=lambda: _in_float64(model, score))


def save_model(source: str, folder: Path, *, texts: Sequence[str], revision: str | None = None) -> Path:
    """Copy a model to another folder, reload it there, and require the same logits.

    Args:
        source: a model folder or a Hub id.
        folder: is replaced whole, or not at all.
        texts: a sample to compare on.
        revision: Hub revision.

    Raises:
        ConfigError: the folder is a file, or holds something else than an older copy.
        RunError: the copy scores differently.
    """
    from nlp_transfer.inference.load import FullClassifier, load_adapted
    from nlp_transfer.models.resolving import resolve_model

    require_replaceable(folder)
    loaded = load_adapted(source, revision=revision)
    resolved = Path(resolve_model(source))
    if isinstance(loaded, FullClassifier) and not resolved.is_dir():
        limit = loaded.max_length_tokens
        save_trained(loaded.model, loaded.tokenizer, folder, texts=texts, max_length_tokens=limit)
        return folder
    before = loaded.logits(texts)
    with whole_folder(folder) as part:
        shutil.copytree(resolved, part, dirs_exist_ok=True, ignore=not_of_the_model)
        _require_same(part, texts, before, exactly=lambda: exact_logits(loaded, texts))
    logger.info("saved to %s: reloaded, and equal on %d texts", folder, len(texts))
    return folder


def exact_logits(classifier: Any, texts: Sequence[str]) -> Any:
    """Score texts in float64, with a probe in float32."""
    model = getattr(classifier, "model", None)
    score = partial(classifier.logits, texts)
    return score() if model is None else _in_float64(model, score)


def _in_float64(model: Any, compute: Callable[[], Any]) -> Any:
    with computing_in_float64(model):
        return compute()


@contextmanager
def computing_in_float64(model: Any) -> Iterator[None]:
    """Let a float32 model compute in float64, and come back as it was.

    Two loads of the same weights lie elsewhere in memory, so that their sums may be taken in another order:
    that moves the last digits of float32, and of a large model's logits more than is allowed. What differs in
    float64 too is another model.
    """
    import torch

    device = model.device
    # Apple's accelerators have no float64.
    model.to("cpu" if device.type == "mps" else device, torch.float64)
    try:
        yield
    finally:
        model.to(device, torch.float32)


def not_of_the_model(folder: str, names: list[str]) -> set[str]:
    """Leave out of a copy what a user keeps beside a model: checkpoints, pickles, a repository."""
    entries = [Path(folder) / name for name in names]
    others = {entry.name for entry in entries if entry.is_dir() or entry.suffix not in MODEL_SUFFIXES}
    return others | {"cost.json"}


def require_replaceable(folder: Path) -> None:
    """Refuse a folder whose other files would be lost: it is replaced whole."""
    if folder.is_file():
        raise ConfigError(f"{folder} is a file; name a folder to save the model in")
    if not folder.is_dir():
        return
    others = sorted(
        path.name for path in folder.iterdir() if path.is_dir() or path.suffix not in MODEL_SUFFIXES
    )
    if others or (any(folder.iterdir()) and not (folder / "config.json").is_file()):
        listing = ", ".join(others[:5]) or "no model"
        raise ConfigError(
            f"{folder} holds something else ({listing}); name a new or an empty folder to save the model in"
        )


def _require_same(folder: Path, texts: Sequence[str], before: Any, *, exactly: Callable[[], Any]) -> None:
    """Require the logits that were there before; `exactly` computes them anew, in float64 where it can."""
    from nlp_transfer.inference.load import load_adapted

    if not len(texts):
        return
    again = load_adapted(str(folder))
    difference = float(np.abs(again.logits(texts) - before).max())
    if not difference <= MAX_LOGIT_DIFFERENCE:
        difference = float(np.abs(exact_logits(again, texts) - exactly()).max())
    if not difference <= MAX_LOGIT_DIFFERENCE:
        kind = "probe" if (folder / DESCRIPTION).exists() else "model"
        raise RunError(
            f"the saved {kind} is not the trained one: its logits differ by {difference:.2g} on {len(texts)} "
            f"texts (at most {MAX_LOGIT_DIFFERENCE:g} is allowed); nothing was saved"
        )
