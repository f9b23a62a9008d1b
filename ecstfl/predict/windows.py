"""Long videos as overlapping windows, each prepared by the function that made the training clips.

Data flow: video -> faces -> **clips (windows in time)** -> network -> probabilities over time.

Windows lie in seconds, by the timestamps of the frames: a pause in a recording is a pause, and a
changing frame rate changes how many frames a window holds, not how long it is. Memory is bounded
by one window, however long the video.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ecstfl.clips.config import PreprocessConfig
from ecstfl.clips.held_frames import HOLD_BYTES
from ecstfl.clips.preprocess import PreparedClip, preprocess_clip
from ecstfl.errors import UserError
from ecstfl.faces import align
from ecstfl.faces.detection import Detection, FaceBackend

ASSUMED_FRAME: Final = 1 / 25
"""Seconds that a single frame is shown."""

_JITTER: Final = 0.002
"""Seconds by which a container that counts in milliseconds may be off."""


@dataclass(frozen=True)
class WindowPlan:
    """Where windows lie, in seconds.

    Attributes:
        length: of a window, > 0.
        step: from one window to the next, > 0, no longer than a window.
        whole: a video of up to this length is one window, as the training clips were.
    """

    length: float
    step: float
    whole: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.step <= self.length:
            raise UserError(
                f"windows of {self.length:g} s every {self.step:g} s would skip frames: make the "
                "step longer than 0 and no longer than the window"
            )


@dataclass(frozen=True)
class Moment:
    """One frame, as far as windows need it.

    Attributes:
        start: seconds.
        shape: (H, W, 3) of the frame.
        face: in it.
        part: (y, x, pixels): the frame itself at (0, 0), or the part around the face; None where
            no face is seen.
    """

    start: float
    shape: tuple[int, int, int]
    face: Detection | None
    part: tuple[int, int, np.ndarray] | None

    @property
    def held_whole(self) -> int:
        """Bytes of the frame, when it is kept whole."""
        whole = self.part is not None and self.part[2].shape == self.shape
        return int(np.prod(self.shape)) if whole else 0

    def frame(self) -> np.ndarray:
        """Return the frame, black where it was not kept (which costs no memory)."""
        if self.part is None:
            return np.zeros((1, 1, 3), np.uint8)
        y, x, pixels = self.part
        if pixels.shape == self.shape:
            return pixels
        canvas = np.zeros(self.shape, np.uint8)
        canvas[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
        return canvas


@dataclass(frozen=True)
class RawWindow:
    """One window before alignment.

    Attributes:
        start, end: seconds.
        moments: its frames.
    """

    start: float
    end: float
    moments: tuple[Moment, ...]

    def prepare(self, config: PreprocessConfig, backend: FaceBackend | None) -> PreparedClip:
        """Give the frames to ``preprocess_clip``, with the faces already known."""
        config = replace(config, max_frames=max(config.max_frames, len(self.moments)))
        frames = (moment.frame() for moment in self.moments)
        if backend is None:
            return preprocess_clip(frames, config)
        found = [moment.face for moment in self.moments]
        return preprocess_clip(frames, config, _Replay(found, backend))


class _Replay:
    """Hands out faces that were found before, so that they are not looked for twice."""

    def __init__(self, found: list[Detection | None], backend: FaceBackend) -> None:
        self.name, self.scheme = backend.name, backend.scheme
        self._found = iter(found)

    def detect(self, rgb: np.ndarray) -> list[Detection]:
        face = next(self._found)
        return [] if face is None else [face]


class Windower:
    """Takes frames, each with its face, and gives windows as soon as they are complete.

    A frame belongs to a window if its middle lies in it. So a window of a constant rate holds
    ``round(length * rate)`` frames, also where a container rounds its timestamps.

    Args:
        config: how clips are prepared; the model's own.
        plan: where windows lie.
    """

    def __init__(self, config: PreprocessConfig, plan: WindowPlan) -> None:
        self._config, self._plan = config, plan
        self._held: deque[Moment] = deque()
        self._held_bytes = 0
        self._keep = self._next = 0.0  # start of the last window, and of the next
        self._whole = plan.whole > 0  # the video may still turn out short
        self._covered = -1.0  # start of the last frame that was in a window
        self._frame = 0.0  # the shortest time a frame was shown
        self.n_frames = 0

    @property
    def end(self) -> float:
        """Seconds at which the last frame ends."""
        return self._held[-1].start + self.shown if self._held else 0.0

    @property
    def shown(self) -> float:
        """Seconds a frame is shown, at least."""
        return self._frame or ASSUMED_FRAME

    def add(self, start: float, frame: np.ndarray, face: Detection | None) -> Iterator[RawWindow]:
        """Take the frame that is shown from ``start`` on; yield the windows that it completes.

        Where whole frames are taken for faces (``alignment="none"``), no face is needed.
        """
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise UserError(f"frames: expected (H, W, 3) uint8, got {frame.shape} {frame.dtype}")
        if self._held and start > self._held[-1].start:
            shown = start - self._held[-1].start
            self._frame = min(self._frame or shown, shown)
        if start + self._frame > self._plan.whole + _JITTER:
            self._whole = False
        if not self._whole:
            yield from self._complete(start)
        moment = self._moment(start, frame, face)
        self._held_bytes += moment.held_whole
        self._held.append(moment)
        self.n_frames += 1

    def finish(self) -> Iterator[RawWindow]:
        """Yield what is left at the end of the video: the whole of it, or its last window."""
        end = self.end
        if self._whole:
            yield from self._window(-1.0, end, end)
        else:
            yield from self._complete(end)
            if self._held and self._held[-1].start > self._covered:
                first = end - self._plan.length - min(self._frame, self._plan.step) / 2 - 1e-6
                yield from self._window(first, end, end)
        self._held.clear()

    def _complete(self, now: float) -> Iterator[RawWindow]:
        """Yield the windows that end before ``now``, where no frame is held yet."""
        length, half = self._plan.length, min(self._frame, self._plan.step) / 2 - 1e-6
        while self._held and now - self._next > length - half:
            limit = self._next + length - half
            after = next((m.start for m in self._held if m.start >= limit), now)
            last = max(m.start for m in self._held if m.start < limit)
            if last > self._covered:  # through a pause, nothing new is seen
                end = min(after, max(self._next + length, last + self._frame))
                yield from self._window(self._next, limit, end)
                self._covered = last
            step = self._next + self._plan.step - half - 2e-6
            later = (m.start for m in self._held if m.start > self._next and m.start >= step)
            self._keep, self._next = self._next, next(later, now)
            while self._held and self._held[0].start < self._keep:
                self._held_bytes -= self._held.popleft().held_whole

    def _window(self, first: float, limit: float, end: float) -> Iterator[RawWindow]:
        """Yield the window of the frames from ``first`` until before ``limit``, if one is seen."""
        inside = tuple(m for m in self._held if first <= m.start < limit)
        if any(moment.part is not None for moment in inside):
            yield RawWindow(inside[0].start, end, inside)

    def _moment(self, start: float, frame: np.ndarray, face: Detection | None) -> Moment:
        """Keep the frame whole while there is room, and then what the face in it needs."""
        part = None
        if face is not None or self._config.alignment == "none":
            part = 0, 0, frame
            if self._held_bytes + frame.nbytes > HOLD_BYTES:
                part = surroundings(frame, face, self._config)
        return Moment(start, frame.shape, face, part)


def frame_matrices(landmarks: np.ndarray, config: PreprocessConfig) -> np.ndarray:
    """Return frame to crop (k, 2, 3) for landmarks (k, 5 or 68, 2), one frame by itself."""
    kind = config.alignment if config.alignment in ("points5", "eyes") else "points5"
    return align.alignment_matrices(landmarks, config.size, config.margin, kind, config.shift)


def surroundings(
    frame: np.ndarray, face: Detection | None, config: PreprocessConfig
) -> tuple[int, int, np.ndarray]:
    """Return (y, x, a copy of the part of a frame that the crop may show).

    A quarter more on each side than the crop itself leaves room for smoothed landmarks.
    """
    if face is None or face.landmarks is None:
        return 0, 0, frame
    matrix = frame_matrices(face.landmarks[None], config)[0]
    if not np.isfinite(matrix).all() or align.scale_of(matrix) < 1e-3:
        return 0, 0, frame
    low, high = -0.25 * config.size, 1.25 * config.size
    corners = np.array([[low, low], [high, low], [high, high], [low, high]])
    there = align.transform_points(corners, align.invert(matrix))
    limit = np.array(frame.shape[1::-1])
    x1, y1 = np.clip(np.floor(there.min(0)) - 4, 0, limit - 1).astype(int).tolist()
    x2, y2 = np.clip(np.ceil(there.max(0)) + 4, [x1 + 1, y1 + 1], limit).astype(int).tolist()
    return y1, x1, frame[y1:y2, x1:x2].copy()
