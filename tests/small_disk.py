"""A disk of a few kilobytes, mounted in memory, and a limit on the size of files: what runs out in a test."""

from __future__ import annotations

import os
import resource
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass
class SmallDisk:
    """A mounted folder whose room and rights can be changed."""

    folder: Path

    def leave(self, free: int) -> None:
        """Fill the disk until so many bytes are free."""
        ballast = self.folder / "ballast"
        ballast.unlink(missing_ok=True)
        status = os.statvfs(self.folder)
        ballast.write_bytes(b"\0" * max(0, status.f_bavail * status.f_frsize - free))

    def make_room(self) -> None:
        """Empty it of what filled it."""
        (self.folder / "ballast").unlink(missing_ok=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Cover a folder by an empty one that nobody can write to, root neither; needs the right to mount."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def mounted(folder: Path, *, size: str) -> Iterator[SmallDisk]:
    """Mount a disk in memory; where that is not allowed the test says so and is passed over."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if made.returncode:
        warnings.warn(
            f"no disk can be mounted here, so a full one is not tested: {made.stderr}", stacklevel=1
        )
        pytest.skip(f"mount is not allowed: {made.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes, as a quota does; needs no rights."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
