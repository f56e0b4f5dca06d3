"""`export_model`: a model's folder for a faster runtime, compared with the model before it counts."""

from __future__ import annotations

import fnmatch
import hashlib
import logging
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from nlp_transfer.environment import versions
from nlp_transfer.errors import ConfigError, ModelError, RunError, did_you_mean
from nlp_transfer.exporting.card import write_card
from nlp_transfer.exporting.parity import Parity, classification_parity, translation_parity
from nlp_transfer.exporting.samples import labelled_sample, recipe_of, require_task, translated_sample
from nlp_transfer.inference.exported import (
    NEEDED_TO_EXPORT,
    ONNX,
    RUNTIMES,
    read_export,
    require_extra,
)
from nlp_transfer.inference.load import folder_of, load_adapted
from nlp_transfer.models.adapter_loading import is_adapter
from nlp_transfer.models.loading import model_identity
from nlp_transfer.models.resolving import EXPORTED as DESCRIPTION
from nlp_transfer.publishing.contents import MODEL_FILES, TOKENIZER_FILES
from nlp_transfer.publishing.save import MODEL_SUFFIXES
from nlp_transfer.whole_files import whole_folder, write_json

logger = logging.getLogger(__name__)
WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "cost.json")


@dataclass(frozen=True)
class Exported:
    """An exported folder, and what `export.json` in it says."""

    folder: Path
    description: dict[str, Any]

    def summary(self) -> str:
        """Say where it is and what was measured, for a terminal."""
        from nlp_transfer.exporting.card import measured_lines

        return "\n".join([str(self.folder), *(f"  {line}" for line in measured_lines(self.description))])


def export_model(
    model: str,
    *,
    runtime: str,
    int8: bool = False,
    output: Path | None = None,
    rows: Path | None = None,
    override: str | None = None,
    revision: str | None = None,
) -> Exported:
    """Export a model, compare it with what it was made from, and write the folder whole or not at all.

    Args:
        model: a model folder, a run folder, or a Hub id.
        runtime: `onnx` for classifiers and probes, `ctranslate2` for translation models.
        int8: keep the weights in eight bits.
        output: the new folder; None is `exported/<runtime>` beside the model.
        rows: a recipe whose target test rows are compared on; None is the model's own run, or texts of the
            model's own words where it lies in none.
        override: why bounds that are not kept are passed over; the card says it.
        revision: Hub revision.

    Raises:
        ConfigError: the extra is not installed, there is no such runtime, or the folder holds something else.
        DataError: the rows to compare on cannot be read.
        ModelError: there is no such model, or its family cannot be exported for the runtime.
        RunError: the exported model is too far from the model; nothing was written.
    """
    if runtime not in RUNTIMES:
        raise ConfigError(f"no runtime {runtime!r}; {did_you_mean(runtime, RUNTIMES)}")
    require_extra(NEEDED_TO_EXPORT[runtime], purpose=f"exporting for {runtime}")
    source = folder_of(model, revision)
    _require_plain(source, model)
    target = output if output is not None else _usual_output(source, runtime, int8=int8)
    _require_replaceable(target)
    loaded = load_adapted(str(source))
    require_task(loaded, runtime)
    with whole_folder(target) as part:
        _copy_beside(source, part)
        _convert(loaded, source, part, runtime=runtime, int8=int8)
        description = _description(loaded, source, model, runtime=runtime, int8=int8)
        write_json(part / DESCRIPTION, description)
        parity = _compared(load_adapted(str(source)), part, rows or recipe_of(source), int8=int8)
        _require_kept(parity, override)
        reason = override if parity.problems else None
        description |= {"parity": parity.measured, "problems": parity.problems, "override": reason}
        write_json(part / DESCRIPTION, description)
        write_card(source, part, description)
    logger.info("exported to %s", target)
    return Exported(target, description)


def _convert(loaded: Any, source: Path, folder: Path, *, runtime: str, int8: bool) -> None:
    logger.info("exporting %s for %s%s", source, runtime, " in eight bits" if int8 else "")
    if runtime != ONNX:
        from nlp_transfer.exporting.ctranslate2_export import convert

        convert(source, folder, int8=int8)
        return
    from nlp_transfer.exporting.onnx_export import quantise, write_graph
    from nlp_transfer.inference.onnx_classifier import GRAPH

    write_graph(loaded, folder / GRAPH)
    if int8:
        quantise(folder / GRAPH)


def _compared(model: Any, folder: Path, recipe: Path | None, *, int8: bool) -> Parity:
    exported = load_adapted(str(folder))
    if hasattr(model, "translate"):
        return translation_parity(model, exported, translated_sample(model, recipe), int8=int8)
    return classification_parity(model, exported, labelled_sample(model, recipe), int8=int8)


def _require_kept(parity: Parity, override: str | None) -> None:
    if parity.problems and override is None:
        listing = "\n".join(f"  - {problem}" for problem in parity.problems)
        raise RunError(
            f"not exported: on {parity.measured['rows_are']} the exported model is not the model:\n"
            f"{listing}\n"
            '--override "REASON" exports all the same, and the card states the reason'
        )


def _description(loaded: Any, source: Path, name: str, *, runtime: str, int8: bool) -> dict[str, Any]:
    """Say what the folder is; no path of this machine, since the folder may travel."""
    translates = hasattr(loaded, "translate")
    is_hub_id = not Path(name).expanduser().exists()
    return {
        "schema": 1,
        "runtime": runtime,
        "int8": int8,
        "task": "translation" if translates else "classification",
        **({} if translates else {"label_names": loaded.label_names}),
        "max_length_tokens": loaded.max_length_tokens,
        "versions": versions() | {name: metadata.version(name) for name in NEEDED_TO_EXPORT[runtime]},
        "source": {
            "name": name if is_hub_id else _folder_name(source),
            "identity": hashlib.sha256(model_identity(str(source)).encode()).hexdigest(),
        },
    }


def _folder_name(source: Path) -> str:
    return source.parent.name if source.name == "model" else source.name


def _usual_output(source: Path, runtime: str, *, int8: bool) -> Path:
    """Return `exported/onnx_int8` and the like: in the run folder of a run's model, else in this folder."""
    name = f"{runtime}_int8" if int8 else runtime
    if recipe_of(source) is not None:
        return source.parent / "exported" / name
    return Path(f"{_folder_name(source)}_{name}")


def _copy_beside(source: Path, folder: Path) -> None:
    """Copy what a model's folder holds beside its weights: tokenizer, configuration, small files of ours."""
    for path in sorted(source.iterdir()):
        known = any(fnmatch.fnmatchcase(path.name, name) for name in (*MODEL_FILES, *TOKENIZER_FILES))
        weights = any(fnmatch.fnmatchcase(path.name, name) for name in WEIGHTS)
        if path.is_file() and not weights and (known or path.suffix in MODEL_SUFFIXES):
            shutil.copyfile(path, folder / path.name)


def _require_plain(source: Path, name: str) -> None:
    if is_adapter(source):
        raise ModelError(f"{name} is an adapter; export the merged model: a run's model/ folder")
    if read_export(source) is not None:
        raise ModelError(f"{name} is an exported model itself; export the model that it was made from")


def _require_replaceable(folder: Path) -> None:
    """Refuse a folder whose files would be lost: it is replaced whole."""
    if folder.is_file() or (
        folder.is_dir() and any(folder.iterdir()) and not (folder / DESCRIPTION).is_file()
    ):
        raise ConfigError(
            f"{folder} holds something else than an exported model; name a new folder: --output"
        )
