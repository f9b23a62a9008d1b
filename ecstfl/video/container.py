"""The engine behind :mod:`ecstfl.video.reading`: films, through the FFmpeg libraries (PyAV)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.stream import Disposition
from av.video.reformatter import VideoReformatter

from ecstfl.errors import UserError
from ecstfl.video.cut_off import cut_off
from ecstfl.video.files import reason
from ecstfl.video.picture import picture, plausible
from ecstfl.video.times import Clock

MAX_DAMAGED_PACKETS = 1000
"""A stream with more undecodable packets than this is given up."""

DECODING_ERRORS = (av.FFmpegError, OSError, EOFError, ValueError, LookupError, RuntimeError)
"""What PyAV raises on damaged files (its errors do not all derive from OSError)."""

NOT_THE_FILM: Final = (
    Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.dependent
)
"""Covers, thumbnails along the time line, and tiles of a larger picture."""

av.logging.set_level(av.logging.PANIC)  # the reasons are in the exceptions; stderr stays clean


def open_film(path: Path) -> tuple[av.container.InputContainer, av.VideoStream]:
    """Open a file and choose the stream that is the film.

    Raises:
        UserError: the file cannot be read, or holds no film.
    """
    # An absolute path cannot be mistaken for a protocol, and the whitelist keeps a file that
    # is really a playlist from opening anything else.
    options = {"protocol_whitelist": "file"}
    try:
        # whatever the encoding of titles and names: they are not used here
        container = av.open(os.path.abspath(path), options=options, metadata_errors="replace")
    except DECODING_ERRORS as error:
        missing = cut_off(path)
        why = f"it is {missing}" if missing else reason(error)
        raise UserError(f"cannot read {path}: {why}") from error
    try:
        return container, choose_stream(container, path)
    except BaseException:
        container.close()
        raise


def choose_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """Return the film among the video streams: no cover, thumbnail or preview.

    Marks in the file decide first, then the default mark, then the number of frames, then size.

    Raises:
        UserError: there is none, or no decoder for it.
    """
    pictures = container.streams.video
    films = [stream for stream in pictures if not stream.disposition & NOT_THE_FILM]
    if not films:
        kind = "no picture in it"
        if container.streams.audio:
            kind = "sound only; its picture is a cover" if pictures else "sound only"
        elif any(stream.disposition & Disposition.dependent for stream in pictures):
            kind = "a picture in tiles, as phones write HEIC: save it as .jpg or .png"
        raise UserError(f"cannot read {path}: it has no video stream ({kind})")

    def rank(stream: av.VideoStream) -> tuple[bool, bool, int, int]:
        codec = stream.codec_context
        return (
            not stream.disposition & Disposition.still_image and stream.frames != 1,
            bool(stream.disposition & Disposition.default),
            stream.frames,
            codec.width * codec.height if codec is not None else 0,
        )

    film = max(films, key=rank)  # the first of equals
    codec = film.codec_context
    if codec is None:
        raise UserError(f"cannot read {path}: there is no decoder for its video stream")
    if not plausible(max(codec.width, 1), max(codec.height, 1)):
        claim = f"{codec.width} x {codec.height}"
        raise UserError(f"cannot read {path}: its header claims {claim} pixels")
    return film


def is_still(container: av.container.InputContainer) -> bool:
    """Whether the content is one picture, whatever the name says."""
    videos = container.streams.video
    return container.format.name.endswith(("_pipe", "image2")) or all(
        stream.disposition & Disposition.still_image for stream in videos
    )


def decode(
    container: av.container.InputContainer, film: av.VideoStream, path: Path, notes: list[str]
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield (seconds, (H, W, 3) uint8 RGB) of each frame, upright, in square pixels.

    Raises:
        UserError: no frame can be decoded.
    """
    with contextlib.closing(container):
        film.codec_context.thread_count = 1  # clips run side by side instead
        # One converter for the clip: making one per frame costs as much as converting.
        converter, clock = VideoReformatter(), Clock(film)
        read, damaged, last, end = 0, 0, "", 0.0
        for packet, error in _packets(container):
            if packet is None:
                last, damaged = error, damaged + 1
                break
            end = max(end, _end(packet, container))
            if packet.stream.index != film.index:
                continue
            try:
                frames = packet.decode()
            except DECODING_ERRORS as failure:
                last, damaged = reason(failure), damaged + 1
                if damaged > MAX_DAMAGED_PACKETS:
                    break
                continue
            for frame in frames:
                if not plausible(frame.width, frame.height):
                    last, damaged = f"frame of {frame.width} x {frame.height}", damaged + 1
                    continue
                try:
                    image = picture(frame, film, converter)
                except DECODING_ERRORS as failure:
                    last, damaged = reason(failure), damaged + 1
                    continue
                read += 1
                yield clock.seconds(frame.pts, frame.dts), image
        missing = cut_off(path, claimed_seconds(container), end)
        if not read:
            why = f"it is {missing}" if missing else last or "the stream holds no frame"
            raise UserError(f"cannot read {path}: no frame can be decoded ({why})")
        if missing:
            notes.append(missing)
        if damaged:
            notes.append(f"{damaged} damaged packets were skipped ({last})")


def claimed_seconds(container: av.container.InputContainer) -> float | None:
    """Return how long the header says that the film lasts, if it says so itself."""
    if container.format.name not in ("flv", "live_flv", "kux", "mxf", "ivf", "nut", "rm"):
        return None  # no claim, one that FFmpeg made up from the bit rate, or bytes tell better
    return container.duration / av.time_base if container.duration else None


def _packets(container: av.container.InputContainer) -> Iterator[tuple[av.Packet | None, str]]:
    """Yield (packet, "") and, when the container itself breaks off, one (None, reason)."""
    packets = container.demux()
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except DECODING_ERRORS as error:
            yield None, reason(error)
            return
        yield packet, ""


def _end(packet: av.Packet, container: av.container.InputContainer) -> float:
    """Seconds from the start of the file to the end of a packet."""
    stamp = packet.pts if packet.pts is not None else packet.dts
    if stamp is None:
        return 0.0
    start = (container.start_time or 0) / av.time_base
    return float((stamp + (packet.duration or 0)) * packet.time_base) - start


def first_picture(path: Path) -> Iterator[np.ndarray]:
    """Yield the first frame of a file: how FFmpeg decodes a still."""
    container, film = open_film(path)
    for _, image in decode(container, film, path, []):
        yield image
        return
