"""Height maps of the skin's furrows: fixed lines that expressions deepen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .geometry import TEX_BOTTOM, TEX_H, TEX_TOP, TEX_W, fractal_noise, load_head

_ROW0 = int((TEX_TOP - 8.25) / (TEX_TOP - TEX_BOTTOM) * TEX_H)
_ROW1 = int((TEX_TOP - 6.1) / (TEX_TOP - TEX_BOTTOM) * TEX_H)
_COL0 = int((-1.35 / (2 * np.pi) + 0.5) * TEX_W)
_COL1 = int((1.35 / (2 * np.pi) + 0.5) * TEX_W)
WINDOW = (slice(_ROW0, _ROW1), slice(_COL0, _COL1))
"""The part of the texture that holds the face."""

# name -> polylines in canonical (x, y) of the left half, with width and depth; mirrored
_LINES: dict[str, list[tuple[list[tuple[float, float]], float, float]]] = {
    "forehead": [
        (
            [(0.0, y), (0.15, y + 0.012), (0.30, y + 0.02), (0.45, y - 0.01), (0.52, y - 0.04)],
            0.011,
            1.0,
        )
        for y in (7.63, 7.72, 7.81, 7.90)
    ],
    "forehead_in": [
        ([(0.0, y + 0.01), (0.08, y + 0.012), (0.16, y), (0.22, y - 0.02)], 0.011, 1.0)
        for y in (7.60, 7.67, 7.74)
    ],
    "glabella": [
        ([(0.045, 7.38), (0.055, 7.46), (0.06, 7.56)], 0.012, 1.0),
        ([(0.10, 7.40), (0.105, 7.48), (0.10, 7.53)], 0.010, 0.6),
    ],
    "crow": [
        ([(0.485, 7.27), (0.55, 7.33), (0.60, 7.38)], 0.009, 1.0),
        ([(0.485, 7.27), (0.55, 7.28), (0.60, 7.29)], 0.009, 1.0),
        ([(0.485, 7.27), (0.55, 7.225), (0.60, 7.19)], 0.009, 1.0),
        ([(0.18, 7.20), (0.28, 7.15), (0.40, 7.165)], 0.012, 0.7),
    ],
    "nasolabial": [
        ([(0.155, 6.98), (0.215, 6.90), (0.275, 6.80), (0.32, 6.68), (0.335, 6.58)], 0.017, 1.0)
    ],
    "nose": [
        ([(0.0, 7.31), (0.05, 7.29), (0.09, 7.25)], 0.010, 1.0),
        ([(0.0, 7.25), (0.06, 7.22), (0.11, 7.16)], 0.010, 1.0),
        ([(0.10, 7.20), (0.13, 7.12), (0.15, 7.03)], 0.010, 1.0),
    ],
    "chin": [
        ([(0.0, 6.42), (0.07, 6.41), (0.13, 6.37)], 0.014, 1.0),
        ([(0.03, 6.33), (0.06, 6.30), (0.09, 6.32)], 0.014, 0.6),
    ],
    "marionette": [([(0.27, 6.59), (0.29, 6.50), (0.29, 6.42)], 0.013, 1.0)],
}


@dataclass(frozen=True)
class Relief:
    """Heights within :data:`WINDOW`: ``pores``, and ``lines`` by furrow (negative = furrow)."""

    pores: np.ndarray
    lines: dict[str, np.ndarray]


def _furrow(
    x: np.ndarray, y: np.ndarray, line: list[tuple[float, float]], width: float
) -> np.ndarray:
    p = np.array(line, np.float32)
    best, along = np.full(x.shape, 9, np.float32), np.zeros(x.shape, np.float32)
    for i in range(len(p) - 1):
        a, ab = p[i], p[i + 1] - p[i]
        t = np.clip(((x - a[0]) * ab[0] + (y - a[1]) * ab[1]) / (ab @ ab), 0, 1)
        distance = np.hypot(x - a[0] - t * ab[0], y - a[1] - t * ab[1])
        closer = distance < best
        best[closer], along[closer] = distance[closer], ((i + t) / (len(p) - 1))[closer]
    taper = np.sin(np.pi * np.clip(along, 0.03, 0.97)) ** 0.6
    groove = -np.exp(-((best / width) ** 2))
    rim = 0.4 * np.exp(-(((best - 2.1 * width) / (1.3 * width)) ** 2))
    return (groove + rim) * taper


@lru_cache(maxsize=1)
def load_relief() -> Relief:
    """Compute the furrow maps (about half a second, once a process)."""
    head = load_head()
    xyz = head.texel_xyz[WINDOW]
    front = ((xyz[..., 2] > 0.75) & head.texel_ok[WINDOW]).astype(np.float32)
    lines = {}
    for name, parts in _LINES.items():
        total = np.zeros(front.shape, np.float32)
        for line, width, depth in parts:
            for sign in (1, -1):
                total += depth * _furrow(sign * xyz[..., 0], xyz[..., 1], line, width)
        centre = np.abs(xyz[..., 0]) < 1e-6
        total[centre] *= 0.5  # both halves meet on the midline
        lines[name] = np.ascontiguousarray(np.clip(total, -1.3, 0.5) * front, dtype=np.float32)
    rng = np.random.default_rng(7)
    shape = (TEX_H, TEX_W)
    pores = 0.03 * fractal_noise(rng, shape, 330, 2) + 0.015 * fractal_noise(rng, shape, 140, 2)
    return Relief(pores=np.ascontiguousarray(pores[WINDOW], dtype=np.float32), lines=lines)
