"""The files of a run's `evidence/`: what its diagnostics look at beside the predictions, written and read.

What is kept, and by which models, is evidence.py's and translation_evidence.py's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from nlp_transfer.diagnostics.estimates import Estimate
from nlp_transfer.diagnostics.forgetting import Drift
from nlp_transfer.diagnostics.samples import Answers, TextSample
from nlp_transfer.diagnostics.source_trust import SourceTrust
from nlp_transfer.diagnostics.temperature import Temperature
from nlp_transfer.diagnostics.translation_run import PairLosses
from nlp_transfer.evaluation.predicted import read_predicted
from nlp_transfer.runs import damage_told
from nlp_transfer.whole_files import whole_file, write_json

FOLDER, TEXTS, DRIFT, TEMPERATURE = "evidence", "texts.npz", "weight_drift.json", "temperature.json"
LOSSES = "losses.npz"
# Decided once, by what trains: they stand in the run folder itself, since evidence may be made again.
TRUST, RELATED = "source_trust.json", "related_languages.json"


def sample(rows: int, most: int, *, seed: int) -> list[int]:
    """Draw so many row numbers at most, in order.

    >>> sample(3, 5, seed=0), len(sample(100, 5, seed=0))
    ([0, 1, 2], 5)
    """
    drawn: list[int] = np.sort(np.random.default_rng(seed).permutation(rows)[:most]).tolist()
    return drawn


def write_drift(run_folder: Path, drift: Drift) -> None:
    """Keep how far each layer moved."""
    write_json(_made(run_folder) / DRIFT, asdict(drift))


def read_drift(run_folder: Path) -> Drift | None:
    """Read how far each layer moved; None where no weights were trained."""
    path = run_folder / FOLDER / DRIFT
    with damage_told(path):
        return Drift(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def write_related(run_folder: Path, related: Mapping[str, str]) -> None:
    """Keep which of the model's languages stood for each that it lacks."""
    write_json(run_folder / RELATED, dict(related))


def read_related(run_folder: Path) -> dict[str, str]:
    """Read which of the model's languages stood for each that it lacks; empty where none was needed."""
    path = run_folder / RELATED
    with damage_told(path):
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def read_answers(path: Path, label_names: Sequence[str]) -> Answers | None:
    """Read probabilities with the true labels of their rows; None where there is no such file."""
    if not path.is_file():
        return None
    found = read_predicted(path)
    order = [found.label_names.index(name) for name in label_names]
    labels = np.asarray([list(label_names).index(label) for label in found.labels], dtype=np.int64)
    return Answers(found.probabilities[:, order], labels, found.groups)


def write_texts(run_folder: Path, samples: Mapping[str, TextSample]) -> None:
    """Keep samples of both domains' texts, by domain: features, tokens and words of each, never the texts."""
    arrays: dict[str, Any] = {
        f"{domain}_{name}": values
        for domain, kept in samples.items()
        for name, values in (
            ("ids", kept.ids),
            ("features", kept.features),
            ("tokens", kept.token_counts),
            ("words", kept.word_counts),
            ("groups", kept.groups),
        )
        if values is not None
    }
    with whole_file(_made(run_folder) / TEXTS) as file:
        np.savez(file, **arrays)


def read_texts(run_folder: Path) -> dict[str, TextSample]:
    """Read the samples of both domains' texts, empty where none were taken."""
    path = run_folder / FOLDER / TEXTS
    if not path.is_file():
        return {}
    with damage_told(path), np.load(path, allow_pickle=False) as stored:
        return {
            domain: TextSample(
                ids=stored[f"{domain}_ids"],
                features=stored[f"{domain}_features"],
                token_counts=stored[f"{domain}_tokens"],
                word_counts=stored[f"{domain}_words"],
                groups=stored.get(f"{domain}_groups"),
            )
            for domain in ("source", "target")
        }


def write_losses(run_folder: Path, arrays: Mapping[str, Any]) -> None:
    """Keep losses of learnt and of test pairs under each model: `learnt_adapted`, `test_ids` and so on."""
    path = _made(run_folder) / LOSSES
    with whole_file(path) as file:
        np.savez(file, **arrays)


def read_losses(run_folder: Path) -> dict[str, PairLosses]:
    """Read the losses of pairs by side, `learnt` and `test`; empty where none were kept."""
    path = run_folder / FOLDER / LOSSES
    if not path.is_file():
        return {}
    with damage_told(path), np.load(path, allow_pickle=False) as stored:
        return {
            side: PairLosses(stored[f"{side}_adapted"], stored.get(f"{side}_zero_shot"))
            for side in ("learnt", "test")
        }


def write_trust(run_folder: Path, trust: SourceTrust) -> None:
    """Keep what the source model was worth on the target's training rows."""
    write_json(run_folder / TRUST, asdict(trust))


def read_trust(run_folder: Path) -> SourceTrust | None:
    """Read what the source model was worth; None where nothing was asked of it."""
    path = run_folder / TRUST
    with damage_told(path):
        return SourceTrust(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def source_set_aside(run_folder: Path) -> bool:
    """Tell whether the run learns the target without its source."""
    trust = read_trust(run_folder)
    return trust is not None and trust.set_aside


def write_temperature_fit(run_folder: Path, temperature: Temperature) -> None:
    """Keep what was fitted on the dev rows, or why nothing was."""
    write_json(_made(run_folder) / TEMPERATURE, asdict(temperature))


def read_temperature_fit(run_folder: Path) -> Temperature | None:
    """Read what was fitted on the dev rows, or why nothing was."""
    path = run_folder / FOLDER / TEMPERATURE
    if not path.is_file():
        return None
    with damage_told(path):
        content = json.loads(path.read_text(encoding="utf-8"))
        return Temperature(**{**content, "temperature": Estimate(**content["temperature"])})


def _made(run_folder: Path) -> Path:
    folder = run_folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return folder
