"""Nested intervals and the sign-flip test against enumeration and against their special cases."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, recall_score

from ecstfl.metrics.intervals import nested_interval, sign_flip_test
from ecstfl.metrics.recognition import bootstrap_interval


def sample(n_seeds=2, n_groups=3, seed=0, right=0.5):
    """Two clips of each class, group and seed."""
    rng = np.random.default_rng(seed)
    grid = np.array(list(itertools.product(range(n_seeds), range(n_groups), range(7), range(2))))
    seeds, groups, labels = grid[:, 0], grid[:, 1], grid[:, 2]
    luck = right + 0.3 * (seeds % 2) - 0.1 * groups
    predictions = np.where(rng.random(len(labels)) < luck, labels, (labels + 3) % 7)
    return labels, predictions, groups, seeds


@pytest.mark.parametrize("metric", ["uar", "war"])
def test_the_interval_is_that_of_all_possible_draws(metric):
    """2 seeds and 3 groups: 4 x 27 equally likely draws, scored clip by clip."""
    labels, predictions, groups, seeds = sample()
    scores = []
    for drawn_seeds in itertools.product(range(2), repeat=2):
        for drawn_groups in itertools.product(range(3), repeat=3):
            chosen = np.concatenate(
                [
                    np.flatnonzero((seeds == s) & (groups == g))
                    for s in drawn_seeds
                    for g in drawn_groups
                ]
            )
            truth, said = labels[chosen], predictions[chosen]
            if metric == "war":
                scores.append(accuracy_score(truth, said))
            else:
                scores.append(recall_score(truth, said, labels=range(7), average="macro"))
    low, high = np.quantile(scores, [0.05, 0.95])
    interval = nested_interval(
        labels, predictions, groups, seeds, metric, level=0.9, resamples=4000
    )
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.02)
    whole = (predictions == labels).mean()  # all classes have as many clips
    assert interval.value == pytest.approx(whole)


def test_one_seed_is_the_plain_bootstrap():
    labels, predictions, groups, seeds = sample(n_seeds=1, n_groups=8)
    baseline = sample(n_seeds=1, n_groups=8, seed=5)[1]
    for other in (None, baseline):
        nested = nested_interval(labels, predictions, groups, seeds, "war", other, resamples=6000)
        plain = bootstrap_interval(labels, predictions, groups, "war", other, resamples=6000)
        assert nested.value == plain.value
        assert (nested.low, nested.high) == pytest.approx((plain.low, plain.high), abs=0.02)


def test_seeds_that_disagree_widen_the_interval():
    labels, _, groups, seeds = sample(n_seeds=4, n_groups=12)
    rng = np.random.default_rng(0)
    luck = np.array([0.2, 0.8, 0.2, 0.8])[seeds]
    predictions = np.where(rng.random(len(labels)) < luck, labels, (labels + 1) % 7)
    nested = nested_interval(labels, predictions, groups, seeds, "war")
    plain = bootstrap_interval(labels, predictions, groups, "war")
    assert nested.high - nested.low > 3 * (plain.high - plain.low)


def test_a_difference_of_a_method_to_itself_is_zero():
    labels, predictions, groups, seeds = sample(n_seeds=3)
    interval = nested_interval(labels, predictions, groups, seeds, "uar", predictions)
    assert (interval.value, interval.low, interval.high) == (0, 0, 0)


def test_seeds_on_different_folds_are_fine():
    """A seed that never saw the drawn identities gives no score, and no crash."""
    labels, predictions, groups, seeds = sample(n_seeds=2, n_groups=2)
    chosen = groups == seeds
    interval = nested_interval(
        *(x[chosen] for x in (labels, predictions, groups, seeds)), "war", resamples=300
    )
    assert 0 <= interval.low <= interval.high <= 1


def test_bad_arguments_are_refused():
    labels, predictions, groups, seeds = sample()
    with pytest.raises(ValueError, match="'uar' or 'war', got 'f1'"):
        nested_interval(labels, predictions, groups, seeds, "f1")
    with pytest.raises(ValueError, match="one length"):
        nested_interval(labels, predictions, groups, seeds[:-1], "war")
    for bad in ([], [float("nan")]):
        with pytest.raises(ValueError, match="finite differences"):
            sign_flip_test(bad)


def test_sign_flips_by_hand():
    assert sign_flip_test([1.0, 2.0, 3.0]) == 2 / 8  # only +++ and ---
    assert sign_flip_test([1.0, 1.0, -1.0]) == 1.0
    assert sign_flip_test([0.0, 0.0]) == 1.0
    assert sign_flip_test([5.0]) == 1.0
    assert sign_flip_test([0.1] * 10) == 2 / 1024


def test_sign_flips_drawn_agree_with_enumeration():
    values = np.random.default_rng(3).normal(0.3, 1, 17)
    signs = np.array(list(itertools.product((1, -1), repeat=17)))
    exact = (np.abs(signs @ values) >= abs(values.sum()) - 1e-9).mean()
    assert sign_flip_test(values) == pytest.approx(exact, abs=0.01)


def test_sign_flips_are_rarely_wrong_when_nothing_differs():
    rng = np.random.default_rng(4)
    ps = [sign_flip_test(rng.normal(0, 1, 8)) for _ in range(400)]
    assert np.mean(np.array(ps) <= 0.05) < 0.09
