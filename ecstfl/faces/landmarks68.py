"""68 points: FAN of the face-alignment package, the design's named package (extra ``landmarks68``).

It downloads its weights on first use, which is the only time that it asks the network.
"""

from __future__ import annotations

import hashlib
import importlib.util
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np

from ecstfl.errors import UserError
from ecstfl.faces.detection import MIN_SIDE, Detection, FaceBackend

FAN_URL: Final = "https://www.adrianbulat.com/downloads/python-fan/2DFAN4-11f355bf06.pth.tar"


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
        boxes: the backend whose boxes are used.
        device: ``cpu`` or ``cuda``.

    Raises:
        UserError: package or weights missing, weights damaged.
    """

    name = "face_alignment"
    scheme = "ibug68"

    def __init__(self, boxes: FaceBackend, device: str = "cpu") -> None:
        if importlib.util.find_spec("face_alignment") is None:
            raise UserError("face-alignment is not installed; run: pip install ecstfl[landmarks68]")
        _fetch(FAN_URL)
        import face_alignment

        # its defaults are CUDA and torch.compile; the "folder" detector loads nothing
        self._net = face_alignment.FaceAlignment(
            face_alignment.LandmarksType.TWO_D,
            device=device,
            flip_input=False,
            compile=False,
            face_detector="folder",
        )
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
