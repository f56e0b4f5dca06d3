"""What can be told of two domains before anything is trained: words that the source lacks, label shares.

Both need texts and labels alone, so `check` tells them. Distances between the domains need an encoder, and
stand in the report.
"""

from __future__ import annotations

from collections.abc import Iterator

from nlp_transfer.data.rows import TransferData, joined_texts
from nlp_transfer.diagnostics import text_mismatch
from nlp_transfer.evaluation.compare import number_groups
from nlp_transfer.findings import Finding


def words_and_labels(data: TransferData) -> Iterator[Finding]:
    """Compare texts and labels of the two domains; test rows count among the target's.

    Args:
        data: both domains; without a source there is nothing to compare.
    """
    source, target = data.source, data.target
    if source is None:
        return
    texts = joined_texts(target.selection.texts, target.test.texts)
    yield text_mismatch.new_words_finding(text_mismatch.new_words(source.selection.texts, texts))
    shift = text_mismatch.label_share_difference(
        source.selection.labels,
        target.test.labels,
        classes=len(data.label_names),
        groups=(number_groups(source.selection.groups), number_groups(target.test.groups)),
    )
    yield text_mismatch.label_shift_finding(shift)
