"""What the samplers promise: balance, coverage, determinism."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecstfl.training.samplers import MPerClassSampler, plain_batches

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


def test_length():
    labels = long_tail()  # 286
    assert len(MPerClassSampler(labels, 3, 24)) == 11
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


def test_bad_epochs_and_sizes():
    with pytest.raises(ValueError, match=r"epoch: expected an integer >= 0, got -1"):
        MPerClassSampler([0, 1], 1, 2).set_epoch(-1)
    with pytest.raises(ValueError, match=r"batch_size: expected an integer >= 1, got 0"):
        plain_batches(9, 0)


# ---- plain -----------------------------------------------------------------------------------


@quick
@given(n=st.integers(1, 80), batch_size=st.integers(1, 20))
def test_plain_batches_hold_each_sample_once(n, batch_size):
    batches = plain_batches(n, batch_size)
    assert sorted(i for batch in batches for i in batch) == list(range(n))
    assert all(len(batch) == batch_size for batch in batches[:-1])


def test_plain_batches_are_a_function_of_seed_and_epoch():
    assert plain_batches(50, 8, seed=3) == plain_batches(50, 8, seed=3)
    assert plain_batches(50, 8, seed=3, epoch=1) != plain_batches(50, 8, seed=3)
    assert plain_batches(50, 8, seed=4) != plain_batches(50, 8, seed=3)
