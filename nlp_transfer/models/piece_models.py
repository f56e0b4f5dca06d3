"""The piece models inside tokenizers, and how a piece is added to each kind.

A piece has to be the piece model's own: an added token would cut the text around it first, and what follows
it would begin like a new word.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, cast

from tokenizers import Tokenizer

# How SentencePiece writes a space.
SPACE = "▁"


class PieceModel(ABC):
    """What cuts a tokenizer's text, whatever its kind."""

    takes_words = True
    """Whether pieces of several letters can be added, and not single letters alone."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    @abstractmethod
    def pieces(self) -> dict[str, int]:
        """Return each piece of the vocabulary with its id, special tokens included."""

    @abstractmethod
    def normalised(self, text: str) -> str:
        """Return a text as the pieces see it, with ordinary spaces."""

    @abstractmethod
    def lowest_score(self) -> float:
        """Return a log probability that no piece is below."""

    @abstractmethod
    def ids(self, piece: str) -> list[int]:
        """Return how a piece was spelt before it was one; a space that begins it is its own."""

    @abstractmethod
    def add(self, pieces: Sequence[tuple[str, float]]) -> list[int]:
        """Add pieces with their log probabilities; return their ids, the next free ones."""

    def id_of(self, piece: str) -> int | None:
        """Return the id of a piece, None where there is none."""
        return self.pieces().get(piece)

    def _next_id(self) -> int:
        return int(max(self.tokenizer.get_vocab().values())) + 1


class MarianPieces(PieceModel):
    """Marian: two SentencePiece models, whose pieces a common vocabulary numbers."""

    def pieces(self) -> dict[str, int]:
        return cast(dict[str, int], self.tokenizer.encoder)

    def normalised(self, text: str) -> str:
        return str(self.tokenizer.spm_target.normalize(text)).replace(SPACE, " ")

    def lowest_score(self) -> float:
        spm = self.tokenizer.spm_target
        return min(float(spm.get_score(number)) for number in range(spm.get_piece_size()))

    def ids(self, piece: str) -> list[int]:
        tokenizer = self.tokenizer
        names = tokenizer.spm_target.encode(piece.replace(SPACE, " "), out_type=str)
        if not piece.startswith(SPACE) and names and names[0] == SPACE:
            names = names[1:]
        return [tokenizer.encoder.get(name, tokenizer.unk_token_id) for name in names]

    def add(self, pieces: Sequence[tuple[str, float]]) -> list[int]:
        tokenizer, first = self.tokenizer, self._next_id()
        for number, (piece, _) in enumerate(pieces, start=first):
            tokenizer.encoder[piece] = number
            tokenizer.decoder[number] = piece
        tokenizer.spm_source = _with_pieces(tokenizer.spm_source, pieces)
        tokenizer.spm_target = _with_pieces(tokenizer.spm_target, pieces)
        tokenizer.current_spm = tokenizer.spm_source
        # They are written from memory where these are no files; the old files are not what was made here.
        tokenizer.spm_files = ["", ""]
        return list(range(first, first + len(pieces)))


def _with_pieces(spm: Any, pieces: Sequence[tuple[str, float]]) -> Any:
    """Return a copy of a SentencePiece model that has more pieces."""
    from sentencepiece import SentencePieceProcessor
    from sentencepiece.sentencepiece_model_pb2 import ModelProto  # type: ignore[attr-defined]

    proto = ModelProto()
    proto.ParseFromString(spm.serialized_model_proto())
    known = {piece.piece for piece in proto.pieces}
    for piece, score in pieces:
        if piece not in known:
            proto.pieces.add(piece=piece, score=score)
    widened = SentencePieceProcessor()
    widened.LoadFromSerializedProto(proto.SerializeToString())
    return widened


class BackendPieces(PieceModel):
    """T5, mBART-50 (unigram) and NLLB (byte-pair encoding): the model inside a `tokenizers` tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__(tokenizer)
        # Longer pieces of a byte-pair encoding would need merges.
        self.takes_words = _is_unigram(self._state()["model"])

    def pieces(self) -> dict[str, int]:
        return dict(self.tokenizer.get_vocab())

    def normalised(self, text: str) -> str:
        normalizer = self.tokenizer.backend_tokenizer.normalizer
        return text if normalizer is None else str(normalizer.normalize_str(text)).replace(SPACE, " ")

    def lowest_score(self) -> float:
        model = self._state()["model"]
        return min((float(score) for _, score in model["vocab"]), default=0.0) if _is_unigram(model) else 0.0

    def ids(self, piece: str) -> list[int]:
        encoded = self.tokenizer(piece.replace(SPACE, " "), add_special_tokens=False)
        ids = [int(number) for number in encoded["input_ids"]]
        alone = self.id_of(SPACE)
        return ids[1:] if ids[:1] == [alone] and not piece.startswith(SPACE) else ids

    def add(self, pieces: Sequence[tuple[str, float]]) -> list[int]:
        state, first = self._state(), self._next_id()
        model = state["model"]
        # Tokens that were added behind the model's own are numbered from its size: they get places in it.
        behind = {token["id"]: token["content"] for token in state["added_tokens"]}
        places = range(len(model["vocab"]), first)
        held = [(behind.get(number, f"<place {number}>"), number) for number in places]
        wanted = [*held, *((piece, number) for number, (piece, _) in enumerate(pieces, start=first))]
        if _is_unigram(model):
            scores, lowest = dict(pieces), self.lowest_score()
            model["vocab"] += [[piece, scores.get(piece, lowest)] for piece, _ in wanted]
        else:
            model["vocab"] |= dict(wanted)
        self.tokenizer._tokenizer = Tokenizer.from_str(json.dumps(state))
        return list(range(first, first + len(pieces)))

    def _state(self) -> dict[str, Any]:
        return cast(dict[str, Any], json.loads(self.tokenizer.backend_tokenizer.to_str()))


def _is_unigram(model: dict[str, Any]) -> bool:
    return bool(model["type"] == "Unigram")


def piece_model(tokenizer: Any) -> PieceModel | None:
    """Return what cuts a tokenizer's text; None for a kind that takes no more pieces.

    Such are M2M100, whose language tokens are numbered behind its vocabulary whatever its size, and Marian
    with a vocabulary for each side.
    """
    if hasattr(tokenizer, "spm_target"):
        return None if tokenizer.separate_vocabs else MarianPieces(tokenizer)
    return BackendPieces(tokenizer) if hasattr(tokenizer, "backend_tokenizer") else None
