"""Findings about the rows of one domain or of two: pure functions, None where a check finds nothing.

Texts to be compared come as `normalise_text` leaves them, or hashed after that, which takes less memory: so
other capitals, spaces or punctuation do not hide a copy, and comparing them takes seconds for a million rows.
Which checks are run is left to checks.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nlp_transfer.data.cards import DataCard
from nlp_transfer.data.rows import UnlabelledTexts
from nlp_transfer.findings import Finding

# With more than five classes, half of an equal share takes the place of this one.
MIN_CLASS_SHARE = 0.10
# Copies and contradictions up to here are in every data set and change no result.
MAX_FAULTY_SHARE = 0.01
# Rows without a text or a label: a few are usual in a file, many say that a column is the wrong one.
MAX_UNREADABLE_SHARE = 0.05
UNREADABLE = ("empty or non-string text", "no label")
# From here on a test split holds training rows by mistake, not by chance: one file was given for both.
SAME_FILE_SHARE = 0.9
# At an accuracy of 0.8, the 95% interval of 200 rows is 11 points wide.
MIN_TEST_ROWS = 200
MAX_TRUNCATED_SHARE = 0.10
MAX_UNKNOWN_SHARE = 0.01
# The 95% interval of a share of so many rows reaches 2.2 points to either side at most.
MAX_TOKENISED_ROWS = 2_000

Tokenizer = Callable[..., Any]
# Texts as `normalise_text` leaves them, or numbers that stand for them, as checks.py has them.
TextKeys = Sequence[str] | npt.NDArray[np.uint64]


def dropped_rows(name: str, dropped: Mapping[str, int], *, kept: int) -> Finding | None:
    """Tell how many rows were left out and why; warn where many have no text or no label."""
    left_out = sum(dropped.values())
    if not left_out:
        return None
    total = left_out + kept
    unreadable = sum(dropped.get(reason, 0) for reason in UNREADABLE)
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items())
    return _held_against(
        "dropped_rows", unreadable / total, MAX_UNREADABLE_SHARE,
        f"{name}: {left_out:,} of {total:,} rows are left out ({reasons})",
        "look whether text_column and label_column are the right ones",
    )  # fmt: skip


def class_balance(name: str, labels: Sequence[int], label_names: Sequence[str]) -> Finding | None:
    """Warn where the rarest class has a small share of the rows."""
    counts = Counter(labels)
    if not counts:
        return None
    label, count = min(counts.items(), key=lambda item: item[1])
    share, threshold = count / len(labels), min(MIN_CLASS_SHARE, 0.5 / len(counts))
    if share >= threshold:
        return None
    return Finding(
        "class_balance", "warn", share, threshold,
        f"{name}: the rarest class, {label_names[label]}, has {_percent(share)} of {len(labels):,} rows",
        "read macro-F1 beside accuracy; set adaptation.class_weights: balanced and "
        "adaptation.selection_metric: macro_f1 if the rare class matters; label more rows of it if you can",
    )  # fmt: skip


def missing_classes(name: str, labels: Sequence[int], label_names: Sequence[str]) -> Finding | None:
    """Warn where the training rows lack a class altogether; no training row at all is a valid run."""
    missing = sorted(set(range(len(label_names))) - set(labels))
    if not labels or not missing:
        return None
    return Finding(
        "missing_classes", "warn", float(len(missing)), 0.0,
        f"{name}: none of {len(labels):,} training rows has the class(es) "
        f"{', '.join(label_names[label] for label in missing)}",
        "raise train_size, or label rows of it",
    )  # fmt: skip


def duplicates(name: str, texts: TextKeys) -> Finding | None:
    """Tell how many training rows repeat the text of another one."""
    repeated = len(texts) - len(np.unique(texts))
    if not repeated:
        return None
    share = repeated / len(texts)
    return _held_against(
        "duplicates", share, MAX_FAULTY_SHARE,
        f"{name}: {repeated:,} of {len(texts):,} training rows ({_percent(share)}) repeat another one's text",
        "remove the copies: they weigh more than other rows and are labels that buy nothing",
    )  # fmt: skip


def conflicting_labels(name: str, texts: TextKeys, labels: Sequence[int]) -> Finding | None:
    """Tell how many distinct texts stand there with different labels."""
    distinct, places = np.unique(texts, return_inverse=True)
    lowest = np.full(len(distinct), np.iinfo(np.int64).max)
    np.minimum.at(lowest, places, labels)
    conflicting = np.unique(places[np.asarray(labels) != lowest[places]])
    if not len(conflicting):
        return None
    share = len(conflicting) / len(distinct)
    return _held_against(
        "conflicting_labels", share, MAX_FAULTY_SHARE,
        f"{name}: {len(conflicting):,} of {len(distinct):,} distinct texts ({_percent(share)}) have two "
        "labels",
        "label them again or leave them out: no model can get both rows right",
    )  # fmt: skip


def test_overlap(name: str, learnt: TextKeys, scored: TextKeys) -> Finding | None:
    """Warn where test rows have the text of a training row, and block where nearly all of them do.

    Our own splits have no such row; files that come split already may.
    """
    shared = _shared(learnt, scored)
    if not shared:
        return None
    share = len(shared) / len(scored)
    return Finding(
        "test_overlap", "block" if share >= SAME_FILE_SHARE else "warn", share, 0.0,
        f"{name}: {len(shared):,} of {len(scored):,} test rows ({_percent(share)}) have the text of "
        "a training row",
        "remove them from a split, or give one file as `path` to have it split without leaks",
    )  # fmt: skip


def group_overlap(name: str, learnt: Sequence[str], scored: Sequence[str]) -> Finding | None:
    """Warn where test rows are of a group (a product, a reviewer) that training rows are of too.

    Our own splits never divide a group; files that come split already may.

    Args:
        name: the domain.
        learnt: groups of the rows that are trained or selected on.
        scored: of each test row, empty where it has none.
    """
    known = set(learnt) - {""}
    shared = sum(group in known for group in scored)
    if not shared:
        return None
    share = shared / len(scored)
    return Finding(
        "group_overlap", "warn", share, 0.0,
        f"{name}: {shared:,} of {len(scored):,} test rows ({_percent(share)}) are of a group that training "
        "rows are of too",
        "divide the files by group_column, or give one file as `path` to have it split so: what is learnt of "
        "a group helps on its other rows, and scores come out higher than on groups that are new",
    )  # fmt: skip


def domain_overlap(
    learnt: tuple[str, TextKeys], scored: tuple[str, TextKeys], *, ids: Sequence[str]
) -> Finding | None:
    """Tell how many test rows of one domain have the text of a training row of the other.

    A few stock phrases ("don't waste your money.") stand in both by chance. Ids are told and not texts:
    findings stand in `report.json`, which may be published.

    Args:
        learnt: a domain's name and its training texts, normalised, or their hashes.
        scored: the other domain's name and its test texts, normalised.
        ids: of the test rows, for examples.
    """
    shared = _shared(learnt[1], scored[1])
    if not shared:
        return None
    share = len(shared) / len(scored[1])
    examples = ", ".join([*(ids[row] for row in shared[:2]), *(["..."] if len(shared) > 2 else [])])
    return _held_against(
        "domain_overlap", share, MAX_FAULTY_SHARE,
        f"{scored[0]}: {len(shared):,} of {len(scored[1]):,} test rows ({_percent(share)}) have the "
        f"text of a {learnt[0]} training row (ids: {examples})",
        f"take another {learnt[0]} or remove these rows from it: scores on the {scored[0]} come out too high",
    )  # fmt: skip


def unlabelled_texts(unlabelled: UnlabelledTexts) -> Finding:
    """Tell how many texts are learnt without labels, and how many were left out and why."""
    dropped = ", ".join(f"{count:,} {reason}" for reason, count in unlabelled.dropped.items())
    return Finding(
        "unlabelled", "info", float(len(unlabelled.texts)), None,
        f"target: {len(unlabelled.texts):,} texts without labels from {unlabelled.origin}"
        + (f"; left out: {dropped}" if dropped else ""),
        "",
    )  # fmt: skip


def small_test(name: str, rows: int) -> Finding | None:
    """Warn where a test split is too small to tell systems apart (interval by the normal approximation)."""
    if rows >= MIN_TEST_ROWS:
        return None
    half_width = 1.96 * (0.8 * 0.2 / max(rows, 1)) ** 0.5
    return Finding(
        "small_test", "warn", float(rows), float(MIN_TEST_ROWS),
        f"{name}: {rows:,} test rows; an accuracy of 0.8 is known to ±{100 * half_width:.1f} points (95%)",
        "label more test rows or raise test_share: only large differences can be seen",
    )  # fmt: skip


def unnamed_head(path: str) -> Finding:
    """Warn where a model's own head is not used, because nothing says which of its classes is which."""
    return Finding(
        "label_names", "warn", None, None,
        f"model: the head of {path} names no classes (LABEL_0, LABEL_1, ...), so it is not used: their order "
        "would be a guess",
        "to use it, look up which class is which, and name them in the head's order in model.label_names",
    )  # fmt: skip


def licence(name: str, card: DataCard | None) -> Finding:
    """Tell under which licence the rows come; warn where it is unknown."""
    if card is None:
        return Finding(
            "licence", "info", None, None, f"{name}: your own file",
            "make sure that you may train on it, and publish what was trained",
        )  # fmt: skip
    if card.licence != "unknown":
        return Finding(
            "licence", "info", None, None, f"{name}: {card.name} has the licence {card.licence}", ""
        )
    return Finding(
        "licence", "warn", None, None, f"{name}: the licence of {card.name} is unknown",
        f"read `nlp-transfer cards show {card.name}` before you publish a model trained on it",
    )  # fmt: skip


def token_findings(
    name: str, texts: Sequence[str], tokenizer: Tokenizer, *, max_length_tokens: int
) -> list[Finding | None]:
    """Measure on a sample how many texts the model cuts, and how many tokens its vocabulary lacks."""
    sample = _sample(texts, MAX_TOKENISED_ROWS)
    unknown_id = getattr(tokenizer, "unk_token_id", None)
    special = getattr(tokenizer, "num_special_tokens_to_add", lambda: 0)()
    longer = unknown = tokens = 0
    for start in range(0, len(sample), 1_000):
        batch = tokenizer(list(sample[start : start + 1_000]), truncation=False, verbose=False)
        for ids in batch["input_ids"]:
            longer += len(ids) > max_length_tokens
            unknown += ids.count(unknown_id)
            tokens += len(ids) - special
    return [_truncation(name, longer, len(sample), max_length_tokens), _unknown_tokens(name, unknown, tokens)]


def _truncation(name: str, longer: int, rows: int, max_length_tokens: int) -> Finding | None:
    if not longer:
        return None
    share = longer / rows
    return _held_against(
        "truncation", share, MAX_TRUNCATED_SHARE,
        f"{name}: {_percent(share)} of {rows:,} texts are cut after {max_length_tokens} tokens",
        "raise model.max_length_tokens if the model can read more",
    )  # fmt: skip


def _unknown_tokens(name: str, unknown: int, tokens: int) -> Finding | None:
    if not unknown:
        return None
    share = unknown / max(tokens, 1)
    return _held_against(
        "unknown_tokens", share, MAX_UNKNOWN_SHARE,
        f"{name}: {_percent(share)} of {tokens:,} tokens are unknown to the model",
        "choose a model that was pretrained on this language and script",
    )  # fmt: skip


def _held_against(check: str, share: float, threshold: float, evidence: str, advice: str) -> Finding:
    """Warn, with advice, where a share is above its threshold; inform below it."""
    if share > threshold:
        return Finding(check, "warn", share, threshold, evidence, advice)
    return Finding(check, "info", share, threshold, evidence, "")


def _shared(learnt: TextKeys, scored: TextKeys) -> list[int]:
    """Return the rows of `scored` whose text is in `learnt`."""
    if isinstance(learnt, np.ndarray) and isinstance(scored, np.ndarray):
        return list(map(int, np.flatnonzero(np.isin(scored, learnt))))
    seen = set(learnt)
    return [row for row, text in enumerate(scored) if text in seen]


def _sample(texts: Sequence[str], rows: int) -> Sequence[str]:
    """Take at most so many texts, evenly spaced, the same ones each time."""
    if len(texts) <= rows:
        return texts
    return [texts[row] for row in np.linspace(0, len(texts) - 1, rows).astype(int)]


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"
