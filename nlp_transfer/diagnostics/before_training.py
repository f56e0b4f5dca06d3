"""What can be told of two domains before anything is trained: words, label shares, how far apart they lie.

Words and labels need texts alone, so `check` tells them. Distances need an encoder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nlp_transfer.data.rows import TransferData
from nlp_transfer.diagnostics import kernel_test, mismatch, text_mismatch
from nlp_transfer.diagnostics.samples import TextSample
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


def distances(samples: Mapping[str, TextSample]) -> Iterator[Finding]:
    """Compare features of the two domains: the proxy A-distance, and two tests of whether they differ.

    Args:
        samples: of the domains `source` and `target`.
    """
    sides = samples["source"].features, samples["target"].features
    groups = samples["source"].groups, samples["target"].groups
    yield mismatch.distance_finding(mismatch.domain_distance(*sides, groups=groups))
    yield mismatch.two_sample_finding(mismatch.classifier_test(*sides, groups=groups))
    yield kernel_test.kernel_finding(kernel_test.maximum_mean_discrepancy(*sides, groups=groups))
