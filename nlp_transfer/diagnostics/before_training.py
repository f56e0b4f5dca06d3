"""What can be told of two domains before anything is trained: words that the source lacks, label shares.

Both need texts and labels alone, so `check` tells them. Distances between the domains need an encoder, and
stand in the report.
"""

from __future__ import annotations

from collections.abc import Iterator

from nlp_transfer.data.rows import TransferData
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
    known, used = source.selection, target.used
    groups = number_groups(known.groups), number_groups(used.groups)
    rates = text_mismatch.new_words(known.texts, used.texts, groups=groups)
    yield text_mismatch.new_words_finding(rates)
    shift = text_mismatch.label_share_difference(
        known.labels,
        target.test.labels,
        classes=len(data.label_names),
        groups=(groups[0], number_groups(target.test.groups)),
    )
    yield text_mismatch.label_shift_finding(shift)
