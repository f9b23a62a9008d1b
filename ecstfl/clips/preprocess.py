"""Videos to aligned clips of T frames: decode, find the face, align, normalise the length.

Data flow: **video -> faces -> clips** -> batches -> features -> metrics -> figures.

:func:`preprocess_clip` does one clip, :func:`preprocess` a whole set on all cores with a cache;
the command is :mod:`ecstfl.cli.preprocess`.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from ecstfl import __version__, workers
from ecstfl.clips import temporal
from ecstfl.clips.array import MappedClips
from ecstfl.clips.cache import ClipCache, Entry, HashMemo
from ecstfl.datasets.clipset import Clip, ClipSet
from ecstfl.errors import UserError
from ecstfl.faces import align
from ecstfl.faces.detection import BACKENDS, Detection, FaceBackend
from ecstfl.faces.landmark_files import LandmarkTrack, landmark_file, read_landmarks
from ecstfl.faces.landmarks68 import FaceAlignment68
from ecstfl.faces.retinaface import RetinaFace
from ecstfl.faces.track import track
from ecstfl.video.files import content_sha256
from ecstfl.video.reading import read_frames

PIPELINE_VERSION = 2
"""Counts up when the same options would give other pixels; old caches are then left aside."""

HOLD_BYTES = 384 * 2**20
"""Frames of one clip kept in memory between detection and cropping; longer clips are read twice."""


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
        landmarks: folder of landmark files named by clip id, for the backends ``landmarks`` and
            ``ground_truth``.

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
                "use backend face_alignment, landmarks or ground_truth"
            )
        if self.backend in ("landmarks", "ground_truth") and not self.landmarks:
            raise UserError(
                f"preprocess option backend={self.backend!r} needs the option landmarks: "
                "the folder with one file per clip"
            )

    @property
    def options(self) -> dict[str, Any]:
        """What decides the pixels: all but the threshold on coverage and the folder's place."""
        values = asdict(self)
        del values["min_coverage"], values["landmarks"]
        if self.alignment == "none":
            for name in (
                "backend",
                "detector_side",
                "follow",
                "threshold",
                "smoothing",
                "margin",
                "shift",
            ):
                del values[name]
        return values | {"pipeline": PIPELINE_VERSION}

    @property
    def key(self) -> str:
        """Hash of :attr:`options`, 16 hexadecimal digits."""
        text = json.dumps(self.options, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


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


@dataclass(frozen=True)
class Prepared:
    """A set of clips, prepared.

    Attributes:
        clips: (n, T, S, S, 3) uint8 RGB; larger sets (half a gigabyte) are mapped from disk.
        clipset: the n clips kept, in the same order.
        report: JSON-able: what was kept, dropped and why, coverage, speed, configuration.
        coverage: (n,) share of frames with a face, 0..1.
        tracks: function from a position 0..n-1 to (kept frames (k,), matrices (k, 2, 3),
            boxes (k, 4), five points (k, 5, 2)) of that clip.
    """

    clips: np.ndarray | MappedClips
    clipset: ClipSet
    report: dict[str, Any]
    coverage: np.ndarray
    tracks: Callable[[int], tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = field(
        repr=False, compare=False
    )


@lru_cache(maxsize=4)
def _shared_backend(name: str, side: int, threshold: float) -> FaceBackend:
    retinaface = RetinaFace(side, threshold)
    if name == "face_alignment":
        return FaceAlignment68(boxes=retinaface)
    return retinaface


def open_backend(config: PreprocessConfig, clip_id: str = "") -> FaceBackend:
    """Return the backend of a configuration; networks are loaded once per process.

    Args:
        config: names the backend.
        clip_id: names the landmark file, for the backends that read one.

    Raises:
        UserError: the backend or its files are not there.
    """
    if config.backend in ("landmarks", "ground_truth"):
        path = landmark_file(Path(config.landmarks), clip_id)
        return LandmarkTrack(read_landmarks(path), name=config.backend)
    if config.backend == "face_alignment_sfd":
        return _sfd_backend()
    return _shared_backend(config.backend, config.detector_side, config.threshold)


@lru_cache(maxsize=1)
def _sfd_backend() -> FaceBackend:
    return FaceAlignment68(boxes=None)


def preprocess_clip(
    source: Path | str | np.ndarray | Iterable[np.ndarray],
    config: PreprocessConfig,
    backend: FaceBackend | None = None,
) -> PreparedClip:
    """Prepare one clip.

    Args:
        source: a video file or frame folder, or frames (H, W, 3) uint8 RGB.
        config: how.
        backend: used instead of the one the configuration names.

    Returns:
        The clip. One without any face is a result (no frames), not an error; whether its
        coverage suffices is for the caller to say.

    Raises:
        UserError: the source cannot be read, is longer than ``config.max_frames``, or the
            backend is not available.
    """
    from_file = isinstance(source, (str, Path))
    problems: list[str] = []

    def frames() -> Iterator[np.ndarray]:
        stream = read_frames(source, problems) if from_file else source
        for number, frame in enumerate(stream):
            if number >= config.max_frames:
                raise UserError(
                    f"{source if from_file else 'the clip'} has more than {config.max_frames} "
                    "frames: cut it into clips, or raise max_frames (--max-frames)"
                )
            if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
                raise UserError(
                    f"frames: expected (H, W, 3) uint8, got {frame.shape} {frame.dtype}"
                )
            yield frame

    if config.alignment == "none":
        return _whole_frames(frames(), config, problems)
    if backend is None:
        backend = open_backend(config, Path(source).stem if from_file else "")

    kept: list[int] = []
    found: list[Detection] = []
    held: list[np.ndarray] | None = []
    n_source = n_bytes = 0
    for number, frame, face in track(frames(), backend, config.follow):
        n_source = number + 1
        if face is None or face.landmarks is None:
            continue
        if config.alignment == "rigid68" and len(face.landmarks) != 68:
            raise UserError(
                f"alignment rigid68 needs 68 landmarks, {backend.name} gives {len(face.landmarks)}"
            )
        if not align.usable(face.landmarks, config.alignment):
            continue
        kept.append(number)
        found.append(face)
        if held is not None:
            held.append(frame)
            n_bytes += frame.nbytes
            if from_file and n_bytes > HOLD_BYTES:
                held = None  # too long to keep: read a second time below
    if from_file and getattr(backend, "left", 0):
        problems.append(
            f"the landmark file covers {n_source + backend.left} frames, the video has {n_source}"
        )
    size = config.size
    if not kept:
        none = np.zeros((0, size, size, 3), np.uint8)
        numbers, matrices = np.zeros(0, np.int64), np.zeros((0, 2, 3))
        return PreparedClip(
            none, none, numbers, n_source, matrices, (), backend.name, tuple(problems)
        )
    numbers = np.array(kept, np.int64)
    points = np.stack([face.landmarks for face in found])
    points = align.smooth_landmarks(points, numbers, config.smoothing)
    matrices = align.alignment_matrices(points, size, config.margin, config.alignment, config.shift)
    oversample = align.supersampling(matrices)
    if held is None:
        wanted = set(kept)
        again = frames()
        seen = list(problems)
        pictures = (frame for number, frame in enumerate(again) if number in wanted)
    else:
        seen, pictures = problems, iter(held)
    crops = [
        align.warp(frame, matrix, size, oversample)
        for frame, matrix in zip(pictures, matrices, strict=True)
    ]
    aligned = np.stack(crops)
    final = temporal.normalise_length(aligned, config.frames, config.temporal)
    return PreparedClip(
        final, aligned, numbers, n_source, matrices, tuple(found), backend.name, tuple(seen)
    )


def _whole_frames(
    frames: Iterator[np.ndarray], config: PreprocessConfig, problems: list[str]
) -> PreparedClip:
    crops, matrices = [], []
    for frame in frames:
        matrix = align.fit_matrix(frame.shape[0], frame.shape[1], config.size)
        oversample = align.supersampling(matrix[None])
        crops.append(align.warp(frame, matrix, config.size, oversample))
        matrices.append(matrix)
    if not crops:
        raise UserError("the clip has no frame")
    aligned = np.stack(crops)
    final = temporal.normalise_length(aligned, config.frames, config.temporal)
    numbers = np.arange(len(crops))
    return PreparedClip(
        final, aligned, numbers, len(crops), np.stack(matrices), (), "none", tuple(problems)
    )


def preprocess(
    clipset: ClipSet,
    config: PreprocessConfig,
    cache_dir: Path,
    workers: int | None = None,
    progress: bool = True,
    time_limit: float = 600.0,
) -> Prepared:
    """Prepare every clip of a set, or open what was prepared before.

    Clips are cached one by one under the SHA-256 of their content and the options: a run that
    was killed goes on where it stopped, sets that share clips share the work, and a renamed
    file is not prepared again. A clip that cannot be read, has too few faces, crashes the
    decoder or takes longer than ``time_limit`` is named in the report and left out.

    Args:
        clipset: the clips.
        config: how.
        cache_dir: folder of the cache; created when missing.
        workers: processes; by default one a core. 0 works in this process (for debugging:
            a decoder crash then takes it down, and no time limit holds).
        progress: show a progress bar on stderr.
        time_limit: seconds for one clip.

    Returns:
        The kept clips in the order of ``clipset``, and the report. No clip kept is a result.

    Raises:
        UserError: the backend is not available, or the cache cannot be written.

    A set whose frames are aligned faces already (``clipset.aligned``) is prepared with
    ``alignment="none"``.
    """
    start = time.perf_counter()
    cache_dir = Path(cache_dir)
    if clipset.aligned and config.alignment != "none":
        config = replace(config, alignment="none")  # the report's configuration says so
    shape = (config.frames, config.size, config.size, 3)
    cache = ClipCache(cache_dir / config.key, shape, config.options | {"ecstfl": __version__})
    failures: dict[str, str] = {}
    keys = _content_keys(clipset, config, cache_dir, failures, progress)

    todo = {keys[c.id]: c for c in clipset if c.id in keys and keys[c.id] not in cache.entries}
    from_cache = sum(c.id in keys for c in clipset) - sum(keys.get(c.id) in todo for c in clipset)
    if todo:
        if config.alignment != "none" and config.backend not in ("landmarks", "ground_truth"):
            open_backend(config)  # a missing backend ends the run here, with one sentence
        with cache.writing():
            todo = {k: c for k, c in todo.items() if k not in cache.entries}
            _prepare(todo, config, cache, workers, progress, time_limit, failures, keys)

    prepared = _collect(clipset, config, cache, keys, failures)
    if prepared is None:  # damaged rows were found and forgotten: once more
        return preprocess(clipset, config, cache_dir, workers, progress, time_limit)
    seconds = time.perf_counter() - start
    prepared.report["from_cache"] = from_cache
    prepared.report["seconds"] = round(seconds, 3)
    prepared.report["clips_per_second"] = round(len(clipset) / max(seconds, 1e-9), 2)
    return prepared


def with_checksums(clipset: ClipSet, cache_dir: str | Path, *, progress: bool = True) -> ClipSet:
    """Fill in the SHA-256 of clips whose set publishes none, so that runs are named by content.

    Without it, clips replaced under their old names would find the runs of the old clips. What
    was hashed is remembered while size and time of a file stay the same.

    Args:
        clipset: n clips.
        cache_dir: as for :func:`preprocess`, which then need not hash again.
        progress: show a bar when it takes long.

    Returns:
        The same clips; one that cannot be read keeps none, and :func:`preprocess` names it.
    """
    if all(clip.sha256 for clip in clipset):
        return clipset
    memo = HashMemo(Path(cache_dir) / "hashes.json")

    def filled(clip: Clip) -> Clip:
        if clip.sha256:
            return clip
        try:
            return replace(clip, sha256=memo.sha256(Path(clip.source)))
        except UserError:
            return clip

    clips = _hashed(filled, clipset, progress)
    memo.save()
    return replace(clipset, clips=tuple(clips))


def _hashed(function: Callable[[Clip], Any], clipset: ClipSet, progress: bool) -> list[Any]:
    """Apply a function that hashes to every clip, on four threads."""
    with ThreadPoolExecutor(4) as pool:  # hashing releases the interpreter lock
        bar = {"total": len(clipset), "desc": "checksums", "unit": "clip"}
        stream = pool.map(function, clipset.clips)
        # shown only when it takes long: DFEW's 15 GB the first time, not what is remembered
        return list(tqdm(stream, **bar, disable=not progress, leave=False, delay=2))


def _content_keys(
    clipset: ClipSet,
    config: PreprocessConfig,
    cache_dir: Path,
    failures: dict[str, str],
    progress: bool,
) -> dict[str, str]:
    """Clip id -> key of its content; what cannot be read goes to ``failures`` (id -> why)."""
    memo = HashMemo(cache_dir / "hashes.json")

    def key(clip: Clip) -> tuple[str, str, str]:
        try:
            digest = memo.sha256(Path(clip.source))
            if clip.sha256 and digest != clip.sha256.lower():
                return (
                    clip.id,
                    "",
                    (
                        f"{clip.source} is damaged: its SHA-256 starts with {digest[:12]}, "
                        f"the data set says {clip.sha256[:12]}"
                    ),
                )
            if config.backend in ("landmarks", "ground_truth") and config.alignment != "none":
                path = landmark_file(Path(config.landmarks), clip.id)
                digest = hashlib.sha256((digest + content_sha256(path)).encode()).hexdigest()
            return clip.id, digest, ""
        except UserError as error:
            return clip.id, "", str(error)

    answers = _hashed(key, clipset, progress)
    failures |= {clip_id: why for clip_id, _, why in answers if why}
    memo.save()
    return {clip_id: digest for clip_id, digest, why in answers if not why}


def _prepare(
    todo: dict[str, Clip],
    config: PreprocessConfig,
    cache: ClipCache,
    n_workers: int | None,
    progress: bool,
    time_limit: float,
    failures: dict[str, str],
    keys: dict[str, str],
) -> None:
    """Prepare clips and add them to the cache, in whatever order they finish."""
    pending = list(todo.items())
    jobs = [{"id": clip.id, "source": str(clip.source)} for _, clip in pending]
    n_workers = _cores() if n_workers is None else n_workers
    n_workers = min(n_workers, len(jobs))
    if n_workers > 0:
        options = asdict(config)
        results = workers.run(
            jobs, "ecstfl.clips.preprocess", "worker", options, n_workers, time_limit
        )
    else:
        work = worker(asdict(config))
        results = ((index, work(job)) for index, job in enumerate(jobs))
    with tqdm(
        total=len(jobs), desc="faces", unit="clip", disable=not progress or not jobs, smoothing=0.05
    ) as bar:
        for index, result in results:
            key, clip = pending[index]
            if isinstance(result, str):  # crash or timeout: may differ next time, not cached
                reason = f"{clip.source}: {result}"
            else:
                answer, payload = result
                reason = _store(cache, key, answer, payload)
            if reason:
                failures |= {c: reason for c, k in keys.items() if k == key}
            bar.update()


def _cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _store(cache: ClipCache, key: str, answer: dict[str, Any], payload: bytes) -> str:
    """Add one answer to the cache; return a reason instead when it must not be remembered."""
    if answer["transient"]:
        return answer["reason"]
    n_frames = answer["frame_bytes"]
    tracks = np.frombuffer(payload[n_frames:], np.float64).reshape(answer["tracks"])
    cache.add(
        key,
        payload[:n_frames],
        tracks,
        answer["n_source"],
        answer["reason"],
        tuple(answer["problems"]),
        answer["backend"],
    )
    return ""


def worker(options: dict[str, Any]) -> Callable[[workers.Job], workers.Result]:
    """Return the function from a job to an answer that runs in each process."""
    config = PreprocessConfig(**options)
    cv2.setNumThreads(1)

    def work(job: workers.Job) -> workers.Result:
        answer: dict[str, Any] = {
            "reason": "",
            "transient": False,
            "n_source": 0,
            "problems": [],
            "backend": config.backend if config.alignment != "none" else "none",
            "frame_bytes": 0,
            "tracks": [0, 21],
        }
        try:
            backend = None if config.alignment == "none" else open_backend(config, job["id"])
            clip = preprocess_clip(Path(job["source"]), config, backend)
        except UserError as error:
            # cached by content: another run may find the same bytes under another name
            why = str(error).replace(job["source"], "{source}")
            return answer | {"reason": why}, b""
        except MemoryError:
            why = f"{job['source']}: not enough memory"
            return answer | {"reason": why, "transient": True}, b""
        except Exception as error:  # one clip must not end the run; the report names it
            why = f"{job['source']}: {type(error).__name__}: {error}"
            return answer | {"reason": why, "transient": True}, b""
        tracks = _tracks(clip)
        if not len(clip.kept):
            answer["reason"] = f"no face in {clip.n_source} frames"
        payload = clip.frames.tobytes() if len(clip.kept) else b""
        answer |= {
            "n_source": clip.n_source,
            "problems": list(clip.problems),
            "backend": clip.backend,
            "frame_bytes": len(payload),
            "tracks": list(tracks.shape),
        }
        return answer, payload + tracks.tobytes()

    return work


def _tracks(clip: PreparedClip) -> np.ndarray:
    """(k, 21) float64: frame number, matrix, box, five points."""
    k = len(clip.kept)
    boxes, points = np.full((k, 4), np.nan), np.full((k, 10), np.nan)
    if clip.detections:
        boxes = np.stack([d.bbox for d in clip.detections])
        points = np.stack([d.points5.reshape(-1) for d in clip.detections])
    return np.concatenate([clip.kept[:, None], clip.matrices.reshape(k, 6), boxes, points], 1)


def _collect(
    clipset: ClipSet,
    config: PreprocessConfig,
    cache: ClipCache,
    keys: dict[str, str],
    failures: dict[str, str],
) -> Prepared | None:
    """Put together the kept clips and the report; None when the cache had damaged rows."""
    kept: list[Entry] = []
    keep: list[bool] = []
    dropped, warnings, coverages = [], [], []
    counts = {"frames_read": 0, "frames_kept": 0}
    for clip in clipset:
        entry = cache.entries.get(keys.get(clip.id, ""))
        reason = failures.get(clip.id, "")
        if not reason and entry is None:
            reason = f"{clip.source}: was not prepared"
        if not reason and entry is not None:
            reason = entry.reason.replace("{source}", str(clip.source))
            counts["frames_read"] += entry.n_source
            counts["frames_kept"] += entry.n_kept
            if entry.n_source:
                coverages.append(entry.coverage)
            if entry.problems:
                warnings.append({"id": clip.id, "problems": list(entry.problems)})
            if not reason and entry.coverage < config.min_coverage:
                reason = (
                    f"a face in {entry.n_kept} of {entry.n_source} frames "
                    f"({entry.coverage:.0%}), less than {config.min_coverage:.0%}"
                )
        keep.append(not reason)
        if reason:
            # A clip without enough faces is a result; one that cannot be read is a defect.
            seen = entry is not None and entry.n_source > 0 and clip.id not in failures
            kind = "faces" if seen else "unreadable"
            source = str(clip.source)
            dropped.append({"id": clip.id, "source": source, "kind": kind, "reason": reason})
        elif entry is not None:
            kept.append(entry)
    clips, damaged = cache.read(kept)
    if damaged:
        with cache.writing():
            cache.forget({kept[i].key for i in damaged})
        return None
    edges = np.linspace(0, 1, 11)
    histogram = np.histogram(coverages, edges)[0]
    report: dict[str, Any] = {
        "name": clipset.name,
        "synthetic": clipset.synthetic,
        "notes": list(clipset.notes),
        "config": asdict(config),
        "cache_key": config.key,
        "backends": sorted({e.backend for e in kept}),
        "n_clips": len(clipset),
        "n_kept": len(kept),
        "n_dropped": len(dropped),
        "dropped": dropped,
        "warnings": warnings,
        "coverage": {
            "mean": float(np.mean(coverages)) if coverages else None,
            "edges": edges.round(1).tolist(),
            "counts": histogram.tolist(),
        },
        **counts,
    }

    def tracks(i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        rows = cache.tracks(kept[i])
        numbers, matrices = rows[:, 0].astype(np.int64), rows[:, 1:7].reshape(-1, 2, 3)
        return numbers, matrices, rows[:, 7:11], rows[:, 11:].reshape(-1, 5, 2)

    coverage = np.array([entry.coverage for entry in kept])
    return Prepared(clips, clipset.subset(keep), report, coverage, tracks)
