"""Metrics against scikit-learn, the published table, and what an interval must do."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from ecstfl.evaluation.published import PATENT_TABLE_1
from ecstfl.labels import DFEW_COUNTS
from ecstfl.metrics.clusters import cluster_measures
from ecstfl.metrics.recognition import (
    bootstrap_interval,
    confusion_matrix,
    mcnemar,
    recalls,
    uar,
    war,
)

PAIRS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=60)


@given(PAIRS)
@settings(deadline=None)
def test_confusion_recalls_uar_war_are_scikit_learns(pairs):
    labels, predictions = np.array(pairs).T
    classes = list(range(7))
    confusion = confusion_matrix(labels, predictions)
    np.testing.assert_array_equal(
        confusion, reference.confusion_matrix(labels, predictions, labels=classes)
    )
    expected = reference.recall_score(
        labels, predictions, labels=classes, average=None, zero_division=np.nan
    )
    np.testing.assert_allclose(recalls(confusion), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # predicted classes that have no clip
        assert uar(confusion) == pytest.approx(
            reference.balanced_accuracy_score(labels, predictions)
        )
    assert war(confusion) == pytest.approx(reference.accuracy_score(labels, predictions))


def test_a_class_without_clips_has_no_recall_and_no_part_in_uar():
    """CREMA-D has no Surprise: a perfect model must reach 1, not 6/7."""
    labels = np.array([0, 1, 2, 3, 5, 6] * 4)
    perfect = confusion_matrix(labels, labels)
    assert np.isnan(recalls(perfect)[4])
    assert (np.delete(recalls(perfect), 4) == 1).all()
    assert uar(perfect) == war(perfect) == 1
    always_surprised = confusion_matrix(labels, np.full(24, 4))
    assert uar(always_surprised) == war(always_surprised) == 0
    groups = np.arange(24) // 6
    interval = bootstrap_interval(labels, labels, groups, "uar", resamples=50)
    assert (interval.low, interval.value, interval.high) == (1, 1, 1)


def test_no_clip_at_all_is_an_error():
    for metric in (uar, war):
        with pytest.raises(ValueError, match="at least one clip"):
            metric(np.zeros((7, 7), int))


@pytest.mark.parametrize("row", PATENT_TABLE_1, ids=lambda row: row.method)
def test_the_patents_rows_agree_with_themselves(row):
    """Recalls and class counts decode to integers, which give the printed UAR and WAR."""
    hits = [round(r / 100 * n) for r, n in zip(row.recalls, DFEW_COUNTS, strict=True)]
    for hit, recall, n in zip(hits, row.recalls, DFEW_COUNTS, strict=True):
        assert abs(100 * hit / n - recall) <= 0.005 + 1e-9
    confusion = np.diag(hits)
    for c, n in enumerate(DFEW_COUNTS):
        confusion[c, (c + 1) % 7] = n - hits[c]
    assert 100 * uar(confusion) == pytest.approx(row.uar, abs=0.006)
    assert 100 * war(confusion) == pytest.approx(row.war, abs=0.006)


@pytest.mark.parametrize(("labels", "predictions"), [([0, 7], [0, 0]), ([0], [0, 1]), ([0], [-1])])
def test_bad_labels_say_expected_and_got(labels, predictions):
    with pytest.raises(ValueError, match="expected"):
        confusion_matrix(labels, predictions)


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


def test_cluster_measures_see_clusters_and_only_clusters():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(7), 12)
    centres = 10 * rng.standard_normal((7, 8))
    tight = cluster_measures(centres[labels] + 0.1 * rng.standard_normal((84, 8)), labels)
    assert tight.purity == 1
    assert tight.within_between < 0.1
    assert tight.silhouette > 0.9
    noise = cluster_measures(rng.standard_normal((84, 8)), labels)
    assert noise.within_between == pytest.approx(1, abs=0.05)
    assert noise.purity < 0.3
    scaled = cluster_measures(1e-3 * rng.standard_normal((84, 8)), labels)
    assert scaled.within_between == pytest.approx(1, abs=0.05)


def test_cluster_purity_is_scikit_learns_neighbours():
    from sklearn.neighbors import NearestNeighbors

    rng = np.random.default_rng(2)
    features, labels = rng.standard_normal((50, 5)), rng.integers(0, 3, 50)
    nearest = NearestNeighbors(n_neighbors=6).fit(features).kneighbors(return_distance=False)
    expected = (labels[nearest] == labels[:, None]).mean()
    assert cluster_measures(features, labels, k=6).purity == pytest.approx(expected)


def test_cluster_measures_refuse_one_class():
    with pytest.raises(ValueError, match="two classes"):
        cluster_measures(np.zeros((20, 2)), np.zeros(20, int))
