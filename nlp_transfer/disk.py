"""What a disk does to a run: it is full, over a quota, read-only, or fails in mid-write.

Each library says so in its own way; here it becomes one message and exit status 1. Writing files whole is
whole_files.py's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nlp_transfer.errors import ConfigError, RunError, TransferError

# Names of temporary files and folders end with this: what a killed run leaves is known by it.
PART = ".part"
NOT_WRITABLE = frozenset(
    (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EFBIG,
        errno.EACCES,
        errno.EPERM,
        errno.EIO,
        errno.ENAMETOOLONG,
    )
)
# How Rust libraries (safetensors, tokenizers) end the message of such an error.
OS_ERROR = re.compile(r"\(os error (\d+)\)")
# What torch.save says where its file stayed shorter than it wrote; it does not say why.
TORCH_CUT = re.compile(r"inline_container|PytorchStreamWriter")


def write_failure(error: BaseException) -> str | None:
    """Say why a file could not be written, where that is what an error or one of its causes is about.

    >>> write_failure(OSError(errno.ENOSPC, "No space left on device", "/data/model.safetensors"))
    'No space left on device: /data/model.safetensors'
    >>> write_failure(ValueError("not a number")) is None
    True
    """
    found: BaseException | None = error
    while found is not None and not isinstance(found, TransferError):
        if (reason := _reason(found)) is not None:
            return reason
        found = found.__cause__ or found.__context__
    return None


def _reason(error: BaseException) -> str | None:
    if isinstance(error, OSError):
        if error.errno not in NOT_WRITABLE:
            return None
        where = f": {error.filename}" if error.filename else ""
        return f"{os.strerror(error.errno)}{where}"
    if (told := OS_ERROR.search(str(error))) and int(told[1]) in NOT_WRITABLE:
        return os.strerror(int(told[1]))
    if isinstance(error, RuntimeError) and TORCH_CUT.search(str(error)):
        return "a checkpoint's file was cut short; is the disk full, or a quota reached?"
    return None


def file_in_the_way(folder: Path) -> Path | None:
    """Return the file that stands where a folder, or one that it lies in, would have to be; None where none
    does. A place that cannot be looked at is left to whoever writes there.
    """
    places = (folder, *folder.parents)
    with contextlib.suppress(OSError, ValueError):  # ValueError: a NUL in the name
        return next((place for place in places if place.exists() and not place.is_dir()), None)
    return None


def require_folder_of(file: Path) -> None:
    """Check that no file stands where a file's folder would have to be.

    Raises:
        ConfigError: one does.
    """
    blocking = file_in_the_way(file.expanduser().parent)
    if blocking is not None:
        raise ConfigError(
            f"{file} cannot be written: {blocking} is a file and no folder; name a file somewhere else"
        )


@contextmanager
def write_failures_told(what: str, advice: str) -> Iterator[None]:
    """Word what a disk does in the body as one error.

    Args:
        what: begins the message, such as "out.csv cannot be written".
        advice: ends it.

    Raises:
        RunError: a file could not be written in the body; other errors pass.
    """
    try:
        yield
    except Exception as error:
        reason = write_failure(error)
        if reason is None:
            raise
        raise RunError(f"{what} ({reason}); {advice}") from error


def sync_files(folder: Path) -> None:
    """Have the files of a folder reach the disk, so that renaming it afterwards is safe without power too."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
