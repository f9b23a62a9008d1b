"""Prepared clips to keep or to pass on: ``clips.npy``, which any NumPy opens, and a manifest.

``manifest.csv`` has a line per clip, in the order of the rows: what the clip is and a checksum.
It is written last, so that a folder with a manifest is finished.
"""

from __future__ import annotations

import csv
import io
import zlib
from pathlib import Path
from typing import Final

import numpy as np

from ecstfl.clips.preprocess_set import Prepared
from ecstfl.errors import UserError
from ecstfl.files import atomic_write
from ecstfl.labels import CLASSES

COLUMNS: Final = ("row", "id", "path", "label", "group", "fold", "coverage", "crc32")


def write_clip_array(folder: Path, prepared: Prepared) -> None:
    """Write ``clips.npy`` (n, T, S, S, 3) clip by clip, then ``manifest.csv``.

    Raises:
        UserError: the folder cannot be written or the disk is full.
    """
    manifest = folder / "manifest.csv"
    manifest.unlink(missing_ok=True)
    header = {"descr": "|u1", "fortran_order": False, "shape": prepared.clips.shape}
    sums = []
    with atomic_write(folder / "clips.npy") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for frames in prepared.clips:
            data = frames.tobytes()
            file.write(data)
            sums.append(zlib.crc32(data))
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(COLUMNS)
    for row, clip in enumerate(prepared.clipset):
        label = "" if clip.label is None else CLASSES[clip.label]
        fold = "" if clip.fold is None else clip.fold
        coverage = f"{prepared.coverage[row]:.4f}"
        writer.writerow(
            [row, clip.id, clip.source, label, clip.group, fold, coverage, f"{sums[row]:08x}"]
        )
    with atomic_write(manifest) as file:
        file.write(table.getvalue().encode(errors="surrogateescape"))


def open_clip_array(folder: Path | str, verify: bool = False) -> tuple[np.ndarray, list[dict]]:
    """Open what :func:`write_clip_array` wrote.

    Args:
        folder: with ``clips.npy`` and ``manifest.csv``.
        verify: read everything once and compare the checksums.

    Returns:
        ((n, T, S, S, 3) uint8, mapped read-only; n lines of the manifest, column -> text).

    Raises:
        UserError: nothing there, unfinished, cut off, or damaged.
    """
    folder = Path(folder)
    manifest, data = folder / "manifest.csv", folder / "clips.npy"
    if not manifest.exists():
        raise UserError(f"{folder} holds no finished clips (no manifest.csv): preprocess again")
    advice = f"delete {folder} and preprocess again"
    try:
        text = manifest.read_text(encoding="utf-8", errors="surrogateescape")
        lines = list(csv.DictReader(io.StringIO(text, newline="")))
        clips = np.load(data, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, csv.Error) as error:
        raise UserError(f"{folder} is damaged or cut off ({error}): {advice}") from error
    if clips.ndim != 5 or clips.dtype != np.uint8 or len(clips) != len(lines):
        raise UserError(
            f"{data} holds {clips.dtype} {clips.shape}, the manifest {len(lines)} clips: {advice}"
        )
    if verify:
        for frames, line in zip(clips, lines, strict=True):
            if f"{zlib.crc32(np.ascontiguousarray(frames)):08x}" != line.get("crc32"):
                raise UserError(f"{data}: clip {line.get('id')} is damaged: {advice}")
    return clips, lines
