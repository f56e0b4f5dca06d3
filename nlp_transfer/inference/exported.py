"""A model folder that was exported for a faster runtime: how it is told, what it needs, and how it is opened.

`export.json` in the folder says which runtime it is for and what was measured when it was made. How a folder
is exported stands in `exporting/`.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_transfer.errors import ConfigError, ModelError, did_you_mean
from nlp_transfer.models.resolving import EXPORTED as DESCRIPTION

if TYPE_CHECKING:
    from nlp_transfer.inference.onnx_classifier import OnnxClassifier
    from nlp_transfer.inference.translator import Translator

# What a folder can be opened with; `torch` is what a model that was not exported needs.
TORCH, ONNX, CTRANSLATE2 = "torch", "onnx", "ctranslate2"
RUNTIMES = (ONNX, CTRANSLATE2)
NEEDED_TO_RUN = {ONNX: ("onnxruntime",), CTRANSLATE2: ("ctranslate2",)}
NEEDED_TO_EXPORT = {ONNX: ("onnx", "onnxscript", "onnxruntime"), CTRANSLATE2: ("ctranslate2",)}


def read_export(folder: Path) -> dict[str, Any] | None:
    """Return what `export.json` says, or None for a folder that was not exported.

    Raises:
        ModelError: the file is damaged, or of a runtime that is not known.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        return None
    try:
        description = dict(json.loads(path.read_text(encoding="utf-8")))
        runtime = description["runtime"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{path} cannot be read ({error!r}); export the model again") from error
    if runtime not in RUNTIMES:
        raise ModelError(
            f"{path} is for the runtime {runtime!r}, which is not known ({', '.join(RUNTIMES)}); a newer "
            "nlp-transfer wrote it: update, or export the model again"
        )
    return description


def require_runtime(wanted: str | None, found: str, path: str | Path) -> None:
    """Refuse to open a folder with another runtime than the one that it is for.

    Raises:
        ConfigError: there is no such runtime.
        ModelError: the folder is for another one; the message has the command that makes it for this one.
    """
    if wanted is None or wanted == found:
        return
    if wanted not in (TORCH, *RUNTIMES):
        raise ConfigError(f"no runtime {wanted!r}; {did_you_mean(wanted, (TORCH, *RUNTIMES))}")
    if found != TORCH:
        raise ModelError(
            f"{path} was exported for {found} and holds no weights for {wanted}; give the model that it was "
            "exported from"
        )
    raise ModelError(
        f"{path} is not exported for {wanted}. Make it once, its answers compared with the model's, then "
        f"give that folder: nlp-transfer export {path} --runtime {wanted}"
    )


def require_extra(packages: tuple[str, ...], *, purpose: str) -> None:
    """Refuse to go on without the libraries of the `fast` extra.

    Raises:
        ConfigError: one of them is not installed.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"{purpose} needs {' and '.join(missing)}; install the extra: "
            'python -m pip install "nlp-transfer[fast]"'
        )


def load_exported(
    folder: Path, description: dict[str, Any], *, src_lang: str | None, tgt_lang: str | None
) -> OnnxClassifier | Translator:
    """Open an exported folder.

    Args:
        folder: with an `export.json`.
        description: what that says.
        src_lang: for a translation model that does not say it.
        tgt_lang: language to translate into; None is the model's default.

    Raises:
        ConfigError: the `fast` extra is not installed.
        ModelError: the folder is not whole.
    """
    runtime = str(description["runtime"])
    require_extra(NEEDED_TO_RUN[runtime], purpose=f"a model exported for {runtime}")
    if runtime == ONNX:
        from nlp_transfer.inference.onnx_classifier import load_onnx_classifier

        return load_onnx_classifier(folder, description)
    from nlp_transfer.inference.ctranslate2_model import load_ctranslate2_translator

    return load_ctranslate2_translator(folder, src_lang=src_lang, tgt_lang=tgt_lang)
