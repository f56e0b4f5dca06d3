"""Many texts as one Arrow column: on disk and mapped where they are many, so that memory does not grow with
them.

A list of a million short strings takes some 200 MB of Python objects; mapped, the texts take none that the
system could not take back. To its readers it is a sequence of strings.
"""

from __future__ import annotations

import bisect
import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, overload

import numpy as np

from nlp_transfer.data.sources import cache_dir

logger = logging.getLogger(__name__)
# Texts that are turned into Arrow, and into Python strings, at a time.
BLOCK_TEXTS = 10_000
# Fewer texts are kept in memory: a file is not worth its trouble.
MAPPED_FROM_TEXTS = 50_000


class Texts(Sequence[str]):
    """An immutable sequence of texts in Arrow blocks; slices are lists, `+` copies nothing.

    >>> texts = Texts.of(["good", "bad", "fair"])
    >>> texts[1], texts[:2], len(texts + texts), list(texts.take([2, 0]))
    ('bad', ['good', 'bad'], 6, ['fair', 'good'])
    """

    def __init__(self, blocks: Sequence[Any]) -> None:
        self.blocks = [block for block in blocks if len(block)]
        self.ends = np.cumsum([len(block) for block in self.blocks], dtype=np.int64).tolist()

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """Lay texts out block by block: in memory, or where they are many in a file without a name."""
        import pyarrow

        rest = iter(texts)
        blocks: list[Any] = []
        while len(blocks) * BLOCK_TEXTS < MAPPED_FROM_TEXTS:
            block = list(islice(rest, BLOCK_TEXTS))
            if not block:
                return cls(blocks)
            blocks.append(_arrow(block))
        try:
            # The file has no name: it goes when the last block does.
            cache_dir().mkdir(parents=True, exist_ok=True)
            file = tempfile.TemporaryFile(dir=cache_dir())  # noqa: SIM115
        except OSError as error:
            logger.warning("no room for texts in %s (%s); they are held in memory", cache_dir(), error)
            return cls([*blocks, *map(_arrow, _in_blocks(rest))])
        with file:
            schema = pyarrow.schema([("text", pyarrow.large_binary())])
            with pyarrow.ipc.new_file(file, schema) as writer:
                for column in chain(blocks, map(_arrow, _in_blocks(rest))):
                    writer.write_batch(pyarrow.record_batch([column], schema=schema))
            del blocks
            file.flush()
            mapped = pyarrow.py_buffer(np.memmap(file, dtype=np.uint8, mode="r"))
            reader = pyarrow.ipc.open_file(pyarrow.BufferReader(mapped))
            return cls([reader.get_batch(number).column(0) for number in range(reader.num_record_batches)])

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return [self[each] for each in range(*row.indices(len(self)))]
        place = int(row) + len(self) if row < 0 else int(row)
        if not 0 <= place < len(self):
            raise IndexError(f"row {row} of {len(self)} texts")
        number = bisect.bisect_right(self.ends, place)
        return _string(self.blocks[number][place - (self.ends[number - 1] if number else 0)].as_py())

    def __iter__(self) -> Iterator[str]:
        for block in self.blocks:
            for start in range(0, len(block), BLOCK_TEXTS):
                yield from map(_string, block.slice(start, BLOCK_TEXTS).to_pylist())

    def __add__(self, other: Sequence[str]) -> Texts:
        return Texts([*self.blocks, *(other if isinstance(other, Texts) else Texts.of(other)).blocks])

    def __radd__(self, other: Sequence[str]) -> Texts:
        return Texts.of(other) + self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def take(self, rows: Iterable[int]) -> Texts:
        """Return these texts, in this order."""
        return Texts.of(self[int(row)] for row in rows)


def whole_characters(text: str) -> str:
    r"""Replace half characters by question marks: lone surrogates, as JSON can hold, make tokenizers fail.

    >>> whole_characters("good\ud83d"), whole_characters("gut \u00fc")
    ('good?', 'gut ü')
    """
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def listed(texts: Texts) -> Sequence[str]:
    """Return few texts as a list, which is faster to read, and many as they are."""
    return list(texts) if len(texts) < MAPPED_FROM_TEXTS else texts


def _in_blocks(texts: Iterator[str]) -> Iterator[list[str]]:
    while block := list(islice(texts, BLOCK_TEXTS)):
        yield block


def _arrow(texts: Sequence[str]) -> Any:
    """Lay texts out as bytes: half a character (a lone surrogate) is none that Arrow takes for text."""
    import pyarrow

    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    return pyarrow.array(encoded, type=pyarrow.large_binary())


def _string(encoded: bytes) -> str:
    return encoded.decode("utf-8", "surrogatepass")
