"""Frames and their times out of a film, or out of a folder of stills.

Data flow: **video** -> faces -> clips -> batches -> features -> metrics -> figures.

What comes out is what a player shows: upright (turned and mirrored as the file says), in square
pixels, the film and not its cover. Nothing is resampled to a constant rate (readers that do so
invent frames on variable-rate files), and neither the frame count nor the rate that a header
claims is believed: time is what the timestamps say.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ecstfl.errors import UserError
from ecstfl.video import container, stills
from ecstfl.video.files import is_image, reason


def read_frames(source: Path | str, problems: list[str] | None = None) -> Iterator[np.ndarray]:
    """Yield the frames of a video file, or of a folder of images in numeric order.

    Args:
        source: a video (or single image) file, or a folder of images.
        problems: when given, sentences about damage that did not stop the reading (skipped
            packets, an unreadable image among good ones, a file that is cut off) are appended.

    Yields:
        (H, W, 3) uint8 RGB; H and W may change within a source. 16-bit, grey and alpha
        content is converted to 8-bit RGB.

    Raises:
        UserError: the source is missing, unreadable, not a video, or has no decodable frame.
    """
    return (image for _, image in read_timed(source, problems))


def read_timed(
    source: Path | str, problems: list[str] | None = None
) -> Iterator[tuple[float | None, np.ndarray]]:
    """Yield (seconds, frame) like :func:`read_frames`.

    Seconds count from the first frame and never go back; ``None`` for a folder of images,
    which tells no time.
    """
    source = Path(source)
    notes = problems if problems is not None else []
    if _is_folder(source):
        return ((None, image) for image in stills.read_folder(source, notes))
    opened, film = container.open_film(source)
    if container.is_still(opened):
        opened.close()
        return _still(source, notes)
    return container.decode(opened, film, source, notes)


def _still(source: Path, notes: list[str]) -> Iterator[tuple[float, np.ndarray]]:
    if film := stills.read_animation(source, notes):
        yield from film
        return
    if not is_image(source):
        notes.append("a still picture by its content, whatever its name says")
    image = stills.read_still(source, notes)
    if image is None:
        raise UserError(f"cannot read {source}: no frame can be decoded")
    yield 0.0, image


def _is_folder(source: Path) -> bool:
    """False for a file with content."""
    try:
        status = source.stat()  # follows links; a link loop is an OSError here
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {source}: {reason(error)}") from error
    if stat.S_ISDIR(status.st_mode):
        return True
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"cannot read {source}: neither a file nor a folder")
    if status.st_size == 0:
        raise UserError(f"cannot read {source}: the file is empty")
    return False
