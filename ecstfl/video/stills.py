"""Pictures: one still, or a folder of them in numeric order. EXIF turns and mirrors are applied."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ecstfl.errors import UserError
from ecstfl.video import container
from ecstfl.video.files import frame_files
from ecstfl.video.picture import plausible

# what cannot be decoded is named in a sentence; stderr stays clean
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def read_folder(folder: Path, notes: list[str]) -> Iterator[np.ndarray]:
    """Yield the images of a frame folder as (H, W, 3) uint8 RGB, upright.

    Raises:
        UserError: the folder cannot be listed, or none of its images can be decoded.
    """
    files = frame_files(folder)

    def frames() -> Iterator[np.ndarray]:
        read = 0
        for path in files:
            image = read_still(path, notes)
            if image is None:
                notes.append(f"image {path.name} cannot be decoded")
                continue
            read += 1
            yield image
        if not read:
            raise UserError(f"cannot read {folder}: none of its {len(files)} images can be decoded")

    return frames()


def read_still(path: Path, notes: list[str]) -> np.ndarray | None:
    """Return one picture, (H, W, 3) uint8 RGB, upright; None when it cannot be decoded."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    image = None
    if data and data[4:8] != b"ftyp":  # AVIF: OpenCV leaves it lying on its side
        try:
            # imdecode and not imread: it takes non-ASCII names on every system
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        except cv2.error:
            image = None
    if image is None:  # FFmpeg reads other kinds: floating point, for one
        try:
            image = next(container.first_picture(path))
        except (UserError, StopIteration):
            return None
    if not plausible(*image.shape[:2]):
        return None
    if _is_cut(data):
        notes.append(f"image {path.name} is cut off: part of it is missing")
    return image


def read_animation(path: Path, notes: list[str]) -> list[tuple[float, np.ndarray]]:
    """Return (seconds, picture) of an animated WebP, which FFmpeg cannot decode; [] for a still."""
    try:
        data = path.read_bytes()
        if not (data.startswith(b"RIFF") and data[8:12] == b"WEBP" and b"ANIM" in data[:64]):
            return []
        _, film = cv2.imdecodeanimation(np.frombuffer(data, np.uint8))
    except (OSError, cv2.error):
        return []
    if _is_cut(data):
        notes.append("cut off: part of the animation is missing")
    lasting = [*film.durations, *[0] * len(film.frames)]
    starts = np.cumsum([0, *lasting[: len(film.frames)]]) / 1000
    images = [np.ascontiguousarray(image[..., 2::-1]) for image in film.frames]
    return list(zip(starts.tolist(), images, strict=False))


def _is_cut(data: bytes) -> bool:
    """Whether a picture lacks its end; decoders fill what is missing with grey."""
    if data.startswith(b"\xff\xd8"):
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    if data.startswith(b"RIFF"):
        return int.from_bytes(data[4:8], "little") > len(data) - 8
    return data.startswith(b"\x89PNG") and data.rfind(b"IEND") < 0
