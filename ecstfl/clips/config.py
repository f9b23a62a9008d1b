"""How clips are prepared: every option with its meaning, range and default."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from ecstfl.clips import temporal
from ecstfl.errors import UserError
from ecstfl.faces import align
from ecstfl.faces.detection import BACKENDS

PIPELINE_VERSION: Final = 3
"""Counts up when the same options would give other pixels; old caches are then left aside."""


@dataclass(frozen=True)
class PreprocessConfig:
    """How clips are prepared.

    Attributes:
        frames: T, frames of a prepared clip.
        size: S, side of a prepared frame in pixels.
        margin: the crop shows (1 + margin) times the side of the reference crop (see ``align``).
        shift: the crop is moved down the face by this share of the reference's side.
        alignment: ``points5``, ``eyes``, ``rigid68`` (68-point backends), or ``none``: whole
            frames scaled to fit, no face looked for (material that is aligned already).
        smoothing: standard deviation in frames of the Gaussian over landmarks; 0 for none.
        temporal: ``tim``, ``linear``, ``uniform``, ``change`` or ``segments``.
        backend: what finds the faces, one of ``BACKENDS``.
        detector_side: longer side of RetinaFace's input; smaller frames are never enlarged.
        follow: look around the last face first and search the whole frame only when it is not
            there (RetinaFace; twice as fast).
        threshold: RetinaFace's least confidence.
        min_coverage: clips with a face in a smaller share of their frames are left out (paper:
            half).
        max_frames: longer videos are refused by name: cut them into clips first.
        landmarks: folder of landmark files named by clip id, for the backend ``landmarks``.

    Raises:
        UserError: a value outside its range.
    """

    frames: int = 16
    size: int = 64
    margin: float = 0.0
    shift: float = 0.0
    alignment: str = "points5"
    smoothing: float = 1.0
    temporal: str = "tim"
    backend: str = "retinaface"
    detector_side: int = 320
    follow: bool = True
    threshold: float = 0.7
    min_coverage: float = 0.5
    max_frames: int = 5000
    landmarks: str = ""

    def __post_init__(self) -> None:
        ranges = {
            "frames": (1, 1024),
            "size": (8, 1024),
            "margin": (-0.9, 10),
            "shift": (-2, 2),
            "smoothing": (0, 100),
            "detector_side": (32, 4096),
            "threshold": (0, 1),
            "min_coverage": (0, 1),
            "max_frames": (1, 1_000_000),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            whole = name in ("frames", "size", "detector_side", "max_frames")
            kind = int if whole else (int, float)
            if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
                wanted = "a whole number" if whole else "a number"
                raise UserError(
                    f"preprocess option {name}={value!r}: expected {wanted} in {low}..{high}"
                )
        choices = {
            "alignment": align.ALIGNMENTS,
            "temporal": temporal.METHODS,
            "backend": BACKENDS,
        }
        for name, known in choices.items():
            value = getattr(self, name)
            if value not in known:
                raise UserError(
                    f"preprocess option {name}={value!r}: use one of {', '.join(known)}"
                )
        if not isinstance(self.follow, bool):
            raise UserError(f"preprocess option follow={self.follow!r}: expected true or false")
        if self.alignment == "rigid68" and self.backend == "retinaface":
            raise UserError(
                "preprocess option alignment='rigid68' needs 68 landmarks and RetinaFace gives 5: "
                "use backend face_alignment or landmarks"
            )
        if self.reads_landmarks and not self.landmarks:
            raise UserError(
                f"preprocess option backend={self.backend!r} needs the option landmarks: "
                "the folder with one file per clip"
            )

    @property
    def reads_landmarks(self) -> bool:
        """Whether the faces come from files, one a clip."""
        return self.backend == "landmarks"

    @property
    def options(self) -> dict[str, Any]:
        """What decides the pixels: all but the threshold on coverage and the folder's place."""
        values = asdict(self)
        del values["min_coverage"], values["landmarks"]
        if self.alignment == "none":
            unused = {"backend", "detector_side", "follow", "threshold"}
            unused |= {"smoothing", "margin", "shift"}
            values = {name: value for name, value in values.items() if name not in unused}
        return values | {"pipeline": PIPELINE_VERSION}

    @property
    def key(self) -> str:
        """Hash of :attr:`options`, 16 hexadecimal digits."""
        text = json.dumps(self.options, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
