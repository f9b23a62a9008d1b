"""The jackknife against Student's interval of a mean, and against a simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ecstfl.metrics.jackknife import jackknife


@given(st.lists(st.floats(-100, 100), min_size=3, max_size=30, unique=True))
@settings(max_examples=30, deadline=None)
def test_for_a_mean_it_is_students_interval(values):
    x = np.array(values)
    value, low, high = jackknife(lambda keep: x[keep].mean(), np.arange(len(x)))
    theirs = stats.t.interval(0.95, len(x) - 1, x.mean(), stats.sem(x))
    np.testing.assert_allclose([value[0], low[0], high[0]], [x.mean(), *theirs], atol=1e-8)


def test_groups_go_as_a_whole_and_several_numbers_come_together():
    x = np.repeat([1.0, 2.0, 6.0], 4)
    seen = []

    def statistic(keep):
        seen.append(keep.sum())
        return x[keep].mean(), x[keep].max()

    value, low, high = jackknife(statistic, np.repeat(["a", "b", "c"], 4))
    assert seen == [12, 8, 8, 8]
    assert value.shape == low.shape == high.shape == (2,)
    by_person = stats.t.interval(0.95, 2, 3.0, stats.sem([1.0, 2.0, 6.0]))
    np.testing.assert_allclose([low[0], high[0]], by_person)


def test_it_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(20), 5)
    inside = 0
    for _ in range(300):
        x = rng.normal(size=100) + rng.normal(size=20)[people]  # clips of one person go together
        _, low, high = jackknife(lambda keep, x=x: x[keep].mean(), people)
        inside += low[0] < 0 < high[0]
    assert 0.91 < inside / 300 < 0.985


def test_bad_arguments():
    with pytest.raises(ValueError, match="at least two, got 1"):
        jackknife(lambda keep: 0.0, np.zeros(5))
    with pytest.raises(ValueError, match="level"):
        jackknife(lambda keep: 0.0, np.arange(5), level=1)
