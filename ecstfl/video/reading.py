"""Frames out of videos: any file the FFmpeg libraries can read, or a folder of images.

Data flow: **video** -> faces -> clips -> batches -> features -> metrics -> figures.

Frames come as they are stored: nothing is resampled to a constant rate (readers that do so
invent frames on variable-rate files), the frame count a file claims is never believed, and
rotation metadata of phones is applied.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from ecstfl.errors import UserError
from ecstfl.video.files import IMAGE_SUFFIXES, frame_files, reason

MAX_PIXELS = 8192 * 8192
MAX_SIDE = 16384
"""Largest frame that is decoded; a header that claims more is taken for damage."""

MAX_DAMAGED_PACKETS = 1000
"""A stream with more undecodable packets than this is given up."""

DECODING_ERRORS = (av.FFmpegError, OSError, EOFError, ValueError, LookupError, RuntimeError)
"""What PyAV raises on damaged files (its errors do not all derive from OSError)."""

av.logging.set_level(av.logging.PANIC)  # the reasons are in the exceptions; stderr stays clean


def read_frames(source: Path | str, problems: list[str] | None = None) -> Iterator[np.ndarray]:
    """Yield the frames of a video file, or of a folder of images in numeric order.

    Args:
        source: a video (or single image) file, or a folder of images.
        problems: when given, sentences about damage that did not stop the reading
            (skipped packets, an unreadable image among good ones) are appended.

    Yields:
        (H, W, 3) uint8 RGB; H and W may change within a source. 16-bit, grey and alpha
        content is converted to 8-bit RGB. The stored rotation is applied.

    Raises:
        UserError: the source is missing, unreadable, not a video, or has no decodable frame.
    """
    source = Path(source)
    notes = problems if problems is not None else []
    try:
        mode = source.stat().st_mode  # follows links; a link loop is an OSError here
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {source}: {reason(error)}") from error
    if stat.S_ISDIR(mode):
        return _read_folder(source, notes)
    if not stat.S_ISREG(mode):
        raise UserError(f"cannot read {source}: neither a file nor a folder")
    if source.stat().st_size == 0:
        raise UserError(f"cannot read {source}: the file is empty")
    return _read_file(source, notes)


def _read_folder(folder: Path, notes: list[str]) -> Iterator[np.ndarray]:
    files = frame_files(folder)

    def frames() -> Iterator[np.ndarray]:
        read = 0
        for path in files:
            # imdecode and not imread: it takes non-ASCII names on every system
            try:
                data = np.frombuffer(path.read_bytes(), np.uint8)
                image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
            except (OSError, cv2.error):
                image = None
            if image is None or not _plausible(*image.shape[:2]):
                notes.append(f"image {path.name} cannot be decoded")
                continue
            read += 1
            yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        if not read:
            raise UserError(f"cannot read {folder}: none of its {len(files)} images can be decoded")

    return frames()


def _read_file(path: Path, notes: list[str]) -> Iterator[np.ndarray]:
    # An absolute path cannot be mistaken for a protocol, and the whitelist keeps a file that
    # is really a playlist from opening anything else.
    options = {"protocol_whitelist": "file"}
    try:
        container = av.open(os.path.abspath(path), options=options, metadata_errors="replace")
    except DECODING_ERRORS as error:
        raise UserError(f"cannot read {path}: {reason(error)}") from error
    if not container.streams.video:
        kind = "sound only" if container.streams.audio else "no picture in it"
        container.close()
        raise UserError(f"cannot read {path}: it has no video stream ({kind})")
    if container.streams.video[0].codec_context is None:
        container.close()
        raise UserError(f"cannot read {path}: there is no decoder for its video stream")
    if container.format.name.endswith("_pipe") and path.suffix.lower() not in IMAGE_SUFFIXES:
        notes.append("a still picture by its content, whatever its name says")
    return _decode(container, path, notes)


def _decode(
    container: av.container.InputContainer, path: Path, notes: list[str]
) -> Iterator[np.ndarray]:
    with contextlib.closing(container):
        stream = container.streams.video[0]
        width, height = stream.codec_context.width, stream.codec_context.height
        if not _plausible(max(width, 1), max(height, 1)):
            raise UserError(f"cannot read {path}: its header claims {width} x {height} pixels")
        stream.codec_context.thread_count = 1  # clips run side by side instead
        # One converter for the clip: making one per frame costs as much as converting.
        converter = VideoReformatter()
        read, damaged, last = 0, 0, ""
        for packet, error in _packets(container, stream):
            if packet is None:
                last, damaged = error, damaged + 1
                break
            try:
                frames = packet.decode()
            except DECODING_ERRORS as failure:
                last, damaged = reason(failure), damaged + 1
                if damaged > MAX_DAMAGED_PACKETS:
                    break
                continue
            for frame in frames:
                if not _plausible(frame.width, frame.height):
                    last, damaged = f"frame of {frame.width} x {frame.height}", damaged + 1
                    continue
                try:
                    image = converter.reformat(frame, format="rgb24").to_ndarray()
                except DECODING_ERRORS as failure:
                    last, damaged = reason(failure), damaged + 1
                    continue
                read += 1
                yield _upright(image, frame.rotation)
        if not read:
            why = last or "the stream holds no frame"
            raise UserError(f"cannot read {path}: no frame can be decoded ({why})")
        if damaged:
            notes.append(f"{damaged} damaged packets were skipped ({last})")


def _packets(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream
) -> Iterator[tuple[av.Packet | None, str]]:
    """Yield (packet, "") and, when the container itself breaks off, one (None, reason)."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except DECODING_ERRORS as error:
            yield None, reason(error)
            return
        yield packet, ""


def _plausible(width: int, height: int) -> bool:
    """Whether frames of that size are decoded."""
    return (
        min(width, height) > 0 and max(width, height) <= MAX_SIDE and width * height <= MAX_PIXELS
    )


def _upright(image: np.ndarray, rotation: int) -> np.ndarray:
    """Apply the display rotation (degrees counter-clockwise, multiples of 90)."""
    turns = round(rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
