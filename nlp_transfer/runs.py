"""The run folder: one writer at a time, finished stages remembered, damage told.

Each stage leaves what it made in the folder and a line in `state.json`; the same command run again goes on
after the last finished stage. Another configuration or other data in the same folder is refused.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nlp_transfer.disk import PART, file_in_the_way
from nlp_transfer.errors import ConfigError, OtherRunError, RunError
from nlp_transfer.whole_files import write_json, write_text

LOCK, STATE = ".lock", "state.json"
# What a run writes over in its folder. Where none has begun there, these are somebody else's.
OWN_NAMES = (
    "model", "adapter", "source_model", "predictions", "evidence", "figures", "checkpoints", STATE,
    "data.json", "environment.json", "history.jsonl", "report.json", "report.md", "report.html",
)  # fmt: skip


def read_history(folder: Path) -> list[dict[str, Any]]:
    """Read a run's history.jsonl, one record a logged step; empty where nothing was trained step by step.

    A torn last line, which a killed run leaves, is passed over.
    """
    path = folder / "history.jsonl"
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records


@contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """Word in one error that a file of a run's is missing or damaged.

    Args:
        path: the file that the body reads.

    Raises:
        RunError: it is.
    """
    try:
        yield
    except (OSError, ValueError, LookupError, TypeError, zipfile.BadZipFile) as error:
        raise RunError(damage_words(path, " ".join(repr(error).split()))) from error


def damage_words(path: Path, what: str) -> str:
    """Say that a file of a run's is damaged or missing, and how to mend it."""
    return (
        f"{path} is damaged or missing ({what}); delete {STATE} in its run folder, and the same command "
        "makes it again"
    )


# What a guard refused keeps its weights under these names, so that nothing takes it for the run's model.
REFUSED_FOLDERS = {"adapter": "refused_adapter", "model": "refused_model"}
REFUSAL = "refused.json"


def refuse_model(folder: Path, reason: str) -> None:
    """Put a run's model under another name, with the reason beside it; does nothing a second time."""
    if (folder / "model").is_dir():
        # Written first: a run that is killed in between is refused all the same.
        write_json(folder / "model" / REFUSAL, {"reason": reason})
    for name, refused in REFUSED_FOLDERS.items():
        if (folder / name).is_dir():
            shutil.rmtree(folder / refused, ignore_errors=True)
            (folder / name).replace(folder / refused)


def refusal_of(folder: Path) -> str | None:
    """Return why the model of a run folder, or of its `model/` or `adapter/`, was refused, else None.

    Raises:
        RunError: the file that says so is damaged.
    """
    run = folder.parent if folder.name in REFUSED_FOLDERS else folder
    for path in (run / REFUSED_FOLDERS["model"] / REFUSAL, run / "model" / REFUSAL):
        if not path.is_file():
            continue
        try:
            return str(json.loads(path.read_text(encoding="utf-8"))["reason"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise RunError(f"{path} cannot be read, so that the model is not used: {error}") from error
    return None


class RunFolder:
    """A run's folder. As a context manager, or between `hold` and `release`, the main process has its lock.

    Args:
        path: the folder; made where it does not exist.
        resolved_config: the configuration with every default, as YAML.
        main: False for the processes that write nothing.
    """

    def __init__(self, path: str | Path, *, resolved_config: str, main: bool = True) -> None:
        self.path = Path(path).expanduser()
        self.resolved_config = resolved_config
        self.main = main
        self._lock: Any = None
        self._made = False

    def __enter__(self) -> RunFolder:
        if self.main:
            self.hold()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def hold(self) -> None:
        """Make the folder and take its lock.

        Raises:
            ConfigError: it cannot be written, or holds a run with another configuration, or no run but what
                one would write over.
            RunError: another run holds it.
        """
        from filelock import FileLock, Timeout

        self._require_no_file()
        try:
            self._require_unused()
            self._made = not self.path.exists()
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self.path / LOCK)
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise RunError(
                f"another run is at work in {self.path}; wait for it or choose another output_dir"
            ) from error
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            raise ConfigError(f"output_dir {self.path} cannot be written: {error}") from error
        try:
            self._require_same_config()
        except ConfigError:
            self.release()
            raise
        self._sweep()

    def require_own(self) -> None:
        """Check that `hold` would not refuse the folder; nothing is made.

        Raises:
            ConfigError: it is or lies in a file, or holds a run with another configuration, or no run but
                what one would write over.
        """
        self._require_no_file()
        self._require_unused()
        self._require_same_config()

    def release(self) -> None:
        """Give the lock back; a folder that was made for a run that wrote nothing goes with it.

        A process that does not hold the lock gives nothing back.
        """
        if self._lock is None:
            return
        # Before the lock is given back: a run that comes in between makes the folder anew, or is refused.
        with suppress(OSError):
            if self._made and self._lock.is_locked and [each.name for each in self.path.iterdir()] == [LOCK]:
                (self.path / LOCK).unlink()
                self.path.rmdir()
        self._lock.release()

    def begin(self, environment: Mapping[str, Any], *, inputs: str) -> None:
        """Write what the run is made of: config.yaml, environment.json, and the hash of its data.

        Raises:
            ConfigError: the folder holds a run on other data.
        """
        if self._state().get("data", {"inputs": inputs})["inputs"] != inputs:
            raise ConfigError(
                f"{self.path} holds a run on other data than is there now: a file has changed since; "
                "choose another output_dir, or delete that folder"
            )
        if not (self.path / "config.yaml").exists():
            write_text(self.path / "config.yaml", self.resolved_config)
        write_json(self.path / "environment.json", environment)
        self.finish("data", inputs=inputs, notes={})

    def finished(self, stage: str, *, inputs: str) -> dict[str, Any] | None:
        """Return what a finished stage noted, or None where it did not finish from these inputs."""
        entry = self._state().get(stage)
        return entry["notes"] if entry is not None and entry["inputs"] == inputs else None

    def finish(self, stage: str, *, inputs: str, notes: Mapping[str, Any]) -> None:
        """Remember that a stage finished, with what later stages need to know of it."""
        write_json(self.path / STATE, {**self._state(), stage: {"inputs": inputs, "notes": dict(notes)}})

    def _sweep(self) -> None:
        """Remove what a killed run was about to write. The lock is held: nobody else writes here."""
        for path in list(self.path.rglob(f".*{PART}")):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _state(self) -> dict[str, Any]:
        path = self.path / STATE
        if not path.exists():
            return {}
        with damage_told(path):
            return dict(json.loads(path.read_text(encoding="utf-8")))

    def _require_no_file(self) -> None:
        file = file_in_the_way(self.path)
        if file is None:
            return
        where = "is a file" if file == self.path else f"cannot be made: {file} is a file and no folder"
        raise ConfigError(f"output_dir {self.path} {where}; name a folder, or one that does not exist yet")

    def _require_unused(self) -> None:
        there = [name for name in OWN_NAMES if (self.path / name).exists()]
        if there and not (self.path / "config.yaml").exists():
            raise ConfigError(
                f"output_dir {self.path} holds no run but {', '.join(there)}, which a run would write "
                "over; choose another output_dir"
            )

    def _require_same_config(self) -> None:
        path = self.path / "config.yaml"
        if not path.exists():
            return
        try:
            before = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} cannot be read: {error}; choose another output_dir") from error
        if before == self.resolved_config:
            return
        lines = difflib.unified_diff(
            before.splitlines(), self.resolved_config.splitlines(), "before", "now", n=0, lineterm=""
        )
        changes = "\n".join(f"  {line}" for line in lines if not line.startswith(("---", "+++", "@@")))
        raise OtherRunError(
            f"{self.path} holds a run with another configuration (- there, + here):\n{changes}\n"
            "choose another output_dir, or delete that folder"
        )


def fingerprint(*parts: object) -> str:
    """Hash plain values to 16 hexadecimal digits."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
