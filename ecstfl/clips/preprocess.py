"""One video to an aligned clip of T frames: detect, align, normalise the length (claim 2).

Data flow: **video -> faces -> clips** -> batches -> features -> metrics -> figures.

Read :func:`preprocess_clip` first; a whole set, on all cores and cached, is
:func:`ecstfl.clips.preprocess_set.preprocess`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ecstfl.clips import temporal
from ecstfl.clips.config import PreprocessConfig
from ecstfl.clips.held_frames import HeldFrames
from ecstfl.errors import UserError
from ecstfl.faces import align
from ecstfl.faces.detection import Detection, FaceBackend
from ecstfl.faces.landmark_files import LandmarkTrack, landmark_file, read_landmarks
from ecstfl.faces.landmarks68 import FaceAlignment68
from ecstfl.faces.retinaface import RetinaFace
from ecstfl.faces.track import track


def preprocess_clip(
    source: Path | str | np.ndarray | Iterable[np.ndarray],
    config: PreprocessConfig,
    backend: FaceBackend | None = None,
) -> PreparedClip:
    """Prepare one clip.

    Args:
        source: a video file or frame folder, or frames (H, W, 3) uint8 RGB.
        config: how.
        backend: finds the faces in place of the one that the configuration names.

    Returns:
        The clip. One without any face is a result (no frames), not an error; whether its
        coverage suffices is for the caller to say.

    Raises:
        UserError: the source cannot be read, is longer than ``config.max_frames``, or the
            backend is not available.
    """
    video = HeldFrames(source, config.max_frames)
    if config.alignment == "none":
        backend = None  # whole frames, no face is looked for
    elif backend is None:
        backend = open_backend(config, video.name)
    # 1. Detect: the face of every frame; frames without one are left out.
    kept, found = find_faces(video, config, backend)
    # 2. Align: every face to the same place, size and angle.
    matrices = crop_matrices(kept, found, config)
    aligned = cut_crops(video, matrices, config.size)
    # 3. Normalise the length: k frames to T.
    frames = temporal.normalise_length(aligned, config.frames, config.temporal) if kept else aligned
    return PreparedClip(
        frames=frames,
        aligned=aligned,
        kept=np.array(kept, np.int64),
        n_source=video.n_frames,
        matrices=matrices,
        detections=tuple(face for face in found if isinstance(face, Detection)),
        backend="none" if backend is None else backend.name,
        problems=tuple(video.problems),
    )


def find_faces(
    video: HeldFrames, config: PreprocessConfig, backend: FaceBackend | None
) -> tuple[list[int], list[Detection | tuple[int, int]]]:
    """Find the face of every frame.

    Returns:
        (the k numbers of frames that show one, the k faces). Without a backend, when whole frames
        are taken, all frames and their (height, width).

    Raises:
        UserError: the landmarks are too few for the alignment, or there is no frame.
    """
    kept: list[int] = []
    found: list[Detection | tuple[int, int]] = []
    if backend is None:
        for number, frame in enumerate(video):
            kept.append(number)
            found.append(frame.shape[:2])
            video.hold(number, frame)
        if not kept:
            raise UserError("the clip has no frame")
        return kept, found
    for number, frame, face in track(video, backend, config.follow):
        if face is None or face.landmarks is None:
            continue
        if config.alignment == "rigid68" and len(face.landmarks) != 68:
            raise UserError(
                f"alignment rigid68 needs 68 landmarks, {backend.name} gives {len(face.landmarks)}"
            )
        if align.usable(face.landmarks, config.alignment):
            kept.append(number)
            found.append(face)
            video.hold(number, frame)
    left = getattr(backend, "left", 0)  # landmarks read from a file
    if video.name and left:
        video.problems.append(
            f"the landmark file covers {video.n_frames + left} frames, "
            f"the video has {video.n_frames}"
        )
    return kept, found


def crop_matrices(
    kept: Sequence[int], found: Sequence[Detection | tuple[int, int]], config: PreprocessConfig
) -> np.ndarray:
    """Return (k, 2, 3) float64, frame to crop, from faces smoothed in time or sizes of frames."""
    if not kept:
        return np.zeros((0, 2, 3))
    if config.alignment == "none":
        return np.stack([align.fit_matrix(height, width, config.size) for height, width in found])
    points = np.stack([face.landmarks for face in found])
    points = align.smooth_landmarks(points, np.array(kept), config.smoothing)
    return align.alignment_matrices(
        points, config.size, config.margin, config.alignment, config.shift
    )


def cut_crops(video: HeldFrames, matrices: np.ndarray, size: int) -> np.ndarray:
    """Cut (k, S, S, 3) uint8 out of the k frames that the video holds."""
    if not len(matrices):
        return np.zeros((0, size, size, 3), np.uint8)
    oversample = align.supersampling(matrices)
    crops = [
        align.warp(frame, matrix, size, oversample)
        for frame, matrix in zip(video.held(), matrices, strict=True)
    ]
    return np.stack(crops)


@dataclass(frozen=True)
class PreparedClip:
    """One clip, prepared.

    Attributes:
        frames: (T, S, S, 3) uint8 RGB; (0, S, S, 3) when no frame has a face.
        aligned: (k, S, S, 3) uint8, the k frames with a face before the length is normalised.
        kept: (k,) int64, their numbers in the source.
        n_source: frames read.
        matrices: (k, 2, 3) float64, frame to crop; ``align.invert`` maps back.
        detections: the face of each kept frame; empty with ``alignment="none"``.
        backend: name of the backend that ran.
        problems: damage that was read over, in sentences.
    """

    frames: np.ndarray
    aligned: np.ndarray
    kept: np.ndarray
    n_source: int
    matrices: np.ndarray
    detections: tuple[Detection, ...] = ()
    backend: str = ""
    problems: tuple[str, ...] = ()

    @property
    def coverage(self) -> float:
        """Share of frames with a face, 0..1."""
        return len(self.kept) / max(1, self.n_source)


@lru_cache(maxsize=4)
def _shared_backend(name: str, side: int, threshold: float) -> FaceBackend:
    """Networks are loaded once per process."""
    retinaface = RetinaFace(side, threshold)
    return FaceAlignment68(boxes=retinaface) if name == "face_alignment" else retinaface


def open_backend(config: PreprocessConfig, clip_id: str = "") -> FaceBackend:
    """Return the backend of a configuration; networks are loaded once per process.

    Args:
        config: names the backend.
        clip_id: names the landmark file, for the backends that read one.

    Raises:
        UserError: the backend or its files are not there.
    """
    if config.reads_landmarks:
        path = landmark_file(Path(config.landmarks), clip_id)
        return LandmarkTrack(read_landmarks(path))
    return _shared_backend(config.backend, config.detector_side, config.threshold)
