"""Vectors on disk: Arrow files that are mapped into memory, found by the hash of the text they stand for.

A model's vectors lie in several files, each written whole and named after its own content, so that processes
that write at the same time do not disturb each other, what was encoded before a kill is there after it, and
a damaged file is known by its name. Only keys and one block of vectors are in memory at a time. Computing
the vectors is left to features.py.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

logger = logging.getLogger(__name__)
Vectors = npt.NDArray[np.float32]
Keys = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]

KEY_BYTES = 16
# Results above this are laid on disk and mapped; below it a copy in memory is faster.
MAPPED_FROM_BYTES = 64 * 2**20
BLOCK_ROWS = 20_000


def text_keys(texts: Sequence[str]) -> Keys:
    """Hash texts to keys of shape (texts, 16)."""
    keys = bytearray()
    for text in texts:
        keys += hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()
    return np.frombuffer(bytes(keys), dtype=np.uint8).reshape(-1, KEY_BYTES)


@dataclass(frozen=True)
class _Part:
    """So many rows, and the file with their vectors, or the vectors where none could be written."""

    rows: int
    file: Path | None
    vectors: Vectors | None = None

    def opened(self) -> Vectors:
        return self.vectors if self.file is None else _read(self.file)[1]  # type: ignore[return-value]


class VectorStore:
    """The vectors of one model, in files `<fingerprint>-<hash of the content>.arrow`.

    Args:
        folder: where the files are; made with the first one.
        fingerprint: of all that the vectors follow from beside the text.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        files = sorted(folder.glob(f"{fingerprint}-*.arrow")) if folder.is_dir() else []
        read = [(file, keys) for file in files if (keys := _keys_of_whole(file)) is not None]
        self.parts = [_Part(len(keys), file) for file, keys in read]
        self._take_keys([np.empty((0, KEY_BYTES), dtype=np.uint8), *(keys for _, keys in read)])

    def places(self, keys: Keys) -> Places:
        """Return for each key the number of its vector, -1 where there is none; shape (keys,)."""
        found = np.full(len(keys), -1, dtype=np.int64)
        if not len(self.keys):
            return found
        wanted = _first_halves(keys)
        at = np.searchsorted(self.sorted, wanted)
        open_rows = np.arange(len(keys))
        while len(open_rows):
            # Keys with equal first halves stand beside each other; the whole key decides.
            here = np.minimum(at[open_rows], len(self.sorted) - 1)
            same_half = (at[open_rows] < len(self.sorted)) & (self.sorted[here] == wanted[open_rows])
            open_rows, here = open_rows[same_half], here[same_half]
            equal = (self.keys[self.order[here]] == keys[open_rows]).all(axis=1)
            found[open_rows[equal]] = self.order[here[equal]]
            open_rows = open_rows[~equal]
            at[open_rows] += 1
        return found

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Keep vectors of shape (keys, hidden); where the disk does not take them, in memory alone."""
        try:
            self.parts.append(_Part(len(keys), self._write(keys, vectors)))
        except OSError as error:
            logger.warning(
                "the encodings cannot be kept in %s (%s); the next run makes them again", self.folder, error
            )
            self.parts.append(_Part(len(keys), None, vectors))
        self._take_keys([self.keys, keys])

    def gather(self, places: Places) -> Vectors:
        """Return the vectors at these places, shape (places, hidden): in memory, or many of them mapped."""
        hidden = self.parts[0].opened().shape[1] if self.parts else 0
        blocks = (places[start : start + BLOCK_ROWS] for start in range(0, len(places), BLOCK_ROWS))
        if len(places) * hidden * 4 > MAPPED_FROM_BYTES:
            try:
                with self._room() as file:
                    for block in blocks:
                        file.write(self._block(block, hidden).data)
                    file.flush()
                    return np.memmap(file, dtype=np.float32, mode="r", shape=(len(places), hidden))
            except OSError as error:
                logger.warning("no room in %s (%s); the encodings are held in memory", self.folder, error)
                return self._block(places, hidden)
        return self._block(places, hidden)

    def _block(self, places: Places, hidden: int) -> Vectors:
        vectors = np.empty((len(places), hidden), dtype=np.float32)
        owners = np.searchsorted(self.ends, places, side="right")
        for number in np.unique(owners):
            rows = np.flatnonzero(owners == number)
            first = int(self.ends[number - 1]) if number else 0
            vectors[rows] = self.parts[number].opened()[places[rows] - first]
        return vectors

    def _room(self) -> IO[bytes]:
        """Open a file without a name, which goes when the last that looks at it does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=self.folder)

    def _take_keys(self, keys: list[Keys]) -> None:
        self.keys = np.concatenate(keys)
        halves = _first_halves(self.keys)
        self.order = np.argsort(halves, kind="stable")
        self.sorted = halves[self.order]
        self.ends = np.cumsum([part.rows for part in self.parts], dtype=np.int64)

    def _write(self, keys: Keys, vectors: Vectors) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.folder, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                _write_arrow(file, keys, vectors)
            whole = self.folder / f"{self.fingerprint}-{_content_hash(Path(name))}.arrow"
            Path(name).replace(whole)
        finally:
            Path(name).unlink(missing_ok=True)
        return whole


def _first_halves(keys: Keys) -> npt.NDArray[np.uint64]:
    return np.ascontiguousarray(keys).view(np.uint64)[:, 0].copy()


def _content_hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=8)).hexdigest()


def _keys_of_whole(file: Path) -> Keys | None:
    """Return the keys of a file of vectors; a damaged one is told and removed."""
    try:
        if file.stem.rpartition("-")[2] == _content_hash(file):
            return _read(file)[0].copy()
        file.unlink()
        logger.warning("the cached encodings in %s are damaged; encoding again", file)
    except OSError as error:
        logger.warning("the cached encodings in %s cannot be read (%s); encoding again", file, error)
    return None


def _write_arrow(file: IO[bytes], keys: Keys, vectors: Vectors) -> None:
    import pyarrow

    rows, hidden = vectors.shape
    values = pyarrow.array(np.ascontiguousarray(vectors).reshape(-1))
    keyed = pyarrow.py_buffer(np.ascontiguousarray(keys).tobytes())
    columns: list[Any] = [
        pyarrow.FixedSizeBinaryArray.from_buffers(pyarrow.binary(KEY_BYTES), rows, [None, keyed]),
        pyarrow.FixedSizeListArray.from_arrays(values, hidden),
    ]
    batch = pyarrow.record_batch(columns, names=["key", "vector"])
    with pyarrow.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)


def _read(file: Path) -> tuple[Keys, Vectors]:
    """Map a file; return keys of shape (rows, 16) and vectors of shape (rows, hidden), neither copied."""
    import pyarrow

    batch = pyarrow.ipc.open_file(pyarrow.memory_map(str(file))).get_batch(0)
    keys = np.frombuffer(batch.column(0).buffers()[1], dtype=np.uint8)[: len(batch) * KEY_BYTES]
    vectors = batch.column(1).flatten().to_numpy(zero_copy_only=True)
    return keys.reshape(-1, KEY_BYTES), vectors.reshape(len(batch), -1)
