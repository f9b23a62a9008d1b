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
from ecstfl.predict.annotate import compose
from ecstfl.predict.prediction import Window
from ecstfl.predict.recognizer import Recognizer, Stream, timed
from ecstfl.predict.windows import frame_matrices

Show = Callable[[np.ndarray], None]
"""Shows one picture (H, W, 3) uint8 RGB."""


@dataclass(frozen=True)
class Source:
    """Where frames come from.

    Attributes:
        frames: (second, (H, W, 3) uint8 RGB), one after the other; the first is at 0.
        live: True for a camera.
    """

    frames: Iterator[tuple[float, np.ndarray]]
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
            return Source(_camera(device, first), True)
        device.release()
    if fallback is None:
        raise UserError(f"no camera {camera} is usable here: give a video file with fallback=")
    return Source(timed(Path(fallback)), False)


def _camera(device: cv2.VideoCapture, first: np.ndarray) -> Iterator[tuple[float, np.ndarray]]:
    try:
        frame, started = first, time.monotonic()
        while frame is not None:
            yield time.monotonic() - started, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
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
    computer gets fewer frames from its camera; time is measured, not assumed.

    Args:
        recognizer: the model.
        camera: number of the camera; negative for the file at once.
        fallback: video file for when there is no camera.
        seconds: stop after so much time; in a notebook, interrupting the cell stops too.
        show: shows a picture; default: in the notebook's output.
        every: show every n-th frame.

    Returns:
        The windows.

    Raises:
        UserError: neither a camera nor a file.
    """
    if seconds <= 0 or every < 1:
        raise UserError(f"watch needs seconds > 0 and every >= 1, got {seconds} and {every}")
    source = open_source(camera, fallback)
    show = show or notebook_display()
    config = recognizer.config.preprocess
    options = replace(recognizer.options, whole=0.0)
    stream = Stream(_with_options(recognizer, options))
    frames = itertools.takewhile(lambda item: item[0] < seconds - 1e-6, source.frames)
    try:
        for number, (at, frame, face) in enumerate(stream.run(frames, batch=1)):
            if number % every:
                continue
            box = inset = last = None
            if face is not None:
                last = stream.windows[-1] if stream.windows else None
                matrix = frame_matrices(face.landmarks[None], config)
                inset = align.warp(frame, matrix[0], config.size, align.supersampling(matrix))
                box = face.bbox
            line = [(w.start, w.end, w) for w in stream.windows]
            show(compose(frame, box, inset, last, line, at, seconds, recognizer.statement))
    except KeyboardInterrupt:
        pass  # the notebook's stop button ends the watching, not the lesson
    finally:
        close = getattr(source.frames, "close", None)
        if close is not None:
            close()
    return list(stream.windows)


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
