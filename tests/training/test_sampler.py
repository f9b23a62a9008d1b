"""What the samplers promise: balance, coverage, determinism, ranks; and the chances they change."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecstfl.labels import DFEW_COUNTS
from ecstfl.training.samplers import (
    MPerClassSampler,
    PlainSampler,
    composition,
    observed_composition,
)

quick = settings(max_examples=40, deadline=None)


def long_tail(sizes=(60, 45, 70, 50, 35, 4, 22), seed=0):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.default_rng(seed).permutation(labels)


@st.composite
def settings_of_a_sampler(draw):
    sizes = draw(st.lists(st.integers(1, 30), min_size=1, max_size=7))
    m = draw(st.integers(1, 4))
    batch_size = draw(st.integers(m, 30))
    return long_tail(sizes, draw(st.integers(0, 9))), m, batch_size, draw(st.integers(0, 99))


# ---- m per class -----------------------------------------------------------------------------


@quick
@given(settings_of_a_sampler())
def test_every_class_present_has_m_and_counts_are_even(options):
    labels, m, batch_size, seed = options
    sampler = MPerClassSampler(labels, m, batch_size, seed, batches=9)
    for batch in sampler:
        held = Counter(labels[batch].tolist())
        assert len(batch) == batch_size
        assert len(held) == min(len(set(labels)), batch_size // m)
        assert min(held.values()) >= m
        assert max(held.values()) - min(held.values()) <= 1


@quick
@given(settings_of_a_sampler())
def test_classes_get_equal_shares_of_a_round(options):
    """A round is as many batches as there are classes."""
    labels, m, batch_size, seed = options
    classes = len(set(labels))
    sampler = MPerClassSampler(labels, m, batch_size, seed, batches=3 * classes)
    held = Counter(labels[[i for batch in sampler for i in batch]].tolist())
    assert set(held.values()) == {3 * batch_size}


@quick
@given(settings_of_a_sampler())
def test_no_sample_returns_before_its_class_is_through(options):
    labels, m, batch_size, seed = options
    sampler = MPerClassSampler(labels, m, batch_size, seed, batches=25)
    drawn = [i for batch in sampler for i in batch]
    counts = np.bincount(drawn, minlength=len(labels))
    for c in set(labels.tolist()):
        of_class = counts[labels == c]
        assert of_class.max() - of_class.min() <= 1  # dealt like a deck


@quick
@given(settings_of_a_sampler())
def test_no_sample_stands_twice_in_a_batch_unless_its_class_is_too_small(options):
    labels, m, batch_size, seed = options
    size = np.bincount(labels)
    for batch in MPerClassSampler(labels, m, batch_size, seed, batches=40):
        held = Counter(labels[batch].tolist())
        for c, count in held.items():
            mine = [i for i in batch if labels[i] == c]
            assert len(set(mine)) == min(count, size[c])


def test_whole_data_set_is_covered():
    labels = long_tail()
    sampler = MPerClassSampler(labels, 3, 24, batches=7 * -(-70 // 24))
    assert set(range(len(labels))) == {i for batch in sampler for i in batch}


def test_same_seed_and_epoch_give_the_same_batches_whatever_came_before():
    labels = long_tail()
    one, two = (MPerClassSampler(labels, 3, 24, seed=5) for _ in range(2))
    for epoch in range(4):
        one.set_epoch(epoch)
        list(one)
    two.set_epoch(3)
    assert list(two) == list(one) == list(one)
    two.set_epoch(2)
    assert list(two) != list(one)
    other = MPerClassSampler(labels, 3, 24, seed=6)
    other.set_epoch(3)
    assert list(other) != list(one)


def test_epochs_continue_one_stream():
    labels = long_tail()
    long = list(MPerClassSampler(labels, 3, 24, batches=30))
    short = MPerClassSampler(labels, 3, 24, batches=10)
    pieces = []
    for epoch in range(3):
        short.set_epoch(epoch)
        pieces += list(short)
    assert pieces == long


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_share_the_stream_of_one_process(ranks):
    labels = long_tail()
    alone = list(MPerClassSampler(labels, 3, 12, batches=6 * ranks))
    together = [
        list(MPerClassSampler(labels, 3, 12, batches=6, rank=r, world_size=ranks))
        for r in range(ranks)
    ]
    assert [batch for step in zip(*together, strict=True) for batch in step] == alone


def test_length():
    labels = long_tail()  # 286
    assert len(MPerClassSampler(labels, 3, 24)) == 11
    assert len(MPerClassSampler(labels, 3, 24, rank=1, world_size=2)) == 5
    assert len(MPerClassSampler([0, 1], 3, 24)) == 1


def test_works_in_a_loader():
    labels = torch.from_numpy(long_tail())
    data = torch.utils.data.TensorDataset(torch.arange(len(labels)), labels)
    loader = torch.utils.data.DataLoader(
        data, batch_sampler=MPerClassSampler(labels, 3, 24, batches=5)
    )
    held = [torch.bincount(y, minlength=7) for _, y in loader]
    assert len(held) == 5
    assert all(counts.min() >= 3 for counts in held)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], 1, 2), r"labels: expected \(n,\) integers, n >= 1"),
        (([[0]], 1, 2), r"got int64 of shape \(1, 1\)"),
        (([0.5], 1, 2), r"got float64"),
        (([0, 1], 0, 2), r"m: expected an integer >= 1, got 0"),
        (([0, 1], 3, 2), r"batch_size: expected an integer >= 3, got 2"),
        (([0, 1], 1, 2.5), r"batch_size: .* got 2.5"),
        (([0, 1], 1, 2, -1), r"seed: expected an integer >= 0, got -1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        MPerClassSampler(*arguments)


def test_bad_ranks_and_epochs():
    with pytest.raises(ValueError, match=r"give both or none, got 0 and None"):
        MPerClassSampler([0, 1], 1, 2, rank=0)
    with pytest.raises(ValueError, match=r"rank: expected 0..1, got 2"):
        PlainSampler(9, 2, rank=2, world_size=2)
    with pytest.raises(ValueError, match=r"epoch: expected an integer >= 0, got -1"):
        PlainSampler(9, 2).set_epoch(-1)


# ---- plain -----------------------------------------------------------------------------------


@quick
@given(
    n=st.integers(3, 80),
    batch_size=st.integers(1, 20),
    ranks=st.integers(1, 3),
    drop_last=st.booleans(),
)
def test_plain_batches_hold_each_sample_at_most_once(n, batch_size, ranks, drop_last):
    samplers = [
        PlainSampler(n, batch_size, drop_last=drop_last, rank=r, world_size=ranks)
        for r in range(ranks)
    ]
    batches = [list(sampler) for sampler in samplers]
    assert {len(b) for b in batches} == {len(samplers[0])}  # no rank waits for another
    assert all(batch for rank in batches for batch in rank)
    drawn = [i for rank in batches for batch in rank for i in batch]
    assert len(drawn) == len(set(drawn))
    assert len(drawn) >= n - (batch_size * ranks - 1 if drop_last else ranks - 1)
    assert all(len(b) == batch_size for rank in batches for b in (rank if drop_last else rank[:-1]))


def test_plain_is_a_function_of_seed_and_epoch():
    one, two = PlainSampler(50, 8, seed=3), PlainSampler(50, 8, seed=3)
    assert list(one) == list(two)
    two.set_epoch(1)
    assert list(one) != list(two)
    assert list(PlainSampler(50, 8, seed=4)) != list(one)


# ---- composition -----------------------------------------------------------------------------


def test_disgust_at_the_prior_of_dfew():
    rows = {row.name: row for row in composition(24)}
    assert rows["Disgust"].pair == pytest.approx(0.035, abs=5e-4)
    assert rows["Happy"].pair > 0.95
    for row in rows.values():
        assert row.missing + row.alone + row.pair == pytest.approx(1)


def test_composition_by_counting_every_batch():
    """All 2-of-4 batches of a, a, b, c: three of six hold one a and something else, and so on."""
    a, b, c = composition(2, [2, 1, 1], ["a", "b", "c"])
    assert (a.missing, a.alone, a.pair) == pytest.approx((1 / 6, 4 / 6, 1 / 6))
    assert (b.missing, b.alone, b.pair) == pytest.approx((1 / 2, 1 / 2, 0))
    assert (c.share, c.pair) == pytest.approx((1 / 4, 0))


def test_composition_agrees_with_plain_batches():
    labels = np.repeat(np.arange(7), DFEW_COUNTS)
    expected = composition(24)
    sampler = PlainSampler(len(labels), 24, seed=1, drop_last=True)
    batches = []
    for epoch in range(4):
        sampler.set_epoch(epoch)
        batches += list(sampler)
    for seen, row in zip(observed_composition(batches, labels), expected, strict=True):
        assert seen.name == row.name
        error = 4 * (row.missing * (1 - row.missing) / len(batches)) ** 0.5 + 1e-3
        assert seen.missing == pytest.approx(row.missing, abs=error)
        error = 4 * (row.pair * (1 - row.pair) / len(batches)) ** 0.5 + 1e-3
        assert seen.pair == pytest.approx(row.pair, abs=error)


def test_m_per_class_leaves_nobody_alone_or_missing():
    labels = long_tail()
    rows = observed_composition(MPerClassSampler(labels, 3, 24), labels)
    assert [row.pair for row in rows] == [1.0] * 7


def test_bad_composition():
    with pytest.raises(ValueError, match=r"batch_size: expected 1..3 \(all samples\), got 4"):
        composition(4, [1, 2])
    with pytest.raises(ValueError, match=r"names: expected 2, one for each count, got 1"):
        composition(2, [1, 2], ["a"])
    with pytest.raises(ValueError, match=r"counts: expected an integer >= 0, got -1"):
        composition(2, [-1, 2])
    with pytest.raises(ValueError, match=r"batches: expected at least one"):
        observed_composition([], [0, 1])
    with pytest.raises(ValueError, match=r"labels: expected integers >= 0, got -1"):
        observed_composition([[0]], [-1, 1])
