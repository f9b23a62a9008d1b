"""Whose face is whose: the main person of a video, or everybody in it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from ecstfl.faces.detection import Detection, FaceBackend, overlap
from ecstfl.faces.track import SAME_FACE, track
from ecstfl.predict.windows import Faces

Timed = Iterable[tuple[float, np.ndarray]]
"""Frames (H, W, 3) uint8 RGB with the second from which each is shown; the first is at 0."""


def follow_main(
    frames: Timed, backend: FaceBackend | None, follow: bool = True
) -> Iterator[tuple[float, np.ndarray, Faces]]:
    """Yield (start, frame, {0: face}) with the face that :func:`ecstfl.faces.track.track` keeps.

    Without a backend the whole frame is the face.
    """
    if backend is None:
        for start, frame in frames:
            yield start, frame, {0: None}
        return
    starts: deque[float] = deque()

    def pictures() -> Iterator[np.ndarray]:
        for start, frame in frames:
            starts.append(start)
            yield frame

    for _, frame, face in track(pictures(), backend, follow):
        usable = face is not None and _usable(face)
        yield starts.popleft(), frame, ({0: face} if usable else {})


def follow_all(
    frames: Timed, backend: FaceBackend, forget: float
) -> Iterator[tuple[float, np.ndarray, Faces]]:
    """Yield (start, frame, {person: face}) with every face, each with its person's number.

    A face belongs to the person whose last box it overlaps most (IoU > 0.2); one that overlaps
    none is a new person. Somebody who was away for more than ``forget`` seconds, or who moved
    while away, gets a new number: nobody is recognised by their looks.
    """
    last: dict[int, tuple[float, np.ndarray]] = {}
    new = 0
    for start, frame in frames:
        last = {who: seen for who, seen in last.items() if start - seen[0] <= forget + 1e-6}
        found = [face for face in backend.detect(frame) if _usable(face)]
        boxes = np.stack([face.bbox for face in found]) if found else np.zeros((0, 4))
        pairs = [
            (-float(shared), who, i)
            for who, (_, box) in last.items()
            for i, shared in enumerate(overlap(box, boxes))
        ]
        present: dict[int, Detection] = {}
        taken: set[int] = set()
        for negative, who, i in sorted(pairs):
            if -negative > SAME_FACE and who not in present and i not in taken:
                present[who] = found[i]
                taken.add(i)
        for i, face in enumerate(found):
            if i not in taken:
                present[new] = face
                new += 1
        last |= {who: (start, face.bbox) for who, face in present.items()}
        yield start, frame, present


def _usable(face: Detection) -> bool:
    return face.landmarks is not None and bool(np.isfinite(face.landmarks).all())
