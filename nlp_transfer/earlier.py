"""The model that a run continues from: a run's, another folder's, or the Hub's.

What stands behind it, its run and its test sets, is left to history.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nlp_transfer.data.sources import cache_dir, file_sha256
from nlp_transfer.errors import ModelError
from nlp_transfer.runs import fingerprint, refusal_of
from nlp_transfer.whole_files import whole_folder


@dataclass(frozen=True)
class EarlierModel:
    """The model that a run continues from."""

    given: str
    path: str
    """A folder, or a Hub id: what `transformers` loads."""
    run: Path | None
    """The run folder that it is of."""

    @property
    def name(self) -> str:
        """Return its name for people, without a local path."""
        if self.run is not None:
            return self.run.resolve().name
        local = Path(self.given).expanduser()
        return local.resolve().name if local.exists() else self.given


def find_earlier_model(given: str) -> EarlierModel:
    """Find the model that is meant by a run folder, its `model/`, another model's folder, or a Hub id.

    Raises:
        ModelError: there is none, a guard refused it, or it is a run that was not trained.
    """
    local = Path(given).expanduser()
    reason = refusal_of(local) if local.is_dir() or local.name in ("model", "adapter") else None
    if reason is not None:
        raise ModelError(f"{given} cannot be continued from: {reason}")
    run = (
        local.parent if local.name in ("model", "adapter") and not (local / "config.yaml").exists() else local
    )
    if (run / "config.yaml").is_file():
        if not (run / "model" / "config.json").is_file():
            raise ModelError(
                f"{given} is a run without a model; run `nlp-transfer run` with its recipe first"
            )
        return EarlierModel(given, str(run / "model"), run)
    return EarlierModel(given, _without_run(given), None)


def _without_run(given: str) -> str:
    """Return what to load of a model that has no run folder; an adapter is put on its base first."""
    from nlp_transfer.inference.fetch import fetch_model
    from nlp_transfer.models.adapter_loading import is_adapter
    from nlp_transfer.models.resolving import resolve_model
    from nlp_transfer.training.processes import computed_on_main

    local = Path(given).expanduser()
    folder = local if is_adapter(local) else Path(resolve_model(given))
    if not folder.is_dir():
        folder = fetch_model(given)
        if not is_adapter(folder):
            return given
    if not is_adapter(folder):
        return str(folder)
    # One process does it for all: they share the cache.
    return computed_on_main(lambda: _merged(folder))


def _merged(adapter: Path) -> str:
    """Put an adapter on its base, in the cache."""
    from nlp_transfer.models.adapter_loading import load_adapter
    from nlp_transfer.models.loading import quiet_library

    files = [
        file_sha256(path) for path in sorted(adapter.glob("*.safetensors")) + sorted(adapter.glob("*.json"))
    ]
    merged = cache_dir() / "merged_adapters" / fingerprint(files)
    if not merged.is_dir():
        loaded = load_adapter(adapter)
        with whole_folder(merged) as part, quiet_library():
            loaded.model.save_pretrained(part)
            loaded.tokenizer.save_pretrained(part)
    return str(merged)


def required_labels(model: EarlierModel) -> list[str]:
    """Return the class names of a classifier that is continued from, in its order.

    Raises:
        ModelError: it is a probe, no classifier, or names no classes.
    """
    from nlp_transfer.models.loading import model_labels
    from nlp_transfer.models.probe import DESCRIPTION

    if (Path(model.path) / DESCRIPTION).is_file():
        raise ModelError(
            f"{model.given} is a probe: its regression is fitted anew on all rows, so that there is nothing "
            "to go on from; continue from a model of the method full, lora or lp_ft"
        )
    labels = model_labels(model.path)
    if labels is None:
        raise ModelError(
            f"{model.given} is no classifier with named labels, so that what it has learnt cannot be matched "
            "with this data's; start from it by model.path instead"
        )
    return labels
