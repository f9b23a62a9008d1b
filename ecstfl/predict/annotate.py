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
from dataclasses import dataclass
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
from ecstfl.predict.prediction import UNCERTAIN, Person, Prediction, Segment, Track, Window
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

Segments = Sequence[Segment]


@dataclass(frozen=True)
class Shown:
    """One person in one frame.

    Attributes:
        number: of the person; 0 is the main one.
        box: (4,) x1 y1 x2 y2 in pixels of the frame.
        window: what is said of this moment; ``None`` for nothing.
    """

    number: int
    box: np.ndarray
    window: Window | None


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
    if any(person.track is None for person in prediction.people):
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
    config = recognizer.config.preprocess
    tracks = [_Follower(person, prediction.duration, config) for person in prediction.people]
    half = 0.5 / prediction.fps
    size: tuple[int, int] | None = None
    for number, (start, frame) in enumerate(timed(prediction.source)):
        at = min(start + half, prediction.duration)
        shown, inset = [], None
        for person in tracks:
            place = person.place(number)
            if place is None:
                continue
            if person.number == 0:
                inset = person.crop(frame, place)
            shown.append(Shown(person.number, person.track.boxes[place], person.window(at)))
        image = compose(
            frame,
            shown,
            inset,
            tracks[0].window(at),
            [person.segments for person in tracks],
            at,
            prediction.duration,
            recognizer.statement,
        )
        if size is None:
            size = image.shape[0], image.shape[1]
        elif image.shape[:2] != size:  # a source whose frames change size: keep the first's
            image = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA)
        yield start, image


class _Follower:
    """One person while the video is read: where the face is, and what is said of it."""

    def __init__(self, person: Person, duration: float, config: PreprocessConfig) -> None:
        assert person.track is not None
        self.number, self.track, self._config = person.number, person.track, config
        self.segments = person.segments(duration)
        self._starts = [start for start, _, _ in self.segments]
        self._matrices = _matrices(self.track, config) if len(self.track.numbers) else None
        self._oversample = 1
        if self._matrices is not None:
            self._oversample = align.supersampling(self._matrices)

    def place(self, number: int) -> int | None:
        """Position of a frame in the track, or None."""
        i = int(np.searchsorted(self.track.numbers, number))
        here = i < len(self.track.numbers) and self.track.numbers[i] == number
        return i if here else None

    def crop(self, frame: np.ndarray, place: int) -> np.ndarray | None:
        """The aligned face, (S, S, 3)."""
        if self._matrices is None:
            return None
        matrix = self._matrices[place].copy()
        return align.warp(frame, matrix, self._config.size, self._oversample)

    def window(self, at: float) -> Window | None:
        """What is said of a moment, in seconds."""
        i = bisect_right(self._starts, at) - 1
        if i < 0 or at > self.segments[i][1] + 1e-6:
            return None
        return self.segments[i][2]


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
    shown: Sequence[Shown],
    inset: np.ndarray | None,
    window: Window | None,
    timelines: Sequence[Segments],
    at: float,
    duration: float,
    statement: str,
) -> np.ndarray:
    """Draw one picture.

    Args:
        frame: (H, W, 3) uint8 RGB.
        shown: people in the frame.
        inset: (S, S, 3) uint8, the main person's aligned face.
        window: what is said of the main person at this moment.
        timelines: what is said over time, of each person.
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
    for person in shown:
        _draw_box(picture, person, np.array(new) / (width, height), len(timelines) > 1)

    tall = max(MIN_HEIGHT, new[1])
    image = np.full((tall + STRIP, new[0] + PANEL, 3), _PAPER, np.uint8)
    image[:tall, : new[0]] = 0
    top = (tall - new[1]) // 2
    image[top : top + new[1], : new[0]] = picture
    _draw_panel(image[:tall, new[0] :], inset, window)
    _draw_strip(image[tall:], timelines, at, duration, statement)
    even = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    return np.ascontiguousarray(image[: even[0], : even[1]])


def _draw_box(picture: np.ndarray, person: Shown, zoom: np.ndarray, many: bool) -> None:
    corners = (person.box.reshape(2, 2) + 0.5) * zoom - 0.5
    if not np.isfinite(corners).all() or np.abs(corners).max() > 100_000:
        return
    (x1, y1), (x2, y2) = np.rint(corners).astype(int).tolist()
    colour = _BOX if person.window is None else colour_of(person.window.outcome)
    cv2.rectangle(picture, (x1, y1), (x2, y2), (0, 0, 0), 4, cv2.LINE_AA)
    cv2.rectangle(picture, (x1, y1), (x2, y2), colour, 2, cv2.LINE_AA)
    words = [f"{person.number + 1}"] if many else []
    if person.window is not None:
        words.append(person.window.outcome)
    if words:
        _label(picture, " ".join(words), x1, y1 - 6)


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
    strip: np.ndarray, timelines: Sequence[Segments], at: float, duration: float, statement: str
) -> None:
    """The outcome over time, a row a person (three at most), and the statement."""
    beside = 12 + cv2.getTextSize(clock(duration), _FONT, 0.4, 1)[0][0]
    left, right, top, bottom = max(52, beside), strip.shape[1] - max(60, beside), 6, 30
    span = max(duration, 1e-9)
    rows = timelines[:3]
    deep = (bottom - top) / max(1, len(rows))
    for k, segments in enumerate(rows):
        y1, y2 = round(top + k * deep), round(top + (k + 1) * deep) - (len(rows) > 1)
        cv2.rectangle(strip, (left, y1), (right, y2), (255, 255, 255), -1)
        before = ""
        for start, end, window in segments:
            if window is None:
                before = ""
                continue
            x1 = left + round((right - left) * start / span)
            x2 = left + round((right - left) * end / span)
            cv2.rectangle(strip, (x1, y1), (x2, y2), colour_of(window.outcome), -1)
            if window.outcome != before and y2 - y1 > 12:
                name = "?" if window.outcome == UNCERTAIN else window.outcome
                for label in (name, name[:2]):  # whole where there is room, never across the end
                    if cv2.getTextSize(label, _FONT, 0.36, 1)[0][0] + 4 < x2 - x1:
                        _text(strip, label, x1 + 3, (y1 + y2) // 2 + 4, 0.36, _INK)
                        break
            before = window.outcome
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
