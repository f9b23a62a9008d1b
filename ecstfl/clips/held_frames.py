"""The frames of one video between detection and cropping: in memory, or read a second time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np

from ecstfl.errors import UserError
from ecstfl.video.reading import read_frames

HOLD_BYTES: Final = 384 * 2**20
"""Frames of one clip kept in memory between detection and cropping; longer clips are read twice."""


class HeldFrames:
    """The frames of one source, checked; those to be cut are held, or read a second time.

    Attributes:
        name: of the file without its ending; empty for frames.
        n_frames: read so far.
        problems: damage that was read over, in sentences.
    """

    def __init__(
        self, source: Path | str | np.ndarray | Iterable[np.ndarray], max_frames: int
    ) -> None:
        self._source, self._max_frames = source, max_frames
        self._from_file = isinstance(source, (str, Path))
        self.name = Path(source).stem if self._from_file else ""
        self.n_frames = 0
        self.problems: list[str] = []
        self._numbers: list[int] = []
        self._frames: list[np.ndarray] | None = []
        self._bytes = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        for number, frame in enumerate(self._read(self.problems)):
            if number >= self._max_frames:
                raise UserError(
                    f"{self._source if self._from_file else 'the clip'} has more than "
                    f"{self._max_frames} frames: cut it into clips, or raise max_frames "
                    "(--max-frames)"
                )
            if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
                raise UserError(
                    f"frames: expected (H, W, 3) uint8, got {frame.shape} {frame.dtype}"
                )
            self.n_frames = number + 1
            yield frame

    def _read(self, problems: list[str]) -> Iterable[np.ndarray]:
        return read_frames(self._source, problems) if self._from_file else self._source

    def hold(self, number: int, frame: np.ndarray) -> None:
        """Remember a frame that is to be cut."""
        self._numbers.append(number)
        self._bytes += frame.nbytes
        if self._from_file and self._bytes > HOLD_BYTES:
            self._frames = None  # too long to keep
        if self._frames is not None:
            self._frames.append(frame)

    def held(self) -> Iterator[np.ndarray]:
        """The frames that were to be remembered."""
        if self._frames is not None:
            return iter(self._frames)
        wanted = set(self._numbers)
        return (frame for number, frame in enumerate(self._read([])) if number in wanted)
