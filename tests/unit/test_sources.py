"""Bytes come from where a source says, whole and with the declared hash, or not at all."""

from __future__ import annotations

import gzip
import hashlib
import io
import logging
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from nlp_transfer.data import archives as archive_reading
from nlp_transfer.data.sources import cache_dir, file_sha256, locate, open_source, package_path
from nlp_transfer.errors import DataError

TEXT = b"text,label\ngood,1\n"
PACKAGE = "demo-reviews"
FILE = "demo_reviews-1.0.zip"
URI = f"pypi://{PACKAGE}==1.0/{FILE}"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def zip_bytes(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def tar_gz_bytes(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


# Local files ------------------------------------------------------------------------------------------------


def test_a_local_file_is_opened_and_its_hash_compared(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(TEXT)
    assert open_source(str(path)).read() == TEXT
    assert open_source(str(path), sha256=sha256(TEXT).upper()).read() == TEXT


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "rows.csv").write_bytes(TEXT)
    assert open_source("~/rows.csv").read() == TEXT


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rows.cvs", r"no file at .*rows\.cvs; did you mean rows\.csv\?"),
        ("nowhere/rows.csv", r"no file at .*; the folder .*nowhere does not exist either"),
        ("", r"is a folder; name a file in it"),
        ("x" * 300, r"cannot be read: .*name too long"),
    ],
)
def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "rows.csv").write_bytes(TEXT)
    with pytest.raises(DataError, match=message):
        open_source(str(tmp_path / name))


@pytest.mark.parametrize(
    "uri", ["https://example.org/a.csv", "http://example.org/a.zip!a.csv", "s3://mine/a.csv", "http:/a/b.csv"]
)
def test_an_address_on_the_web_is_to_be_downloaded(uri: str) -> None:
    with pytest.raises(DataError, match=r"addresses on the web are not read; download the file"):
        open_source(uri)


def test_a_file_with_another_hash_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(TEXT)
    with pytest.raises(DataError, match=f"has SHA-256 {sha256(TEXT)}, expected {'0' * 64}"):
        open_source(str(path), sha256="0" * 64)


# Installed packages -----------------------------------------------------------------------------------------


@pytest.fixture
def installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package whose import would fail: reading its files must not run its code."""
    folder = tmp_path / "site" / "fragile_reviews"
    (folder / "data").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('this code was run')")
    (folder / "data" / "all.csv").write_bytes(TEXT)
    (tmp_path / "site" / "secret.csv").write_bytes(b"secret")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return folder


@pytest.mark.usefixtures("installed_package")
def test_a_file_of_a_package_is_read_without_importing_it() -> None:
    assert open_source("package://fragile_reviews/data/all.csv", sha256=sha256(TEXT)).read() == TEXT
    assert "fragile_reviews" not in sys.modules


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        (
            "package://not_installed_here/a.csv",
            r"needs .* 'not_installed_here', which is not installed; .*\[demo\]",
        ),
        ("package://os.path/a.csv", r"needs the Python package that holds the module 'os\.path'"),
        ("package://fragile_reviews/../secret.csv", r"leaves the package's folder"),
        ("package://fragile_reviews/data/al.csv", r"no file at .*al\.csv; did you mean all\.csv\?"),
    ],
)
@pytest.mark.usefixtures("installed_package")
def test_a_file_that_no_package_has_is_refused(uri: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        locate(uri)


def test_a_package_path_need_not_exist(installed_package: Path) -> None:
    assert package_path("package://fragile_reviews/model") == installed_package / "model"


# Members of archives ----------------------------------------------------------------------------------------

ARCHIVES = {
    "a.zip": zip_bytes(**{"a/rows.csv": TEXT, "other.txt": b""}),
    "a.whl": zip_bytes(**{"a/rows.csv": TEXT}),
    "a.tar.gz": tar_gz_bytes(**{"a/rows.csv": TEXT}),
    "nested.zip": zip_bytes(
        **{"inner.tar.gz": tar_gz_bytes(**{"deep.zip": zip_bytes(**{"rows.csv": TEXT})})}
    ),
    "cut.zip": zip_bytes(**{"a/rows.csv": TEXT})[:-30],
    "cut.tar.gz": tar_gz_bytes(**{"a/rows.csv": bytes(100_000)})[:-40],
    "text.zip": b"this is not an archive",
    "empty.zip": b"",
}
# Some bits of the compressed text turned over, and the flag "encrypted" set, where the zip format has them.
_good = bytearray(ARCHIVES["a.whl"])
_start = 30 + len("a/rows.csv")
ARCHIVES["rotten.zip"] = bytes(_good[:_start] + bytes([_good[_start] ^ 0x07]) + _good[_start + 1 :])
_central = _good.index(b"PK\x01\x02")
_good[6] |= 1
_good[_central + 8] |= 1
ARCHIVES["locked.zip"] = bytes(_good)


@pytest.fixture
def archives(tmp_path: Path) -> Path:
    for name, content in ARCHIVES.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.mark.parametrize(
    "member",
    [
        "a.zip!a/rows.csv",
        "a.whl!a/rows.csv",
        "a.tar.gz!a/rows.csv",
        "nested.zip!inner.tar.gz!deep.zip!rows.csv",
    ],
)
def test_a_member_is_read_without_unpacking(archives: Path, member: str) -> None:
    before = sorted(archives.rglob("*"))
    assert open_source(f"{archives}/{member}").read() == TEXT
    assert sorted(archives.rglob("*")) == before


def test_the_hash_is_the_outer_archives(archives: Path) -> None:
    uri = f"{archives}/a.zip!a/rows.csv"
    assert open_source(uri, sha256=sha256(ARCHIVES["a.zip"])).read() == TEXT
    with pytest.raises(DataError, match="the file is not the declared one"):
        open_source(uri, sha256=sha256(TEXT))


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ("a.zip!a/row.csv", r"a\.zip has no member a/row\.csv; did you mean a/rows\.csv\?"),
        ("a.tar.gz!a/row.csv", r"a\.tar\.gz has no file a/row\.csv; did you mean a/rows\.csv\?"),
        ("a.tar.gz!folder", r"a\.tar\.gz has no file folder"),
        ("nested.zip!inner.tar.gz!none.zip!x", r"inner\.tar\.gz has no file none\.zip"),
        ("a.zip!a/rows.csv!deeper", r"a/rows\.csv cannot be read as a zip, wheel or tar archive"),
        ("cut.zip!a/rows.csv", r"cut\.zip cannot be read"),
        ("cut.tar.gz!a/rows.csv", r"cut\.tar\.gz cannot be read"),
        ("text.zip!a/rows.csv", r"text\.zip cannot be read"),
        ("empty.zip!a/rows.csv", r"empty\.zip cannot be read"),
        ("rotten.zip!a/rows.csv", r"rotten\.zip cannot be read"),
        ("locked.zip!a/rows.csv", r"locked\.zip cannot be read .*encrypted"),
    ],
)
def test_what_is_not_in_an_archive_is_refused(archives: Path, member: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_source(f"{archives}/{member}")


@pytest.mark.parametrize("archive", ["a.zip", "a.tar.gz"])
def test_a_member_that_expands_too_far_is_refused(
    archives: Path, archive: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_reading, "MAX_MEMBER_BYTES", len(TEXT) - 1)
    with pytest.raises(DataError, match=r"rows\.csv expands past 17 bytes"):
        open_source(f"{archives}/{archive}!a/rows.csv")
    monkeypatch.setattr(archive_reading, "MAX_MEMBER_BYTES", len(TEXT))
    assert open_source(f"{archives}/{archive}!a/rows.csv").read() == TEXT


# Archives on the package index ------------------------------------------------------------------------------


class PackageIndex:
    """A simple index on this machine, which remembers what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.page = folder / "simple" / PACKAGE / "index.html"
        self.archive = folder / "files" / FILE
        for path in (self.page, self.archive):
            path.parent.mkdir(parents=True)
        self.archive.write_bytes(zip_bytes(**{"rows.csv": TEXT}))
        self.page.write_text(f'<a href="/files/{FILE}">{FILE}</a>')
        self.asked: list[str] = []
        self.cut_short = False
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server.server_port}/simple/"

    @property
    def sha256(self) -> str:
        return file_sha256(self.archive)

    @property
    def downloads(self) -> int:
        return self.asked.count(f"/files/{FILE}")


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, index: PackageIndex, *arguments: object, directory: str) -> None:
        self.index = index
        super().__init__(*arguments, directory=directory)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self.index.asked.append(self.path)
        if self.index.cut_short and self.path.startswith("/files/"):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"PK")
            return
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageIndex]:
    """The one index that pip is configured with, and an empty cache."""
    index = PackageIndex(tmp_path / "index")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_TRUSTED_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", index.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("NLP_TRANSFER_CACHE", str(tmp_path / "cache"))
    thread = Thread(target=index.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield index
    index.server.shutdown()
    thread.join()
    index.server.server_close()


def test_an_archive_is_fetched_once_and_kept(index: PackageIndex) -> None:
    for _ in range(2):
        assert open_source(f"{URI}!rows.csv", sha256=index.sha256).read() == TEXT
    assert index.downloads == 1
    kept = cache_dir() / "downloads" / f"{PACKAGE}-1.0" / FILE
    assert kept.read_bytes() == index.archive.read_bytes()
    assert list(kept.parent.iterdir()) == [kept]


def test_a_damaged_copy_in_the_cache_is_fetched_again(
    index: PackageIndex, caplog: pytest.LogCaptureFixture
) -> None:
    kept = locate(URI, sha256=index.sha256)
    kept.write_bytes(kept.read_bytes()[:-1])
    with caplog.at_level(logging.WARNING, logger="nlp_transfer"):
        assert open_source(f"{URI}!rows.csv", sha256=index.sha256).read() == TEXT
    assert index.downloads == 2
    assert "has another SHA-256 than declared; fetching it again" in caplog.text


def test_a_damaged_copy_that_no_hash_tells_is_named_to_be_deleted(index: PackageIndex) -> None:
    kept = locate(URI)
    kept.write_bytes(kept.read_bytes()[:-30])
    with pytest.raises(
        DataError, match=rf"cannot be read as a zip[\s\S]*; {kept} is kept from before: delete it"
    ):
        open_source(f"{URI}!rows.csv")
    kept.unlink()
    assert open_source(f"{URI}!rows.csv").read() == TEXT


def test_an_archive_with_another_hash_is_not_kept(index: PackageIndex) -> None:
    with pytest.raises(DataError, match=f"has SHA-256 {index.sha256}, expected {'0' * 64}"):
        locate(URI, sha256="0" * 64)
    assert [path for path in cache_dir().rglob("*") if path.is_file()] == []


def test_a_download_that_breaks_off_leaves_nothing(index: PackageIndex) -> None:
    index.cut_short = True
    with pytest.raises(DataError, match=f"{FILE} of {PACKAGE}==1.0 could not be fetched"):
        locate(URI)
    assert [path for path in cache_dir().rglob("*") if path.is_file()] == []
    index.cut_short = False
    assert open_source(f"{URI}!rows.csv", sha256=index.sha256).read() == TEXT


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        (f"pypi://{PACKAGE}/{FILE}", r"must have the form pypi://name==version/file\[!member\.\.\.\]"),
        (f"pypi://{PACKAGE}==1.0", r"must have the form"),
        (f"pypi://{PACKAGE}==1.0/a/{FILE}", r"must have the form"),
        (
            f"pypi://{PACKAGE}==1.1/demo_reviews-1.1.zip",
            rf"could not be fetched .*\s.*: did you mean {FILE}\?",
        ),
        (
            "pypi://no-such-reviews==1.0/a.zip",
            r"could not be fetched .*pip configured for it\?\s.*: no such package",
        ),
    ],
)
@pytest.mark.usefixtures("index")
def test_what_the_index_does_not_have_is_refused(uri: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        locate(uri)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/simple/", "nonsense", "http://[broken/simple"])
@pytest.mark.usefixtures("index")
def test_an_index_that_cannot_be_reached_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", url)
    with pytest.raises(DataError) as caught:
        locate(URI)
    assert f"is the network there, and is pip configured for it?\n  {url}: " in str(caught.value)


def test_a_password_of_the_index_is_not_told(index: PackageIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", index.url.replace("//", "//me:secret@"))
    with pytest.raises(DataError) as caught:
        locate("pypi://no-such-reviews==1.0/a.zip")
    assert "secret" not in str(caught.value)
    assert "//***@127.0.0.1" in str(caught.value)


def test_the_index_of_pips_configuration_file_is_used(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "pip.conf"
    settings.write_text(
        f"[global]\nindex-url = http://127.0.0.1:9/simple/\nextra-index-url =\n  {index.url}\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    monkeypatch.delenv("PIP_INDEX_URL")
    assert open_source(f"{URI}!rows.csv", sha256=index.sha256).read() == TEXT


def test_a_folder_of_archives_that_pip_is_given_is_used(
    index: PackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index.archive.parent))
    assert open_source(f"{URI}!rows.csv", sha256=index.sha256).read() == TEXT
    assert index.asked == []


def test_the_cache_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NLP_TRANSFER_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.delenv("NLP_TRANSFER_CACHE")
    assert cache_dir().name == "nlp-transfer"


def test_a_gzip_member_stays_compressed_for_its_reader(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zip_bytes(**{"rows.csv.gz": gzip.compress(TEXT)}))
    assert gzip.decompress(open_source(f"{tmp_path}/a.zip!rows.csv.gz").read()) == TEXT


def test_a_cache_that_is_a_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("NLP_TRANSFER_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="NLP_TRANSFER_CACHE names the file"):
        cache_dir()
