"""The cache of prepared clips: two files a clip, each whole or not there.

One folder per set of options; in it

* ``options.json``: what the clips were made with, for people;
* ``KEY.npy``: the frames of one clip (T, S, S, 3) uint8; KEY is the hash of the video's content;
* ``KEY.npz``: how they came about, see :class:`Entry`, and what aligned them. It is written last,
  so that it says: this clip is finished. A clip that cannot be had has this file only.

One process prepares at a time (file lock); others wait and then find the work done.
"""

from __future__ import annotations

import contextlib
import json
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
from filelock import FileLock, Timeout

from ecstfl.clips.preprocess import PreparedClip
from ecstfl.errors import UserError
from ecstfl.files import atomic_write, remove_parts, write_json

STALLED: Final = 1800.0
"""Seconds without any new clip after which another run that holds the cache is taken for hung."""


_NOTHING: Final = PreparedClip(
    np.zeros((0, 0, 0, 3), np.uint8),
    np.zeros((0, 0, 0, 3), np.uint8),
    np.zeros(0, np.int64),
    0,
    np.zeros((0, 2, 3)),
)


class DamagedClip(UserError):
    """Not what was written."""


@dataclass(frozen=True)
class Entry:
    """What is known of one clip.

    Attributes:
        key: of its content.
        n_source: frames read.
        n_kept: frames with a face.
        reason: why there are no frames; empty otherwise.
        problems: damage that was read over.
        backend: name of the backend that ran.
        crc: CRC-32 of the frames.
        size: bytes of their file; 0 when there is none.
    """

    key: str
    n_source: int
    n_kept: int
    reason: str
    problems: tuple[str, ...]
    backend: str
    crc: int
    size: int

    @property
    def coverage(self) -> float:
        """Share of frames with a face, 0..1."""
        return self.n_kept / max(1, self.n_source)


@dataclass(frozen=True)
class Track:
    """What aligned one clip of k kept frames.

    Attributes:
        kept: (k,) int64, their numbers in the source.
        matrices: (k, 2, 3) float64, frame to crop.
        boxes: (k, 4) float64 x1 y1 x2 y2, pixels; NaN where whole frames were taken.
        points: (k, 5, 2) float64, eyes, nose, corners of the mouth; NaN likewise.
    """

    kept: np.ndarray
    matrices: np.ndarray
    boxes: np.ndarray
    points: np.ndarray


@dataclass(frozen=True)
class ClipCache:
    """One folder of prepared clips (see the top of this module).

    Attributes:
        folder: see :meth:`open`.
        shape: (T, S, S, 3) of a prepared clip.
    """

    folder: Path
    shape: tuple[int, ...]

    def open(self, options: dict[str, Any]) -> None:
        """Make the folder when it is missing, with ``options.json``.

        Raises:
            UserError: it cannot be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make cache folder {self.folder}: {error.strerror}") from error
        if not (self.folder / "options.json").exists():
            write_json(self.folder / "options.json", options)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock while clips are prepared.

        Raises:
            UserError: the folder cannot be written, or another run holds it and does nothing.
        """
        lock = FileLock(self.folder / "lock")
        try:
            try:
                lock.acquire(timeout=2)
            except Timeout:
                print(f"waiting for another run that writes to {self.folder}", file=sys.stderr)
                self._wait(lock)
            remove_parts(self.folder)  # what a killed run was writing
        except OSError as error:
            raise UserError(f"cannot write to cache {self.folder}: {error.strerror}") from error
        try:
            yield
        finally:
            lock.release()

    def _wait(self, lock: FileLock) -> None:
        while True:
            before = self.folder.stat().st_mtime_ns
            try:
                lock.acquire(timeout=STALLED)
                return
            except Timeout:
                if before == self.folder.stat().st_mtime_ns:
                    raise UserError(
                        f"another run holds {self.folder} and has prepared nothing for "
                        f"{STALLED / 60:.0f} minutes: end it and give the command again"
                    ) from None

    def save(self, key: str, clip: PreparedClip | None, reason: str = "") -> None:
        """Store a clip, or the reason why there is none.

        Raises:
            UserError: no space left, or another write error.
        """
        clip = _NOTHING if clip is None else clip
        k, crc, size = len(clip.kept), 0, 0
        if k:
            crc = zlib.crc32(clip.frames)
            with atomic_write(self._frames(key)) as file:
                np.save(file, clip.frames)
                size = file.tell()
        entry = Entry(key, clip.n_source, k, reason, clip.problems, clip.backend, crc, size)
        boxes, points = np.full((k, 4), np.nan), np.full((k, 5, 2), np.nan)
        if clip.detections:
            boxes = np.stack([face.bbox for face in clip.detections])
            points = np.stack([face.points5 for face in clip.detections])
        track = Track(clip.kept, clip.matrices, boxes, points)
        with atomic_write(self._info(key)) as file:
            np.savez(file, entry=np.array(json.dumps(asdict(entry))), **track.__dict__)

    def load(self, key: str) -> Entry | None:
        """What is known of a clip; None when it is not there or damaged (to be prepared anew)."""
        try:
            with np.load(self._info(key), allow_pickle=False) as stored:
                raw = json.loads(stored["entry"].item())
            entry = Entry(**(raw | {"problems": tuple(raw["problems"])}))
            if entry.size and self._frames(key).stat().st_size != entry.size:
                return None
            return entry
        except (OSError, ValueError, TypeError, KeyError, EOFError, BadZipFile):
            return None

    def forget(self, entry: Entry) -> None:
        """Have a damaged clip prepared anew.

        Raises:
            UserError: the cache may only be read.
        """
        try:
            self._info(entry.key).unlink(missing_ok=True)
        except OSError as error:
            raise UserError(
                f"{self._frames(entry.key)} is damaged and cannot be removed ({error.strerror}): "
                "remove it yourself"
            ) from error

    def frames(self, entry: Entry) -> np.ndarray:
        """Return (T, S, S, 3) uint8 of one clip.

        Raises:
            DamagedClip: it is forgotten, too.
        """
        path = self._frames(entry.key)
        with contextlib.suppress(OSError, ValueError, EOFError):
            frames = np.load(path, allow_pickle=False)
            if frames.shape == self.shape and zlib.crc32(frames) == entry.crc:
                return frames
        self.forget(entry)
        raise DamagedClip(f"{path} is damaged: give the command again, which prepares it anew")

    def track(self, entry: Entry) -> Track:
        """Return what aligned a clip.

        Raises:
            DamagedClip: it is forgotten, too.
        """
        path = self._info(entry.key)
        try:
            with np.load(path, allow_pickle=False) as stored:
                return Track(*(stored[name] for name in Track.__dataclass_fields__))
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            self.forget(entry)
            raise DamagedClip(f"{path} is damaged: give the command again") from error

    def _frames(self, key: str) -> Path:
        return self.folder / f"{key}.npy"

    def _info(self, key: str) -> Path:
        return self.folder / f"{key}.npz"


class StoredClips:
    """Clips of a cache shown as one array (n, T, S, S, 3) uint8; only what is asked for is read.

    DFEW at 16 x 112 x 112 takes 7.04 GB; a batch reads its own clips, and the operating system
    keeps what fits, once for all processes. ``clips[3]``, ``clips[[5, 2]]``, ``clips[:64]`` and
    ``clips[mask]`` are copies in memory.

    Args:
        cache: where they are.
        entries: n of them, repeats allowed.
    """

    def __init__(self, cache: ClipCache, entries: Sequence[Entry]) -> None:
        self._cache, self._entries = cache, list(entries)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, T, S, S, 3)."""
        return (len(self), *self._cache.shape)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self._cache.frames(entry) for entry in self._entries)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Clips by position: a number, a slice, positions or a mask (n,)."""
        chosen = np.arange(len(self))[key]
        if chosen.ndim == 0:
            return self._cache.frames(self._entries[chosen])
        out = np.empty((len(chosen), *self._cache.shape), np.uint8)
        for place, number in enumerate(chosen):
            out[place] = self._cache.frames(self._entries[number])
        return out
