"""When frames are shown: what timestamps say, also where some are missing or begin anew."""

from __future__ import annotations

from typing import Final

import av

BACK: Final = 1.0
"""Seconds; timestamps that fall by more begin anew (joined recordings, a clock that wraps)."""

ASSUMED_RATE: Final = 25.0
"""Frames a second of a bare stream that holds neither timestamps nor a rate."""


class Clock:
    """Seconds from the first frame, out of timestamps that may be missing or begin anew."""

    def __init__(self, film: av.VideoStream) -> None:
        rate = film.average_rate or film.guessed_rate or 0
        self.gap = 1 / float(rate if 1 <= rate <= 1000 else ASSUMED_RATE)
        self._unit = float(film.time_base or 0)
        self._first: float | None = None
        self._last = -self.gap
        # AVI knows the order of decoding alone: when a frame is shown is FFmpeg's guess there
        self._trusted = film.container.format.name != "avi"
        self._told = False  # whether any frame told when it is shown

    def seconds(self, pts: int | None, dts: int | None) -> float:
        """Return when a frame is shown; call it once a frame, in order."""
        pts = pts if self._trusted else None
        self._told |= pts is not None
        stamp = dts if not self._told else pts  # never one and then the other
        follows = self._last + self.gap
        if stamp is None or not self._unit:
            self._last = follows
            return follows
        at = stamp * self._unit
        if self._first is None or at - self._first < self._last - BACK:
            self._first = at - follows
        self._last = max(self._last, at - self._first)
        return self._last
