"""Token ids of many texts, kept on disk by tokenizer, setting and text: a next run cuts nothing again.

Few texts are cut anew each time: that takes less than looking for them. What is kept is mapped, not read, and
carries a checksum: a damaged file is made again. What frozen layers make of tokens is kept alike.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from nlp_transfer.data.sources import cache_dir
from nlp_transfer.models.sequences import Sequences
from nlp_transfer.whole_files import whole_folder

logger = logging.getLogger(__name__)
KEPT_FROM_TEXTS = 5_000
# Texts cut at a time: a tokenizer's own output takes some 30 KB for each.
CUT_TEXTS = 4_000
CHECKSUM = "checksum.txt"
Columns = dict[str, Sequences]


def tokenizer_rules(tokenizer: PreTrainedTokenizerBase) -> str:
    """Write down all that decides how a tokenizer cuts a text; padding and truncation are each call's own."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        return json.dumps(
            {**json.loads(backend.to_str()), "padding": None, "truncation": None}, sort_keys=True
        )
    # SentencePiece models stand beside the vocabulary, and cut by scores of their own.
    models = [getattr(tokenizer, name, None) for name in ("spm_source", "spm_target", "sp_model")]
    scores = [hashlib.sha256(model.serialized_model_proto()).hexdigest() for model in models if model]
    return f"{type(tokenizer).__name__} {sorted(tokenizer.get_vocab().items())} {scores}"


def token_columns(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, max_length_tokens: int
) -> Columns:
    """Cut texts for a classifier; return each column of the tokenizer's output (`input_ids`, ...), packed.

    Args:
        tokenizer: the model's.
        texts: what to cut.
        max_length_tokens: longer texts are cut short.
    """

    def cut() -> Columns:
        parts: dict[str, list[np.ndarray]] = {}
        for start in range(0, len(texts), CUT_TEXTS):
            chunk = list(texts[start : start + CUT_TEXTS])
            encoded = tokenizer(chunk, truncation=True, max_length=max_length_tokens)
            for name, rows in encoded.items():
                parts.setdefault(name, []).extend(np.asarray(row, dtype=np.int32) for row in rows)
        return {name: Sequences.packed_arrays(rows) for name, rows in parts.items()}

    def follows_from() -> Iterable[str]:
        return chain((tokenizer_rules(tokenizer), str(max_length_tokens)), texts)

    return kept_columns(len(texts), follows_from, cut)


def kept_columns(
    rows: int,
    follows_from: Callable[[], Iterable[str]],
    make: Callable[[], Columns],
    *,
    what: str = "tokens",
    kept_from: int | None = None,
) -> Columns:
    """Return columns out of the cache, or make and keep them.

    Args:
        rows: of the columns.
        follows_from: returns all that decides what comes out, the texts among it.
        make: makes the columns.
        what: they hold; the cache's folder is named after it.
        kept_from: fewer rows are made anew each time; None is `KEPT_FROM_TEXTS`.
    """
    if rows < (KEPT_FROM_TEXTS if kept_from is None else kept_from):
        return make()
    folder = cache_dir() / what / _key(follows_from())
    found = _read(folder, what)
    if found is not None:
        return found
    made = make()
    try:
        with whole_folder(folder) as part:
            for name, sequences in made.items():
                np.save(part / f"{name}.ids.npy", sequences.ids)
                np.save(part / f"{name}.starts.npy", sequences.starts)
            (part / CHECKSUM).write_text(_checksum(part), encoding="ascii")
    except OSError as error:
        logger.warning("no %s can be kept in %s (%s); the next run makes them again", what, folder, error)
    return made


def _key(parts: Iterable[str]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for each in parts:
        encoded = each.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()


def _read(folder: Path, what: str) -> Columns | None:
    """Map what is kept in a folder; None where there is nothing, or nothing whole."""
    if not folder.is_dir():
        return None
    try:
        if (folder / CHECKSUM).read_text(encoding="ascii") == _checksum(folder):
            names = sorted(file.name.removesuffix(".ids.npy") for file in folder.glob("*.ids.npy"))
            return {
                name: Sequences(_mapped(folder / f"{name}.ids.npy"), _mapped(folder / f"{name}.starts.npy"))
                for name in names
            }
        logger.warning("the %s kept in %s are damaged; making them again", what, folder)
        shutil.rmtree(folder, ignore_errors=True)
    except (OSError, ValueError) as error:
        logger.warning("the %s kept in %s cannot be read (%s); making them again", what, folder, error)
    return None


def _mapped(file: Path) -> Any:
    return np.load(file, mmap_mode="r", allow_pickle=False)


def _checksum(folder: Path) -> str:
    """Hash the arrays of a folder, by name."""
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(folder.glob("*.npy")):
        with file.open("rb") as stream:
            digest.update(file.name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
