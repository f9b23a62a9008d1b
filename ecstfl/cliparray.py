"""Prepared clips on disk as one uint8 array, mapped into memory instead of read.

A folder with two files: ``clips.npy`` (n, T, S, S, 3), which any NumPy opens, and ``index.json``
(ids, labels, groups, folds, a checksum per clip, and the key that says how the clips were made).
DFEW at 16 x 112 x 112 takes 7.04 GB; opening maps it, batches read only their own clips, and the
operating system keeps what fits. Built once, clip by clip, and resumable: an array without
``index.json`` is unfinished.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from tqdm import tqdm

from ecstfl.clipset import Clip, ClipSet
from ecstfl.errors import UserError

FORMAT: Final = 1
_DATA, _PART, _DONE, _INDEX = "clips.npy", "clips.npy.part", "done.json", "index.json"


@dataclass(frozen=True)
class ClipArray:
    """An opened array of clips.

    Attributes:
        path: its folder.
        clips: (n, T, S, S, 3) uint8 RGB, read-only, mapped from disk.
        ids: n clip ids.
        labels: (n,) int64, 0..6.
        groups: n group names, '' when unknown.
        folds: (n,) int64, 0 when not assigned.
        key: how the clips were made; equal keys mean equal clips.
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

    def batch(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Read some clips into memory.

        Reads in the order of the file, which spares a hard disk, and returns the order asked.

        Args:
            rows: (b,) row numbers, repeats allowed.

        Returns:
            (b, T, S, S, 3) uint8, a copy of its own.
        """
        wanted = np.asarray(rows, dtype=np.int64)
        out = np.empty((len(wanted), *self.clips.shape[1:]), dtype=np.uint8)
        for place in np.argsort(wanted, kind="stable"):
            out[place] = self.clips[wanted[place]]
        return out

    def to_device(
        self, device: torch.device | str, rows: Sequence[int] | np.ndarray | None = None
    ) -> torch.Tensor:
        """Copy clips (all of them by default) to a device, in pieces that fit a laptop.

        Returns:
            (n, T, S, S, 3) uint8 on ``device``.

        Raises:
            UserError: the device has not enough memory.
        """
        chosen = np.arange(len(self)) if rows is None else np.asarray(rows, dtype=np.int64)
        shape = (len(chosen), *self.clips.shape[1:])
        try:
            out = torch.empty(shape, dtype=torch.uint8, device=device)
        except RuntimeError as problem:
            need = np.prod(shape, dtype=np.int64) / 1e9
            raise UserError(
                f"{self.path}: {need:.2f} GB do not fit on {device}; read batches from disk "
                f"instead ({str(problem).splitlines()[0]})"
            ) from None
        for start in range(0, len(chosen), 64):
            part = self.batch(chosen[start : start + 64])
            out[start : start + len(part)].copy_(torch.from_numpy(part))
        return out


def build_clip_array(
    path: Path | str,
    clipset: ClipSet,
    shape: tuple[int, int, int, int],
    make: Callable[[Clip], np.ndarray],
    key: str = "",
    progress: bool = True,
) -> ClipArray:
    """Make every clip once and keep it; a second call opens what is there.

    Ctrl-C is safe: the next call with the same clips and key goes on where this one stopped.

    Args:
        path: folder of the array.
        clipset: labelled clips.
        shape: (T, S, S, 3) of one clip.
        make: turns a clip into (T, S, S, 3) uint8.
        key: how the clips are made (options, versions); another key means another array.
        progress: show a bar.

    Raises:
        UserError: the folder holds another array, the disk is full, or ``make`` returned a
            wrong shape or type.
    """
    folder = Path(path)
    if (folder / _INDEX).exists():
        array = open_clip_array(folder, key=key)
        if array.ids != clipset.ids or array.clips.shape[1:] != shape:
            raise UserError(
                f"{folder} holds another array ({len(array)} clips of {array.clips.shape[1:]}): "
                "choose another folder or delete it"
            )
        return array
    full = (len(clipset), *shape)
    size = int(np.prod(full, dtype=np.int64))
    plan = {"format": FORMAT, "ids": list(clipset.ids), "shape": list(full), "key": key}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        data, sums = _resumed(folder, plan, full)
        if data is None:
            free = shutil.disk_usage(folder).free
            if free < size:
                raise UserError(
                    f"{folder}: {size / 1e9:.2f} GB needed, {free / 1e9:.2f} GB free on this disk"
                )
            data = np.lib.format.open_memmap(folder / _PART, mode="w+", dtype=np.uint8, shape=full)
            _reserve(folder / _PART)
        try:
            bar = tqdm(clipset, desc="clips", unit="clip", disable=not progress)
            for row, clip in enumerate(bar):
                if clip.id in sums:
                    continue
                try:
                    made = make(clip)
                except OSError as problem:  # of the clip, not of this array
                    raise UserError(f"clip {clip.id}: {problem}") from None
                if made.shape != shape or made.dtype != np.uint8:
                    raise UserError(
                        f"clip {clip.id}: expected uint8 {shape}, got {made.dtype} {made.shape}"
                    )
                data[row] = made
                sums[clip.id] = _checksum(made)
                if len(sums) % 256 == 0:  # so that a power cut costs at most 256 clips
                    data.flush()
                    _write_json(folder / _DONE, {"plan": plan, "sums": sums})
        finally:
            data.flush()
            _write_json(folder / _DONE, {"plan": plan, "sums": sums})
        del data
        os.replace(folder / _PART, folder / _DATA)
        write_index(folder, clipset, key, [sums[i] for i in clipset.ids])
        (folder / _DONE).unlink()
    except OSError as problem:
        raise UserError(f"{folder}: cannot be written ({problem.strerror or problem})") from None
    return open_clip_array(folder, key=key)


def _resumed(
    folder: Path, plan: dict[str, Any], shape: tuple[int, ...]
) -> tuple[np.memmap | None, dict[str, int]]:
    """Return what an interrupted build of the same plan left, or (None, {})."""
    if not ((folder / _DONE).exists() and (folder / _PART).exists()):
        return None, {}
    try:
        state = _read_json(folder / _DONE)
        np.lib.format.open_memmap(folder / _PART, mode="r")  # "r+" would pad a file cut short
        data = np.lib.format.open_memmap(folder / _PART, mode="r+")
        if state["plan"] == plan and data.shape == shape and data.dtype == np.uint8:
            return data, {str(name): int(value) for name, value in state["sums"].items()}
    except (UserError, OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # damaged: begin anew
    return None, {}


def _reserve(path: Path) -> None:
    """Claim the disk space now: writing to a mapped file on a full disk would kill the process.

    Raises:
        OSError: the disk is full.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as problem:
            if problem.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            # other errors: this file system cannot reserve


def write_index(folder: Path, clipset: ClipSet, key: str, checksums: Sequence[int]) -> None:
    """Write ``index.json`` beside ``clips.npy``; from then on the array counts as finished."""
    _write_json(
        folder / _INDEX,
        {
            "format": FORMAT,
            "key": key,
            "ids": list(clipset.ids),
            "labels": [-1 if c.label is None else c.label for c in clipset],
            "groups": [c.group for c in clipset],
            "folds": [c.fold or 0 for c in clipset],
            "crc32": list(checksums),
        },
    )


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


def _write_json(path: Path, value: dict[str, Any]) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(value), encoding="utf-8")
    os.replace(temporary, path)
