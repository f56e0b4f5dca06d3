"""Which files a source of translations names: one file, a folder, a pattern, or members of an archive.

    po/gl.po                                                   one file
    translations/                                              every catalogue below a folder
    translations/{tgt_lang}/                                   and below the language's folder alone
    package://django                                           of an installed package
    pypi://name==1.0/name-1.0.whl                              of a wheel, an sdist, a zip
    package://django/conf/locale/*/LC_MESSAGES/django.po       a pattern: `*`, `?` in one name, `**` across
    folders pypi://name==1.0/name-1.0.whl!name/**/{tgt_lang}/LC_MESSAGES/*.po

Where several files may answer, only those of the wanted language do: `{tgt_lang}`, the folder above
LC_MESSAGES, or whatever part of the path is a language code tells it (choosing.py). What the bytes mean is
left to the readers.
"""

from __future__ import annotations

import logging
import os
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from nlp_transfer.data.archives import DAMAGED_ARCHIVE, read_bounded
from nlp_transfer.data.choosing import Choice, choose
from nlp_transfer.data.raw_pairs import OtherLanguageError
from nlp_transfer.data.sources import damaged_archive, open_source, package_path, split_hash
from nlp_transfer.errors import DataError, did_you_mean

logger = logging.getLogger(__name__)

ARCHIVE_SUFFIXES = (".whl", ".zip", ".egg", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
EVERYTHING = "**/*"
WILD = re.compile(r"[*?]|\{tgt_lang\}")


@dataclass(frozen=True)
class Member:
    """One file of a source."""

    name: str
    """How messages call it; its suffix tells its format."""
    stream: BinaryIO
    assured: bool
    """Whether the path says that it is of the wanted language."""
    alone: bool
    """Whether the source names this file and no other."""


@dataclass(frozen=True)
class _Collection:
    """Files that belong together: their paths in the order of reading, and how one is opened."""

    place: str
    """The folder or archive, with the separator that stands before a path."""
    paths: list[str]
    open: Callable[[str], BinaryIO]


def open_members(
    uri: str, *, src_lang: str, tgt_lang: str, sha256: str | None = None, wanted: Callable[[str], bool]
) -> Iterator[Member]:
    """Open the files that a source names, one after the other.

    Args:
        uri: see the module's head.
        src_lang: replaces `{src_lang}`, and is no target where a path names both languages (`en-gl.tsv`).
        tgt_lang: which language's files are taken.
        sha256: expected hash of the outermost file.
        wanted: tells by its path whether a file of a folder is of interest.

    Raises:
        DataError: nothing matches, or something cannot be read.
        OtherLanguageError: files are there, but none is of the wanted language.
    """
    uri, sha256 = split_hash(uri.replace("{src_lang}", src_lang), sha256)
    outer, *members = uri.split("!")
    if members or outer.startswith("pypi://") or outer.lower().endswith(ARCHIVE_SUFFIXES):
        outer = outer.replace("{tgt_lang}", tgt_lang)
        of_folder = not members or members[-1].lower().endswith(ARCHIVE_SUFFIXES)
        pattern = EVERYTHING if of_folder else _below(members.pop())
        if WILD.search("!".join([outer, *members])):
            raise DataError(f"{uri}: only the part behind the last ! may be a pattern")
        opened = _open_archive("!".join([outer, *members]), sha256)
    else:
        path = package_path(outer) if outer.startswith("package://") else Path(outer).expanduser()
        if path.is_file() or not (path.is_dir() or WILD.search(outer)):
            yield Member(uri, open_source(uri, sha256=sha256), assured=False, alone=True)
            return
        if sha256 is not None:
            raise DataError(f"{uri} names several files; a SHA-256 can be that of one file only")
        base, pattern = (
            (path, EVERYTHING) if path.is_dir() else _split_pattern(path, folders=outer.endswith("/"))
        )
        opened = _open_folder(base, pattern)
    with opened as collection:
        yield from _choose(uri, collection, pattern, src_lang=src_lang, tgt_lang=tgt_lang, wanted=wanted)


def _choose(
    uri: str,
    collection: _Collection,
    pattern: str,
    *,
    src_lang: str,
    tgt_lang: str,
    wanted: Callable[[str], bool],
) -> Iterator[Member]:
    paths = collection.paths
    if any(path.startswith(f"{pattern.rstrip('/')}/") for path in paths):
        pattern = f"{pattern.rstrip('/')}/{EVERYTHING}"
    if WILD.search(pattern) is None:
        if pattern not in paths:
            raise DataError(
                f"{collection.place[:-1]} has no member {pattern}; {did_you_mean(pattern, paths)}"
            )
        yield Member(collection.place + pattern, collection.open(pattern), assured=False, alone=True)
        return
    choice = choose(filter(wanted, paths), pattern, src_lang=src_lang, tgt_lang=tgt_lang)
    if not choice.paths:
        raise _nothing_chosen(uri, choice, tgt_lang)
    spelled = ", ".join(sorted(choice.spelled))
    # Only what was not asked for in so many words is news.
    news = logging.INFO if spelled and spelled != tgt_lang else logging.DEBUG
    logger.log(
        news, "%s: %d files of %s are read for %s", short_name(uri), len(choice.paths), spelled, tgt_lang
    )
    for path in paths:
        if path in choice.paths:
            yield Member(
                collection.place + path, collection.open(path), assured=choice.paths[path], alone=False
            )


def _nothing_chosen(uri: str, choice: Choice, tgt_lang: str) -> DataError:
    if choice.matched == 0:
        return DataError(
            f"{uri} matches no file of translations; `*` stands for part of one name, `**` for several "
            "folders, "
            "and {tgt_lang} for the language"
        )
    return OtherLanguageError(
        f"{uri} has no file in {tgt_lang}; {did_you_mean(tgt_lang, choice.others)}. Set tgt_lang to one of "
        "these"
    )


def _split_pattern(path: Path, *, folders: bool) -> tuple[Path, str]:
    """Divide a path at its first part with a wildcard into a folder and a pattern below it, of folders or of
    files.
    """
    fixed = next(index for index, part in enumerate(path.parts) if WILD.search(part))
    base = Path(*path.parts[:fixed])
    if not base.is_dir():
        raise DataError(f"there is no folder {base}, where {path} looks for files")
    return base, _below("/".join(path.parts[fixed:]) + ("/" if folders else ""))


def _below(pattern: str) -> str:
    """Let a pattern that ends in / stand for all files of the folders that it matches."""
    return f"{pattern}{EVERYTHING}" if pattern.endswith("/") and WILD.search(pattern) else pattern


@contextmanager
def _open_folder(base: Path, pattern: str) -> Iterator[_Collection]:
    """List the files below a folder, hidden ones left out and links to folders not followed."""
    depth = None if "**" in pattern else pattern.count("/")
    found = []
    for folder, folders, files in os.walk(base):
        here = Path(folder).relative_to(base)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if depth is not None and len(here.parts) >= depth:
            folders.clear()
        found += [(here / name).as_posix() for name in files if not name.startswith(".")]
    yield _Collection(f"{base}/", sorted(found), lambda path: open_source(str(base / path)))


@contextmanager
def _open_archive(uri: str, sha256: str | None) -> Iterator[_Collection]:
    """List the files of an archive; a tar's stay in its own order, which is the fast one to read."""
    try:
        with open_source(uri, sha256=sha256) as stream:
            if zipfile.is_zipfile(stream):
                with zipfile.ZipFile(stream) as archive:
                    yield _zip_collection(archive, f"{uri}!")
            else:
                stream.seek(0)
                with tarfile.open(fileobj=stream, mode="r:*") as archive:
                    yield _tar_collection(archive, f"{uri}!")
    except DAMAGED_ARCHIVE as error:
        raise damaged_archive(uri, error, uri.partition("!")[0]) from error


def _zip_collection(archive: zipfile.ZipFile, place: str) -> _Collection:
    def open_path(path: str) -> BinaryIO:
        with archive.open(path) as stream:
            return read_bounded(stream, path)

    return _Collection(place, sorted(name for name in archive.namelist() if name[-1:] != "/"), open_path)


def _tar_collection(archive: tarfile.TarFile, place: str) -> _Collection:
    files = {info.name: info for info in archive.getmembers() if info.isfile()}

    def open_path(path: str) -> BinaryIO:
        stream = archive.extractfile(files[path])
        if stream is None:
            raise DataError(f"{place}{path} is no plain file")
        return read_bounded(stream, path)

    return _Collection(place, list(files), open_path)


def short_name(uri: str) -> str:
    """Name a source in a word for the log: the package of an archive, the last part of a path."""
    place = uri.partition("#")[0].partition("!")[0]
    if place.startswith("pypi://"):
        return place.removeprefix("pypi://").partition("==")[0]
    return place.rstrip("/").rpartition("/")[2] or place
