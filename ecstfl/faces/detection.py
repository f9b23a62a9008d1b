"""What every detector gives, and what it must offer: one small interface.

Backends (which one ran is written into every report; none is ever exchanged silently):

* ``retinaface`` (default): :class:`ecstfl.faces.retinaface.RetinaFace`, five points.
* ``face_alignment`` (extra ``landmarks68``): 68 points in boxes that RetinaFace found:
  :mod:`ecstfl.faces.landmarks68`.
* ``landmarks``: files made elsewhere: :mod:`ecstfl.faces.landmark_files`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from ecstfl.faces import align

BACKENDS: Final = ("retinaface", "face_alignment", "landmarks")

MIN_SIDE: Final = 8
"""Frames with a shorter side than this (pixels) hold no face that could be found."""


@dataclass(frozen=True)
class Detection:
    """One face in one frame.

    Attributes:
        bbox: (4,) float32, x1 y1 x2 y2 in pixels of the frame; may leave the frame.
        score: confidence, 0..1.
        landmarks: (5, 2) or (68, 2) float32 pixels; ``None`` when the backend gives boxes only.
        scheme: ``points5`` (image-left eye, image-right eye, nose, mouth corners) or ``ibug68``.
        backend: name of the backend that found it.
    """

    bbox: np.ndarray
    score: float
    landmarks: np.ndarray | None = None
    scheme: str | None = None
    backend: str = ""

    @property
    def points5(self) -> np.ndarray | None:
        """(5, 2): both eyes, nose, both mouth corners."""
        return None if self.landmarks is None else align.points5(self.landmarks)

    @property
    def area(self) -> float:
        """Of the box, square pixels."""
        width, height = self.bbox[2:] - self.bbox[:2]
        return float(max(width, 0) * max(height, 0))


class FaceBackend(Protocol):
    """What finds faces in one frame."""

    name: str
    scheme: str

    def detect(self, rgb: np.ndarray) -> list[Detection]:
        """Return the faces of (H, W, 3) uint8 RGB, best score first; [] for none."""
        ...


def overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of (4,) with (n, 4) boxes x1 y1 x2 y2: (n,), 0..1."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    areas = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(1)
    union = np.clip(box[2:] - box[:2], 0, None).prod() + areas - shared
    return shared / np.maximum(union, 1e-9)
