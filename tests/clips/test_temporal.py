"""Temporal normalisation against the published steps, plain loops and its own invariants."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from ecstfl.clips import temporal


def tim_transcribed(frames, length):
    """Zhou et al. 2011 step by step with a thin SVD, loops and no shortcut: the oracle."""
    n = len(frames)
    x = np.stack([np.ravel(f).astype(float) for f in frames], axis=1)  # (d, n)
    mean = x.mean(axis=1, keepdims=True)
    u, s, vt = np.linalg.svd(x - mean, full_matrices=False)
    u, s, vt = u[:, : n - 1], s[: n - 1], vt[: n - 1]
    y = np.diag(s) @ vt
    laplacian = np.zeros((n, n))
    for i in range(n - 1):
        laplacian[i, i] += 1
        laplacian[i + 1, i + 1] += 1
        laplacian[i, i + 1] -= 1
        laplacian[i + 1, i] -= 1
    _, w = scipy.linalg.eigh(y @ laplacian @ y.T, y @ y.T)

    def curve(t):
        return np.array([np.sin(np.pi * k * t + np.pi * (n - k) / (2 * n)) for k in range(1, n)])

    m = (w.T @ y)[:, 0] / curve(1 / n)
    new = []
    for t in np.linspace(1 / n, 1, length):
        new.append(u @ np.linalg.inv(w.T) @ (m * curve(t)) + mean[:, 0])
    return np.stack(new).reshape(length, *frames.shape[1:])


@pytest.mark.parametrize("n", [2, 3, 5, 16, 24, 40])
@pytest.mark.parametrize("length", [2, 7, 16, 33])
def test_tim_is_the_published_method(n, length):
    frames = np.random.default_rng(n).normal(size=(n, 9, 8))
    expected = tim_transcribed(frames, length)
    np.testing.assert_allclose(temporal.tim(frames, length), expected, atol=1e-9)
    np.testing.assert_allclose(temporal.tim_published(frames, length), expected, atol=1e-9)


def test_tim_of_real_pixel_values_is_the_published_method():
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 200, 20)[:, None, None, None]
    frames = (ramp + rng.integers(0, 55, (20, 12, 12, 3))).astype(np.uint8)
    error = temporal.tim(frames, 16) - tim_transcribed(frames, 16)
    assert np.abs(error).max() < 1e-8


@given(n=st.integers(1, 60), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_tim_n_to_n_returns_the_input(n, seed):
    frames = np.random.default_rng(seed).uniform(0, 255, (n, 5, 4))
    assert np.abs(temporal.tim(frames, n) - frames).max() < 1e-10 * 255


def test_tim_n_to_n_of_unit_range_is_exact_to_1e_10():
    frames = np.random.default_rng(1).uniform(-1, 1, (70, 100))
    assert np.abs(temporal.tim(frames, 70) - frames).max() < 1e-10


@given(n=st.integers(1, 50), length=st.integers(2, 50))
@settings(max_examples=60, deadline=None)
def test_tim_keeps_first_and_last_frame_and_the_mean_weight(n, length):
    matrix = temporal.tim_matrix(n, length)
    assert matrix.shape == (n, length)
    np.testing.assert_allclose(matrix.sum(0), 1, atol=1e-12)
    first, last = np.eye(n)[0], np.eye(n)[-1]
    np.testing.assert_allclose(matrix[:, 0], first, atol=1e-12)
    np.testing.assert_allclose(matrix[:, -1], last, atol=1e-12)
    # the path graph has no direction: time reversal commutes
    np.testing.assert_allclose(matrix[::-1, ::-1], matrix, atol=1e-11)


def test_tim_of_repeated_frames_is_the_limit_of_vanishing_noise():
    rng = np.random.default_rng(2)
    base = rng.normal(size=(6, 40))
    frames = base[[0, 0, 1, 2, 2, 2, 3, 4, 5, 5]]
    with pytest.raises(ValueError, match="independent"):
        temporal.tim_published(frames, 16)
    limit = temporal.tim(frames, 16)
    for noise in (1e-3, 1e-5):
        noisy = frames + noise * rng.normal(size=frames.shape)
        assert np.abs(temporal.tim_published(noisy, 16) - limit).max() < 20 * noise


def test_tim_of_equal_frames_is_that_frame():
    frames = np.full((9, 4, 4, 3), 77, np.uint8)
    np.testing.assert_allclose(temporal.tim(frames, 16), 77, atol=1e-11)
    assert (temporal.normalise_length(frames, 16) == 77).all()


@pytest.mark.parametrize("method", temporal.METHODS)
@pytest.mark.parametrize("n", [1, 2, 3, 15, 16, 17, 900])
@pytest.mark.parametrize("length", [1, 16])
def test_every_method_takes_any_number_of_frames(method, n, length):
    frames = np.random.default_rng(n).integers(0, 256, (n, 6, 5, 3), dtype=np.uint8)
    out = temporal.normalise_length(frames, length, method)
    assert out.shape == (length, 6, 5, 3)
    assert out.dtype == np.uint8
    again = temporal.normalise_length(frames.copy(), length, method)
    np.testing.assert_array_equal(out, again)
    if n == length:
        np.testing.assert_array_equal(out, frames)
    if n == 1:
        np.testing.assert_array_equal(out, np.repeat(frames, length, 0))


def test_interpolated_values_are_clipped_and_not_wrapped():
    frames = np.zeros((8, 2, 2, 3), np.uint8)
    frames[3:5] = 255  # the curve overshoots on both sides
    raw = temporal.tim(frames, 33)
    assert raw.min() < -1
    assert raw.max() > 256
    out = temporal.normalise_length(frames, 33)
    np.testing.assert_array_equal(out, np.clip(np.rint(raw), 0, 255))


@given(n=st.integers(1, 40), length=st.integers(2, 40))
@settings(max_examples=50, deadline=None)
def test_linear_is_numpy_interp(n, length):
    values = np.random.default_rng(n).normal(size=n)
    expected = np.interp(np.linspace(0, n - 1, length), np.arange(n), values)
    np.testing.assert_allclose(temporal.linear(values[:, None], length)[:, 0], expected, atol=1e-12)


@given(n=st.integers(1, 200), length=st.integers(1, 50))
@settings(max_examples=80, deadline=None)
def test_uniform_indices_are_even(n, length):
    index = temporal.uniform_indices(n, length)
    assert len(index) == length
    assert index.min() >= 0
    assert index.max() <= n - 1
    steps = np.diff(index)
    assert (steps >= 0).all()
    if length > 1:
        assert index[0] == 0
        assert index[-1] == n - 1
        assert steps.max() - steps.min() <= 1
    if n == length:
        np.testing.assert_array_equal(index, np.arange(n))


def test_change_indices_find_the_changes():
    frames = np.zeros((30, 4, 4, 3), np.uint8)
    for number, value in ((5, 40), (11, 90), (12, 200), (25, 10)):
        frames[number:] = value
    np.testing.assert_array_equal(temporal.change_indices(frames, 5), [0, 5, 11, 12, 25])
    # the three largest only: 25 (190), 12 (110), 11 (50)
    np.testing.assert_array_equal(temporal.change_indices(frames, 4), [0, 11, 12, 25])
    # a fall is as large as a rise of the same height although the dtype is unsigned
    falls = 255 - frames
    np.testing.assert_array_equal(temporal.change_indices(falls, 4), [0, 11, 12, 25])


def test_change_indices_prefer_the_earlier_of_equal_changes():
    frames = np.arange(20, dtype=np.uint8)[:, None] * np.ones((1, 9), np.uint8)
    np.testing.assert_array_equal(temporal.change_indices(frames, 4), [0, 1, 2, 3])


@given(n=st.integers(1, 120), segments=st.integers(1, 20), run=st.integers(1, 4))
@settings(max_examples=80, deadline=None)
def test_segments_stay_in_their_segment(n, segments, run):
    for rng in (None, np.random.default_rng(n)):
        index = temporal.segment_indices(n, segments, run, rng)
        assert index.shape == (segments * run,)
        assert index.min() >= 0
        assert index.max() <= n - 1
        if n >= segments * run:
            runs = index.reshape(segments, run)
            assert (np.diff(runs, axis=1) == 1).all()
            low = np.floor(np.arange(segments) * n / segments)
            high = np.ceil(np.arange(1, segments + 1) * n / segments)
            assert (runs[:, 0] >= low).all()
            assert (runs[:, -1] < high + 1).all()


def test_segments_are_random_in_training_and_the_middle_in_test():
    middle = temporal.segment_indices(80, 8)
    np.testing.assert_array_equal(middle, [4, 14, 24, 34, 44, 54, 64, 74])
    rng = np.random.default_rng(0)
    draws = np.stack([temporal.segment_indices(80, 8, rng=rng) for _ in range(2000)])
    for k in range(8):
        assert set(draws[:, k]) == set(range(10 * k, 10 * k + 10))  # every frame, no other
    np.testing.assert_allclose(draws.mean(0), np.arange(8) * 10 + 4.5, atol=0.4)


def test_errors_say_what_was_expected():
    for function in (temporal.tim, temporal.linear, temporal.change_indices):
        with pytest.raises(ValueError, match="at least 1 frame"):
            function(np.zeros((0, 4)), 16)
        with pytest.raises(ValueError, match="got 3 in and 0 out"):
            function(np.zeros((3, 4)), 0)
    with pytest.raises(ValueError, match="unknown method 'cubic'"):
        temporal.normalise_length(np.zeros((3, 4), np.uint8), 16, "cubic")
    with pytest.raises(ValueError, match="at least 2 frames"):
        temporal.tim_published(np.zeros((1, 4)), 16)


def test_shared_matrices_cannot_be_spoilt():
    with pytest.raises(ValueError, match="read-only"):
        temporal.tim_matrix(5, 7)[0, 0] = 3
