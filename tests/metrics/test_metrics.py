"""Metrics against scikit-learn and the published table."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from ecstfl.evaluation.published import PATENT_TABLE_1
from ecstfl.labels import DFEW_COUNTS
from ecstfl.metrics.clusters import cluster_measures
from ecstfl.metrics.intervals import bootstrap_interval
from ecstfl.metrics.recognition import confusion_matrix, recalls, uar, war

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


@pytest.mark.parametrize("wrong", [[1.9, 0.0], [0.5, 1.0]])
def test_a_confusion_matrix_does_not_cut_numbers(wrong):
    with pytest.raises(ValueError, match="whole numbers"):
        confusion_matrix(wrong, [0, 1])
    with pytest.raises(ValueError, match="whole numbers"):
        confusion_matrix([0, 1], wrong)
    assert confusion_matrix([1.0, 0.0], [1, 0]).trace() == 2
