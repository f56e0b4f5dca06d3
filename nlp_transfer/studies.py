"""Several runs together: compare them side by side on the same rows.

Reads what the runs left in their folders and trains nothing. How it is shown stands in
reporting/side_by_side.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nlp_transfer.errors import ConfigError, DataError
from nlp_transfer.evaluation.compare import Scorer
from nlp_transfer.evaluation.predicted import Predicted, predictions_folder, read_predicted
from nlp_transfer.evaluation.predictions import read_counts
from nlp_transfer.evaluation.scorers import (
    ASSUMED_CHRF_SEED_SPREAD,
    assumed_accuracy_spread,
    classification_scorer,
    counted_translation_scorer,
)
from nlp_transfer.evaluation.translation_scores import SentenceStatistics
from nlp_transfer.reporting.report import DOMAINS, TransferReport
from nlp_transfer.reporting.side_by_side import SideBySide

Array = npt.NDArray[np.float64]
# Settings that say where a run lies, not what it did.
PLACES = ("output_dir", "hub.repo_id", "hub.private")
SAME_ROWS = "give them the same data.target (file or card, columns, splits, label_map)"


@dataclass(frozen=True)
class _Run:
    """A finished run's folder and its report."""

    name: str
    folder: Path
    report: TransferReport

    @property
    def task(self) -> str:
        """What it is a run of."""
        return str(self.report.content["task"])

    def rows(self, domain: str) -> tuple[int, str]:
        """Return how many test rows a domain has, and their fingerprint."""
        counts = self.report.content["provenance"].get("data", {}).get(domain) or {}
        return int(counts.get("test") or 0), str(counts.get("fingerprint") or "")

    def predicted(self, domain: str) -> list[Predicted]:
        """Read the adapted classifier's predictions, one file for each seed."""
        return [read_predicted(each / f"adapted.{domain}.jsonl") for each in self._folders()]

    def counted(self, domain: str) -> list[tuple[list[str], SentenceStatistics]]:
        """Read the rows of the adapted translator and what each counts towards its scores, for each seed."""
        return [read_counts(each / f"adapted.{domain}.counts.npz") for each in self._folders()]

    def _folders(self) -> list[Path]:
        seeds = self.report.content["provenance"].get("seeds") or [0]
        return [predictions_folder(self.folder, seed, first=seeds[0]) for seed in seeds]


def compare_runs(folders: Sequence[str | Path]) -> SideBySide:
    """Compare the adapted models of finished runs of one task, each with each, on the test rows they share.

    Two models are resampled together, row by row (or group by group), over as many seeds as both runs have.

    Args:
        folders: of two runs or more.

    Raises:
        ConfigError: fewer than two runs, one of them twice, or runs of two tasks.
        DataError: a folder holds no finished run, or the runs were scored on different target rows.
    """
    runs = _open_runs([Path(folder).expanduser() for folder in folders])
    _require_same_rows(runs)
    notes = []
    domains = [
        domain
        for domain in DOMAINS
        if len({run.rows(domain) for run in runs}) == 1 and runs[0].rows(domain)[0]
    ]
    if "source" not in domains and any(run.rows("source")[0] for run in runs):
        notes.append(
            "The source domain is left out: the runs have different source test rows, or not all have one."
        )
    differences = []
    compare = _translations if runs[0].task == "translation" else _classifications
    for domain in domains:
        differences += compare(runs, domain, notes)
    return SideBySide(
        runs={run.name: run.report for run in runs},
        domains=domains,
        differences=differences,
        settings=_different_settings(runs),
        notes=notes,
    )


def _open_runs(folders: Sequence[Path]) -> list[_Run]:
    places = [folder.resolve() for folder in folders]
    if len(folders) < 2 or len(set(places)) < len(folders):
        raise ConfigError(
            f"compare needs two different runs or more, got {', '.join(map(str, folders)) or 'none'}; "
            "name the folders of finished runs"
        )
    runs = [
        _Run(name, folder, TransferReport.from_json(folder))
        for name, folder in zip(_names(places), folders, strict=True)
    ]
    if len({run.task for run in runs}) > 1:
        listed = ", ".join(f"{run.folder} ({run.task})" for run in runs)
        raise ConfigError(f"compare reads runs of one task, got {listed}; compare each task's by themselves")
    return runs


def _names(places: Sequence[Path]) -> list[str]:
    """Name runs by as few last parts of their paths as tell them apart."""
    most = max(len(place.parts) for place in places)
    for parts in range(1, most):
        names = ["/".join(place.parts[-parts:]) for place in places]
        if len(set(names)) == len(names):
            return names
    return [str(place) for place in places]


def _require_same_rows(runs: Sequence[_Run]) -> None:
    if len({run.rows("target") for run in runs}) > 1:
        found = ", ".join(
            f"{run.name}: {rows:,} rows ({fingerprint})"
            for run in runs
            for rows, fingerprint in [run.rows("target")]
        )
        raise DataError(
            f"expected runs scored on the same target test rows, got {found}; {SAME_ROWS}, or compare runs "
            "that have it"
        )


def _translations(runs: Sequence[_Run], domain: str, notes: list[str]) -> list[dict[str, Any]]:
    """Compare each two translation runs on one domain, from what their rows count; see `_each_pair`."""
    counted = {run.name: run.counted(domain) for run in runs}
    ids = counted[runs[0].name][0][0]
    for run in runs:
        if any(each != ids for each, _ in counted[run.name]):
            raise _other_rows(run, domain)
    if domain == "target" and len({_chrf_signature(run) for run in runs}) > 1:
        notes.append("The runs count chrF++ in different ways: see metric_signatures in their reports.")
    scorer = counted_translation_scorer(len(ids), resamples=max(_resamples(run.report) for run in runs))
    return _each_pair(
        scorer,
        {name: [statistics for _, statistics in per_seed] for name, per_seed in counted.items()},
        domain=domain,
        assumed_seed_spread=lambda one, other: ASSUMED_CHRF_SEED_SPREAD,
        runs=runs,
    )


def _chrf_signature(run: _Run) -> str:
    return str(run.report.content["provenance"].get("metric_signatures", {}).get("chrf++"))


def _each_pair(
    scorer: Scorer[Any],
    predicted: Mapping[str, Sequence[Any]],
    *,
    domain: str,
    assumed_seed_spread: Callable[[_Run, _Run], float],
    runs: Sequence[_Run],
) -> list[dict[str, Any]]:
    """Compare each two runs on one domain, as entries of a report's `comparisons`.

    Those of the primary metric also hold `noise_low` and `noise_high`, the ends of the interval over rows and
    seeds, and `seed_noise`.
    """
    entries = []
    for one, other in combinations(runs, 2):
        seeds = min(len(predicted[one.name]), len(predicted[other.name]))
        pair = [predicted[run.name][:seeds] for run in (one, other)]
        compared = scorer.compare(pair[0], pair[1], names=(one.name, other.name), domain=domain)
        noise = scorer.noise(pair[0], pair[1], assumed_seed_spread=assumed_seed_spread(one, other))
        for entry in compared:
            if entry["metric"] == scorer.measures.primary:
                entry |= {"noise_low": noise.low, "noise_high": noise.high, "seed_noise": noise.seed_noise}
        entries += compared
    return entries


def _classifications(runs: Sequence[_Run], domain: str, notes: list[str]) -> list[dict[str, Any]]:
    """Compare each two sentiment runs on one domain; see `_each_pair`."""
    predicted = {run.name: run.predicted(domain) for run in runs}
    first = predicted[runs[0].name][0]
    label_names = first.label_names
    for run in runs:
        for each in predicted[run.name]:
            _require_same(first, each, run, domain)
    if first.groups is None and domain == "target" and any(_in_groups(run.report) for run in runs):
        notes.append("Rows are resampled one by one: the first run's predictions do not name their groups.")
    scorer = classification_scorer(
        np.asarray([label_names.index(label) for label in first.labels]),
        groups=None if first.groups is None else [str(group) for group in first.groups],
        resamples=max(_resamples(run.report) for run in runs),
    )
    return _each_pair(
        scorer,
        {name: [_in_order(each, label_names) for each in per_seed] for name, per_seed in predicted.items()},
        domain=domain,
        assumed_seed_spread=_accuracy_spread,
        runs=runs,
    )


def _accuracy_spread(one: _Run, other: _Run) -> float:
    return assumed_accuracy_spread(min(run.report.labels_seen("target") or 0 for run in (one, other)))


def _require_same(first: Predicted, other: Predicted, run: _Run, domain: str) -> None:
    """Hold what the reports say against the files: the same rows in the same order, with the same labels."""
    if (first.ids, first.labels, set(first.label_names)) != (other.ids, other.labels, set(other.label_names)):
        raise _other_rows(run, domain)


def _other_rows(run: _Run, domain: str) -> DataError:
    return DataError(
        f"the predictions of {run.name} on {domain} have other rows or labels than its report says; "
        "make them again with `nlp-transfer evaluate`"
    )


def _in_order(predicted: Predicted, label_names: Sequence[str]) -> Array:
    """Return probabilities with the classes in this order."""
    return predicted.probabilities[:, [predicted.label_names.index(name) for name in label_names]]


def _in_groups(report: TransferReport) -> bool:
    """Tell whether a run's own intervals are over groups of rows."""
    signatures = report.content["provenance"].get("metric_signatures", {})
    return "of groups" in str(signatures.get("interval"))


def _resamples(report: TransferReport) -> int:
    config = report.content["provenance"].get("config") or {}
    return int((config.get("evaluation") or {}).get("bootstrap") or 1000)


def _different_settings(runs: Sequence[_Run]) -> dict[str, list[Any]]:
    """List the settings that are not the same in all runs, with each run's value."""
    configs = [_flat(run.report.content["provenance"].get("config") or {}) for run in runs]
    keys = dict.fromkeys(key for config in configs for key in config)
    values = {key: [config.get(key) for config in configs] for key in keys if key not in PLACES}
    return {key: found for key, found in values.items() if any(value != found[0] for value in found)}


def _flat(value: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Write nested settings by their dotted names.

    >>> _flat({"a": {"b": 1, "c": {}}, "d": []})
    {'a.b': 1, 'd': []}
    """
    flat: dict[str, Any] = {}
    for key, each in value.items():
        flat |= _flat(each, f"{above}{key}.") if isinstance(each, Mapping) else {f"{above}{key}": each}
    return flat
