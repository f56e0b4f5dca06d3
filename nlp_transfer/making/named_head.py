"""A pretrained classifier whose head names no classes, with the names that its user declares.

Nothing but its configuration changes, so what comes out is a folder in the cache that points to the model's
own files beside a `config.json` with the names: whatever loads a model loads it, head and all.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from nlp_transfer.data.sources import cache_dir
from nlp_transfer.errors import ModelError
from nlp_transfer.models.loading import is_classifier, label_names_of, own_label_names, read_model_config
from nlp_transfer.models.resolving import resolve_model
from nlp_transfer.whole_files import whole_folder, write_json


def with_named_head(path: str, label_names: Sequence[str], *, revision: str | None = None) -> str:
    """Return the folder of a classifier whose head's outputs are named.

    Args:
        path: Hub id, folder, or `package://module/folder`.
        label_names: the classes in the order of the head's outputs.
        revision: Hub revision.

    Raises:
        ModelError: the model cannot be found or read, has no head, names its classes itself by other names,
            or has another number of them.
    """
    config = read_model_config(path, revision)
    own = own_label_names(config)
    if not is_classifier(config):
        raise ModelError(f"model.label_names names the classes of a head, and {path} has none; leave it out")
    if own == list(label_names):
        return path
    if own is not None:
        raise ModelError(
            f"the head of {path} names its classes itself ({', '.join(own)}); leave model.label_names out"
        )
    if len(label_names_of(config)) != len(label_names):
        raise ModelError(
            f"model.label_names has {len(label_names)} names and the head of {path} "
            f"{len(label_names_of(config))} classes"
        )
    return str(_named(_own_folder(path, revision), label_names))


def _own_folder(path: str, revision: str | None) -> Path:
    """Return the folder with a model's own files; those of a Hub model are fetched."""
    from nlp_transfer.inference.fetch import fetch_model

    resolved = Path(resolve_model(path))
    return resolved.resolve() if resolved.is_dir() else fetch_model(path, revision=revision)


def _named(folder: Path, label_names: Sequence[str]) -> Path:
    """Make the folder with the names, or take the one that was made before."""
    from filelock import FileLock

    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    content["id2label"] = dict(enumerate(label_names))
    content["label2id"] = {name: number for number, name in enumerate(label_names)}
    key = hashlib.sha256(json.dumps([str(folder), content]).encode()).hexdigest()[:16]
    named = cache_dir() / "named_heads" / key
    named.parent.mkdir(parents=True, exist_ok=True)
    # All processes of a launch come here at once.
    with FileLock(f"{named}.lock"):
        if not _is_whole(named, folder):
            with whole_folder(named) as part:
                for file in _files(folder):
                    _point_to(file, part / file.name)
                write_json(part / "config.json", content)
    return named


def _files(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.iterdir()) if file.is_file() and file.name != "config.json"]


def _is_whole(named: Path, folder: Path) -> bool:
    """Tell whether every file is there: a link outlives what it points to."""
    return (named / "config.json").is_file() and all((named / each.name).is_file() for each in _files(folder))


def _point_to(file: Path, link: Path) -> None:
    try:
        link.symlink_to(file)
    except OSError:  # a file system, or a Windows account, without links
        shutil.copy2(file, link)
