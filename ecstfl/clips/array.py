"""Prepared clips on disk as one uint8 array, mapped into memory instead of read.

:class:`MappedClips` shows rows of one file as an array (n, T, S, S, 3): DFEW at 16 x 112 x 112
takes 7.04 GB, opening it takes no memory, a batch reads its own clips, and the operating system
keeps what fits, once for all processes. The cache of prepared clips
(:mod:`ecstfl.clips.cache`) opens large sets this way.

``ecstfl preprocess`` writes such an array to keep or to pass on, a folder with two files:
``clips.npy``, which any NumPy opens, and ``index.json`` (ids, labels, groups, folds, a checksum
per clip, and the key that says how the clips were made). :func:`open_clip_array` maps it.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from ecstfl.datasets.clipset import ClipSet
from ecstfl.errors import UserError

FORMAT: Final = 1
_DATA, _PART, _INDEX = "clips.npy", "clips.npy.part", "index.json"


class MappedClips:
    """Rows of a mapped file, in any order, shown as one array; only what is asked for is read.

    ``clips[3]`` and ``clips[3, 0]`` are views into the file; ``clips[[5, 2]]``, ``clips[:64]`` and
    ``clips[mask]`` are copies in memory; ``np.asarray(clips)`` reads everything.

    Args:
        file: (m, T, S, S, 3) uint8, mapped read-only.
        rows: (n,) row of the file for each clip, repeats allowed.
    """

    dtype = np.dtype(np.uint8)
    ndim = 5

    def __init__(self, file: np.ndarray, rows: Sequence[int] | np.ndarray) -> None:
        self._file, self._rows = file, np.asarray(rows, dtype=np.int64)
        if file.ndim != self.ndim or file.dtype != self.dtype or self._rows.ndim != 1:
            raise ValueError(
                f"expected (m, T, S, S, 3) uint8 and (n,) rows, got {file.shape} {file.dtype} "
                f"and {self._rows.shape}"
            )
        if self._rows.size and not 0 <= self._rows.min() <= self._rows.max() < len(file):
            raise ValueError(f"expected rows in 0..{len(file) - 1}")

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, T, S, S, 3)."""
        return (len(self._rows), *self._file.shape[1:])

    @property
    def nbytes(self) -> int:
        """Bytes of all clips."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self._file[row] for row in self._rows)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Clips by position: a number, a slice, positions or a mask (n,); more may follow."""
        first, *rest = key if isinstance(key, tuple) else (key,)
        rows = self._rows[first]
        if isinstance(rows, np.int64):
            return self._file[(rows, *rest)]
        if rest:
            raise IndexError("expected one clip before further indices, got several")
        # Read in the order of the file, which spares a hard disk; return the order asked for.
        out = np.empty((len(rows), *self.shape[1:]), np.uint8)
        for place in np.argsort(rows, kind="stable"):
            out[place] = self._file[rows[place]]
        return out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("expected leave to copy: mapped clips are read into memory")
        everything = self[:]
        return everything if dtype is None else everything.astype(dtype, copy=False)


@dataclass(frozen=True)
class ClipArray:
    """An opened folder with an array of clips.

    Attributes:
        path: the folder.
        clips: (n, T, S, S, 3) uint8 RGB, read-only, mapped from disk.
        ids: n clip ids.
        labels: (n,) int64, 0..6; -1 when unknown.
        groups: n group names, '' when unknown.
        folds: (n,) int64, 0 when not assigned.
        key: how the clips were made; equal keys mean equal options.
    """

    path: Path
    clips: np.ndarray
    ids: tuple[str, ...]
    labels: np.ndarray
    groups: tuple[str, ...]
    folds: np.ndarray
    key: str

    def __len__(self) -> int:
        return len(self.ids)


def write_clip_array(
    path: Path | str,
    clipset: ClipSet,
    clips: np.ndarray | MappedClips | Iterable[np.ndarray],
    shape: tuple[int, ...],
    key: str = "",
) -> None:
    """Write an array clip by clip; until it is whole, ``index.json`` is not there.

    Args:
        path: folder, created when missing; what it held is replaced.
        clipset: n clips.
        clips: n of (T, S, S, 3) uint8, in the order of ``clipset``.
        shape: (T, S, S, 3).
        key: how the clips were made.

    Raises:
        UserError: the folder cannot be written or the disk is full.
        ValueError: a clip has another shape or type.
    """
    folder = Path(path)
    part = folder / _PART
    sums = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _INDEX).unlink(missing_ok=True)
        with part.open("wb") as file:
            np.lib.format.write_array_header_1_0(
                file, {"descr": "|u1", "fortran_order": False, "shape": (len(clipset), *shape)}
            )
            for clip, made in zip(clipset, clips, strict=True):
                if made.shape != shape or made.dtype != np.uint8:
                    raise ValueError(
                        f"clip {clip.id}: expected uint8 {shape}, got {made.dtype} {made.shape}"
                    )
                data = made.tobytes()
                file.write(data)
                sums.append(zlib.crc32(data))
        os.replace(part, folder / _DATA)
        index = {
            "format": FORMAT,
            "key": key,
            "ids": list(clipset.ids),
            "labels": [-1 if c.label is None else c.label for c in clipset],
            "groups": [c.group for c in clipset],
            "folds": [c.fold or 0 for c in clipset],
            "crc32": sums,
        }
        temporary = folder / (_INDEX + ".tmp")
        temporary.write_text(json.dumps(index), encoding="utf-8")
        os.replace(temporary, folder / _INDEX)
    except OSError as problem:
        part.unlink(missing_ok=True)
        raise UserError(f"cannot write {folder / _DATA}: {problem.strerror or problem}") from None


def open_clip_array(path: Path | str, key: str | None = None, verify: bool = False) -> ClipArray:
    """Map a finished array; its size and index are checked, its content only on request.

    Args:
        path: folder of the array.
        key: refuse an array made in another way; None takes any.
        verify: read everything once and compare the checksums (7 GB take a while).

    Raises:
        UserError: nothing there, unfinished, cut off, made in another way, or damaged.
    """
    folder = Path(path)
    if not (folder / _INDEX).exists():
        unfinished = (folder / _PART).exists() or (folder / _DATA).exists()
        raise UserError(
            f"{folder}: this array was not finished; build it again to go on"
            if unfinished
            else f"{folder} holds no clip array"
        )
    index = _read_json(folder / _INDEX)
    try:
        if index["format"] != FORMAT:
            raise UserError(f"{folder}: array format {index['format']}, expected {FORMAT}")
        ids = tuple(index["ids"])
        labels = np.array(index["labels"], dtype=np.int64)
        folds = np.array(index["folds"], dtype=np.int64)
        groups, sums = tuple(index["groups"]), index["crc32"]
        if not len(ids) == len(labels) == len(folds) == len(groups) == len(sums):
            raise ValueError
        made = str(index["key"])
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{folder / _INDEX} is damaged: delete {folder} and build again") from None
    if key is not None and made != key:
        raise UserError(f"{folder} was made with {made!r}, not {key!r}: delete it and build again")
    try:
        clips = np.load(folder / _DATA, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as problem:
        raise UserError(
            f"{folder / _DATA} is damaged or cut off ({problem}): delete {folder} and build again"
        ) from None
    if clips.ndim != 5 or clips.dtype != np.uint8 or len(clips) != len(ids):
        raise UserError(
            f"{folder}: {len(ids)} clips in the index but {clips.dtype} {clips.shape} in the data"
        )
    array = ClipArray(folder, clips, ids, labels, groups, folds, made)
    if verify:
        verify_clip_array(array, sums)
    return array


def verify_clip_array(array: ClipArray, checksums: Sequence[int] | None = None) -> None:
    """Read every clip and compare it with its checksum.

    Raises:
        UserError: a clip differs, told by its id.
    """
    sums = _read_json(array.path / _INDEX)["crc32"] if checksums is None else checksums
    for row, name in enumerate(array.ids):
        if _checksum(array.clips[row]) != sums[row]:
            raise UserError(
                f"{array.path}: clip {name} differs from what was written; delete the folder "
                "and build again"
            )


def _checksum(clip: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(clip))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise UserError(f"{path} is damaged ({problem}): delete {path.parent}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} is damaged: delete {path.parent}")
    return value
