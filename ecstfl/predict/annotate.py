"""What the recogniser saw, drawn into the video: box, aligned face, probabilities, timeline.

The picture tells what the network was shown (the aligned inset, at its own resolution) beside
what it said, so that a wrong answer can be traced to a wrong crop.
"""

from __future__ import annotations

import contextlib
import math
import textwrap
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np

from ecstfl.clips.config import PreprocessConfig
from ecstfl.errors import UserError
from ecstfl.faces import align
from ecstfl.files import atomic_write
from ecstfl.labels import CLASSES, label_index
from ecstfl.predict.prediction import UNCERTAIN, Prediction, Segment, Track, Window
from ecstfl.predict.recognizer import Recognizer, timed
from ecstfl.predict.windows import frame_matrices

COLOURS: Final = (
    (230, 159, 0),
    (0, 114, 178),
    (153, 153, 153),
    (213, 94, 0),
    (86, 180, 233),
    (0, 158, 115),
    (204, 121, 167),
)
"""RGB of each class; as in the figures (Okabe and Ito)."""

PANEL: Final = 264
"""Width of the column with inset and bars, pixels."""

STRIP: Final = 58
"""Height of the timeline and the statement below the picture, pixels."""

INSET: Final = 128
MIN_HEIGHT, MAX_HEIGHT = 336, 720
MAX_WIDTH = 1280

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_PAPER, _INK, _GREY, _PALE = (250, 250, 250), (25, 25, 25), (110, 110, 110), (226, 226, 226)
_BOX = (255, 196, 0)


def annotate_video(prediction: Prediction, recognizer: Recognizer, out: Path) -> None:
    """Read the video again and write it annotated, H.264 in an MP4, without sound.

    Each picture is shown when and as long as in the video.

    Args:
        prediction: of a video file or frame folder, made with ``track=True``.
        recognizer: the model that made it.
        out: file to write; replaced whole or not at all.

    Raises:
        UserError: the prediction has no track, ``out`` is the video itself or cannot be written,
            or no H.264 encoder is there.
    """
    if prediction.track is None:
        raise UserError("nothing to draw: recognise with track=True")
    out = Path(out)
    with contextlib.suppress(OSError):
        if out.exists() and out.samefile(prediction.source):
            raise UserError(f"{out} is the video itself: choose another name for the annotated one")
    write_video(out, _drawn(prediction, recognizer), prediction.fps)


def draw(prediction: Prediction, recognizer: Recognizer) -> Iterator[np.ndarray]:
    """Yield the annotated frames (H, W, 3) uint8; all of one size."""
    return (image for _, image in _drawn(prediction, recognizer))


def _drawn(prediction: Prediction, recognizer: Recognizer) -> Iterator[tuple[float, np.ndarray]]:
    """Yield (second, annotated frame)."""
    config, track = recognizer.config.preprocess, prediction.track
    assert track is not None
    places = {int(number): place for place, number in enumerate(track.numbers)}
    matrices = _matrices(track, config) if places else None
    oversample = 1 if matrices is None else align.supersampling(matrices)
    segments = prediction.segments()
    starts = [start for start, _, _ in segments]
    half, size = 0.5 / prediction.fps, None
    for number, (start, frame) in enumerate(timed(prediction.source)):
        at = min(start + half, prediction.duration)
        _, _, window = segments[max(0, bisect_right(starts, at) - 1)]
        box = inset = None
        if matrices is not None and number in places:
            place = places[number]
            box = track.boxes[place]
            inset = align.warp(frame, matrices[place].copy(), config.size, oversample)
        told = segments, at, prediction.duration, recognizer.statement
        image = compose(frame, box, inset, window, *told)
        if size is None:
            size = image.shape[0], image.shape[1]
        elif image.shape[:2] != size:  # a source whose frames change size: keep the first's
            image = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA)
        yield start, image


def _matrices(track: Track, config: PreprocessConfig) -> np.ndarray:
    """Frame to crop (k, 2, 3), smoothed as the clips are, a stretch at a time."""
    margin = math.ceil(6 * config.smoothing) + 1
    points = np.empty(track.points.shape, np.float64)
    for start in range(0, len(points), 512):
        low, high = max(0, start - margin), start + 512 + margin
        smooth = align.smooth_landmarks(
            track.points[low:high], track.numbers[low:high], config.smoothing
        )
        points[start : start + 512] = smooth[start - low : start - low + 512]
    return frame_matrices(points, config)


def compose(
    frame: np.ndarray,
    box: np.ndarray | None,
    inset: np.ndarray | None,
    window: Window | None,
    segments: Sequence[Segment],
    at: float,
    duration: float,
    statement: str,
) -> np.ndarray:
    """Draw one picture.

    Args:
        frame: (H, W, 3) uint8 RGB.
        box: (4,) x1 y1 x2 y2 of the face, pixels of the frame; None for no face.
        inset: (S, S, 3) uint8, the aligned face.
        window: what is said of this moment; None for nothing.
        segments: what is said over time.
        at: seconds.
        duration: seconds of the whole video.
        statement: printed below.

    Returns:
        (h, w, 3) uint8, h and w even.
    """
    height, width = frame.shape[:2]
    zoom = float(np.clip(height, MIN_HEIGHT, MAX_HEIGHT)) / height
    zoom = min(zoom, MAX_WIDTH / width)
    new = max(2, round(width * zoom)), max(2, round(height * zoom))
    method = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    picture = cv2.resize(frame, new, interpolation=method) if zoom != 1 else frame.copy()
    if box is not None:
        _draw_box(picture, box, np.array(new) / (width, height), window)

    tall = max(MIN_HEIGHT, new[1])
    image = np.full((tall + STRIP, new[0] + PANEL, 3), _PAPER, np.uint8)
    image[:tall, : new[0]] = 0
    top = (tall - new[1]) // 2
    image[top : top + new[1], : new[0]] = picture
    _draw_panel(image[:tall, new[0] :], inset, window)
    _draw_strip(image[tall:], segments, at, duration, statement)
    even = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    return np.ascontiguousarray(image[: even[0], : even[1]])


def _draw_box(
    picture: np.ndarray, box: np.ndarray, zoom: np.ndarray, window: Window | None
) -> None:
    corners = (box.reshape(2, 2) + 0.5) * zoom - 0.5
    if not np.isfinite(corners).all() or np.abs(corners).max() > 100_000:
        return
    (x1, y1), (x2, y2) = np.rint(corners).astype(int).tolist()
    colour = _BOX if window is None else colour_of(window.outcome)
    cv2.rectangle(picture, (x1, y1), (x2, y2), (0, 0, 0), 4, cv2.LINE_AA)
    cv2.rectangle(picture, (x1, y1), (x2, y2), colour, 2, cv2.LINE_AA)
    if window is not None:
        _label(picture, window.outcome, x1, y1 - 6)


def _label(picture: np.ndarray, text: str, x: int, y: int) -> None:
    (w, h), _ = cv2.getTextSize(text, _FONT, 0.5, 1)
    x = int(np.clip(x, 0, max(0, picture.shape[1] - w - 6)))
    y = int(np.clip(y, h + 4, picture.shape[0] - 4))
    cv2.rectangle(picture, (x, y - h - 4), (x + w + 6, y + 4), (0, 0, 0), -1)
    cv2.putText(picture, text, (x + 3, y), _FONT, 0.5, (255, 255, 255), 1, cv2.LINE_AA)


def _draw_panel(panel: np.ndarray, inset: np.ndarray | None, window: Window | None) -> None:
    """Inset, outcome, bars."""
    x, y = 12, 12
    if inset is None:
        cv2.rectangle(panel, (x, y), (x + INSET, y + INSET), _PALE, -1)
        _text(panel, "no face", x + 34, y + INSET // 2, 0.45, _GREY)
    else:
        side = (INSET, INSET)
        panel[y : y + INSET, x : x + INSET] = cv2.resize(inset, side, interpolation=cv2.INTER_CUBIC)
    cv2.rectangle(panel, (x - 1, y - 1), (x + INSET, y + INSET), _GREY, 1)
    right = x + INSET + 10
    _text(panel, "aligned face", right, y + 12, 0.4, _GREY)
    if window is None:
        _text(panel, "no face", right, y + 42, 0.55, _INK)
    else:
        _text(panel, window.outcome, right, y + 42, 0.6, _INK)
        for i, line in enumerate(textwrap.wrap(window.why, 17)):
            _text(panel, line, right, y + 62 + 14 * i, 0.36, _GREY)
        _text(panel, f"faces {window.faces}/{window.frames}", right, y + INSET - 4, 0.4, _GREY)
    top = y + INSET + 16
    for i, name in enumerate(CLASSES):
        low = top + 25 * i
        p = window.probabilities[i] if window is not None else 0.0
        _text(panel, name, x, low + 13, 0.42, _INK)
        left, wide = x + 66, PANEL - 66 - 12 - 48
        cv2.rectangle(panel, (left, low), (left + wide, low + 17), _PALE, -1)
        if p > 0:
            cv2.rectangle(panel, (left, low), (left + round(p * wide), low + 17), COLOURS[i], -1)
        number = f"{p:.2f}" if window is not None else "-"
        _text(panel, number, left + wide + 8, low + 13, 0.42, _INK)


def _draw_strip(
    strip: np.ndarray, segments: Sequence[Segment], at: float, duration: float, statement: str
) -> None:
    """The outcome over time, and the statement."""
    beside = 12 + cv2.getTextSize(clock(duration), _FONT, 0.4, 1)[0][0]
    left, right, top, bottom = max(52, beside), strip.shape[1] - max(60, beside), 6, 30
    span = max(duration, 1e-9)
    cv2.rectangle(strip, (left, top), (right, bottom), (255, 255, 255), -1)
    before = ""
    for start, end, window in segments:
        outcome = "" if window is None else window.outcome
        if outcome:
            x1, x2 = (left + round((right - left) * second / span) for second in (start, end))
            cv2.rectangle(strip, (x1, top), (x2, bottom), colour_of(outcome), -1)
            if outcome != before:
                name = "?" if outcome == UNCERTAIN else outcome
                for label in (name, name[:2]):  # whole where there is room, never across the end
                    if cv2.getTextSize(label, _FONT, 0.36, 1)[0][0] + 4 < x2 - x1:
                        _text(strip, label, x1 + 3, (top + bottom) // 2 + 4, 0.36, _INK)
                        break
        before = outcome
    cv2.rectangle(strip, (left, top), (right, bottom), _GREY, 1)
    x = left + round((right - left) * min(1.0, at / span))
    cv2.line(strip, (x, top - 4), (x, bottom + 4), (0, 0, 0), 2)
    _text(strip, clock(at), 6, 23, 0.4, _INK)
    _text(strip, clock(duration), right + 8, 23, 0.4, _GREY)
    for i, line in enumerate(_fitted(statement, strip.shape[1] - 12, 0.34)[:2]):
        _text(strip, line, 6, 43 + 12 * i, 0.34, _GREY)


def colour_of(outcome: str) -> tuple[int, int, int]:
    """RGB of a class name; pale grey for "uncertain"."""
    return _PALE if outcome == UNCERTAIN else COLOURS[label_index(outcome)]


def clock(seconds: float) -> str:
    """``4.2 s`` below a minute, else ``m:ss``, or ``h:mm:ss``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def _text(
    image: np.ndarray, text: str, x: int, y: int, scale: float, colour: tuple[int, int, int]
) -> None:
    plain = text.encode("ascii", "replace").decode()  # what the built-in font can draw
    cv2.putText(image, plain, (x, y), _FONT, scale, colour, 1, cv2.LINE_AA)


def _fitted(text: str, width: int, scale: float) -> list[str]:
    """Break a text into lines of at most ``width`` pixels."""
    letter = cv2.getTextSize("e" * 50, _FONT, scale, 1)[0][0] / 50
    return textwrap.wrap(text, max(10, int(width / letter)))


def write_video(out: Path, images: Iterable[tuple[float, np.ndarray]], fps: float = 25.0) -> None:
    """Write images as H.264 in an MP4; whole or not at all.

    Args:
        out: file to write.
        images: (second from which it is shown, (H, W, 3) uint8 of one even size); the first at 0.
        fps: frames a second in the mean: as long is the last one shown.

    Raises:
        UserError: nothing to write, no encoder, or the place cannot be written.
    """
    clock, last = Fraction(1, 90_000), -1
    try:
        with atomic_write(out) as file, av.open(file, "w", format="mp4") as container:
            stream = None
            for start, image in images:
                if stream is None:
                    stream = _h264(container, Fraction(fps).limit_denominator(1001))
                    stream.height, stream.width = image.shape[:2]
                    stream.pix_fmt = "yuv420p"
                    stream.time_base = stream.codec_context.time_base = clock
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                last = max(last + 1, round(start / clock))  # two frames of one moment: both stay
                frame.pts, frame.time_base = last, clock
                container.mux(stream.encode(frame))
            if stream is None:
                raise UserError("no frame to write")
            container.mux(stream.encode())
    except (OSError, ValueError, RuntimeError) as error:  # every FFmpegError is one of these
        if isinstance(error, UserError):
            raise
        raise UserError(f"cannot write {out}: {str(error).splitlines()[0]}") from error


def _h264(container: av.container.OutputContainer, rate: Fraction) -> av.VideoStream:
    for name, options in (("libx264", {"crf": "20", "preset": "veryfast"}), ("libopenh264", {})):
        with contextlib.suppress(ValueError, RuntimeError):
            return container.add_stream(name, rate=rate, options=options)
    raise UserError("the installed PyAV has no H.264 encoder: pip install --upgrade av")
