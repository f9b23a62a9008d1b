"""Affine normalisation: every face to the same place, size and angle (claim 2, step 2-3).

Geometry
    The reference is the five-point template of ArcFace for a 112 x 112 crop (image-left eye,
    image-right eye, nose tip, image-left and image-right mouth corner). Three numbers place
    the crop on it:

    * ``size`` S: the crop is S x S pixels;
    * ``margin`` m: the crop shows (1 + m) times the side of the reference crop, about the
      same centre. 0 is the reference (forehead to just above the chin for most faces, ears cut
      off), 0.3 shows hair and ears, -0.25 comes closer;
    * ``shift`` s: the crop is moved down the face by s times the side of the reference crop.
      ``margin=-0.2, shift=0.12`` is a tight crop from the brows to the chin.

    A point p of the frame lands at ``M @ (p_x, p_y, 1)`` in the crop; pixel centres have whole
    coordinates in both. Left and right are always those of the image.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

ALIGNMENTS: Final = ("points5", "eyes", "rigid68", "none")
"""points5: all five points. eyes: the two eye centres. rigid68: nose and eye corners of 68
landmarks, fitted to the clip's own mean face. none: the frame scaled to fit (S x S), no face
looked at."""

TEMPLATE_SIDE: Final = 112
TEMPLATE_112: Final = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
"""(5, 2) float64, pixels of a 112 x 112 crop (ArcFace, Deng et al. 2019)."""

MIN_SPREAD: Final = 1.0
"""Pixels that the fitted points extend at least; less is no face but an unset value."""

MAX_COORDINATE: Final = 1e6
"""Pixels; larger coordinates are no place in a frame."""

RIGID_68: Final = (*range(27, 36), 36, 39, 42, 45)
"""Of the 68 points, those that the mouth and the lids do not move: nose and eye corners."""


def template(size: int = 112, margin: float = 0.0, shift: float = 0.0) -> np.ndarray:
    """Return the five reference points in a crop of ``size`` pixels: (5, 2) float64.

    Args:
        size: side of the crop in pixels.
        margin: the crop's side is (1 + margin) times the reference's; greater than -1.
        shift: the crop is moved down by this share of the reference's side.
    """
    centre = (TEMPLATE_SIDE - 1) / 2
    points = TEMPLATE_112 - [0.0, shift * TEMPLATE_SIDE]
    points = (points - centre) / (1 + margin) + centre
    return (points + 0.5) * (size / TEMPLATE_SIDE) - 0.5


def points5(landmarks: np.ndarray) -> np.ndarray:
    """Return the five points of (..., 5, 2) or (..., 68, 2) landmarks: (..., 5, 2).

    Raises:
        ValueError: neither 5 nor 68 points.
    """
    if landmarks.shape[-2:] == (5, 2):
        return landmarks
    if landmarks.shape[-2:] != (68, 2):
        raise ValueError(f"landmarks: expected (..., 5, 2) or (..., 68, 2), got {landmarks.shape}")
    left = landmarks[..., 36:42, :].mean(-2)
    right = landmarks[..., 42:48, :].mean(-2)
    return np.stack([left, right, *(landmarks[..., k, :] for k in (30, 48, 54))], axis=-2)


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least-squares similarity (rotation, one scale, translation; no mirroring).

    With points as complex numbers the map is z -> a z + b and a = <s, t> / <s, s> for centred
    points: Umeyama's solution (PAMI 1991) in the plane, without a singular value decomposition.

    Args:
        source: (..., K, 2) points.
        target: (..., K, 2) points, broadcast against ``source``.

    Returns:
        (..., 2, 3) float64. Where all source points coincide the scale is 0.

    Raises:
        ValueError: shapes that do not match, or fewer than two points.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if source.shape[-2:] != target.shape[-2:] or source.shape[-1] != 2 or source.shape[-2] < 2:
        raise ValueError(
            f"expected (..., K, 2) points twice with K >= 2, got {source.shape} and {target.shape}"
        )
    mean_s, mean_t = source.mean(-2), target.mean(-2)
    s, t = source - mean_s[..., None, :], target - mean_t[..., None, :]
    norm = (s**2).sum((-2, -1))
    norm = np.where(norm > 0, norm, np.inf)
    real = (s * t).sum((-2, -1)) / norm
    imag = (s[..., 0] * t[..., 1] - s[..., 1] * t[..., 0]).sum(-1) / norm
    linear = np.stack([np.stack([real, -imag], -1), np.stack([imag, real], -1)], -2)
    offset = mean_t - (linear @ mean_s[..., None])[..., 0]
    return np.concatenate([linear, offset[..., None]], axis=-1)


def smooth_landmarks(landmarks: np.ndarray, times: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian smoothing over time; gaps (dropped frames) count as time that passed.

    Args:
        landmarks: (n, K, 2) pixels.
        times: (n,) frame numbers of the source.
        sigma: standard deviation in frames; 0 returns the input.

    Returns:
        (n, K, 2) float64.
    """
    landmarks = np.asarray(landmarks, np.float64)
    if sigma <= 0 or len(landmarks) < 2:
        return landmarks
    gaps = (np.asarray(times, np.float64)[:, None] - np.asarray(times, np.float64)) / sigma
    weights = np.exp(-0.5 * gaps**2)
    weights /= weights.sum(1, keepdims=True)
    return np.einsum("ij,jkc->ikc", weights, landmarks)


def alignment_matrices(
    landmarks: np.ndarray,
    size: int = 112,
    margin: float = 0.0,
    alignment: str = "points5",
    shift: float = 0.0,
) -> np.ndarray:
    """Return the matrices that take the frames of one clip to their crops.

    Args:
        landmarks: (n, 5, 2) or (n, 68, 2), pixels of the frames.
        size, margin, shift: see the top of this module.
        alignment: ``points5``, ``eyes`` or ``rigid68`` (the last needs 68 points).

    Returns:
        (n, 2, 3) float64, frame to crop.

    Raises:
        ValueError: unknown alignment, or too few points for it.
    """
    landmarks = np.asarray(landmarks, np.float64)
    goal = template(size, margin, shift)
    if alignment == "points5":
        return similarity(points5(landmarks), goal)
    if alignment == "eyes":
        return similarity(points5(landmarks)[:, :2], goal[:2])
    if alignment == "rigid68":
        if landmarks.shape[-2] != 68:
            raise ValueError(f"rigid68: expected 68 landmarks, got {landmarks.shape[-2]}")
        return _rigid68(landmarks, goal)
    raise ValueError(f"unknown alignment {alignment!r}: expected one of {', '.join(ALIGNMENTS)}")


def _rigid68(landmarks: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Fit the points that do not move with the expression to the clip's own mean face.

    The five points of each frame bring it near the template; the mean over the clip of the
    rigid points there is the target of a second fit, over the rigid points alone. The mouth
    keeps its motion (only its mean over the clip enters) and thirteen points average the noise.
    """
    near = similarity(points5(landmarks), goal)
    there = transform_points(landmarks[:, RIGID_68], near)
    return similarity(landmarks[:, RIGID_68], there.mean(0))


def usable(landmarks: np.ndarray, alignment: str = "points5") -> bool:
    """Whether a similarity can be fitted to the landmarks of one frame.

    Programs write zeros or NaN where they found no face, and a fit to points that coincide
    cannot be inverted.

    Args:
        landmarks: (5, 2) or (68, 2) pixels.
        alignment: which of them are fitted, see :data:`ALIGNMENTS`.
    """
    if not np.isfinite(landmarks).all() or np.abs(landmarks).max() > MAX_COORDINATE:
        return False
    five = points5(landmarks)
    spread = np.ptp(five[:2] if alignment == "eyes" else five, axis=0).max()
    return bool(spread >= MIN_SPREAD)


def fit_matrix(height: int, width: int, size: int) -> np.ndarray:
    """Return the (2, 3) matrix that scales a whole frame into the middle of a S x S crop."""
    scale = size / max(height, width)
    offset = [(size - scale * width) / 2, (size - scale * height) / 2]
    # pixel centres: (p + 1/2) scale + offset - 1/2
    return np.array(
        [[scale, 0, offset[0] + (scale - 1) / 2], [0, scale, offset[1] + (scale - 1) / 2]]
    )


def transform_points(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Map (..., K, 2) points with (..., 2, 3) matrices."""
    return points @ np.swapaxes(matrix[..., :2], -1, -2) + matrix[..., None, :, 2]


def invert(matrix: np.ndarray) -> np.ndarray:
    """Return the inverse of (..., 2, 3) matrices: crop to frame."""
    linear = np.linalg.inv(matrix[..., :2])
    return np.concatenate([linear, -linear @ matrix[..., 2:]], axis=-1)


def scale_of(matrix: np.ndarray) -> np.ndarray:
    """Return the scale of (..., 2, 3) similarities: crop pixels per frame pixel."""
    return np.sqrt(np.abs(np.linalg.det(matrix[..., :2])))


def supersampling(matrices: np.ndarray, limit: int = 16) -> int:
    """Return by how much the crops of a clip must be drawn larger before they are averaged down.

    Bilinear sampling has no low-pass filter: shrinking a lot would alias. One factor for the
    whole clip (from its median scale), so that sharpness does not flicker from frame to frame.
    """
    scale = float(np.median(scale_of(matrices)))
    return int(np.clip(np.ceil(1 / max(scale, 1e-6) - 0.2), 1, limit))


def warp(frame: np.ndarray, matrix: np.ndarray, size: int, oversample: int = 1) -> np.ndarray:
    """Cut one crop out of a frame.

    Args:
        frame: (H, W, 3) uint8.
        matrix: (2, 3) frame to crop.
        size: side of the crop.
        oversample: the crop is drawn this many times larger, then averaged down.

    Returns:
        (size, size, 3) uint8; black where the crop leaves the frame.
    """
    if oversample > 1:
        matrix = matrix * oversample
        matrix[:, 2] += (oversample - 1) / 2  # pixel centres, not corners, are scaled
    side = size * oversample
    crop = cv2.warpAffine(frame, matrix, (side, side), flags=cv2.INTER_LINEAR)
    if oversample > 1:
        crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
    return crop


def warp_shrunk(frame: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Cut one crop out of a frame that is shrunk a lot: quick, a little softer than :func:`warp`.

    The surroundings of the crop are averaged down by a whole factor before they are sampled.
    What detectors look at needs no more.

    Args:
        frame: (H, W, 3) uint8.
        matrix: (2, 3) frame to crop.
        size: side of the crop.

    Returns:
        (size, size, 3) uint8; black where the crop leaves the frame.
    """
    shrink = int(1 / max(float(scale_of(matrix)), 1e-3))
    if shrink < 2:
        return cv2.warpAffine(frame, matrix, (size, size), flags=cv2.INTER_LINEAR)
    corners = np.array([[0, 0], [size, 0], [size, size], [0, size]]) - 0.5
    there = transform_points(corners, invert(matrix))
    limit = [frame.shape[1], frame.shape[0]]
    x0, y0 = np.clip(np.floor(there.min(0)) - shrink, 0, limit).astype(int)
    x1, y1 = np.clip(np.ceil(there.max(0)) + shrink, 0, limit).astype(int)
    width, height = (x1 - x0) // shrink, (y1 - y0) // shrink
    if min(width, height) < 1:
        return np.zeros((size, size, 3), np.uint8)
    part = frame[y0 : y0 + height * shrink, x0 : x0 + width * shrink]
    small = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
    # a pixel q of the small part is the point  corner + shrink q + (shrink - 1) / 2  of the frame
    corner = np.array([x0, y0]) + (shrink - 1) / 2
    moved = np.concatenate(
        [shrink * matrix[:, :2], (matrix[:, :2] @ corner + matrix[:, 2])[:, None]], axis=1
    )
    return cv2.warpAffine(small, moved, (size, size), flags=cv2.INTER_LINEAR)
