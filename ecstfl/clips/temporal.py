"""Temporal normalisation: clips of any length to T frames (claim 2, step 2-4).

TIM, the time-interpolation method of Zhou, Zhao and Pietikainen (CVPR 2011), lays a smooth
curve through the frames and reads it at T equally spaced places. As published it takes a
singular value decomposition of the frames and a generalised eigenproblem
(:func:`tim_published`). Written out, almost all of that cancels:

    With r = n - 1 independent directions, W^T Y is a basis of the vectors orthogonal to 1, and
    the eigenvectors of the path graph's Laplacian there are the cosines
    f_k(i/n) = cos(pi k (i - 1/2) / n), k = 1..n-1. Their scales m drop out, for the centred
    frames are X = U W^-T diag(m) F with F F^T = (n/2) I. The new frame at t is therefore
    mean + X (2/n) F^T f(t): one fixed n x T matrix, the same for every clip of n frames
    (:func:`tim_matrix`): the inverse and forward halves of a cosine transform.

So :func:`tim` is one product. It needs no independence of the frames: for repeated frames it is
the limit of the published method under vanishing noise. The test suite holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np
from scipy.linalg import eigh

METHODS: Final = ("tim", "linear", "uniform", "change", "segments")
"""tim and linear interpolate; uniform, change and segments choose frames that exist."""


@lru_cache(maxsize=256)
def tim_matrix(n: int, length: int) -> np.ndarray:
    """Return the (n, length) float64 matrix A of TIM: new frames = old frames (d, n) @ A.

    The columns sum to 1. ``length == n`` gives the identity; ``length == 1`` reads the middle
    of the curve. The array is shared and read-only.

    Raises:
        ValueError: n or length below 1.
    """
    _check(n, length)
    t = np.linspace(1 / n, 1, length) if length > 1 else np.array([(1 / n + 1) / 2])
    k = np.arange(1, n)
    curve = _curve(t, n)  # (n - 1, length)
    at_frames = np.cos(np.pi * k[:, None] * (np.arange(1, n + 1) - 0.5) / n)  # (n - 1, n)
    matrix = 1 / n + (2 / n) * at_frames.T @ curve
    matrix.setflags(write=False)
    return matrix


@lru_cache(maxsize=256)
def linear_matrix(n: int, length: int) -> np.ndarray:
    """Return the (n, length) float64 matrix of linear interpolation (read-only).

    Raises:
        ValueError: n or length below 1.
    """
    _check(n, length)
    where = np.linspace(0, n - 1, length) if length > 1 else np.array([(n - 1) / 2])
    low = np.minimum(where.astype(int), max(n - 2, 0))
    share = where - low
    matrix = np.zeros((n, length))
    column = np.arange(length)
    matrix[low, column] += 1 - share
    matrix[np.minimum(low + 1, n - 1), column] += share
    matrix.setflags(write=False)
    return matrix


def tim(frames: np.ndarray, length: int) -> np.ndarray:
    """Interpolate frames to ``length`` frames with TIM.

    Args:
        frames: (n, ...) any real dtype, n >= 1.
        length: frames wanted, T.

    Returns:
        (T, ...) float64; the same frames to rounding error when T == n. Values may leave the
        input's range by a few percent (the curve overshoots as any cosine interpolation does).

    Raises:
        ValueError: no frames, or ``length`` below 1.
    """
    return _apply(tim_matrix(len(frames), length), frames)


def linear(frames: np.ndarray, length: int) -> np.ndarray:
    """Interpolate (n, ...) frames linearly in time: (T, ...) float64.

    Raises:
        ValueError: no frames, or ``length`` below 1.
    """
    return _apply(linear_matrix(len(frames), length), frames)


def tim_published(frames: np.ndarray, length: int) -> np.ndarray:
    """TIM step by step as published, through the n x n Gram matrix.

    For reading and for checking :func:`tim`; slower, and bound to independent frames.

    Args:
        frames: (n, ...) with n >= 2 and n - 1 linearly independent differences.
        length: frames wanted, T.

    Returns:
        (T, ...) float64.

    Raises:
        ValueError: fewer than two frames, or frames that depend on each other (repeated ones).
    """
    n = len(frames)
    _check(n, length)
    if n < 2:
        raise ValueError(f"TIM as published: expected at least 2 frames, got {n}")
    x = np.asarray(frames, np.float64).reshape(n, -1).T  # (d, n)
    mean = x.mean(1, keepdims=True)
    x = x - mean
    # X = U S V^T out of the Gram matrix X^T X = V S^2 V^T: d (the pixels) appears only in products
    power, v = np.linalg.eigh(x.T @ x)
    power, v = power[:0:-1], v[:, :0:-1]  # the n - 1 largest; the last belongs to the mean
    if power[-1] <= power[0] * n * np.finfo(np.float64).eps:
        raise ValueError(f"TIM as published: expected {n - 1} independent frames, some repeat")
    s = np.sqrt(power)
    u = x @ v / s  # (d, n - 1)
    y = s[:, None] * v.T  # (n - 1, n)
    path = np.eye(n, k=1) + np.eye(n, k=-1)
    laplacian = np.diag(path.sum(1)) - path
    # Y Y^T = S^2 is badly scaled; w = S^-1 q turns the pair into an ordinary symmetric problem
    q = eigh(v.T @ laplacian @ v)[1]
    w = q / s[:, None]
    m = (w.T @ y)[:, 0] / _curve(np.array([1 / n]), n)[:, 0]
    t = np.linspace(1 / n, 1, length) if length > 1 else np.array([(1 / n + 1) / 2])
    new = u @ np.linalg.solve(w.T, m[:, None] * _curve(t, n)) + mean
    return new.T.reshape(length, *np.shape(frames)[1:])


def uniform_indices(n: int, length: int) -> np.ndarray:
    """Return (T,) int64 indices equally spaced over n frames; frames repeat when n < T.

    Raises:
        ValueError: n or length below 1.
    """
    _check(n, length)
    if length == 1:
        return np.array([(n - 1) // 2])
    return np.floor(np.linspace(0, n - 1, length) + 0.5).astype(np.int64)


def change_indices(frames: np.ndarray, length: int) -> np.ndarray:
    """Return (T,) int64 indices of the first frame and of the T - 1 largest changes, in order.

    The change of a frame is the mean absolute difference to the one before; of equal changes
    the earlier counts. With n <= T frames all are taken and the spread is uniform.

    Raises:
        ValueError: no frames, or ``length`` below 1.
    """
    n = len(frames)
    _check(n, length)
    if n <= length:
        return uniform_indices(n, length)
    flat = np.asarray(frames).reshape(n, -1).astype(np.float32)
    change = np.abs(np.diff(flat, axis=0)).mean(1)
    order = np.argsort(-change, kind="stable")[: length - 1] + 1
    return np.sort(np.concatenate([[0], order])).astype(np.int64)


def segment_indices(
    n: int, segments: int, per_segment: int = 1, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Return (segments * per_segment,) int64 indices, TSN style.

    The clip is cut into equal segments; from each a run of ``per_segment`` frames is taken: at
    a random place with ``rng`` (training), in the middle without (test). Short clips repeat
    frames.

    Raises:
        ValueError: a count below 1.
    """
    _check(n, segments)
    _check(n, per_segment)
    span = n / segments
    room = np.maximum(span - per_segment, 0.0)
    place = rng.random(segments) if rng is not None else np.full(segments, 0.5)
    # the middle rounds down, so that a segment of two frames and one of one agree on the first
    start = np.floor(np.arange(segments) * span + place * (room + (rng is not None)) + 1e-9)
    run = start[:, None] + np.arange(per_segment)
    return np.clip(run, 0, n - 1).astype(np.int64).reshape(-1)


def normalise_length(frames: np.ndarray, length: int, method: str = "tim") -> np.ndarray:
    """Bring (n, ...) uint8 frames to (T, ...) uint8 with one of :data:`METHODS`.

    Interpolated values are rounded and clipped to 0..255.

    Raises:
        ValueError: no frames, or an unknown method.
    """
    if method == "tim" or method == "linear":
        interpolate: Callable[[np.ndarray, int], np.ndarray] = tim if method == "tim" else linear
        if len(frames) == length:
            return frames.copy()
        return np.clip(np.rint(interpolate(frames, length)), 0, 255).astype(np.uint8)
    if method == "uniform":
        return frames[uniform_indices(len(frames), length)]
    if method == "change":
        return frames[change_indices(frames, length)]
    if method == "segments":
        return frames[segment_indices(len(frames), length)]
    raise ValueError(f"unknown method {method!r}: expected one of {', '.join(METHODS)}")


def _curve(t: np.ndarray, n: int) -> np.ndarray:
    """f_k(t) = sin(pi k t + pi (n - k) / (2 n)), k = 1..n-1: (n - 1, len(t))."""
    k = np.arange(1, n)[:, None]
    return np.sin(np.pi * k * t + np.pi * (n - k) / (2 * n))


def _apply(matrix: np.ndarray, frames: np.ndarray) -> np.ndarray:
    frames = np.asarray(frames)
    flat = frames.reshape(len(frames), -1).astype(np.float64)
    return (matrix.T @ flat).reshape(-1, *frames.shape[1:])


def _check(n: int, length: int) -> None:
    if n < 1 or length < 1:
        raise ValueError(f"expected at least 1 frame in and 1 out, got {n} in and {length} out")
