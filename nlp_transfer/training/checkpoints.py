"""Finds the newest checkpoint that a run can go on from.

A run that is killed while it saves, or a disk that fills up, leaves a folder that looks like a checkpoint and
is none. Writing checkpoints is the Trainer's; it writes `trainer_state.json` last.
"""

from __future__ import annotations

import json
import logging
import zipfile
from pathlib import Path

from nlp_transfer.errors import RunError
from nlp_transfer.runs import damage_words
from nlp_transfer.whole_files import write_text

logger = logging.getLogger(__name__)

STATE = "trainer_state.json"
# The step of the newest checkpoint that was saved, beside the checkpoints.
NEWEST = "newest_step.txt"
# Where FSDP and DeepSpeed leave weights and optimizer in shards, by their own rules.
SHARDS = ("pytorch_model_fsdp*", "optimizer_*", "global_step*")


def newest_whole_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint in a folder that is whole; what is damaged or missing is told.

    Args:
        folder: the Trainer's; it need not exist.
    """
    steps = {path: path.name.rpartition("-")[2] for path in folder.glob("checkpoint-*") if path.is_dir()}
    found = sorted((path for path in steps if steps[path].isdigit()), key=lambda path: int(steps[path]))
    saved = _saved_step(folder)
    if saved > max((int(steps[path]) for path in found), default=0):
        logger.warning("%s was saved and is missing; taking the one before", folder / f"checkpoint-{saved}")
    for path in reversed(found):
        damage = damage_of(path) or _damage_of_best(path)
        if damage is None:
            return path
        logger.warning("%s cannot be gone on from: %s; taking the one before", path, damage)
    if found or saved:
        logger.warning("%s has no whole checkpoint; training starts at its first step", folder)
    return None


def note_saved(folder: Path, step: int) -> None:
    """Note that a checkpoint was saved whole."""
    write_text(folder / NEWEST, f"{step}\n")


def _saved_step(folder: Path) -> int:
    """Return the step of the newest checkpoint that was saved; 0 where none is known."""
    try:
        return int((folder / NEWEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0


def damage_of(checkpoint: Path) -> str | None:
    """Say what is missing or cut short in a checkpoint; None where it is whole."""
    try:
        json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
    except OSError:
        return f"it has no {STATE}, so saving it was not finished"
    except ValueError:
        return f"{STATE} is cut short"
    sharded = any(True for pattern in SHARDS for _ in checkpoint.glob(pattern))
    weights = sorted(checkpoint.glob("*.safetensors"))
    if not sharded:
        if not weights:
            return "it has no weights"
        for name in ("optimizer.pt", "scheduler.pt"):
            if not (checkpoint / name).is_file():
                return f"it has no {name}"
    for index in checkpoint.glob("*.safetensors.index.json"):
        for name in sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())):
            if not (checkpoint / name).is_file():
                return f"it has no {name}"
    short = [path.name for path in weights if not is_whole_safetensors(path)]
    short += [path.name for path in sorted(checkpoint.glob("*.pt*")) if not zipfile.is_zipfile(path)]
    return f"{short[0]} is cut short" if short else _missing_random_state(checkpoint)


def require_whole_model(folder: Path) -> None:
    """Check that a finished model's weights are there, and as long as they were written.

    Args:
        folder: of the model.

    Raises:
        RunError: they are not.
    """
    weights = sorted(folder.glob("*.safetensors"))
    damaged = [path for path in weights if not is_whole_safetensors(path)]
    if damaged or not weights:
        path, what = (damaged[0], "it is cut short") if damaged else (folder, "it has no weights")
        raise RunError(damage_words(path, what))


def is_whole_safetensors(path: Path) -> bool:
    """Tell whether a safetensors file is as long as its header says.

    The format: eight bytes with the header's length, the header as JSON, then the tensors' bytes, whose ends
    the header states (https://huggingface.co/docs/safetensors).
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= path.stat().st_size - 8:
            return False
        try:
            header = json.loads(file.read(length))
        except ValueError:
            return False
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return path.stat().st_size == 8 + length + max(ends, default=0)


def _missing_random_state(checkpoint: Path) -> str | None:
    """Name the state of a random generator that is missing: each of several processes saves its own.

    How many processes saved is not written down; a gap, or one file where there must be several, is seen.
    """
    if (checkpoint / "rng_state.pth").is_file():
        return None
    numbers = [int(path.stem.rpartition("_")[2]) for path in checkpoint.glob("rng_state_*.pth")]
    lacking = set(range(max([1, *numbers]) + 1)) - set(numbers)
    if not numbers:
        return "it has no rng_state.pth"
    return f"it has no rng_state_{min(lacking)}.pth" if lacking else None


def _damage_of_best(checkpoint: Path) -> str | None:
    """Say what is wrong with the best step's checkpoint, whose weights the run would end with."""
    best = json.loads((checkpoint / STATE).read_text(encoding="utf-8")).get("best_model_checkpoint")
    if best is None or Path(best).name == checkpoint.name:
        return None
    kept = checkpoint.parent / Path(best).name
    damage = damage_of(kept) if kept.is_dir() else "it is missing"
    return damage and f"its best step is {kept.name}, and {damage}"
