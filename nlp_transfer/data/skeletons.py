"""Which side of a split a sentence pair falls on, for good: by a hash of its English text.

The side follows from the text's skeleton alone, with fixed thresholds. So one sentence stands on one side in
every corpus and every language, in a training set of years ago and in one that is drawn tomorrow, and a
parent that was trained on the train side has seen no test sentence of any child.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from nlp_transfer.data.splits import stable_hash

Side = Literal["train", "dev", "test"]
# Fixed for good: the embedded parent was trained on the train side of these.
TEST_SHARE, DEV_SHARE = 0.15, 0.05
# Test sentences that share this much of their words with a training sentence are left out.
NEAR_OVERLAP = 0.8
# Frozen too, whatever placeholders.py learns: another pattern would move sentences to another side. Only what
# is commonest need be found here; the rest leaves a letter or two in the skeleton.
_PLACEHOLDER = re.compile(
    r"%%|%\([^()\s]+\)[#0\- +]*\d*(?:\.\d+)?[a-zA-Z]|%(?:\d+\$)?[#0\-+]*(?:\d+|\*)?(?:\.(?:\d+|\*))?"
    r"(?:hh|h|ll|l|q|j|z|t|L)?[diouxXeEfFgGcrsapn@](?![a-zA-Z])|\$\{[^{}\s]*\}|\{[\w.!:,%\[\]-]*\}"
)
_NOT_LETTERS = re.compile(r"[\W\d_]+")


def skeleton(text: str) -> str:
    """Reduce a sentence to its words: lower case, without punctuation, digits and placeholders.

    A text without a letter keeps its stripped self.

    >>> skeleton("Deleting %d files: done!"), skeleton("deleting files... DONE")
    ('deleting files done', 'deleting files done')
    """
    words = _NOT_LETTERS.sub(" ", _PLACEHOLDER.sub(" ", text).lower()).strip()
    return words or text.strip()


def side_of(text_skeleton: str) -> Side:
    """Return the side that a skeleton's hash puts it on: 15% test, 5% dev."""
    place = stable_hash(text_skeleton) / 2**64
    if place < TEST_SHARE:
        return "test"
    return "dev" if place < TEST_SHARE + DEV_SHARE else "train"


def hash_order(texts: Sequence[str]) -> list[int]:
    """Order rows by a second hash of their skeletons, independent of the side; equal on every machine."""
    keys = [(stable_hash(skeleton(text), seed=1), text) for text in texts]
    return sorted(range(len(texts)), key=lambda row: keys[row])


class NearNeighbours:
    """Finds sentences that share most of their words with one of a training set.

    Two sentences are near where the Jaccard overlap of their word sets is at least `NEAR_OVERLAP`. Only
    sentences that share one of a few rare words can be (prefix filtering, Chaudhuri et al. 2006), so few are
    compared.

    Args:
        training: the training set's texts.
        wanted: the texts that will be asked for.
    """

    def __init__(self, training: Iterable[str], wanted: Sequence[str]) -> None:
        self._asked = [_words(text) for text in wanted]
        vocabulary = {word for words in self._asked for word in words}
        self._sets: list[frozenset[str]] = []
        seen: set[str] = set()
        for text in training:
            reduced = skeleton(text)
            if reduced not in seen:
                seen.add(reduced)
                self._sets.append(frozenset(reduced.split()))
        self._counts = Counter(word for words in self._sets for word in words if word in vocabulary)
        needed = {word for words in self._asked for word in self._prefix(words)}
        self._rows_of: dict[str, list[int]] = defaultdict(list)
        for row, words in enumerate(self._sets):
            for word in words & needed:
                self._rows_of[word].append(row)

    def __iter__(self) -> Iterator[bool]:
        """Tell of each wanted text whether the training set holds a near one."""
        for words in self._asked:
            yield self._is_near(words)

    def _prefix(self, words: frozenset[str]) -> list[str]:
        """Return the rarest words, of which every near sentence has one."""
        rarest_first = sorted(words, key=lambda word: (self._counts[word], word))
        return rarest_first[: len(words) - _least_shared(len(words)) + 1]

    def _is_near(self, words: frozenset[str]) -> bool:
        for word in self._prefix(words):
            for row in self._rows_of.get(word, ()):
                other = self._sets[row]
                shared = len(words & other)
                if shared and shared >= NEAR_OVERLAP * (len(words) + len(other) - shared):
                    return True
        return False


def _words(text: str) -> frozenset[str]:
    return frozenset(skeleton(text).split())


def _least_shared(words: int) -> int:
    """Return how many of its words a sentence shares with a near one at least."""
    return max(1, -int(-NEAR_OVERLAP * words // 1))
