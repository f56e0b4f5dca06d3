"""What of a run travels to the Hub: model, tokenizer, figures and report, each file by its known name.

The list is of what may leave, not of what must stay: a file that nobody thought of stays. Local paths are
taken out of the files that can hold them, and rows that a finding quotes out of the report.
"""

from __future__ import annotations

import fnmatch
import json
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nlp_transfer.errors import PublishError
from nlp_transfer.models.adapter_loading import ADAPTER_CONFIG, ADAPTER_WEIGHTS, BASE, LABELS, is_adapter
from nlp_transfer.models.calibration import CALIBRATION
from nlp_transfer.models.probe import DESCRIPTION, WEIGHTS
from nlp_transfer.models.translation import DESCRIPTION as TRANSLATION_DESCRIPTION
from nlp_transfer.models.translation import is_translation_model
from nlp_transfer.reporting.report import PARTS, TransferReport
from nlp_transfer.runs import refusal_of
from nlp_transfer.whole_files import write_json

Kind = Literal["full", "merged", "adapter", "probe"]
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt",
    "vocab.json", "target_vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model", "*.spm",
    "chat_template.jinja",
)  # fmt: skip
MODEL_FILES = (
    "config.json", "generation_config.json", "model.safetensors", "model.safetensors.index.json",
    "model-?????-of-?????.safetensors", DESCRIPTION, WEIGHTS, TRANSLATION_DESCRIPTION, CALIBRATION,
)  # fmt: skip
ADAPTER_FILES = (ADAPTER_CONFIG, ADAPTER_WEIGHTS, LABELS, BASE)
FINDING_KEYS = ("check", "severity", "value", "threshold", "evidence", "advice")
# Written by the libraries, and the only ones of theirs that can hold a path.
LIBRARY_SETTINGS = (
    "config.json",
    "tokenizer_config.json",
    "generation_config.json",
    DESCRIPTION,
    ADAPTER_CONFIG,
)
PATH_KEYS = ("_name_or_path", "name_or_path", "tokenizer_file", "vocab_file", "special_tokens_map_file")
LOCAL_PATH = re.compile(r"(?:file:|~[\\/]|/[^/\s]+/|[A-Za-z]:[\\/]|\\\\).*", re.DOTALL)


@dataclass(frozen=True)
class FinishedRun:
    """A run that can be published: its folder and its report."""

    folder: Path
    report: TransferReport

    @property
    def model(self) -> Path:
        """The folder of the full model, or of the probe."""
        return self.folder / "model"

    @property
    def adapter(self) -> Path | None:
        """The folder of the adapter, where there is one."""
        return self.folder / "adapter" if is_adapter(self.folder / "adapter") else None

    @property
    def config(self) -> dict[str, Any]:
        """The recipe that the run followed."""
        return dict(self.report.content["provenance"].get("config") or {})

    @property
    def start(self) -> dict[str, Any]:
        """Path and revision of the pretrained model that the run, or its chain, began with."""
        chain = self.report.content.get("chain") or {}
        return dict(chain.get("origin") or self.config.get("model") or {})

    def kind(self, *, merge: bool) -> Kind:
        """Return what is published: an adapter unless its merged weights are asked for."""
        if (self.model / DESCRIPTION).is_file():
            return "probe"
        if self.adapter is None:
            return "full"
        if is_translation_model(self.model):
            # Its adapter is of no use without the tokens that were added to the vocabulary.
            return "merged"
        return "merged" if merge else "adapter"


def open_run(path: str | Path) -> FinishedRun:
    """Find the run that a model belongs to.

    Args:
        path: a run folder, or its `model/` or `adapter/`.

    Raises:
        PublishError: there is no model, or no report that says what it is worth.
    """
    if not str(path).strip():
        raise PublishError("the run's name is empty; name the output_dir of a finished run")
    folder = Path(path).expanduser()
    folder = (
        folder.parent if folder.name in ("model", "adapter") and not (folder / "model").is_dir() else folder
    )
    folder = folder.resolve()
    reason = refusal_of(folder)
    if reason is not None:
        raise PublishError(f"{path} is not published: {reason}")
    if not (folder / "model" / "config.json").is_file():
        raise PublishError(
            f"{path} is not a run folder: it has no model/. Name the output_dir of a finished run"
        )
    if not (folder / "report.json").is_file():
        raise PublishError(
            f"{path} has no report.json, and a model is published with what it is worth; run `nlp-transfer "
            "evaluate` with the run's recipe first"
        )
    return FinishedRun(folder, TransferReport.from_json(folder))


def stage(run: FinishedRun, kind: Kind, folder: Path, *, base: dict[str, Any] | None = None) -> None:
    """Copy what travels into an empty folder, the card excepted.

    Args:
        run: a finished run.
        kind: what is published.
        folder: where to.
        base: for an adapter its base, as `{"hub_id", "revision", "weights_sha256"}`.
    """
    if kind == "adapter" and run.adapter is not None:
        _copy(run.adapter, ADAPTER_FILES, folder)
        _copy(run.model, (*TOKENIZER_FILES, CALIBRATION), folder)
    else:
        _copy(run.model, (*MODEL_FILES, *TOKENIZER_FILES), folder)
    for name in LIBRARY_SETTINGS:
        _take_paths_out(folder / name)
    if kind == "adapter" and base is not None:
        _name_base(folder, base)
    figures = sorted((run.folder / "figures").glob("*.png"))
    if figures:
        (folder / "figures").mkdir()
        for figure in figures:
            shutil.copyfile(figure, folder / "figures" / figure.name)
    write_json(folder / "report.json", public_report(run.report))


def public_report(report: TransferReport) -> dict[str, Any]:
    """Return the report as others may see it: no local path, no user name, no row of the data."""
    content = report.public()
    kept = {key: content[key] for key in ("schema", *PARTS)}
    if "chain" in content:
        kept["chain"] = content["chain"]
    kept["findings"] = [
        {key: _unquoted(finding.get(key)) for key in FINDING_KEYS} for finding in content["findings"]
    ]
    return kept


def staged_files(folder: Path) -> dict[str, int]:
    """List what is staged, by its path in the repository, with sizes in bytes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def require_no_local_path(run: FinishedRun, folder: Path) -> None:
    """Look through everything that people read for this machine's folders, before it leaves.

    Raises:
        PublishError: one of them is in a file.
    """
    places = {str(run.folder), str(Path.cwd()), str(Path.home())} - {"/"}
    for path in _readable(folder):
        text = path.read_text(encoding="utf-8")
        found = next(
            (place for place in sorted(places) if re.search(rf"{re.escape(place)}(?![\w.-])", text)), None
        )
        if found:
            raise PublishError(
                f"{path.relative_to(folder)} would carry the local path {found}; take it out of the run's "
                f"{path.name}, then push again"
            )


def _readable(folder: Path) -> Iterator[Path]:
    """List the staged files that hold sentences or settings; a vocabulary may hold anything."""
    for name in ("README.md", "report.json", BASE, LABELS, *LIBRARY_SETTINGS):
        if (folder / name).is_file():
            yield folder / name


def _copy(source: Path, names: Iterable[str], folder: Path) -> None:
    for path in sorted(source.iterdir()):
        if path.is_file() and any(fnmatch.fnmatchcase(path.name, name) for name in names):
            shutil.copyfile(path, folder / path.name)


def _take_paths_out(path: Path) -> None:
    """Take the entries with local paths out of a settings file; another file stays as it is, to the byte."""
    if not path.is_file():
        return
    settings = json.loads(path.read_text(encoding="utf-8"))
    kept = {key: value for key, value in settings.items() if not _holds_path(key, value)}
    if kept != settings:
        write_json(path, kept)


def _holds_path(key: str, value: object) -> bool:
    """Tell a setting that is about this machine: a path, or the name that a model had here."""
    return isinstance(value, str) and (key in PATH_KEYS or LOCAL_PATH.fullmatch(value) is not None)


def _name_base(folder: Path, base: dict[str, Any]) -> None:
    """Write the base by its Hub id and commit, where peft and we look for them."""
    path = folder / ADAPTER_CONFIG
    config = json.loads(path.read_text(encoding="utf-8"))
    named = {"base_model_name_or_path": base["hub_id"], "revision": base["revision"]}
    write_json(path, {**config, **named})
    write_json(folder / BASE, base)


def _unquoted(value: Any) -> Any:
    """Take what stands between quotation marks out of a finding: it may be a row of private data."""
    return re.sub(r"\"[^\n]*\"|“[^\n]*”", '"…"', value) if isinstance(value, str) else value
