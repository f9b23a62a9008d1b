"""Intervals and tests against enumeration, simulation and their special cases."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import accuracy_score, recall_score

from ecstfl.metrics.intervals import (
    bootstrap_interval,
    jackknife,
    mcnemar,
    people,
    sign_flip_test,
)


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
    interval = bootstrap_interval(
        labels, predictions, groups, metric, seeds=seeds, level=0.9, resamples=4000
    )
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.02)
    whole = (predictions == labels).mean()  # all classes have as many clips
    assert interval.value == pytest.approx(whole)


def test_seeds_that_disagree_widen_the_interval():
    labels, _, groups, seeds = sample(n_seeds=4, n_groups=12)
    rng = np.random.default_rng(0)
    luck = np.array([0.2, 0.8, 0.2, 0.8])[seeds]
    predictions = np.where(rng.random(len(labels)) < luck, labels, (labels + 1) % 7)
    nested = bootstrap_interval(labels, predictions, groups, "war", seeds=seeds)
    plain = bootstrap_interval(labels, predictions, groups, "war")
    assert nested.high - nested.low > 3 * (plain.high - plain.low)


def test_a_difference_of_a_method_to_itself_is_zero():
    labels, predictions, groups, seeds = sample(n_seeds=3)
    interval = bootstrap_interval(labels, predictions, groups, "uar", predictions, seeds=seeds)
    assert (interval.value, interval.low, interval.high) == (0, 0, 0)


def test_seeds_on_different_folds_are_fine():
    """A seed that never saw the drawn identities gives no score, and no crash."""
    labels, predictions, groups, seeds = sample(n_seeds=2, n_groups=2)
    chosen = groups == seeds
    part = (x[chosen] for x in (labels, predictions, groups))
    interval = bootstrap_interval(*part, "war", seeds=seeds[chosen], resamples=300)
    assert 0 <= interval.low <= interval.high <= 1


def unknown_people(n_seeds=2, clips=140):
    """The same clips under every seed, nobody knows of whom: (labels, predictions, clips)."""
    rng = np.random.default_rng(7)
    labels, clip = np.tile(np.arange(clips) % 7, n_seeds), np.tile(np.arange(clips), n_seeds)
    luck = rng.random(clips) < 0.6  # a hard clip is hard under every seed
    wrong = ~luck[clip] ^ (rng.random(len(clip)) < 0.05)
    names = np.array([f"clip{i}" for i in clip])
    return labels, np.where(wrong, (labels + 2) % 7, labels), names


def test_clips_of_nobody_known_are_not_one_person():
    """Once all clips without a group were one person, and the interval was of the seeds alone."""
    labels, predictions, clips = unknown_people()
    seeds = np.repeat([0, 1], 140)
    nobody = np.array([""] * 280)
    wanted = bootstrap_interval(labels, predictions, clips, "war", seeds=seeds)
    found = bootstrap_interval(labels, predictions, nobody, "war", seeds=seeds, clips=clips)
    # only the order in which people are drawn may differ
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=0.01)
    assert found.high - found.low > 0.12
    plain = bootstrap_interval(labels[:140], predictions[:140], nobody[:140], "war")
    assert found.high - found.low == pytest.approx(plain.high - plain.low, abs=0.03)


def test_a_clip_under_several_seeds_must_be_known_again():
    labels, predictions, _ = unknown_people()
    seeds = np.repeat([0, 1], 140)
    with pytest.raises(ValueError, match="without a group under several seeds: give clips"):
        bootstrap_interval(labels, predictions, np.array([""] * 280), "war", seeds=seeds)


def test_people_are_groups_or_clips():
    assert people(["a", "", "a", ""]).tolist() == ["a", "\x001", "a", "\x003"]
    known = people(np.array(["a", "", "a", ""]), np.array(["x", "y", "z", "y"]))
    assert len(np.unique(known)) == 2
    assert known[1] == known[3]
    assert people(known).tolist() == known.tolist()  # nobody is renamed twice
    assert people(np.array([3, 3, 1])).tolist() == ["3", "3", "1"]
    with pytest.raises(ValueError, match="one length"):
        people(["a", ""], ["x"])


def test_bad_arguments_are_refused():
    labels, predictions, groups, seeds = sample()
    with pytest.raises(ValueError, match="'uar' or 'war', got 'f1'"):
        bootstrap_interval(labels, predictions, groups, "f1", seeds=seeds)
    with pytest.raises(ValueError, match="one length"):
        bootstrap_interval(labels, predictions, groups, "war", seeds=seeds[:-1])
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


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(60):
        groups = np.repeat(np.arange(60), 5)
        skill = np.clip(rng.normal(0.6, 0.15, 60), 0, 1)[groups]  # faces differ: clusters matter
        labels = rng.integers(0, 7, 300)
        right = rng.random(300) < skill
        predictions = np.where(right, labels, (labels + 1) % 7)
        interval = bootstrap_interval(labels, predictions, groups, "war", resamples=300, seed=trial)
        assert interval.low <= interval.value <= interval.high
        covered += interval.low <= 0.6 <= interval.high
    assert covered >= 51  # 95 % of 60 is 57; fewer than 51 has a chance below 1 %


def test_paired_difference_of_a_model_with_itself_is_zero():
    rng = np.random.default_rng(1)
    labels, guess = rng.integers(0, 7, 100), rng.integers(0, 7, 100)
    groups = np.arange(100) // 4
    same = bootstrap_interval(labels, guess, groups, "uar", baseline=guess, resamples=100)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    better = bootstrap_interval(labels, labels, groups, "war", baseline=guess, resamples=100)
    assert better.low > 0
    assert better.value == pytest.approx(1 - np.mean(labels == guess))


def test_clips_without_an_identity_are_not_one_person():
    labels = np.arange(70) % 7
    guess = np.where(np.arange(70) % 3 == 0, (labels + 1) % 7, labels)
    unknown = bootstrap_interval(labels, guess, np.array([""] * 70), "war", resamples=200)
    alone = bootstrap_interval(labels, guess, np.arange(70), "war", resamples=200)
    assert unknown.high - unknown.low > 0.1
    assert unknown.high - unknown.low == pytest.approx(alone.high - alone.low, abs=0.05)


def test_mcnemar_counts_and_p():
    labels = np.zeros(20, int)
    first = np.array([1] * 10 + [0] * 10)
    second = np.array([0] * 9 + [1] + [0] * 8 + [1] * 2)
    only_first, only_second, p = mcnemar(labels, first, second)
    assert (only_first, only_second) == (2, 9)
    assert p == pytest.approx(2 * sum(_binomial(11, k) for k in range(3)) / 2**11)
    assert mcnemar(labels, first, first)[2] == 1.0


def _binomial(n, k):
    return 1 if k == 0 else _binomial(n, k - 1) * (n - k + 1) // k


@given(st.lists(st.floats(-100, 100), min_size=3, max_size=30, unique=True))
@settings(max_examples=30, deadline=None)
def test_for_a_mean_the_jackknife_is_students_interval(values):
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


def test_clips_of_nobody_known_are_left_out_one_by_one():
    x = np.array([1.0, 2.0, 6.0, 7.0])
    nobody = jackknife(lambda keep: x[keep].mean(), np.array(["", "", "", ""]))
    np.testing.assert_allclose(nobody, jackknife(lambda keep: x[keep].mean(), np.arange(4)))


def test_the_jackknife_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(20), 5)
    inside = 0
    for _ in range(300):
        x = rng.normal(size=100) + rng.normal(size=20)[people]  # clips of one person go together
        _, low, high = jackknife(lambda keep, x=x: x[keep].mean(), people)
        inside += low[0] < 0 < high[0]
    assert 0.91 < inside / 300 < 0.985


def test_the_jackknife_refuses_bad_arguments():
    with pytest.raises(ValueError, match="at least two, got 1"):
        jackknife(lambda keep: 0.0, np.zeros(5))
    with pytest.raises(ValueError, match="level"):
        jackknife(lambda keep: 0.0, np.arange(5), level=1)
