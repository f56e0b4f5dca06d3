"""One domain's sentence pairs, cleaned and split: what may be learnt from, selected on, and scored on.

Reading files is left to catalogues.py, cleaning to cleaning.py, the side of a sentence to skeletons.py, and
findings about the pairs to pair_checks.py.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from nlp_transfer.config import DataConfig, DomainConfig
from nlp_transfer.data.cards import DataCard, load_card
from nlp_transfer.data.catalogues import RawPair, read_aligned, read_pairs
from nlp_transfer.data.cleaning import clean_pairs
from nlp_transfer.data.languages import require_code, standard
from nlp_transfer.data.pairs import NO_PAIRS, Direction, PairDomain, Pairs, TransferPairs
from nlp_transfer.data.skeletons import NearNeighbours, hash_order, side_of, skeleton
from nlp_transfer.data.splits import stable_hash
from nlp_transfer.errors import DataError

logger = logging.getLogger(__name__)

# More held-out pairs than these say nothing more; what is over is never trained on either.
MAX_TEST_PAIRS, MAX_DEV_PAIRS = 2000, 1000
# Files that are split already may hold a dev pair beside a hundred others, too few of a few hundred to choose
# anything on. Training pairs fill them up to the share that the split by hash has, where that is a small part
# of all that were drawn, and to as many as are translated to choose a step.
DEV_SHARE, LEAST_DEV_PAIRS, MOST_FILLED_UP, LEAST_DRAWN_TO_FILL_UP = 0.06, 25, 200, 400
Splits = dict[str, Pairs]


def load_transfer_pairs(config: DataConfig) -> TransferPairs:
    """Read, clean and split both domains.

    Args:
        config: the recipe's `data`.

    Raises:
        DataError: something in the data cannot work; the message says how to mend it.
    """
    source = None
    if config.source is not None:
        source = _read_domain(config.source, name="source")
    target = _read_domain(config.target, name="target")
    pools = [domain.pool() for domain in (target, source) if domain is not None]
    return TransferPairs(
        target=target.drawn(pools, seed=config.seed),
        source=None if source is None else source.drawn(pools, seed=config.seed),
    )


def directions_of(config: DomainConfig, *, name: str) -> list[Direction]:
    """List a domain's language pairs: one, or one for each of several codes on one side.

    Raises:
        DataError: a code is none, both sides name several languages, or a pair is of one language.
    """
    sides = [
        [code] if isinstance(code, str) else list(code or []) for code in (config.src_lang, config.tgt_lang)
    ]
    for key, codes in zip(("src_lang", "tgt_lang"), sides, strict=True):
        for code in codes:
            require_code(code, key=f"data.{name}.{key}")
    if min(len(side) for side in sides) > 1:
        raise DataError(
            f"src_lang {sides[0]} and tgt_lang {sides[1]}: only one of them may name several languages"
        )
    directions = list(itertools.product(sides[0], sides[1]))
    for src_lang, tgt_lang in directions:
        if standard(src_lang) == standard(tgt_lang):
            raise DataError(
                f"data.{name}: src_lang {src_lang} and tgt_lang {tgt_lang} are the same language; set one of "
                "them to the pairs' other language"
            )
    return directions


class _ReadDomain:
    """A domain that was read and split, before its training pairs are drawn."""

    def __init__(
        self, config: DomainConfig, name: str, card: DataCard | None, directions: list[Direction]
    ) -> None:
        self.config = config
        self.name = name
        self.card = card
        self.directions = directions
        self.dropped: Counter[str] = Counter()
        self.splits: Splits = {}
        self.seen: dict[bytes, Direction] = {}

    def require_new(self, digest: bytes, direction: Direction) -> None:
        """Refuse raw pairs that another direction had: one text is not in two languages.

        Raises:
            DataError: another direction read the same pairs.
        """
        other = self.seen.setdefault(digest, direction)
        if digest != _digest().digest() and other != direction:
            raise DataError(
                f"data.{self.name}: {'-'.join(other)} and {'-'.join(direction)} read the same pairs, so that "
                "one of the languages is wrong; name one language, or give each its own file ({src_lang} or "
                "{tgt_lang} in the path stands for the code) or its own column, headed by the code"
            )

    def pool(self) -> list[str]:
        """Return the English texts of everything that may be trained on."""
        return [text for side in ("train", "dev") for text in english_side(self.splits[side])]

    def drawn(self, pools: list[list[str]], *, seed: int) -> PairDomain:
        """Leave near test pairs out, cut the held-out sides to size, and draw the training pairs."""
        test = self._distinct_test(pools)
        train, dev = self.splits["train"], self.splits["dev"]
        available = len(train) + len(dev)
        size = self.config.train_size
        if size is not None and size > available:
            raise DataError(
                f"data.{self.name}.train_size is {size} and only {available} training pairs are left after "
                f"{len(self.splits['test'])} were held out for testing; lower it"
            )
        rows = _nested_order(train.joined(dev), seed=seed)[:size]
        train_rows = [row for row in rows if row < len(train)]
        dev_rows = [row - len(train) for row in rows if row >= len(train)]
        dev_rows = dev_rows[:MAX_DEV_PAIRS]
        moved = _missing_dev_pairs(drawn=len(rows), dev=len(dev_rows))
        kept_dev = dev.take(dev_rows).joined(train.take(train_rows[:moved]))
        drawn = train.take(train_rows[moved:])
        if not len(test):
            raise DataError(
                f"data.{self.name}: none of its pairs can be held out for testing; it needs more pairs, or "
                "files that are split already (splits: {train: ..., test: ...})"
            )
        return PairDomain(
            name=self.name, directions=self.directions, train=drawn, dev=kept_dev, test=test, card=self.card,
            unused=available - len(drawn) - len(kept_dev),
            dropped=dict(self.dropped),
        )  # fmt: skip

    def _distinct_test(self, pools: list[list[str]]) -> Pairs:
        """Return the test pairs that are used: no near neighbour in training, the first by hash."""
        test = self.splits["test"]
        wanted = self.config.test_size or MAX_TEST_PAIRS
        order = _by_direction(test, hash_order(english_side(test)))
        candidates = test.take(order[: 2 * wanted])
        near = NearNeighbours(itertools.chain(*pools), english_side(candidates))
        kept: list[int] = []
        for row, is_near in enumerate(near):
            if len(kept) == wanted:
                break
            if is_near:
                self.dropped["near a training sentence"] += 1
            else:
                kept.append(row)
        left = len(test) - len(kept) - self.dropped["near a training sentence"]
        if left:
            self.dropped["more test pairs than are used"] += left
        return candidates.take(sorted(kept, key=lambda row: order[row]))


def _read_domain(config: DomainConfig, *, name: str) -> _ReadDomain:
    """Read every direction of a domain, clean it and divide it into sides."""
    card = load_card(config.card) if config.card is not None else None
    if card is not None and card.spec.task != "translation":
        raise DataError(f"data.{name}: the card {card.name} is for {card.spec.task}, not for translation")
    read = _ReadDomain(config, name, card, directions_of(config, name=name))
    parts: dict[str, list[Pairs]] = {"train": [], "dev": [], "test": []}
    for direction in read.directions:
        for side, pairs in _read_direction(read, direction).items():
            parts[side].append(pairs)
    read.splits = {side: _joined(pairs) for side, pairs in parts.items()}
    if not sum(len(pairs) for pairs in read.splits.values()):
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in read.dropped.items())
        raise DataError(
            f"data.{name}: no pair of {' and '.join('-'.join(d) for d in read.directions)} is left "
            f"(dropped: {reasons or 'none'}); are the languages the right way round?"
        )
    return read


def _read_direction(read: _ReadDomain, direction: Direction) -> Splits:
    """Read one language pair and divide it; files that are split already keep their split."""
    candidates = read.card.domains(read.config) if read.card is not None else [read.config]
    failures = []
    for candidate in candidates:
        try:
            splits, counts, digest = _read_candidate(candidate, direction)
        except DataError as error:
            if len(candidates) == 1:
                raise
            failures.append(str(error))
            continue
        read.dropped.update(counts)
        read.require_new(digest, direction)
        return splits
    raise DataError(
        f"data.{read.name}: no source of the card {read.config.card} can be used:\n  " + "\n  ".join(failures)
    )


def _read_candidate(config: DomainConfig, direction: Direction) -> tuple[Splits, Counter[str], bytes]:
    """Read one language pair from one place; return its splits, what was dropped, and a hash of the file's
    pairs.
    """
    counts: Counter[str] = Counter()
    digest = _digest()

    def pairs_of(raw: Iterator[RawPair]) -> Pairs:
        return _pairs(_hashed(raw, digest), config, direction, counts)

    if config.splits is not None:
        splits = {
            side: pairs_of(_raw(config, path, direction, counts)) for side, path in config.splits.items()
        }
        return {"train": NO_PAIRS, "dev": NO_PAIRS, **splits}, counts, digest.digest()
    pairs = pairs_of(_raw_of_all(config, direction, counts))
    return _by_hash(pairs), counts, digest.digest()


def _digest() -> Any:
    return hashlib.blake2b(digest_size=16)


def _hashed(raw: Iterator[RawPair], digest: Any) -> Iterator[RawPair]:
    """Pass pairs on, each taken into a hash before it is cleaned: cleaning knows the languages."""
    for pair in raw:
        digest.update(f"{pair.source}\0{pair.target}\n".encode("utf-8", "surrogatepass"))
        yield pair


def _raw_of_all(config: DomainConfig, direction: Direction, dropped: Counter[str]) -> Iterator[RawPair]:
    if config.src_path is not None and config.tgt_path is not None:
        yield from read_aligned(config.src_path, config.tgt_path, encoding=config.encoding)
        return
    yield from _raw(config, config.path or [], direction, dropped)


def _raw(
    config: DomainConfig, path: str | Sequence[str], direction: Direction, dropped: Counter[str]
) -> Iterator[RawPair]:
    return read_pairs(
        path,
        src_lang=direction[0],
        tgt_lang=direction[1],
        format=config.format,
        src_column=config.src_column,
        tgt_column=config.tgt_column,
        columns=config.columns,
        encoding=config.encoding,
        sha256=config.sha256,
        dropped=dropped,
    )


def _pairs(
    raw: Iterator[RawPair], config: DomainConfig, direction: Direction, dropped: Counter[str]
) -> Pairs:
    """Clean pairs and name them: an id is the direction and a hash of both sides."""
    source, target = direction
    kept = clean_pairs(raw, src_lang=source, tgt_lang=target, dropped=dropped) if config.clean else list(raw)
    ids = [f"{source}-{target}:{stable_hash(pair.source + chr(0) + pair.target):016x}" for pair in kept]
    return Pairs(
        ids=ids,
        sources=[pair.source for pair in kept],
        targets=[pair.target for pair in kept],
        directions=[direction] * len(kept),
    )


def english_side(pairs: Pairs) -> list[str]:
    """Return the texts that decide where a pair belongs: the English ones, the sources where neither is."""
    return [
        target if _is_english(direction[1]) and not _is_english(direction[0]) else source
        for source, target, direction in zip(pairs.sources, pairs.targets, pairs.directions, strict=True)
    ]


def _is_english(code: str) -> bool:
    return code.replace("-", "_").split("_")[0].lower() in ("en", "eng")


def _by_hash(pairs: Pairs) -> Splits:
    """Divide pairs by the side of their English skeleton."""
    rows: dict[str, list[int]] = {"train": [], "dev": [], "test": []}
    side_of_skeleton: dict[str, str] = {}
    for row, text in enumerate(english_side(pairs)):
        words = skeleton(text)
        side = side_of_skeleton.setdefault(words, side_of(words))
        rows[side].append(row)
    return {side: pairs.take(numbers) for side, numbers in rows.items()}


def _joined(parts: Sequence[Pairs]) -> Pairs:
    whole = Pairs([], [], [], [])
    for part in parts:
        for name in ("ids", "sources", "targets", "directions"):
            getattr(whole, name).extend(getattr(part, name))
    return whole


def _missing_dev_pairs(*, drawn: int, dev: int) -> int:
    """Return how many of so many drawn pairs, of which some are dev pairs, are to select on beside those.

    >>> _missing_dev_pairs(drawn=400, dev=5), _missing_dev_pairs(drawn=1000, dev=10)
    (20, 50)
    >>> _missing_dev_pairs(drawn=200, dev=10), _missing_dev_pairs(drawn=50_000, dev=500)
    (0, 0)
    """
    wanted = min(max(LEAST_DEV_PAIRS, round(DEV_SHARE * drawn)), MOST_FILLED_UP, MAX_DEV_PAIRS)
    return max(0, wanted - dev) if drawn >= LEAST_DRAWN_TO_FILL_UP else 0


def _nested_order(pairs: Pairs, *, seed: int) -> list[int]:
    """Order pairs by a seeded hash, the directions in turn: each prefix is a part of every longer one."""
    keys = [stable_hash(row_id, seed=seed) for row_id in pairs.ids]
    return _by_direction(pairs, sorted(range(len(pairs)), key=lambda row: keys[row]))


def _by_direction(pairs: Pairs, order: Sequence[int]) -> list[int]:
    """Take rows from each direction in turn, in proportion to how many it has."""
    counts = Counter(pairs.directions)
    if len(counts) < 2:
        return list(order)
    seen: Counter[Direction] = Counter()
    place = {}
    for row in order:
        direction = pairs.directions[row]
        place[row] = (seen[direction] + 0.5) / counts[direction]
        seen[direction] += 1
    return sorted(order, key=lambda row: place[row])
