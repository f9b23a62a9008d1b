"""What an alignment does to the motion of the mouth: how much it keeps, and what noise it adds.

An alignment fits every frame to a template. Where the mouth is part of the fit, the fit takes its
motion for motion of the head, and undoes some of it.
"""

from __future__ import annotations

import numpy as np

from ecstfl.faces import align

CORNERS_68 = (48, 54)
"""Image-left and image-right mouth corner of 68 points (rows 3 and 4 of five)."""

LIPS_68 = (62, 66)
"""Middle of the upper and of the lower lip, inner edge, of 68 points."""


def mouth_path(landmarks: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Return where the middle between the mouth corners lies in each crop.

    Args:
        landmarks: (n, 5, 2) or (n, 68, 2) pixels of the frames.
        matrices: (n, 2, 3), frame to crop.

    Returns:
        (n, 2) pixels of the crop.
    """
    return align.transform_points(align.points5(landmarks)[:, 3:], matrices).mean(axis=1)


def mouth_opening(landmarks: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Return the distance of the lips in each crop.

    Args:
        landmarks: (n, 68, 2) pixels of the frames.
        matrices: (n, 2, 3), frame to crop.

    Returns:
        (n,) pixels of the crop.
    """
    lips = align.transform_points(landmarks[:, LIPS_68], matrices)
    return np.linalg.norm(lips[:, 1] - lips[:, 0], axis=-1)


def travel(path: np.ndarray) -> float:
    """Return the mean distance of a path (n, 2) from its own mean: how far something moves."""
    return float(np.linalg.norm(path - path.mean(axis=0), axis=1).mean())


def kept_share(landmarks: np.ndarray, alignment: str = "points5") -> float:
    """Return the share of the mouth's motion that is left when each frame is fitted on its own.

    Args:
        landmarks: (2, 5, 2) or (2, 68, 2): before and after; the head stands still and the
            mouth moves.
        alignment: see :func:`ecstfl.faces.align.alignment_matrices`.

    Returns:
        Motion of the mouth's middle between the two crops, over the same with the fit of the
        first frame used for both; 1 when nothing is lost.

    Raises:
        ValueError: not two frames, or the mouth does not move.
    """
    landmarks = np.asarray(landmarks, np.float64)
    if len(landmarks) != 2:
        raise ValueError(f"expected two frames, before and after, got {len(landmarks)}")
    matrices = align.alignment_matrices(landmarks, alignment=alignment)
    own = mouth_path(landmarks, matrices)
    still = mouth_path(landmarks, matrices[[0, 0]])
    moved = np.linalg.norm(still[1] - still[0])
    if moved == 0:
        raise ValueError("the mouth does not move, so no share of its motion can be kept")
    return float(np.linalg.norm(own[1] - own[0]) / moved)


def noise_gain(
    points: np.ndarray, alignment: str = "points5", draws: int = 2000, seed: int = 0
) -> float:
    """Return how far noise on the landmarks throws the corners of a 112 x 112 crop.

    Args:
        points: (5, 2) or (68, 2): one face; it is brought to the crop's size first.
        alignment: see :func:`ecstfl.faces.align.alignment_matrices`.
        draws: noisy frames.
        seed: of the noise.

    Returns:
        Root-mean-square distance of the corners from their mean place, in pixels for each pixel
        of standard deviation (on both coordinates of every landmark).
    """
    points = np.asarray(points, np.float64)
    placed = align.transform_points(points, align.alignment_matrices(points[None])[0])
    noise = np.random.default_rng(seed).normal(size=(draws, *placed.shape))
    matrices = align.alignment_matrices(placed + noise, alignment=alignment)
    side = align.TEMPLATE_SIDE - 1
    corners = np.array([[0, 0], [side, 0], [side, side], [0, side]], np.float64)
    thrown = align.transform_points(corners, matrices)
    return float(np.sqrt(((thrown - thrown.mean(axis=0)) ** 2).sum(axis=-1).mean()))
