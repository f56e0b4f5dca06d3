"""Where a model is: a Hub id, a folder, or a folder inside an installed package."""

from __future__ import annotations

from pathlib import Path

from nlp_transfer.data.sources import package_path
from nlp_transfer.errors import ModelError

# In a folder with a model for another runtime, which has a configuration, a tokenizer, and no torch weights.
EXPORTED = "export.json"


def resolve_model(path: str) -> str:
    """Turn `package://module/folder` and `embedded://name` into folders; Hub ids and folders stay as they
    are.

    Raises:
        ModelError: a folder is named that is not there or holds no model, or nothing is named.
    """
    require_named(path)
    if path.startswith("embedded://"):
        path = f"package://nlp_transfer/embedded/{path.removeprefix('embedded://')}"
    if path.startswith("package://"):
        path = str(package_path(path))
    folder = Path(path).expanduser()
    looks_local = path.startswith((".", "/", "~")) or folder.exists() or path.count("/") > 1
    if not looks_local:
        return path
    if not (folder / "config.json").is_file():
        raise ModelError(_no_model(path, folder))
    if not any(folder.glob("*.safetensors")) and not (folder / EXPORTED).is_file():
        other = "; its weights are in a pickle format, which is not read" if any(folder.glob("*.bin")) else ""
        raise ModelError(f"{path} has no weights (*.safetensors){other}")
    return str(folder)


def require_named(path: str) -> None:
    """Refuse an empty name, such as a shell's unset variable leaves: as a path it is the current folder.

    Raises:
        ModelError: the name is empty.
    """
    if not path.strip():
        raise ModelError("the model's name is empty; give a model folder, a run folder, or a Hub id")


def _no_model(path: str, folder: Path) -> str:
    """Say what a place without a model is: no folder, or a run whose model lies within."""
    if not folder.exists():
        return f"there is no folder {path}"
    if (folder / "model" / "config.json").is_file():
        return (
            f"{path} is not a model folder but a run folder: it has no config.json; give {path}/model, or go "
            "on from that run with --continue-from"
        )
    return f"{path} is not a model folder: it has no config.json"
