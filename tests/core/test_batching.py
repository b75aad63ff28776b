"""Which examples go into which batch: all, once, of like size, the same for the same seed."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.core.batching import epoch_batches, folds, hold_out, plain_batches

lengths = st.lists(st.integers(1, 60), min_size=1, max_size=300)


@given(lengths, st.integers(1, 40), st.booleans(), st.one_of(st.none(), st.integers(1, 200)))
@settings(max_examples=80)
def test_every_example_is_in_exactly_one_batch_and_limits_hold(
        sizes: list[int], batch_size: int, bucket: bool, length: int | None) -> None:
    array = np.array(sizes)
    batches = epoch_batches(array, batch_size, np.random.default_rng(0), bucket=bucket, batch_length=length)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(sizes)))
    for batch in batches:
        assert len(batch) <= batch_size
        assert length is None or len(batch) == 1 or array[batch].max() * len(batch) <= length


@given(st.integers(1, 60), st.integers(1, 40), st.booleans())
@settings(max_examples=60)
def test_full_batches_take_examples_again_as_evenly_as_can_be(count: int, batch_size: int, bucket: bool) -> None:
    batches = epoch_batches(np.arange(1, count + 1), batch_size, np.random.default_rng(0), bucket=bucket, full=True)
    assert {len(batch) for batch in batches} == {batch_size} and len(batches) == math.ceil(count / batch_size)
    times = np.bincount(np.concatenate(batches), minlength=count)
    assert times.min() >= 1 and times.max() - times.min() <= 1


def test_buckets_pad_less_and_epochs_differ_and_seeds_repeat() -> None:
    sizes = np.random.default_rng(0).integers(1, 100, 2000)

    def padded(batches: list[np.ndarray]) -> int:
        return sum(int(sizes[batch].max()) * len(batch) for batch in batches)

    plain = epoch_batches(sizes, 16, np.random.default_rng(1), bucket=False)
    bucketed = epoch_batches(sizes, 16, np.random.default_rng(1))
    assert padded(bucketed) < 1.1 * sizes.sum() < 1.5 * sizes.sum() < padded(plain)
    again = epoch_batches(sizes, 16, np.random.default_rng(1))
    other = epoch_batches(sizes, 16, np.random.default_rng(2))
    assert all((one == two).all() for one, two in zip(bucketed, again, strict=True))
    assert any(len(one) != len(two) or (one != two).any() for one, two in zip(bucketed, other, strict=True))


def test_evaluation_order_is_by_size() -> None:
    sizes = np.array([5, 1, 3])
    assert [batch.tolist() for batch in plain_batches(sizes, 2)] == [[1, 2], [0]]


@given(st.lists(st.integers(0, 3), min_size=2, max_size=80), st.floats(0.05, 0.9))
@settings(max_examples=60)
def test_a_hold_out_is_a_partition_with_every_class_on_both_sides(labels: list[int], share: float) -> None:
    groups = np.array(labels)
    kept, held = hold_out(len(labels), share, 0, groups)
    assert sorted([*kept, *held]) == list(range(len(labels)))
    for label in set(labels):
        if labels.count(label) > 1:
            assert label in groups[kept] and label in groups[held]


@given(st.lists(st.integers(0, 2), min_size=10, max_size=60), st.integers(2, 10))
def test_folds_are_a_partition_with_classes_spread_evenly(labels: list[int], number: int) -> None:
    groups = np.array(labels)
    parts = folds(len(labels), number, 0, groups)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    for label in set(labels):
        counts = [int((groups[part] == label).sum()) for part in parts]
        assert max(counts) - min(counts) <= 1
