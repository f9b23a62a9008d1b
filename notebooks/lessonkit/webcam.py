"""A camera, or a file in its place, recognised while it runs: for notebooks.

    from lessonkit.webcam import watch
    watch(Recognizer(), fallback="clip.mp4", seconds=20)

Frames never leave the computer and none is kept.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from ecstfl.errors import UserError
from ecstfl.faces import align
from ecstfl.predict.annotate import Shown, compose
from ecstfl.predict.recognizer import ASSUMED_FPS, Recognizer, Stream, Window, frame_rate
from ecstfl.video.reading import read_frames

Show = Callable[[np.ndarray], None]
"""Shows one picture (H, W, 3) uint8 RGB."""


@dataclass(frozen=True)
class Source:
    """Where frames come from.

    Attributes:
        frames: (H, W, 3) uint8 RGB, one after the other.
        fps: frames a second.
        live: True for a camera.
    """

    frames: Iterator[np.ndarray]
    fps: float
    live: bool


def open_source(camera: int = 0, fallback: Path | str | None = None) -> Source:
    """Open a camera; where there is none (a server, a container), the file in its place.

    Args:
        camera: its number; negative to go straight to the file.
        fallback: video file or frame folder.

    Raises:
        UserError: neither a camera nor a file.
    """
    if camera >= 0:
        device = cv2.VideoCapture(camera)
        good, first = device.read() if device.isOpened() else (False, None)
        if good:
            fps = device.get(cv2.CAP_PROP_FPS)
            return Source(_camera(device, first), fps if 1 <= fps <= 240 else ASSUMED_FPS, True)
        device.release()
    if fallback is None:
        raise UserError(f"no camera {camera} is usable here: give a video file with fallback=")
    return Source(read_frames(fallback), frame_rate(Path(fallback)) or ASSUMED_FPS, False)


def _camera(device: cv2.VideoCapture, first: np.ndarray) -> Iterator[np.ndarray]:
    try:
        frame = first
        while frame is not None:
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            good, frame = device.read()
            if not good:
                return
    finally:
        device.release()


def watch(
    recognizer: Recognizer,
    camera: int = 0,
    fallback: Path | str | None = None,
    seconds: float = 20.0,
    show: Show | None = None,
    every: int = 3,
) -> list[Window]:
    """Recognise a camera (or a file) while it runs, and show what is seen.

    The outcome is that of the last complete window, so it lags by half a window or so. A slow
    computer gets fewer frames from its camera; time is then measured, not assumed.

    Args:
        recognizer: the model.
        camera: number of the camera; negative for the file at once.
        fallback: video file for when there is no camera.
        seconds: stop after so much time; in a notebook, interrupting the cell stops too.
        show: shows a picture; default: in the notebook's output.
        every: show every n-th frame.

    Returns:
        The main person's windows.

    Raises:
        UserError: neither a camera nor a file.
    """
    if seconds <= 0 or every < 1:
        raise UserError(f"watch needs seconds > 0 and every >= 1, got {seconds} and {every}")
    source = open_source(camera, fallback)
    show = show or notebook_display()
    fps, frames = source.fps, source.frames
    if source.live:
        fps, frames = _measured(source, recognizer)
    limit = max(1, round(seconds * fps))
    config = recognizer.config.preprocess
    options = replace(recognizer.options, whole=0.0, all_faces=False)
    stream = Stream(_with_options(recognizer, options), fps)
    started = time.monotonic()
    try:
        for number, frame, present in stream.run(itertools.islice(frames, limit), batch=1):
            windows = stream.windows.get(0, [])
            if number % every == 0:
                face = present.get(0)
                shown, inset = [], None
                last = windows[-1] if windows and face is not None else None
                if face is not None:
                    shown = [Shown(0, face.bbox, last)]
                    kind = (
                        config.alignment if config.alignment in ("points5", "eyes") else "points5"
                    )
                    matrix = align.alignment_matrices(
                        face.landmarks[None], config.size, config.margin, kind, config.shift
                    )
                    inset = align.warp(frame, matrix[0], config.size, align.supersampling(matrix))
                at = (number + 1) / fps
                line = [(w.start, w.end, w) for w in windows]
                show(compose(frame, shown, inset, last, [line], at, seconds, recognizer.statement))
            if source.live and time.monotonic() - started > seconds:
                break
    except KeyboardInterrupt:
        pass  # the notebook's stop button ends the watching, not the lesson
    finally:
        close = getattr(source.frames, "close", None)
        if close is not None:
            close()
    return list(stream.windows.get(0, []))


def _measured(source: Source, recognizer: Recognizer) -> tuple[float, Iterator[np.ndarray]]:
    """Frames a second that a camera really gives while faces are looked for."""
    backend = recognizer.backend()
    started, n = time.monotonic(), 0
    for frame in itertools.islice(source.frames, 12):
        if backend is not None:
            backend.detect(frame)
        n += 1
    return max(1.0, min(source.fps, n / max(time.monotonic() - started, 1e-3))), source.frames


def _with_options(recognizer: Recognizer, options: object) -> Recognizer:
    """The same loaded model, read with other options."""
    import copy

    other = copy.copy(recognizer)
    other.options = options  # type: ignore[assignment]
    return other


def notebook_display() -> Show:
    """Return what shows pictures in a notebook's output, one in place of the other.

    Raises:
        UserError: IPython is not installed.
    """
    try:
        from IPython.display import Image, display
    except ImportError:
        raise UserError(
            "showing needs a notebook: pip install 'ecstfl[notebooks]', or give show="
        ) from None
    handle = display(display_id=True)

    def show(image: np.ndarray) -> None:
        done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        if done and handle is not None:
            handle.update(Image(data=data.tobytes()))

    return show
