"""Landmarks made beforehand, in files: by other programs, or the truth of rendered faces."""

from __future__ import annotations

import csv
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ecstfl.errors import UserError
from ecstfl.faces import align
from ecstfl.faces.detection import Detection


class LandmarkTrack:
    """Landmarks made beforehand, handed out frame by frame in order.

    Args:
        landmarks: (n, 5, 2) or (n, 68, 2) pixels; a frame with a value that is not finite, or
            whose points all coincide, has no face. The box of a face is their extent.

    Raises:
        UserError: another shape.
    """

    name = "landmarks"

    def __init__(self, landmarks: np.ndarray) -> None:
        landmarks = np.asarray(landmarks)
        if landmarks.ndim != 3 or landmarks.shape[1:] not in ((5, 2), (68, 2)):
            raise UserError(
                f"landmarks of shape {landmarks.shape}: expected (frames, 5, 2) or (frames, 68, 2)"
            )
        self.scheme = "points5" if landmarks.shape[1] == 5 else "ibug68"
        self.landmarks = landmarks.astype(np.float32)
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
        self._next += 1
        if not align.usable(points):
            return []
        box = np.concatenate([points.min(0), points.max(0)])
        return [Detection(box, 1.0, points, self.scheme, self.name)]

    @property
    def left(self) -> int:
        """Frames not asked for yet: more than 0 after the last frame means another video."""
        return len(self.landmarks) - self._next


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
