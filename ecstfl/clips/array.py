"""Prepared clips to keep or to pass on: ``clips.npy``, which any NumPy opens, and a manifest.

``manifest.csv`` has a line per clip, in the order of the rows: what the clip is. It is written
last, so that a folder with a manifest is finished.
"""

from __future__ import annotations

from itertools import repeat
from pathlib import Path
from typing import Final

import numpy as np

from ecstfl.clips.preprocess_set import Prepared
from ecstfl.files import atomic_write, write_csv
from ecstfl.labels import CLASSES

COLUMNS: Final = ("row", "id", "path", "label", "group", "fold", "coverage")


def write_clip_array(folder: Path, prepared: Prepared) -> None:
    """Write ``clips.npy`` (n, T, S, S, 3) clip by clip, then ``manifest.csv``.

    Raises:
        UserError: the folder cannot be written or the disk is full.
    """
    manifest = folder / "manifest.csv"
    manifest.unlink(missing_ok=True)
    header = {"descr": "|u1", "fortran_order": False, "shape": prepared.clips.shape}
    with atomic_write(folder / "clips.npy") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for frames in prepared.clips:
            file.write(frames.tobytes())
    write_csv(manifest, COLUMNS, map(_row, range(len(prepared.clipset)), repeat(prepared)))


def _row(number: int, prepared: Prepared) -> list[object]:
    clip, coverage = prepared.clipset.clips[number], f"{prepared.coverage[number]:.4f}"
    label = "" if clip.label is None else CLASSES[clip.label]
    fold = "" if clip.fold is None else clip.fold
    return [number, clip.id, clip.source, label, clip.group, fold, coverage]
