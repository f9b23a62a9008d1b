"""The device of claim 5: load a trained model once, then recognise videos with it.

The model file holds the preprocessing it was trained with, and every window of a video goes
through :func:`ecstfl.clips.preprocess.preprocess_clip` with exactly that, so that recognition
cannot see faces cut or timed in another way than training did.

A video no longer than the training clips were is taken whole, which gives the evaluation's
answer. A longer one is read through overlapping windows of a typical training clip's length.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import torch
from scipy.special import softmax
from torch import nn

from ecstfl.clips.preprocess import open_backend
from ecstfl.errors import UserError
from ecstfl.faces.detection import FaceBackend
from ecstfl.labels import CLASSES
from ecstfl.models.backbones import build_backbone
from ecstfl.models.model_file import MODEL_FORMAT, NOTES, ModelNotes, find_shipped, read_model
from ecstfl.predict.windows import (
    Faces,
    RawWindow,
    Windower,
    WindowPlan,
    follow_all,
    follow_main,
)
from ecstfl.runs.config import RunConfig, from_dict
from ecstfl.runs.run_folder import read_run
from ecstfl.training.scoring import score
from ecstfl.video.reading import read_frames

HONESTY: Final = "Recognises displayed expressions, not feelings; not for decisions about people."

UNCERTAIN: Final = "uncertain"
THRESHOLD: Final = 0.5
"""Below this probability the outcome is "uncertain": if the probabilities are calibrated, the
answer is then more often wrong than right."""

ASSUMED_FPS: Final = 25.0
"""Frames a second of frame folders, arrays and files that do not say."""

STEPS_A_WINDOW: Final = 2
"""Windows overlap: by default the next begins half a window later."""

FEW_FRAMES: Final = 5
"""With ``all_faces``, faces followed for fewer frames are left out (and counted)."""

_BATCH: Final = 8
"""Windows aligned and scored together."""


@dataclass(frozen=True)
class Window:
    """What was seen of one person in one stretch of a video.

    Attributes:
        start, end: seconds from the start of the video.
        frames: frames of the video in it.
        faces: frames among them that show the face, at least 1.
        probabilities: (7,) in [0, 1], sum 1, in the order of ``CLASSES``.
        outcome: name of the most probable class, or "uncertain".
        why: when uncertain, the reason; otherwise empty.
    """

    start: float
    end: float
    frames: int
    faces: int
    probabilities: tuple[float, ...]
    outcome: str
    why: str = ""

    @property
    def label(self) -> int:
        """The most probable class, 0..6."""
        return int(np.argmax(self.probabilities))

    @property
    def expression(self) -> str:
        """Name of the most probable class, however improbable."""
        return CLASSES[self.label]

    @property
    def coverage(self) -> float:
        """Share of the frames that show the face, in [0, 1]."""
        return self.faces / max(1, self.frames)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "start": self.start,
            "end": self.end,
            "outcome": self.outcome,
            "why": self.why,
            "expression": self.expression,
            "probabilities": dict(zip(CLASSES, self.probabilities, strict=True)),
            "coverage": self.coverage,
            "frames": self.frames,
            "faces": self.faces,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Window:
        """Rebuild what :meth:`as_dict` gave."""
        own = {n: values[n] for n in ("start", "end", "frames", "faces", "outcome", "why")}
        return cls(**own, probabilities=tuple(values["probabilities"][name] for name in CLASSES))


@dataclass(frozen=True)
class Track:
    """Where one person's face was, for drawing: k frames.

    Attributes:
        numbers: (k,) int64 frame numbers, ascending.
        boxes: (k, 4) float32 x1 y1 x2 y2, pixels.
        points: (k, 5, 2) float32 pixels: eyes, nose, mouth corners.
    """

    numbers: np.ndarray
    boxes: np.ndarray
    points: np.ndarray


@dataclass(frozen=True)
class Person:
    """One person of one video.

    Attributes:
        number: 0 is the main person.
        total: the whole video (or the time this person was in it); its probabilities are those
            of the single window, or the mean over windows weighted by their frames with a face.
        windows: over time, in order; stretches without a face have none.
        track: present when asked for.
    """

    number: int
    total: Window
    windows: tuple[Window, ...]
    track: Track | None = field(default=None, compare=False, repr=False)

    def segments(self, duration: float) -> list[tuple[float, float, Window | None]]:
        """Return the video from 0 to ``duration`` as (start, end, window) without overlap.

        Each moment goes to the window whose middle is nearest; where no window reaches, and
        between people, the window is ``None`` (no face).
        """
        parts: list[tuple[float, float, Window | None]] = []
        edges = [
            0.5 * (a.start + a.end + b.start + b.end) / 2
            for a, b in zip(self.windows, self.windows[1:], strict=False)
        ]
        at = 0.0
        for i, window in enumerate(self.windows):
            start = max(window.start, at, edges[i - 1] if i else 0.0)
            end = min(window.end, edges[i]) if i < len(edges) else window.end
            if end <= start + 1e-9:
                continue
            if start > at + 1e-6:
                parts.append((at, start, None))
                at = start
            parts.append((at, end, window))
            at = end
        if duration > at + 1e-6:
            parts.append((at, duration, None))
        return parts


@dataclass(frozen=True)
class Prediction:
    """What was seen in one video.

    Attributes:
        source: the video; ``frames`` for frames from memory.
        fps: frames a second, read from the file or assumed.
        frames: frames read.
        people: the main person first; one unless every face was asked for; at least one.
        calibrated: whether probabilities were fitted on clips unseen in training.
        synthetic: whether the model was trained on rendered faces.
        problems: damage that was read over and assumptions made, in sentences.
    """

    source: Path
    fps: float
    frames: int
    people: tuple[Person, ...]
    calibrated: bool = False
    synthetic: bool = True
    problems: tuple[str, ...] = ()

    @property
    def main(self) -> Person:
        """The main person."""
        return self.people[0]

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.frames / self.fps

    @property
    def windows(self) -> tuple[Window, ...]:
        """The main person over time."""
        return self.main.windows

    @property
    def probabilities(self) -> tuple[float, ...]:
        """(7,) of the main person over the whole video."""
        return self.main.total.probabilities

    @property
    def label(self) -> int:
        """The most probable class, 0..6."""
        return self.main.total.label

    @property
    def expression(self) -> str:
        """Name of the most probable class."""
        return self.main.total.expression

    @property
    def outcome(self) -> str:
        """The most probable class, or "uncertain"."""
        return self.main.total.outcome

    @property
    def coverage(self) -> float:
        """Share of the video's frames that show the main person's face, in [0, 1]."""
        return self.main.total.coverage

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: everything but the tracks."""
        return {
            "source": str(self.source),
            "expression": self.expression,
            "outcome": self.outcome,
            "probabilities": dict(zip(CLASSES, self.probabilities, strict=True)),
            "coverage": self.coverage,
            "frames": self.frames,
            "fps": self.fps,
            "calibrated": self.calibrated,
            "synthetic": self.synthetic,
            "problems": list(self.problems),
            "people": [
                {
                    "number": p.number,
                    "total": p.total.as_dict(),
                    "windows": [w.as_dict() for w in p.windows],
                }
                for p in self.people
            ],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Prediction:
        """Rebuild what :meth:`as_dict` gave."""
        people = tuple(
            Person(
                p["number"],
                Window.from_dict(p["total"]),
                tuple(Window.from_dict(w) for w in p["windows"]),
            )
            for p in values["people"]
        )
        own = {n: values[n] for n in ("fps", "frames", "calibrated", "synthetic")}
        return cls(
            source=Path(values["source"]),
            people=people,
            problems=tuple(values["problems"]),
            **own,
        )


@dataclass(frozen=True)
class Options:
    """How videos are read; ``None`` leaves the choice to the model.

    Attributes:
        window: seconds of a window (default: a typical training clip).
        step: seconds from one window to the next (default: half a window).
        whole: videos up to this many seconds are taken whole (default: the longest training
            clip).
        all_faces: follow every face, not only the main person's.
        threshold: probability below which the outcome is "uncertain", in [0, 1].
        device: ``cpu`` or ``cuda``, for the network; faces are found on the CPU.
    """

    window: float | None = None
    step: float | None = None
    whole: float | None = None
    all_faces: bool = False
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
            that comes with the repository. Loading never executes anything in the file.
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
        if path is None:
            path = find_shipped()
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

    def plan(self, fps: float) -> WindowPlan:
        """Return where windows lie in a video of this frame rate."""
        window = self.options.window or self.notes.clip_seconds
        step = self.options.step or window / STEPS_A_WINDOW
        whole = self.options.whole
        if whole is None:
            # whoever asks for windows of a length wants windows of that length
            whole = window if self.options.window else self.notes.longest_seconds
        return WindowPlan.from_seconds(fps, window, step, whole)

    def backend(self, source: Path | None = None) -> FaceBackend | None:
        """Return what finds the faces; ``None`` when the model was trained on whole frames."""
        config = self.config.preprocess
        if config.alignment == "none":
            return None
        if config.backend in ("landmarks", "ground_truth"):
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
            fps: frames a second; default: the file's, else 25.
            track: also return where the faces were (about 60 bytes a frame), for drawing.
            progress: called with the number of frames read, after each.

        Raises:
            UserError: the video is unreadable, or shows no face.
        """
        problems: list[str] = []
        path = Path(source) if isinstance(source, (str, Path)) else None
        if fps is None:
            fps = frame_rate(path) if path is not None else None
            if fps is None:
                fps = ASSUMED_FPS
                if path is not None:
                    problems.append(f"no frame rate in the source: {fps:g} frames/s assumed")
        elif not 0.1 <= fps <= 1000:
            raise UserError(f"fps must be 0.1 to 1000, got {fps:g}")
        frames = read_frames(path, problems) if path is not None else source
        stream = Stream(self, fps, path)
        records: dict[int, list[tuple[int, np.ndarray, np.ndarray]]] = {}
        for number, _, present in stream.run(frames):
            if track:
                for person, face in present.items():
                    if face is not None:
                        row = (number, face.bbox, face.points5)
                        records.setdefault(person, []).append(row)
            if progress is not None:
                progress(number + 1)
        people = stream.people()
        if not people:
            name = path if path is not None else "the frames"
            raise UserError(f"{name}: no face found in {stream.n_frames} frames")
        if track:
            people = [replace(p, track=_track(records.get(p.number, []))) for p in people]
        if stream.left_out:
            problems.append(
                f"{stream.left_out} faces followed for fewer than {FEW_FRAMES} frames left out"
            )
        people = [replace(p, number=i) for i, p in enumerate(people)]
        return Prediction(
            path if path is not None else Path("frames"),
            fps,
            stream.n_frames,
            tuple(people),
            self.notes.calibrated,
            self.config.synthetic,
            tuple(problems),
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


class Stream:
    """One video on its way through a recogniser: frames in, windows out, memory bounded.

    Decoding and finding faces go on in the caller's thread while a second one aligns and scores
    what is complete: together about two cores' worth of work.

    Args:
        recognizer: the model.
        fps: frames a second.
        source: names landmark files, for models that were trained with such.
    """

    def __init__(self, recognizer: Recognizer, fps: float, source: Path | None = None) -> None:
        self._recognizer, self.fps = recognizer, fps
        self._plan = recognizer.plan(fps)
        self._backend = recognizer.backend(source)
        self._windower = Windower(recognizer.config.preprocess, self._plan, self._backend)
        self._waiting: list[RawWindow] = []
        self._size: dict[int, float] = {}  # summed face area: the main person has the most
        self._span: dict[int, tuple[int, int, int]] = {}  # first and last frame, faces
        self.windows: dict[int, list[Window]] = {}
        self.left_out = 0

    @property
    def n_frames(self) -> int:
        """Frames taken so far."""
        return self._windower.n_frames

    def run(
        self, frames: Iterable[np.ndarray], batch: int = _BATCH
    ) -> Iterator[tuple[int, np.ndarray, Faces]]:
        """Take all frames; yield each (number, frame, faces by person) after it was used.

        Args:
            frames: (H, W, 3) uint8 RGB.
            batch: windows given to the network at once; 1 keeps ``windows`` up to date.
        """
        follow = self._recognizer.config.preprocess.follow
        if self._recognizer.options.all_faces and self._backend is not None:
            followed = follow_all(frames, self._backend, forget=self._plan.length)
        else:
            followed = follow_main(frames, self._backend, follow)
        running: deque[Future[list[tuple[int, Window]]]] = deque()
        with ThreadPoolExecutor(1) as pool:
            for number, frame, present in followed:
                for person, face in present.items():
                    area = face.area if face is not None else 1.0
                    self._size[person] = self._size.get(person, 0.0) + area
                    first, _, count = self._span.get(person, (number, number, 0))
                    self._span[person] = (first, number, count + 1)
                self._waiting.extend(self._windower.add(number, frame, present))
                if len(self._waiting) >= batch:
                    running.append(pool.submit(self._score, self._take()))
                # at most one batch waits, so that memory stays bounded; live, none does
                while len(running) > (batch > 1):
                    self._store(running.popleft().result())
                yield number, frame, present
            self._waiting.extend(self._windower.finish())
            running.append(pool.submit(self._score, self._take()))
            while running:
                self._store(running.popleft().result())

    def people(self) -> list[Person]:
        """Return the people seen, main person first, as far as their windows are complete."""
        many = self._recognizer.options.all_faces
        people = []
        self.left_out = 0
        for number in sorted(self.windows, key=lambda k: -self._size[k]):
            first, last, faces = self._span[number]
            if many and faces < min(FEW_FRAMES, self.n_frames):
                self.left_out += 1
                continue
            windows = self.windows[number]
            begin, end = (first, last + 1) if many else (0, self.n_frames)
            total = windows[0]
            if total.frames != end - begin:
                weights = np.array([w.faces for w in windows], float)
                p = np.average([w.probabilities for w in windows], axis=0, weights=weights)
                start, stop = begin / self.fps, end / self.fps
                outcome, why = self._recognizer.judge(p, end - begin, faces)
                mean = tuple(p.tolist())
                total = Window(start, stop, end - begin, faces, mean, outcome, why)
            people.append(Person(number, total, tuple(windows)))
        return people

    def _take(self) -> list[RawWindow]:
        taken, self._waiting = self._waiting, []
        return taken

    def _score(self, raw: list[RawWindow]) -> list[tuple[int, Window]]:
        if not raw:
            return []
        prepared = [window.prepare() for window in raw]
        probabilities = self._recognizer.probabilities(np.stack([w.frames for w in prepared]))
        rows = []
        for window, p in zip(prepared, probabilities, strict=True):
            n = window.end - window.first
            outcome, why = self._recognizer.judge(p, n, window.faces)
            start, end = window.first / self.fps, window.end / self.fps
            row = Window(start, end, n, window.faces, tuple(p.tolist()), outcome, why)
            rows.append((window.person, row))
        return rows

    def _store(self, rows: list[tuple[int, Window]]) -> None:
        for person, window in rows:
            self.windows.setdefault(person, []).append(window)


def _track(rows: list[tuple[int, np.ndarray, np.ndarray]]) -> Track:
    numbers = np.array([row[0] for row in rows], np.int64)
    boxes = np.array([row[1] for row in rows], np.float32).reshape(-1, 4)
    points = np.array([row[2] for row in rows], np.float32).reshape(-1, 5, 2)
    return Track(numbers, boxes, points)


def frame_rate(path: Path) -> float | None:
    """Return the average frames a second that a file claims; ``None`` when it makes no sense."""
    if not path.is_file():
        return None
    try:
        with av.open(str(path.absolute()), options={"protocol_whitelist": "file"}) as container:
            rate = container.streams.video[0].average_rate
    except (OSError, ValueError, RuntimeError, IndexError):
        return None  # reading the frames will say what is wrong
    return float(rate) if rate and 1 <= rate <= 240 else None


def statement(config: RunConfig, notes: ModelNotes) -> str:
    """Return what must stand beside every prediction of a model."""
    trained = "rendered faces (synthetic)" if config.synthetic else f"{config.data}"
    fitted = "calibrated" if notes.calibrated else "not calibrated"
    return f"Model trained on {trained}; probabilities {fitted}. {HONESTY}"


def load_checkpoint(path: Path) -> tuple[RunConfig, nn.Module, ModelNotes]:
    """Load a model, the configuration it was trained with, and its notes.

    Raises:
        UserError: as :class:`Recognizer`.
    """
    tensors, header = read_model(path, MODEL_FORMAT)
    try:
        config = from_dict(RunConfig, json.loads(header["config"]))
        notes = from_dict(ModelNotes, json.loads(header.get(NOTES, "{}")))
        model = _filled(config, tensors)
    except (KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        reason = str(error).strip().splitlines()[-1].strip() if str(error).strip() else error
        raise UserError(f"{path} does not fit its own description ({reason})") from None
    except UserError as error:
        raise UserError(f"{path} cannot be used by this version of ecstfl: {error}") from None
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise UserError(f"{path}: the weights {name} are not finite; train anew")
    model.eval()
    return config, model.to(memory_format=torch.channels_last_3d), notes


def _filled(config: RunConfig, tensors: dict[str, torch.Tensor]) -> nn.Module:
    """Build the network that a configuration describes and put the weights in."""
    arguments = config.backbone, config.augment.frames, config.augment.size
    # On the meta device a header that claims an enormous network costs nothing: names and shapes
    # are known to fit before any memory is taken.
    with torch.device("meta"):
        build_backbone(*arguments).load_state_dict(tensors, assign=True)
    with torch.random.fork_rng(devices=[]):  # loading must not change what is drawn afterwards
        model = build_backbone(*arguments)
    model.load_state_dict(tensors)
    return model


def load_model(path: Path) -> tuple[RunConfig, nn.Module]:
    """Load a model and the configuration it was trained with.

    Raises:
        UserError: as :class:`Recognizer`.
    """
    return load_checkpoint(path)[:2]


def latest_model(results: Path) -> Path:
    """Return the model of the newest finished EC-STFL run below ``results``.

    Raises:
        UserError: there is none.
    """
    found = []
    for model in results.glob("**/runs/ec-stfl-*/model.safetensors"):
        run = read_run(model.parent)
        if run is not None:
            found.append((run["finished"], model))
    if not found:
        raise UserError(
            f"no trained EC-STFL model below {results}: run ecstfl reproduce first, or give "
            "--model FILE"
        )
    return max(found)[1]


def default_model(results: Path) -> Path:
    """Return the shipped checkpoint, or without one the newest EC-STFL run below ``results``.

    Raises:
        UserError: there is neither.
    """
    return find_shipped() or latest_model(results)
