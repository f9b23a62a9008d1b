"""What was seen in a video: the whole of it, its windows over time, and for each person."""

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
    """What was seen of one person in one stretch of a video.

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
    """Where one person's face was, for drawing: k frames.

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
class Person:
    """One person of one video.

    Attributes:
        number: 0 is the main person.
        total: the whole video (or the time this person was in it); its probabilities are those
            of the single window, or the mean over windows weighted by their frames with a face.
        windows: over time, in order; stretches without a face have none.
        track: present when asked for.
    """

    number: int
    total: Window
    windows: tuple[Window, ...]
    track: Track | None = field(default=None, compare=False, repr=False)

    def segments(self, duration: float) -> list[Segment]:
        """Return the video from 0 to ``duration`` as (start, end, window) without overlap.

        Each moment goes to the window whose middle is nearest; where no window reaches, and
        between people, the window is ``None`` (no face).
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
        if duration > at + 1e-6:
            parts.append((at, duration, None))
        return parts


@dataclass(frozen=True)
class Prediction:
    """What was seen in one video.

    Attributes:
        source: the video; ``frames`` for frames from memory.
        duration: seconds, by the timestamps of the frames.
        frames: frames read.
        people: the main person first; one unless every face was asked for; at least one.
        calibrated: whether probabilities were fitted on clips unseen in training.
        synthetic: whether the model was trained on rendered faces.
        problems: what a reader of the answer must know: damage that was read over, a file that
            is cut off, an assumed frame rate, a clip that the model was trained on.
    """

    source: Path
    duration: float
    frames: int
    people: tuple[Person, ...]
    calibrated: bool = False
    synthetic: bool = True
    problems: tuple[str, ...] = ()

    @property
    def fps(self) -> float:
        """Frames a second, in the mean."""
        return self.frames / self.duration

    @property
    def main(self) -> Person:
        """The main person."""
        return self.people[0]

    @property
    def windows(self) -> tuple[Window, ...]:
        """The main person over time."""
        return self.main.windows

    @property
    def probabilities(self) -> tuple[float, ...]:
        """(7,) of the main person over the whole video."""
        return self.main.total.probabilities

    @property
    def label(self) -> int:
        """The most probable class, 0..6."""
        return self.main.total.label

    @property
    def expression(self) -> str:
        """Name of the most probable class."""
        return self.main.total.expression

    @property
    def outcome(self) -> str:
        """The most probable class, or "uncertain"."""
        return self.main.total.outcome

    @property
    def coverage(self) -> float:
        """Share of the video's frames that show the main person's face, in [0, 1]."""
        return self.main.total.coverage

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: everything but the tracks."""
        return {
            "source": str(self.source),
            "expression": self.expression,
            "outcome": self.outcome,
            "probabilities": dict(zip(CLASSES, self.probabilities, strict=True)),
            "coverage": self.coverage,
            "duration": self.duration,
            "frames": self.frames,
            "fps": self.fps,
            "calibrated": self.calibrated,
            "synthetic": self.synthetic,
            "problems": list(self.problems),
            "people": [
                {
                    "number": person.number,
                    "total": person.total.as_dict(),
                    "windows": [window.as_dict() for window in person.windows],
                }
                for person in self.people
            ],
        }
