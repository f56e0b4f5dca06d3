"""Source models kept across runs, by everything that they follow from: a curve trains one once."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from nlp_transfer.data.rows import Rows
from nlp_transfer.data.sources import cache_dir
from nlp_transfer.diagnostics.source_trust import source_trust
from nlp_transfer.errors import ModelError
from nlp_transfer.evidence_files import write_trust
from nlp_transfer.runs import damage_told
from nlp_transfer.training.costs import Cost
from nlp_transfer.training.processes import computed_on_main, is_main
from nlp_transfer.training.sharing import Array, scored_in_shares
from nlp_transfer.whole_files import whole_folder, write_text

logger = logging.getLogger(__name__)
# Written last beside a kept source model: what it hashes to.
WHOLE = "whole.txt"


def kept_source_model(key: str, make: Callable[[Path], Cost], *, into: Path) -> Cost:
    """Make a source model, or take the same one from the cache; then copy it into a run folder.

    Args:
        key: hash of everything that the model follows from.
        make: trains it into a folder and says what it cost.
        into: the run's folder for it, replaced whole.

    Returns:
        What making it cost, when it was made.
    """
    kept = cache_dir() / "source_models" / key
    # One process looks for all: machines that do not share the cache would part here and wait for ever.
    if computed_on_main(lambda: _is_whole(kept)):
        logger.info("source model: the same one was trained before; taken from %s", kept)
    else:
        cost = make(kept)
        computed_on_main(lambda: _keep(kept, cost))
    return computed_on_main(lambda: _taken(kept, into))


def note_trust(run_folder: Path, source_model: Path, rows: Rows) -> None:
    """Ask a source model for the classes of labelled target rows that it has not seen, and keep in the run
    folder what came of it.
    """
    from nlp_transfer.inference.load import load_adapted

    model = load_adapted(str(source_model), cached=True)
    score = partial(model.logits, label="ask the source model" if is_main() else None)
    scores = scored_in_shares(rows.texts, score, classes=len(model.label_names))
    computed_on_main(lambda: _note(run_folder, scores, rows))


def _note(run_folder: Path, scores: Array, rows: Rows) -> None:
    trust = source_trust(scores.argmax(axis=1), rows.labels)
    write_trust(run_folder, trust)
    if trust.set_aside:
        logger.warning(
            "the source model is set aside: it is right on %d of %d labelled target rows, its answers "
            "shuffled on %.1f", trust.right, trust.rows, trust.by_chance,
        )  # fmt: skip


def source_seconds(folder: Path) -> float:
    """Return what making the source model in a folder took, 0 where there is none."""
    cost = folder / "cost.json"
    with damage_told(cost):
        return float(json.loads(cost.read_text(encoding="utf-8"))["seconds"]) if cost.is_file() else 0.0


def _keep(kept: Path, cost: Cost) -> None:
    """Note what a source model cost and, last, that it is whole."""
    from nlp_transfer.models.loading import model_identity

    write_text(kept / "cost.json", json.dumps(cost.as_dict()))
    write_text(kept / WHOLE, model_identity(str(kept)))


def _taken(kept: Path, into: Path) -> Cost:
    """Copy a kept source model into a run folder; return what it cost."""
    with whole_folder(into) as part:
        shutil.copytree(kept, part, dirs_exist_ok=True, ignore=shutil.ignore_patterns(WHOLE))
    return Cost(**json.loads((kept / "cost.json").read_text(encoding="utf-8")))


def _is_whole(kept: Path) -> bool:
    """Tell whether a source model stands in the cache as it was written there."""
    from nlp_transfer.models.loading import model_identity

    if not (kept / WHOLE).is_file():
        return False
    try:
        if (kept / WHOLE).read_text(encoding="utf-8") == model_identity(str(kept)):
            return True
    except ModelError:
        pass
    logger.warning("the source model kept in %s is damaged; training it again", kept)
    return False
