"""Pieces that a vocabulary lacks, added to it: characters, and the commonest pieces of a script that is new.

A language that the parent never saw may need characters that stand in no piece. They are unknown tokens then,
or, where the vocabulary falls back to bytes, two to four tokens each. A character that is added starts from
what it was spelt with; where that was the unknown token, from its base letter (`å` from `a`) or else from the
mean of all letters. Where the whole script is new, single letters would make long sequences, so that pieces
are learnt as well (SentencePiece, Kudo and Richardson 2018; vocabulary extension as in Imamura and Sumita
2022).
"""

from __future__ import annotations

import logging
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nlp_transfer.errors import ModelError
from nlp_transfer.models.piece_models import PieceModel, piece_model
from nlp_transfer.models.translation import LoadedTranslator, grow_table
from nlp_transfer.models.vocabulary import missing_characters, start_rows

logger = logging.getLogger(__name__)
# A character that is seen once teaches nothing that holds.
MIN_OCCURRENCES = 2
# More than the letters of any alphabet; a script of thousands needs a vocabulary of its own.
MAX_CHARACTERS = 500
# Above this share of characters that are missing, a whole script is, and pieces of it are learnt.
NEW_SCRIPT_SHARE = 0.2
# Pieces that a new script gets by default.
NEW_SCRIPT_PIECES = 1_000


def lacking_pieces(
    texts: Sequence[str], model: PieceModel, *, new_pieces: int | None
) -> list[tuple[str, float]]:
    """Return what a vocabulary lacks for texts, with each piece's log probability, the commonest first.

    Args:
        texts: what is to be written, or read.
        model: how the vocabulary cuts text.
        new_pieces: how many at most; None is all characters that it lacks (at most `MAX_CHARACTERS`), and up
            to `NEW_SCRIPT_PIECES` pieces where they are a fifth of the text.
    """
    pieces = set(model.pieces())
    missing = missing_characters(texts, pieces)
    if not missing:
        return []
    # What normalising takes away is not missing: `…` may be read as three full stops.
    affected = [model.normalised(text) for text in texts if not missing.keys().isdisjoint(text)]
    counts = missing_characters(affected, pieces)
    wanted = [
        character
        for character, count in counts.most_common()
        if count >= MIN_OCCURRENCES and character.isprintable()
    ]
    most = MAX_CHARACTERS if new_pieces is None else new_pieces
    characters = wanted[:most]
    lowest = model.lowest_score()
    found = dict.fromkeys(characters, lowest)
    if model.takes_words and _is_new_script(counts, texts):
        most = NEW_SCRIPT_PIECES if new_pieces is None else new_pieces
        for piece, score in _learnt_pieces(affected, size=most):
            if piece not in pieces and not set(piece).isdisjoint(characters) and len(found) < most:
                found[piece] = score
    return sorted(found.items(), key=lambda item: -item[1])


def _is_new_script(missing: Counter[str], texts: Sequence[str]) -> bool:
    characters = sum(not character.isspace() for text in texts for character in text)
    return sum(missing.values()) > NEW_SCRIPT_SHARE * max(1, characters)


def _learnt_pieces(texts: Sequence[str], *, size: int) -> list[tuple[str, float]]:
    """Learn pieces from texts alone, the likeliest first; fewer than asked for where the text holds no more.

    One thread: each process of a run learns for itself, and all must learn the same.
    """
    import sentencepiece

    alphabet = len({character for text in texts for character in text})
    with tempfile.TemporaryDirectory() as folder:
        prefix = Path(folder) / "new"
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(texts),
                model_prefix=str(prefix),
                # The letters and the marks of the vocabulary itself stand in it too.
                vocab_size=size + alphabet + 4,
                hard_vocab_limit=False,
                character_coverage=1.0,
                normalization_rule_name="identity",
                max_sentence_length=10_000,
                num_threads=1,
                minloglevel=2,
            )
        except RuntimeError as error:
            raise ModelError(
                f"no pieces can be learnt from {len(texts):,} texts ({str(error).splitlines()[0][:200]})"
            ) from error
        learnt = sentencepiece.SentencePieceProcessor(model_file=str(prefix.with_suffix(".model")))
    numbers = [number for number in range(learnt.get_piece_size()) if not _is_mark(learnt, number)]
    return [(learnt.id_to_piece(number), float(learnt.get_score(number))) for number in numbers]


def _is_mark(learnt: Any, number: int) -> bool:
    return bool(learnt.is_control(number) or learnt.is_unknown(number))


def widen(loaded: LoadedTranslator, texts: Sequence[str], *, new_pieces: int | None) -> list[int]:
    """Give a model the pieces that its vocabulary lacks for texts, with a row of the embedding for each.

    Args:
        loaded: the model, changed in place.
        texts: both sides of the pairs that are learnt from.
        new_pieces: see `lacking_pieces`; 0 adds none.

    Returns:
        The new ids. Empty where nothing lacks, or where the vocabulary takes no pieces (`piece_model`).
    """
    model = piece_model(loaded.tokenizer) if new_pieces != 0 else None
    added = lacking_pieces(texts, model, new_pieces=new_pieces) if model is not None else []
    if model is None or not added:
        return []
    starts = [_starts_from(piece, model) for piece, _ in added]
    ids = model.add(added)
    grow_table(loaded, used=ids[-1] + 1)
    start_rows(loaded.model, ids, starts)
    logger.info(
        "vocabulary: %d pieces added that it lacked, the likeliest %s",
        len(ids), " ".join(piece for piece, _ in added[:5]),
    )  # fmt: skip
    return ids


def _starts_from(piece: str, model: PieceModel) -> list[int]:
    """Return the ids whose mean a piece's embedding starts from."""
    spelt = model.ids(piece)
    if spelt and model.tokenizer.unk_token_id not in spelt:
        return spelt
    return _base_letters(piece, model) or _letters(model)


def _base_letters(piece: str, model: PieceModel) -> list[int]:
    """Return the ids of a piece's letters without their marks, as far as the vocabulary has them.

    Unicode's canonical decomposition takes the marks off (UAX 15).
    """
    stripped = [
        character for character in unicodedata.normalize("NFD", piece) if not unicodedata.combining(character)
    ]
    return [number for number in map(model.id_of, stripped) if number is not None]


def _letters(model: PieceModel) -> list[int]:
    """Return the ids of all single letters: the mean of their embeddings is a letter's."""
    return [number for piece, number in model.pieces().items() if len(piece) == 1 and piece.isalpha()]
