"""What was seen in a video: the whole of it, and its windows over time."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from ecstfl.labels import CLASSES

UNCERTAIN: Final = "uncertain"

Segment = tuple[float, float, "Window | None"]
"""(start, end, what was seen); ``None`` for no face."""


@dataclass(frozen=True)
class Window:
    """What was seen in one stretch of a video.

    Attributes:
        start, end: seconds from the start of the video.
        frames: frames of the video in it.
        faces: frames among them that show the face, at least 1.
        probabilities: (7,) in [0, 1], sum 1, in the order of ``CLASSES``.
        outcome: name of the most probable class, or "uncertain".
        why: when uncertain, the reason; otherwise empty.
    """

    start: float
    end: float
    frames: int
    faces: int
    probabilities: tuple[float, ...]
    outcome: str
    why: str = ""

    @property
    def label(self) -> int:
        """The most probable class, 0..6."""
        return int(np.argmax(self.probabilities))

    @property
    def expression(self) -> str:
        """Name of the most probable class, however improbable."""
        return CLASSES[self.label]

    @property
    def coverage(self) -> float:
        """Share of the frames that show the face, in [0, 1]."""
        return self.faces / max(1, self.frames)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "start": self.start,
            "end": self.end,
            "outcome": self.outcome,
            "why": self.why,
            "expression": self.expression,
            "probabilities": dict(zip(CLASSES, self.probabilities, strict=True)),
            "coverage": self.coverage,
            "frames": self.frames,
            "faces": self.faces,
        }


@dataclass(frozen=True)
class Track:
    """Where the face was, for drawing: k frames.

    Attributes:
        numbers: (k,) int64 frame numbers, ascending.
        boxes: (k, 4) float32 x1 y1 x2 y2, pixels.
        points: (k, 5, 2) float32 pixels: eyes, nose, mouth corners.
    """

    numbers: np.ndarray
    boxes: np.ndarray
    points: np.ndarray

    @classmethod
    def of(cls, rows: list[tuple[int, np.ndarray, np.ndarray]]) -> Track:
        """Return the track of (number, box, five points) of each frame."""
        return cls(
            np.array([row[0] for row in rows], np.int64),
            np.array([row[1] for row in rows], np.float32).reshape(-1, 4),
            np.array([row[2] for row in rows], np.float32).reshape(-1, 5, 2),
        )


@dataclass(frozen=True)
class Prediction:
    """What was seen in one video.

    Attributes:
        source: the video; ``frames`` for frames from memory.
        duration: seconds, by the timestamps of the frames.
        frames: frames read.
        total: the whole video; its probabilities are those of the single window, or the mean over
            windows weighted by their frames with a face.
        windows: over time, in order; stretches without a face have none.
        track: present when asked for.
        calibrated: whether probabilities were fitted on clips unseen in training.
        synthetic: whether the model was trained on rendered faces.
        problems: what a reader of the answer must know: damage that was read over, a file that
            is cut off, an assumed frame rate, a clip that the model was trained on.
    """

    source: Path
    duration: float
    frames: int
    total: Window
    windows: tuple[Window, ...]
    track: Track | None = field(default=None, compare=False, repr=False)
    calibrated: bool = False
    synthetic: bool = True
    problems: tuple[str, ...] = ()

    @property
    def fps(self) -> float:
        """Frames a second, in the mean."""
        return self.frames / self.duration

    @property
    def probabilities(self) -> tuple[float, ...]:
        """(7,) over the whole video."""
        return self.total.probabilities

    @property
    def label(self) -> int:
        """The most probable class, 0..6."""
        return self.total.label

    @property
    def expression(self) -> str:
        """Name of the most probable class."""
        return self.total.expression

    @property
    def outcome(self) -> str:
        """The most probable class, or "uncertain"."""
        return self.total.outcome

    @property
    def coverage(self) -> float:
        """Share of the video's frames that show the face, in [0, 1]."""
        return self.total.coverage

    def segments(self) -> list[Segment]:
        """Return the video from its start to its end as (start, end, window) without overlap.

        Each moment goes to the window whose middle is nearest; where no window reaches, the window
        is ``None`` (no face).
        """
        parts: list[Segment] = []
        edges = [(a.start + a.end + b.start + b.end) / 4 for a, b in pairwise(self.windows)]
        at = 0.0
        for i, window in enumerate(self.windows):
            start = max(window.start, at, edges[i - 1] if i else 0.0)
            end = min(window.end, edges[i]) if i < len(edges) else window.end
            if end <= start + 1e-9:
                continue
            if start > at + 1e-6:
                parts.append((at, start, None))
                at = start
            parts.append((at, end, window))
            at = end
        if self.duration > at + 1e-6:
            parts.append((at, self.duration, None))
        return parts

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: everything but the track."""
        return {
            "source": str(self.source),
            "duration": self.duration,
            "frames": self.frames,
            "fps": self.fps,
            "calibrated": self.calibrated,
            "synthetic": self.synthetic,
            "problems": list(self.problems),
            **self.total.as_dict(),
            "windows": [window.as_dict() for window in self.windows],
        }
