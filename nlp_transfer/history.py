"""What stands behind an earlier model: the runs of its chain, their test sets, and every score of these.

A run folder says all that is needed to score its test sets again: `config.yaml` names the data, `data.json`
has the fingerprints that they must agree with, `report.json` the scores that they had. A model without a run
folder has only its own files. What follows from the scores is left to chain.py.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlp_transfer.config import RecipeConfig, parse_config, read_yaml
from nlp_transfer.data.leaks import row_keys
from nlp_transfer.data.splits import normalise_text
from nlp_transfer.earlier import EarlierModel, find_earlier_model
from nlp_transfer.errors import ConfigError, TransferError

Scores = list[float | None]
# What a report keeps of a test set, for the next step.
STORED = ("run", "folder", "domain", "fingerprint", "learnt_at", "scores")


@dataclass(frozen=True)
class TestSet:
    """A domain's test rows as a step of the chain left them, and every score that they had."""

    __test__ = False  # no test of pytest's

    run: str
    """Name of the run that it is of."""
    folder: str
    """Where that run was."""
    domain: str
    """`target` or `source`."""
    fingerprint: str
    learnt_at: int
    """The step of the chain after which it counts as learnt: for a source the one before its run."""
    scores: Scores
    """The primary metric after each step; None where it was not scored."""
    rows: Any = None
    """The domain with its test rows; None where they were not found."""
    why_not: str = ""
    """Why they were not found."""

    def later(self, *scores: float | None) -> TestSet:
        """Return it with the scores of further steps."""
        return dataclasses.replace(self, scores=[*self.scores, *scores])


@dataclass(frozen=True)
class History:
    """A chain up to a run: its steps, the first being what the first run started from, and test sets."""

    steps: list[str]
    sets: list[TestSet]
    origin: dict[str, Any]
    """Path and revision of the pretrained model that it all began with."""
    notes: list[str] = field(default_factory=list)
    """What is not known of it."""


def read_history(run: Path, *, metric: str) -> History:
    """Gather the chain up to a run, from what it wrote; rows are not read yet.

    Args:
        run: a trained run's folder.
        metric: the primary one, whose scores are gathered.

    Raises:
        ConfigError: the run folder is damaged.
    """
    config, report = read_run_config(run), _read_json(run / "report.json")
    chain = report.get("chain")
    if chain:
        before = _told(chain, run)
    else:
        before = _before(config, metric=metric)
        before = dataclasses.replace(before, sets=[each.later(None) for each in before.sets])
    steps = [*before.steps, run.resolve().name]
    known = {each.fingerprint for each in before.sets}
    own = [each for each in _own_sets(run, report, len(steps), metric) if each.fingerprint not in known]
    return History(steps, [*before.sets, *own], before.origin, before.notes)


def _told(chain: dict[str, Any], run: Path) -> History:
    """Return what a run's report says of the chain before it."""
    try:
        sets = [TestSet(**{key: each[key] for key in STORED}) for each in chain["test_sets"]]
        return History(list(chain["steps"][:-1]), sets, dict(chain["origin"]), list(chain["notes"]))
    except (LookupError, TypeError, ValueError) as error:
        raise ConfigError(
            f"the chain in {run / 'report.json'} cannot be read ({error!r}); make the report again with "
            "`nlp-transfer evaluate`"
        ) from error


def first_step(config: RecipeConfig) -> str:
    """Name what a run that continues from nothing adapts."""
    has_stage = config.data.source is not None and config.source_stage is not None
    return "source model" if has_stage else "pretrained model"


def history_of(model: EarlierModel, *, metric: str) -> History:
    """Gather the chain up to the model that a run continues from."""
    if model.run is not None:
        return read_history(model.run, metric=metric)
    note = (
        f"{model.name} has no run folder, so that what it could do before is not known here: its earlier "
        "test sets are not scored again"
    )
    return History([model.name], [], {"path": model.given, "revision": None}, [note])


def read_run_config(run: Path) -> RecipeConfig:
    """Read the recipe that a run followed.

    Raises:
        ConfigError: it cannot be read.
    """
    path = run / "config.yaml"
    try:
        return parse_config(read_yaml(path.read_text(encoding="utf-8"), where=str(path)), where=str(path))
    except (OSError, UnicodeDecodeError, TypeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def _before(config: RecipeConfig, *, metric: str) -> History:
    """Gather what stood before a run that has no chain in a report."""
    if config.continue_from is None:
        origin = {"path": config.model.path, "revision": config.model.revision}
        return History([first_step(config)], [], origin)
    try:
        return history_of(find_earlier_model(config.continue_from), metric=metric)
    except TransferError as error:
        return History(
            [Path(config.continue_from).name], [], {"path": config.continue_from, "revision": None},
            [f"what stands before it in the chain is not known: {error}"],
        )  # fmt: skip


def _own_sets(run: Path, report: dict[str, Any], steps: int, metric: str) -> list[TestSet]:
    """Describe a run's own test sets; its source counts as learnt before it, its target after it."""
    domains = _read_json(run / "data.json").get("domains", {})
    found = []
    for domain, learnt_at in (("source", steps - 2), ("target", steps - 1)):
        if domain in domains:
            scores: Scores = [_score(report, system, domain, metric) for system in ("zero_shot", "adapted")]
            found.append(
                TestSet(
                    run=run.resolve().name, folder=str(run.resolve()), domain=domain,
                    fingerprint=domains[domain]["fingerprints"]["test"], learnt_at=learnt_at,
                    scores=[*([None] * (steps - 2)), *scores],
                )
            )  # fmt: skip
    return found


def _score(report: dict[str, Any], system: str, domain: str, metric: str) -> float | None:
    """Return a system's score at the seed whose model was kept."""
    content = report.get("systems", {}).get(system) or {}
    per_seed = (content.get("per_seed") or {}).get(domain)
    value = per_seed[0] if per_seed else (content.get(domain) or {}).get(metric, {}).get("value")
    return None if value is None else float(value)


def _read_json(path: Path) -> dict[str, Any]:
    """Read one of a run's files; empty where it was not written."""
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


# Its rows ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EarlierRows:
    """The rows behind a chain."""

    sets: list[TestSet]
    """With their rows, or why they were not found."""
    learnt: set[str]
    """Keys of all rows that the runs were trained on, with labels or without, as far as their data is there;
    see `row_keys`.
    """


def with_rows(history: History, load: Callable[[RecipeConfig], Any], *, beside: Path) -> EarlierRows:
    """Read the test sets of a chain from where its runs say.

    Args:
        history: the chain.
        load: reads and splits both domains of a recipe, as its run did.
        beside: the run that is continued from: runs that were moved are looked for beside it.
    """
    loaded = {}
    for folder in dict.fromkeys(each.folder for each in history.sets):
        loaded[folder] = _load_run(Path(folder), load, beside)
    sets, learnt = [], set()
    for data in loaded.values():
        for domain in () if isinstance(data, str) else filter(None, (data.source, data.target)):
            learnt |= set(row_keys(domain.selection))
        if (texts := getattr(data, "unlabelled", None)) is not None:
            learnt |= {normalise_text(text) for text in texts.texts}
    for each in history.sets:
        sets.append(_found(each, loaded[each.folder]))
    return EarlierRows(sets, learnt)


def _load_run(folder: Path, load: Callable[[RecipeConfig], Any], beside: Path) -> Any:
    """Read a run's data again; return why not, where that does not work."""
    places = [folder, beside.resolve().parent / folder.name]
    run = next((place for place in places if (place / "config.yaml").is_file()), None)
    if run is None:
        return f"its run folder {folder} is gone"
    try:
        return load(read_run_config(run))
    except TransferError as error:
        return f"its data cannot be read again: {error}"


def _found(wanted: TestSet, data: Any) -> TestSet:
    """Put a test set's rows to it, if they are the ones that were scored."""
    if isinstance(data, str):
        return dataclasses.replace(wanted, why_not=data)
    domain = getattr(data, wanted.domain)
    if domain is None or domain.test.fingerprint() != wanted.fingerprint:
        return dataclasses.replace(
            wanted, why_not="its data has changed since: the fingerprint is another one"
        )
    return dataclasses.replace(wanted, rows=domain)
