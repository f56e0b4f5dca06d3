"""Batches by tokens: complete, seeded, as many in each epoch, the same for any number of processes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from accelerate.data_loader import BatchSamplerShard, skip_first_batches
from torch.utils.data import DataLoader

from nlp_transfer.training.samplers import TokenBatchSampler, batch_ends, snake_order

Lengths = npt.NDArray[np.int64]


def lengths(rows: int, *, seed: int = 0) -> tuple[Lengths, Lengths]:
    """Lengths of both sides, the target's near the source's."""
    draw = np.random.default_rng(seed)
    source = draw.integers(3, 40, size=rows)
    return source, np.maximum(2, source + draw.integers(-3, 6, size=rows))


def sampler(rows: int = 500, *, seed: int = 0, parts: int = 1, **settings: int | None) -> TokenBatchSampler:
    source, target = lengths(rows)
    return TokenBatchSampler(source, target, parts=parts, seed=seed, **{"batch_tokens": 600, **settings})


def epoch_of(made: TokenBatchSampler, epoch: int) -> list[list[int]]:
    made.set_epoch(epoch)
    return list(made)


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("rows", [3, 4, 31, 500])
def test_every_pair_is_seen_once_in_an_epoch_of_equally_many_batches(rows: int, parts: int) -> None:
    made = sampler(rows, parts=parts)
    for epoch in range(3):
        batches = epoch_of(made, epoch)
        assert len(batches) == len(made)
        assert len(batches) % parts == 0
        assert sorted(row for batch in batches for row in batch) == list(range(rows))
        assert all(batch for batch in batches)


def test_the_order_follows_from_seed_and_epoch_alone() -> None:
    orders = {(seed, epoch): epoch_of(sampler(seed=seed), epoch) for seed in (0, 1) for epoch in (0, 1)}
    assert len({str(order) for order in orders.values()}) == 4
    made = sampler(seed=1)
    assert epoch_of(made, 1) == orders[1, 1]
    assert epoch_of(made, 0) == orders[1, 0] == list(made)


def test_two_parts_are_one_batch_cut_in_two() -> None:
    """So two processes, or two accumulation steps, learn from what one step learns from."""
    whole, halves = epoch_of(sampler(), 2), epoch_of(sampler(parts=2), 2)
    assert [first + second for first, second in zip(halves[::2], halves[1::2], strict=True)] == whole
    assert all(0 <= len(a) - len(b) <= 1 for a, b in zip(halves[::2], halves[1::2], strict=True))


def test_two_processes_take_their_halves_of_the_same_batches() -> None:
    whole = epoch_of(sampler(), 0)
    shards = [
        list(BatchSamplerShard(sampler(parts=2), num_processes=2, process_index=process, even_batches=False))
        for process in (0, 1)
    ]
    assert [a + b for a, b in zip(*shards, strict=True)] == whole


def test_a_batch_holds_about_so_many_tokens_and_little_padding() -> None:
    made = sampler(2000)
    real = padded = 0
    for epoch in (0, 1):
        for batch in epoch_of(made, epoch):
            source, target = made.source_lengths[batch], made.target_lengths[batch]
            size = len(batch) * (source.max() + target.max())
            # Pairs that change places may widen a batch by a little.
            assert size <= 1.3 * 600
            real, padded = real + source.sum() + target.sum(), padded + size
    assert real / padded > 0.8


def test_before_pairs_change_places_no_batch_is_over_the_bound() -> None:
    made = sampler(2000)
    for rows in np.split(made.order, made.ends[:-1]):
        wide = made.source_lengths[rows].max() + made.target_lengths[rows].max()
        assert len(rows) * wide <= 600 or rows[-1] == made.order[-1]


def test_each_part_has_a_pair_however_long_the_pairs_are() -> None:
    long = np.full(10, 5000, dtype=np.int64)
    made = TokenBatchSampler(long, long, batch_tokens=64, parts=4, seed=0)
    batches = list(made)
    assert [len(batch) for batch in batches] == [2, 2, 1, 1, 1, 1, 1, 1]
    assert len(made) == 8
    one = TokenBatchSampler(long, long, batch_tokens=64, parts=1, seed=0)
    assert [len(batch) for batch in one] == [6, 4]


def test_the_longest_batch_comes_first() -> None:
    made = sampler()
    for epoch in range(3):
        batches = epoch_of(made, epoch)
        assert made.target_lengths[batches[0]].max() == made.target_lengths.max()


def test_other_pairs_meet_in_the_next_epoch() -> None:
    made = sampler(2000, batch_tokens=2048)
    first, second = ({frozenset(batch) for batch in epoch_of(made, epoch)} for epoch in (0, 1))
    assert len(first & second) <= 1


def test_rows_bound_a_batch_where_tokens_do_not() -> None:
    made = sampler(100, batch_tokens=None, batch_rows=32)
    assert sorted(len(batch) for batch in made) == [4, 32, 32, 32]


def test_a_resumed_epoch_goes_on_at_the_batch_after_the_last() -> None:
    loader = DataLoader(list(range(500)), batch_sampler=sampler(), collate_fn=list)
    loader.batch_sampler.set_epoch(3)
    whole = list(loader)
    assert list(skip_first_batches(loader, 5)) == whole[5:]


@pytest.mark.parametrize(
    ("source", "target", "keys", "ends"),
    [
        ([2, 2, 2, 9], [2, 2, 2, 9], {"batch_tokens": 12}, [3, 4]),
        ([2, 2, 2, 9], [2, 2, 2, 9], {"batch_tokens": 11}, [2, 3, 4]),
        ([9, 1, 1], [1, 1, 1], {"batch_tokens": 20}, [2, 3]),
        ([50, 50], [50, 50], {"batch_tokens": 20}, [1, 2]),
        ([50, 50, 50], [50, 50, 50], {"batch_tokens": 20, "least_rows": 2}, [3]),
        ([50] * 4, [50] * 4, {"batch_tokens": 20, "least_rows": 2}, [2, 4]),
        ([3] * 5, [3] * 5, {"batch_tokens": None, "batch_rows": 2}, [2, 4, 5]),
        ([3], [3], {"batch_tokens": 100}, [1]),
    ],
)
def test_where_batches_end(
    source: list[int], target: list[int], keys: dict[str, int | None], ends: list[int]
) -> None:
    settings = {"batch_rows": 0, "least_rows": 1, **keys}
    assert batch_ends(np.array(source), np.array(target), **settings) == ends


def test_neighbours_in_the_order_differ_by_little() -> None:
    source, target = lengths(1000)
    order = snake_order(source, target, seed=0)
    assert (np.diff(target[order]) >= 0).all()
    assert np.abs(np.diff(source[order])).mean() < 1.0
