"""From a decoded frame to what a player shows: in square pixels, turned and mirrored."""

from __future__ import annotations

from typing import Final

import av
import numpy as np
from av.video.reformatter import VideoReformatter

MAX_PIXELS = 8192 * 8192
MAX_SIDE = 16384
"""Largest frame that is decoded; a header that claims more is taken for damage."""

SQUARE: Final = 0.005
"""Pixels whose sides differ by less than this share are square: headers round."""


def plausible(width: int, height: int) -> bool:
    """Whether frames of that size are decoded."""
    return (
        min(width, height) > 0 and max(width, height) <= MAX_SIDE and width * height <= MAX_PIXELS
    )


def picture(frame: av.VideoFrame, film: av.VideoStream, converter: VideoReformatter) -> np.ndarray:
    """Return a frame as a player shows it: (H, W, 3) uint8 RGB.

    Args:
        frame: as decoded.
        film: its stream; what the container says of pixels goes before what the codec says.
        converter: kept from frame to frame.
    """
    width, height = frame.width, frame.height
    told = film.sample_aspect_ratio, film.codec_context.sample_aspect_ratio
    if film.container.format.name in ("mpegts", "mpeg"):
        told = told[::-1]  # broadcasts change between 4:3 and 16:9, and only the codec tells
    aspect = told[0] or told[1] or 1
    if abs(aspect - 1) > SQUARE and 1 / 16 < aspect < 16:  # others are damage
        # only ever enlarge, so that no detail is lost
        width, height = round(width * max(aspect, 1)), round(height / min(aspect, 1))
        if not plausible(width, height):
            width, height = frame.width, frame.height
    image = converter.reformat(frame, width, height, format="rgb24").to_ndarray()
    return upright(image, _matrix(frame))


def upright(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Turn and mirror a picture (H, W, ...) as a display matrix says.

    Args:
        image: the stored picture.
        matrix: (2, 2), the linear part: a stored point (x, y) is shown at (x, y) @ matrix.
            The nearest of the eight orientations is taken.
    """
    (a, b), (c, d) = matrix.tolist()
    if abs(a) + abs(d) < abs(b) + abs(c):
        image, a, d = image.swapaxes(0, 1), c, b
    if a < 0:
        image = image[:, ::-1]
    if d < 0:
        image = image[::-1]
    return np.ascontiguousarray(image)


def _matrix(frame: av.VideoFrame) -> np.ndarray:
    """The linear part (2, 2) of a frame's display matrix."""
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
        if data is None:
            return np.eye(2)
        return np.frombuffer(data, np.int32).reshape(3, 3)[:2, :2].astype(float)
    except ValueError:  # PyAV stumbles over side data that it does not know; this it tells apart
        turn = np.deg2rad(frame.rotation)
        return np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
