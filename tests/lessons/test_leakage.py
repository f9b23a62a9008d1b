"""Leakage: counted against a plain loop, measured against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lessonkit.leakage import cross_validated, landmark_features, leaking, random_folds
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ecstfl.datasets.embedded import ClipTruth


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 3)), max_size=12))
def test_leaking_is_the_plain_loop(pairs):
    groups, folds = [g for g, _ in pairs], [f for _, f in pairs]
    wanted = [any(h == g and e != f for h, e in pairs) for g, f in pairs]
    assert leaking(groups, folds).tolist() == wanted


def test_leaking_wants_equal_lengths():
    with pytest.raises(ValueError, match="expected"):
        leaking(["a"], [1, 2])


def test_random_folds_are_even_and_cover_everyone():
    folds = random_folds(23, 5, np.random.default_rng(0))
    assert sorted(np.bincount(folds, minlength=6).tolist()) == [0, 4, 4, 5, 5, 5]
    assert folds.tolist() != sorted(folds.tolist())


def test_nearest_is_scikit_learns():
    rng = np.random.default_rng(1)
    labels, folds = rng.integers(0, 3, 60), rng.integers(1, 4, 60)
    features = rng.normal(size=(60, 5)) * [1, 10, 0.1, 1, 1] + labels[:, None]
    features[:, 4] = 7.0  # a feature without spread
    model = make_pipeline(StandardScaler(), KNeighborsClassifier(1))
    said = cross_val_predict(model, features, labels, groups=folds, cv=LeaveOneGroupOut())
    assert cross_validated(features, labels, folds) == (said == labels).mean()


@pytest.mark.parametrize("model", ["nearest", "linear"])
def test_own_fold_is_left_out(model):
    """Clips that only their own fold could explain are never right."""
    labels = np.repeat([0, 1], 10)
    features = labels[:, None] + np.zeros((20, 2))
    assert cross_validated(features, labels, np.tile([1, 2], 10), model) == 1
    assert cross_validated(features, labels, labels + 1, model) == 0


def test_bad_input():
    with pytest.raises(ValueError, match="nearest, linear"):
        cross_validated(np.zeros((2, 1)), np.zeros(2), np.array([1, 2]), "forest")
    with pytest.raises(ValueError, match="two or more folds"):
        cross_validated(np.zeros((2, 1)), np.zeros(2), np.array([1, 1]))
    with pytest.raises(ValueError, match="start < stop"):
        landmark_features({}, ["a"], 0.5, 0.5)


def truth_of(landmarks, visible):
    n = len(landmarks)
    return ClipTruth(
        units=np.zeros((n, 23), np.float32),
        landmarks=landmarks.astype(np.float32),
        landmarks_seen=np.ones(n, np.float32),
        box=np.zeros((n, 4), np.float32),
        pose=np.zeros((n, 3), np.float32),
        visible=visible,
    )


def test_features_do_not_see_place_size_or_angle_and_skip_frames_without_a_face():
    rng = np.random.default_rng(2)
    points = rng.normal(size=(1, 68, 2)) * 5 + 50
    points[:, 36:42, 0] -= 30
    points = np.repeat(points, 3, axis=0)
    points[1] += rng.normal(size=(68, 2))
    turn = 1.7 * np.array([[0.8, -0.6], [0.6, 0.8]])
    moved = points @ turn.T + [12, -3]
    visible = np.array([True, True, False])
    points[2] = moved[2] = 1e3  # where no face is visible
    truth = {"a": truth_of(points, visible), "b": truth_of(moved, visible)}
    a, b = landmark_features(truth, ["a", "b"], frames=3)
    np.testing.assert_allclose(a, b, atol=1e-4)
    frames = a.reshape(3, 68, 2)
    np.testing.assert_allclose(frames[:, 36:42].mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(frames[:, 42:48].mean(1), [[1, 0]] * 3, atol=1e-5)
    np.testing.assert_array_equal(frames[2], frames[1])  # the nearest visible one
    first = landmark_features(truth, ["a"], 0, 0.4, 1)
    np.testing.assert_array_equal(first[0], a[:136])
