"""The chances of a class in a batch, counted by hand and over batches that were drawn."""

import numpy as np
import pytest
from lessonkit.composition import composition, observed_composition

from ecstfl.labels import DFEW_COUNTS
from ecstfl.training.samplers import MPerClassSampler, plain_batches


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
    batches = [b for epoch in range(4) for b in plain_batches(len(labels), 24, 1, epoch)[:-1]]
    for seen, row in zip(observed_composition(batches, labels), expected, strict=True):
        assert seen.name == row.name
        error = 4 * (row.missing * (1 - row.missing) / len(batches)) ** 0.5 + 1e-3
        assert seen.missing == pytest.approx(row.missing, abs=error)
        error = 4 * (row.pair * (1 - row.pair) / len(batches)) ** 0.5 + 1e-3
        assert seen.pair == pytest.approx(row.pair, abs=error)


def test_m_per_class_leaves_nobody_alone_or_missing():
    labels = np.repeat(np.arange(7), (60, 45, 70, 50, 35, 4, 22))
    rows = observed_composition(MPerClassSampler(labels, 3, 24), labels)
    assert [row.pair for row in rows] == [1.0] * 7


def test_bad_composition():
    with pytest.raises(ValueError, match=r"batch_size: expected 1..3 \(all samples\), got 4"):
        composition(4, [1, 2])
    with pytest.raises(ValueError, match=r"names: expected 2, one for each count, got 1"):
        composition(2, [1, 2], ["a"])
    with pytest.raises(ValueError, match=r"counts: expected integers >= 0, got -1"):
        composition(2, [-1, 2])
    with pytest.raises(ValueError, match=r"batches: expected at least one"):
        observed_composition([], [0, 1])
    with pytest.raises(ValueError, match=r"labels: expected integers >= 0, got -1"):
        observed_composition([[0]], [-1, 1])
