"""Long videos as overlapping windows, each prepared by the function that made the training clips.

Data flow: video -> faces -> **clips (windows in time)** -> network -> probabilities over time.

Memory is bounded by one window, however long the video: of past frames only the surroundings of
each face are kept, and only as long as a window still needs them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from ecstfl.clips.config import PreprocessConfig
from ecstfl.clips.held_frames import HOLD_BYTES
from ecstfl.clips.preprocess import preprocess_clip
from ecstfl.errors import UserError
from ecstfl.faces import align
from ecstfl.faces.detection import Detection, FaceBackend, overlap
from ecstfl.faces.track import SAME_FACE, track

Faces = Mapping[int, Detection | None]
"""Person -> face of one frame. ``None``: the whole frame is the face (``alignment="none"``)."""

_BLANK: Final = np.zeros((1, 1, 3), np.uint8)


@dataclass(frozen=True)
class WindowPlan:
    """Where windows lie, in frames.

    Attributes:
        length: of a window, at least 1.
        step: from one window to the next, at least 1.
        whole: a video of up to this many frames is one window, as the training clips were.
    """

    length: int
    step: int
    whole: int = 0

    def __post_init__(self) -> None:
        if self.length < 1 or self.step < 1 or self.whole < 0:
            raise UserError(
                "windows need a length and a step of at least one frame, got "
                f"{self.length} and {self.step}"
            )
        if self.step > self.length:
            raise UserError(
                f"windows of {self.length} frames every {self.step} frames would skip frames: "
                "make the step no longer than the window"
            )

    @classmethod
    def from_seconds(cls, fps: float, window: float, step: float, whole: float) -> WindowPlan:
        """Return the plan for a frame rate; all times in seconds."""
        length = max(1, round(window * fps))
        return cls(length, min(length, max(1, round(step * fps))), int(whole * fps + 1e-6))


@dataclass(frozen=True)
class PreparedWindow:
    """One window of one person, ready for the network.

    Attributes:
        person: number of the person.
        first, end: frames [first, end) of the video.
        faces: frames among them in which the face was found, at least 1.
        frames: (T, S, S, 3) uint8.
    """

    person: int
    first: int
    end: int
    faces: int
    frames: np.ndarray


class _Replay:
    """Hands out faces that were found before, so that they are not looked for twice."""

    def __init__(self, found: Iterable[Detection | None], name: str, scheme: str) -> None:
        self.name, self.scheme = name, scheme
        self._found = iter(found)

    def detect(self, rgb: np.ndarray) -> list[Detection]:
        face = next(self._found)
        return [] if face is None else [face]


@dataclass(frozen=True)
class _Seen:
    """A face in a frame, with the pixels that its crop needs."""

    number: int
    pixels: np.ndarray  # (h, w, 3), the frame from ``corner`` on
    corner: np.ndarray  # (2,) x, y
    face: Detection | None


@dataclass(frozen=True)
class RawWindow:
    """One window of one person before alignment: holds all it needs, so any thread may prepare it.

    Attributes:
        person: number of the person.
        first, end: frames [first, end) of the video.
    """

    person: int
    first: int
    end: int
    _seen: tuple[_Seen, ...]
    _config: PreprocessConfig
    _name: str
    _scheme: str

    def prepare(self) -> PreparedWindow:
        """Give the window's frames to ``preprocess_clip``, with the faces already known."""
        low = np.min([e.corner for e in self._seen], axis=0)
        high = np.max([e.corner + e.pixels.shape[1::-1] for e in self._seen], axis=0)
        by_number = {e.number: e for e in self._seen}
        offset = low.astype(np.float32)
        whole_frames = self._config.alignment == "none"

        def frames() -> Iterator[np.ndarray]:
            for number in range(self.first, self.end):
                entry = by_number.get(number)
                if entry is not None:
                    yield _on_canvas(entry, low, high)
                elif not whole_frames:
                    yield _BLANK

        found = [
            None if (entry := by_number.get(number)) is None else _moved(entry.face, -offset)
            for number in range(self.first, self.end)
        ]
        backend = None if whole_frames else _Replay(found, self._name, self._scheme)
        clip = preprocess_clip(frames(), self._config, backend)
        return PreparedWindow(self.person, self.first, self.end, len(clip.kept), clip.frames)


@dataclass
class _Person:
    seen: deque[_Seen] = field(default_factory=deque)


def follow_main(
    frames: Iterable[np.ndarray], backend: FaceBackend | None, follow: bool = True
) -> Iterator[tuple[int, np.ndarray, Faces]]:
    """Yield (number, frame, {0: face}) with the face that :func:`ecstfl.faces.track.track` keeps.

    Without a backend the whole frame is the face.
    """
    if backend is None:
        for number, frame in enumerate(frames):
            yield number, frame, {0: None}
        return
    for number, frame, face in track(frames, backend, follow):
        usable = face is not None and _usable(face)
        yield number, frame, ({0: face} if usable else {})


def follow_all(
    frames: Iterable[np.ndarray], backend: FaceBackend, forget: int
) -> Iterator[tuple[int, np.ndarray, Faces]]:
    """Yield (number, frame, {person: face}) with every face, each with its person's number.

    A face belongs to the person whose last box it overlaps most (IoU > 0.2); one that overlaps
    none is a new person. Somebody who was away for more than ``forget`` frames, or who moved
    while away, gets a new number: nobody is recognised by their looks.
    """
    last: dict[int, tuple[int, np.ndarray]] = {}
    new = 0
    for number, frame in enumerate(frames):
        last = {k: v for k, v in last.items() if number - v[0] <= forget}
        found = [face for face in backend.detect(frame) if _usable(face)]
        pairs = []
        for person, (_, box) in last.items():
            if found:
                shared = overlap(box, np.stack([f.bbox for f in found]))
                pairs += [(-float(s), person, i) for i, s in enumerate(shared)]
        present: dict[int, Detection] = {}
        taken: set[int] = set()
        for negative, person, i in sorted(pairs):
            if -negative > SAME_FACE and person not in present and i not in taken:
                present[person] = found[i]
                taken.add(i)
        for i, face in enumerate(found):
            if i not in taken:
                present[new] = face
                new += 1
        for person, face in present.items():
            last[person] = (number, face.bbox)
        yield number, frame, present


class Windower:
    """Takes frames with their faces and gives windows as soon as they are complete.

    Args:
        config: how clips are prepared; the model's own.
        plan: where windows lie.
        backend: names the detector (for its landmark scheme); ``None`` with ``alignment="none"``.
    """

    def __init__(
        self, config: PreprocessConfig, plan: WindowPlan, backend: FaceBackend | None
    ) -> None:
        # the window bounds the length already
        self._config = replace(config, max_frames=max(config.max_frames, plan.length, plan.whole))
        self._plan = plan
        self._name = backend.name if backend is not None else "none"
        self._scheme = backend.scheme if backend is not None else ""
        self._people: dict[int, _Person] = {}
        self._start = 0  # of the next window
        self._held = 0  # bytes of whole frames
        self._whole = plan.whole > 0  # the video may still turn out short
        self.n_frames = 0

    def add(self, number: int, frame: np.ndarray, present: Faces) -> Iterator[RawWindow]:
        """Take one frame; yield the windows that it completes."""
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise UserError(f"frames: expected (H, W, 3) uint8, got {frame.shape} {frame.dtype}")
        self.n_frames = number + 1
        whole_frame = self._whole and self._held + frame.nbytes <= HOLD_BYTES
        if whole_frame and present:
            self._held += frame.nbytes
        for person, face in present.items():
            corner, pixels = np.zeros(2, int), frame
            if not whole_frame:
                corner, pixels = surroundings(frame, face, self._config)
            entry = _Seen(number, pixels, corner, face)
            self._people.setdefault(person, _Person()).seen.append(entry)
        if self._whole and self.n_frames > self._plan.whole:
            self._whole = False
            self._shrink()
        if not self._whole:
            while self._start + self._plan.length <= self.n_frames:
                yield from self._emit(self._start, self._start + self._plan.length)
                self._start += self._plan.step
                self._forget()

    def finish(self) -> Iterator[RawWindow]:
        """Yield what is left at the end of the video: the whole of it, or its last window."""
        n, length, step = self.n_frames, self._plan.length, self._plan.step
        if self._whole:
            yield from self._emit(0, n)
        elif self._start == 0 or self._start - step + length < n:
            yield from self._emit(max(0, n - length), n)
        self._people.clear()

    def _emit(self, first: int, end: int) -> Iterator[RawWindow]:
        for number in sorted(self._people):
            entries = [s for s in self._people[number].seen if first <= s.number < end]
            if entries:
                yield RawWindow(
                    number, first, end, tuple(entries), self._config, self._name, self._scheme
                )

    def _forget(self) -> None:
        """Drop what neither the next window nor the last one of the video can need."""
        keep = self._start - self._plan.step
        for number, person in list(self._people.items()):
            while person.seen and person.seen[0].number < keep:
                person.seen.popleft()
            if not person.seen:
                del self._people[number]

    def _shrink(self) -> None:
        """Keep of whole frames only the surroundings of the face."""
        for person in self._people.values():
            for i, entry in enumerate(person.seen):
                if not entry.corner.any():
                    corner, pixels = surroundings(entry.pixels, entry.face, self._config)
                    person.seen[i] = _Seen(entry.number, pixels, corner, entry.face)


def surroundings(
    frame: np.ndarray, face: Detection | None, config: PreprocessConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Return (corner (2,) x y, a copy of the part of a frame that the crop may show).

    A quarter more on each side than the crop itself leaves room for smoothed landmarks.
    """
    height, width = frame.shape[:2]
    whole = np.zeros(2, int), frame.copy()
    if face is None or face.landmarks is None:
        return whole
    kind = config.alignment if config.alignment in ("points5", "eyes") else "points5"
    matrix = align.alignment_matrices(
        face.landmarks[None], config.size, config.margin, kind, config.shift
    )[0]
    if not np.isfinite(matrix).all() or align.scale_of(matrix) < 1e-3:
        return whole
    s = config.size
    room = 0.25 * s
    corners = np.array([[-room, -room], [s + room, -room], [s + room, s + room], [-room, s + room]])
    there = align.transform_points(corners, align.invert(matrix))
    limit = np.array([width, height])
    low = np.clip(np.floor(there.min(0)) - 4, 0, limit - 1).astype(int)
    high = np.clip(np.ceil(there.max(0)) + 4, low + 1, limit).astype(int)
    return low, frame[low[1] : high[1], low[0] : high[0]].copy()


def _on_canvas(entry: _Seen, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The pixels at their place in the rectangle [low, high) of the frame, black around them."""
    width, height = (high - low).tolist()
    if entry.pixels.shape[:2] == (height, width):
        return entry.pixels
    canvas = np.zeros((height, width, 3), np.uint8)
    x, y = (entry.corner - low).tolist()
    h, w = entry.pixels.shape[:2]
    canvas[y : y + h, x : x + w] = entry.pixels
    return canvas


def _moved(face: Detection | None, by: np.ndarray) -> Detection | None:
    if face is None or not by.any():
        return face
    return replace(face, bbox=face.bbox + np.tile(by, 2), landmarks=face.landmarks + by)


def _usable(face: Detection) -> bool:
    return face.landmarks is not None and bool(np.isfinite(face.landmarks).all())
