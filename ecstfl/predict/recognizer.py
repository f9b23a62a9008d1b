"""The device of claim 5: load a trained model once, then recognise videos with it.

The model file holds the preprocessing it was trained with, and every window of a video goes
through :func:`ecstfl.clips.preprocess.preprocess_clip` with exactly that, so that recognition
cannot see faces cut or timed in another way than training did.

A video no longer than the training clips were is taken whole, which gives the evaluation's
answer. A longer one is read through overlapping windows of a typical training clip's length.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from scipy.special import softmax

from ecstfl.clips.preprocess import open_backend
from ecstfl.errors import UserError
from ecstfl.faces import align
from ecstfl.faces.detection import Detection, FaceBackend
from ecstfl.faces.track import track as follow_face
from ecstfl.labels import CLASSES
from ecstfl.models.model_file import find_shipped
from ecstfl.predict.checkpoint import load_checkpoint, statement
from ecstfl.predict.familiar import familiar
from ecstfl.predict.prediction import UNCERTAIN, Prediction, Track, Window
from ecstfl.predict.windows import RawWindow, Windower, WindowPlan
from ecstfl.training.scoring import score
from ecstfl.video.reading import read_timed

THRESHOLD: Final = 0.5
"""Below this probability the outcome is "uncertain": if the probabilities are calibrated, the
answer is then more often wrong than right."""

ASSUMED_FPS: Final = 25.0
"""Frames a second of frame folders and arrays, which tell no time."""

STEPS_A_WINDOW: Final = 2
"""Windows overlap: by default the next begins half a window later."""

BATCH: Final = 8
"""Windows aligned and scored together."""

Timed = Iterable[tuple[float, np.ndarray]]
"""Frames (H, W, 3) uint8 RGB with the second from which each is shown; the first is at 0."""

Followed = Iterator[tuple[float, np.ndarray, Detection | None]]
"""The same with the face of each; None where there is none."""


@dataclass(frozen=True)
class Options:
    """How videos are read; ``None`` leaves the choice to the model.

    Attributes:
        window: seconds of a window (default: a typical training clip).
        step: seconds from one window to the next (default: half a window).
        whole: videos up to this many seconds are taken whole (default: the longest training
            clip; the window, when that is given).
        threshold: probability below which the outcome is "uncertain", in [0, 1].
        device: ``cpu`` or ``cuda``, for the network; faces are found on the CPU.
    """

    window: float | None = None
    step: float | None = None
    whole: float | None = None
    threshold: float = THRESHOLD
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name, low in (("window", 0.04), ("step", 0.01), ("whole", 0.0)):
            value = getattr(self, name)
            if value is not None and not low <= value <= 3600:
                raise UserError(f"{name} must be {low:g} to 3600 seconds, got {value:g}")
        if not 0 <= self.threshold <= 1:
            raise UserError(f"threshold must be in 0..1, got {self.threshold:g}")
        if self.device not in ("cpu", "cuda"):
            raise UserError(f"unknown device {self.device!r}: use cpu or cuda")


class Recognizer:
    """A trained network with its own preprocessing.

    Args:
        path: ``model.safetensors`` of a run, or a shipped checkpoint; default: the checkpoint
            that comes with ecstfl. Loading never executes anything in the file.
        options: how videos are read.

    Raises:
        UserError: the file is missing, broken, changed, or not a model of this version and
            class list; or the GPU asked for is not there.

    Example:
        >>> recognizer = Recognizer(Path("model.safetensors"))  # doctest: +SKIP
        >>> recognizer.recognize(Path("me.mp4")).outcome  # doctest: +SKIP
        'Happy'
    """

    def __init__(self, path: Path | str | None = None, options: Options | None = None) -> None:
        path = path if path is not None else find_shipped()
        if path is None:
            raise UserError(
                "no checkpoint comes with this installation: give the model.safetensors of "
                "a run (ecstfl reproduce makes some)"
            )
        self.path = Path(path)
        self.options = options or Options()
        self.config, self.model, self.notes = load_checkpoint(self.path)
        if self.options.device == "cuda":
            if not torch.cuda.is_available():
                raise UserError("no CUDA GPU is usable here: use device cpu")
            self.model.to("cuda")
        self._backend: FaceBackend | None = None

    @property
    def statement(self) -> str:
        """What must stand beside every prediction."""
        return statement(self.config, self.notes)

    def plan(self) -> WindowPlan:
        """Return where windows lie in a video."""
        window = self.options.window or self.notes.clip_seconds
        step = self.options.step or window / STEPS_A_WINDOW
        whole = self.options.whole
        if whole is None:
            # whoever asks for windows of a length wants windows of that length
            whole = window if self.options.window else self.notes.longest_seconds
        return WindowPlan(window, min(step, window), whole)

    def backend(self, source: Path | None = None) -> FaceBackend | None:
        """Return what finds the faces; ``None`` when the model was trained on whole frames."""
        config = self.config.preprocess
        if config.alignment == "none":
            return None
        if config.reads_landmarks:
            return open_backend(config, source.stem if source is not None else "")
        if self._backend is None:
            self._backend = open_backend(config)
        return self._backend

    def recognize(
        self,
        source: Path | str | np.ndarray | Iterable[np.ndarray],
        *,
        fps: float | None = None,
        track: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> Prediction:
        """Recognise the expression in one video, whatever its length.

        Args:
            source: a video file, a folder of images, or frames (H, W, 3) uint8 RGB.
            fps: frames a second; default: what the file's timestamps say, else 25.
            track: also return where the faces were (about 60 bytes a frame), for drawing.
            progress: called with the number of frames read, after each.

        Raises:
            UserError: the video is unreadable, or shows no face.
        """
        path = Path(source) if isinstance(source, (str, Path)) else None
        problems: list[str] = []
        stream = Stream(self, path)
        rows: list[tuple[int, np.ndarray, np.ndarray]] = []
        frames = timed(source if path is None else path, fps, problems)
        for number, (_, _, face) in enumerate(stream.run(frames)):
            if track and face is not None:
                rows.append((number, face.bbox, face.points5))
            if progress is not None:
                progress(number + 1)
        if not stream.windows:
            name = path if path is not None else "the frames"
            raise UserError(f"{name}: no face found in {stream.n_frames} frames")
        known = familiar(path, self.config, self.notes.embedded) if path is not None else ""
        return Prediction(
            path if path is not None else Path("frames"),
            stream.duration,
            stream.n_frames,
            stream.total(),
            tuple(stream.windows),
            Track.of(rows) if track else None,
            self.notes.calibrated,
            self.config.synthetic,
            (*problems, *filter(None, [known])),
        )

    def probabilities(self, clips: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities (n, 7) of prepared clips (n, T, S, S, 3) uint8."""
        stored = torch.from_numpy(np.ascontiguousarray(clips)).to(self.options.device)
        logits, _ = score(self.model, self.config.backbone.tap, stored, self.config)
        return softmax(logits.astype(np.float64) / self.notes.temperature, axis=1)

    def judge(self, p: np.ndarray, frames: int, faces: int) -> tuple[str, str]:
        """Return (outcome, reason when uncertain) for probabilities (7,) and coverage."""
        least = self.config.preprocess.min_coverage
        if faces < least * frames:
            return UNCERTAIN, f"face in {faces} of {frames} frames"
        if p.max() < self.options.threshold:
            return UNCERTAIN, f"{p.max():.2f} is below {self.options.threshold:.2f}"
        return CLASSES[int(p.argmax())], ""


def timed(
    source: Path | np.ndarray | Iterable[np.ndarray],
    fps: float | None = None,
    problems: list[str] | None = None,
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield (second, frame) of a video: by its timestamps, or by ``fps`` when that is given.

    Raises:
        UserError: the video is unreadable, or ``fps`` makes no sense.
    """
    if fps is not None and not 0.1 <= fps <= 1000:
        raise UserError(f"fps must be 0.1 to 1000, got {fps:g}")
    if isinstance(source, Path):
        frames = read_timed(source, problems)
    else:
        frames, fps = ((None, frame) for frame in source), fps or ASSUMED_FPS
    for number, (start, frame) in enumerate(frames):
        if start is None and fps is None:
            fps = ASSUMED_FPS
            if problems is not None:
                problems.append(f"no frame rate in the source: {fps:g} frames/s assumed")
        yield start if fps is None else number / fps, frame


def follow(frames: Timed, backend: FaceBackend | None, near: bool) -> Followed:
    """Yield (second, frame, face) with the face that :func:`ecstfl.faces.track.track` keeps.

    Args:
        frames: see :data:`Timed`.
        backend: finds faces; without one no face is looked for.
        near: look around the last face first.
    """
    if backend is None:
        yield from ((start, frame, None) for start, frame in frames)
        return
    starts: deque[float] = deque()

    def pictures() -> Iterator[np.ndarray]:
        for start, frame in frames:
            starts.append(start)
            yield frame

    for _, frame, face in follow_face(pictures(), backend, near):
        usable = face is not None and face.landmarks is not None and align.usable(face.landmarks)
        yield starts.popleft(), frame, face if usable else None


class Stream:
    """One video on its way through a recogniser: frames in, windows out, memory bounded.

    Decoding and finding faces go on in the caller's thread while a second one aligns and scores
    what is complete: together about two cores' worth of work.

    Args:
        recognizer: the model.
        source: names landmark files, for models that were trained with such.
    """

    def __init__(self, recognizer: Recognizer, source: Path | None = None) -> None:
        self._recognizer = recognizer
        self._plan = recognizer.plan()
        self._backend = recognizer.backend(source)
        self._windower = Windower(recognizer.config.preprocess, self._plan)
        self._faces = 0  # frames with one
        self._aligned: list[tuple[float, float, int, int, np.ndarray]] = []
        self.windows: list[Window] = []
        self.duration = 0.0

    @property
    def n_frames(self) -> int:
        """Frames taken so far."""
        return self._windower.n_frames

    def run(self, frames: Timed, batch: int = BATCH) -> Followed:
        """Take all frames; yield each (second, frame, face) after it was used.

        Args:
            frames: (second, frame); see :func:`timed`.
            batch: windows given to the network at once; 1 keeps ``windows`` up to date.
        """
        near = self._recognizer.config.preprocess.follow
        running: deque[Future[None]] = deque()
        with ThreadPoolExecutor(1) as pool:
            for start, frame, face in follow(frames, self._backend, near):
                self._faces += face is not None or self._backend is None
                for window in self._windower.add(start, frame, face):
                    running.append(pool.submit(self._take, window, batch))
                self.duration = self._windower.end
                while len(running) > (batch > 1):  # frames that wait take memory; live, none does
                    running.popleft().result()
                yield start, frame, face
            running += [pool.submit(self._take, w, batch) for w in self._windower.finish()]
            for taken in running:
                taken.result()
            pool.submit(self._score).result()

    def total(self) -> Window:
        """Return the whole video: its one window, or the mean over windows by their faces."""
        first = self.windows[0]
        if first.frames == self.n_frames:
            return first
        weights = np.array([w.faces for w in self.windows], float)
        p = np.average([w.probabilities for w in self.windows], axis=0, weights=weights)
        told = self._recognizer.judge(p, self.n_frames, self._faces)
        return Window(0.0, self.duration, self.n_frames, self._faces, tuple(p.tolist()), *told)

    def _take(self, window: RawWindow, batch: int) -> None:
        """Align a window, and score as many as make a batch; runs in the second thread."""
        clip = window.prepare(self._recognizer.config.preprocess, self._backend)
        counts = len(window.moments), len(clip.kept)
        self._aligned.append((window.start, window.end, *counts, clip.frames))
        if len(self._aligned) >= batch:
            self._score()

    def _score(self) -> None:
        if not self._aligned:
            return
        clips = np.stack([row[-1] for row in self._aligned])
        for row, p in zip(self._aligned, self._recognizer.probabilities(clips), strict=True):
            start, end, frames, faces, _ = row
            told = self._recognizer.judge(p, frames, faces)
            self.windows.append(Window(start, end, frames, faces, tuple(p.tolist()), *told))
        self._aligned = []
