"""Archives and compressed files: their members, read into memory and bounded in size, never unpacked to disk.

Where an archive is from is left to sources.py, and patterns over many members to members.py.
"""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from pathlib import PurePosixPath
from typing import IO, Any, BinaryIO

from nlp_transfer.errors import DataError, did_you_mean

# A member that expands past this is taken for an attack or a mistake, not for text to learn from.
MAX_MEMBER_BYTES = 2 * 1024**3
# As many as Python's own reader of gzip files unpacks at a time.
GZIP_BUFFER_BYTES = 128 * 1024
# RuntimeError is what zipfile raises for a password and for a compression that it lacks.
DAMAGED_ARCHIVE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError,
)  # fmt: skip


def open_member(archive: BinaryIO, archive_name: str, member: str) -> BinaryIO:
    """Read one member of a zip or tar stream into memory, bounded in size.

    Raises:
        DataError: the archive has no such member, or it expands past `MAX_MEMBER_BYTES`.
        OSError: the archive cannot be read; so may any other of `DAMAGED_ARCHIVE` be raised.
    """
    if zipfile.is_zipfile(archive):
        return _read_zip(archive, archive_name, member)
    archive.seek(0)
    return _read_tar(archive, archive_name, member)


def _read_zip(archive: BinaryIO, archive_name: str, member: str) -> BinaryIO:
    with zipfile.ZipFile(archive) as opened:
        if member not in opened.namelist():
            raise DataError(
                f"{archive_name} has no member {member}; {did_you_mean(member, opened.namelist())}"
            )
        with opened.open(member) as stream:
            return read_bounded(stream, member)


def _read_tar(archive: BinaryIO, archive_name: str, member: str) -> BinaryIO:
    with tarfile.open(fileobj=archive, mode="r:*") as opened:
        names = opened.getnames()
        found = opened.getmember(member) if member in names else None
        stream = opened.extractfile(found) if found is not None and found.isfile() else None
        if stream is None:
            raise DataError(f"{archive_name} has no file {member}; {did_you_mean(member, names)}")
        return read_bounded(stream, member)


def read_bounded(stream: IO[bytes], member: str) -> BinaryIO:
    """Read a member of an archive into memory.

    Raises:
        DataError: it expands past `MAX_MEMBER_BYTES`.
    """
    content = stream.read(MAX_MEMBER_BYTES + 1)
    if len(content) > MAX_MEMBER_BYTES:
        raise DataError(f"{PurePosixPath(member).name} expands past {MAX_MEMBER_BYTES} bytes")
    return io.BytesIO(content)


def unpacked_gzip(stream: BinaryIO, name: str) -> BinaryIO:
    """Return a stream of what a gzip file holds, which is read piece by piece and bounded as members are.

    Args:
        stream: the packed bytes.
        name: stands in errors.

    Raises:
        DataError: while it is read: it expands past `MAX_MEMBER_BYTES`.
    """
    return io.BufferedReader(_BoundedGzip(stream, name), buffer_size=GZIP_BUFFER_BYTES)


class _BoundedGzip(io.RawIOBase):
    """What a gzip file holds, up to the bound; it cannot be wound back, so that all of it is counted once."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._unpacked = gzip.GzipFile(fileobj=stream)
        self._name = name
        self._bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        read = self._unpacked.readinto(buffer)
        self._bytes += read
        if self._bytes > MAX_MEMBER_BYTES:
            raise DataError(
                f"{PurePosixPath(self._name).name} expands past {MAX_MEMBER_BYTES} bytes; if that is meant, "
                "unpack it and name the unpacked file"
            )
        return read


def without_gz(name: str) -> str:
    """Return a file's name without `.gz`, however it is written.

    >>> without_gz("rows.CSV.GZ"), without_gz("rows.csv")
    ('rows.CSV', 'rows.csv')
    """
    return name[:-3] if name.lower().endswith(".gz") else name
