"""One face a frame: follow the face that was there before, else take the largest."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from ecstfl.faces import align
from ecstfl.faces.detection import Detection, FaceBackend, overlap

SAME_FACE: Final = 0.2
"""Boxes of two frames that overlap (IoU) by more than this show the same face."""


def same_face(detections: Sequence[Detection], last: Detection | None) -> Detection | None:
    """Return the face that overlaps the last one most, if by more than :data:`SAME_FACE`."""
    if not detections or last is None:
        return None
    shared = overlap(last.bbox, np.stack([d.bbox for d in detections]))
    return detections[int(shared.argmax())] if shared.max() > SAME_FACE else None


def choose(detections: Sequence[Detection], last: Detection | None) -> Detection | None:
    """Return the face that overlaps the last one (IoU > 0.2), else the largest; None for none."""
    return same_face(detections, last) or max(detections, key=lambda d: d.area, default=None)


@dataclass(frozen=True)
class View:
    """What is looked at while a face is followed.

    Attributes:
        matrix: (2, 3) similarity, frame to view.
        side: pixels of the square view.
    """

    matrix: np.ndarray
    side: int

    @classmethod
    def of(cls, points5: np.ndarray, side: int) -> View:
        """The view about a face: it fills most of the side, and is not enlarged.

        Args:
            points5: (5, 2) pixels of the frame.
            side: largest side of the view; a multiple of 32.
        """
        scale = float(align.scale_of(align.similarity(points5, _in_view(side))))
        if scale > 1:
            side = max(64, 32 * math.ceil(side / scale / 32))
        return cls(align.similarity(points5, _in_view(side)), side)

    def fits(self, points5: np.ndarray) -> bool:
        """Whether the face is still about where, as large and as upright as it was.

        The view stays as it is while this holds: the network samples on a grid, and a view
        that moved with the face would add its own trembling to the landmarks.
        """
        drift = align.similarity(align.transform_points(points5, self.matrix), _in_view(self.side))
        centre = align.transform_points(_in_view(self.side).mean(0)[None], drift)[0]
        moved = np.abs(centre - _in_view(self.side).mean(0)).max() / self.side
        turned = abs(math.degrees(math.atan2(drift[1, 0], drift[0, 0])))
        return moved < 0.08 and turned < 8 and 0.85 < align.scale_of(drift) < 1.18


@lru_cache(maxsize=16)
def _in_view(side: int) -> np.ndarray:
    """Where the five points of a followed face belong in its view."""
    return align.template(side, margin=0.3)


def track(
    frames: Iterable[np.ndarray], backend: FaceBackend, follow: bool = True
) -> Iterator[tuple[int, np.ndarray, Detection | None]]:
    """Yield (frame number, frame, face or None) with one face a frame.

    A face that leaves and comes back is followed again if it overlaps where it was last seen
    within the clip; after a cut between shots the largest face is taken.

    Args:
        frames: (H, W, 3) uint8 RGB.
        backend: finds the faces.
        follow: let a backend that can (``detect_in``) look at the last face's surroundings
            first; the whole frame is searched when no face there overlaps the last one.
    """
    look = getattr(backend, "detect_in", None) if follow else None
    last: Detection | None = None
    view: View | None = None
    for number, frame in enumerate(frames):
        face = None
        if look is not None and view is not None and last is not None:
            face = same_face(look(frame, view.matrix, view.side), last)
        if face is None:
            view = None
            face = choose(backend.detect(frame), last)
            if look is not None and face is not None and face.landmarks is not None:
                # once more in its view: as exact as the frames that follow
                view = View.of(face.points5, backend.near_side)
                face = same_face(look(frame, view.matrix, view.side), face) or face
        if face is not None:
            last = face
            if view is not None and not view.fits(face.points5):
                view = View.of(face.points5, backend.near_side)
        yield number, frame, face
