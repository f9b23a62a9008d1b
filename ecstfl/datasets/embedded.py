"""The embedded data: rendered dynamic expressions with their truth, in ``data/``.

The pack is written by ``python -m data.generator`` and only read here. Everything in it is
synthetic: results on it say nothing about accuracy on real faces (``data/README.md``).
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from ecstfl.datasets.clipset import Clip, ClipSet
from ecstfl.errors import UserError
from ecstfl.labels import CLASSES, label_index

SPLITS: Final = ("default", "wild")
PRIORS: Final = ("balanced", "longtail")
ENVIRONMENT: Final = "ECSTFL_DATA"
_COLUMNS: Final = ("clip", "file", "split", "label", "identity", "fold", "longtail", "sha256")
_VOTES: Final = tuple(f"votes_{name}" for name in CLASSES)
_SHA256: Final = re.compile(r"([0-9a-f]{64}) [ *](.+)")


@dataclass(frozen=True)
class ClipTruth:
    """What is known about one clip, per frame (T frames).

    Attributes:
        units: (T, 23) float32 action-unit intensities, about 0..1.4; see ``Truth.unit_names``.
        landmarks: (T, 68, 2) float32 pixels (x, y), ibug-68 order; projected also where hidden.
        landmarks_seen: (T,) float32 share of landmarks in the frame and not behind anything.
        box: (T, 4) float32 x0 y0 x1 y1 of the face in pixels; NaN where no face is visible.
        pose: (T, 3) float32 yaw, pitch, roll of the head in degrees.
        visible: (T,) bool, whether a face is to be seen.
    """

    units: np.ndarray
    landmarks: np.ndarray
    landmarks_seen: np.ndarray
    box: np.ndarray
    pose: np.ndarray
    visible: np.ndarray


class Truth:
    """Ground truth of every clip of the pack; ``truth[clip_id]`` is a :class:`ClipTruth`.

    Attributes:
        unit_names: names of the 23 action units, in the order of ``ClipTruth.units``.
        clips: ids of the clips, in the order of the manifest.
    """

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self._arrays = arrays
        self.unit_names: tuple[str, ...] = tuple(str(n) for n in arrays["unit_names"])
        self.clips: tuple[str, ...] = tuple(str(c) for c in arrays["clip"])

    def __len__(self) -> int:
        return len(self.clips)

    def __iter__(self) -> Iterator[str]:
        return iter(self.clips)

    def __getitem__(self, clip: str) -> ClipTruth:
        if clip not in self.clips:
            raise UserError(f"the embedded data has no truth for clip {clip!r}")
        i = self.clips.index(clip)
        rows = slice(int(self._arrays["offset"][i]), int(self._arrays["offset"][i + 1]))
        # stored as differences from frame to frame, in steps of a fraction of a pixel
        steps = np.cumsum(self._arrays["landmarks"][rows].astype(np.int32), axis=0)
        names = ("units", "landmarks_seen", "box", "pose")
        part = {k: self._arrays[k][rows].astype(np.float32) for k in names}
        return ClipTruth(
            landmarks=(steps / int(self._arrays["landmark_steps"])).astype(np.float32),
            visible=self._arrays["visible"][rows].astype(bool),
            **part,
        )


def find_data(root: str | Path | None = None) -> Path:
    """Return the folder of the embedded data.

    Looked for in this order: ``root``, the environment variable ``ECSTFL_DATA``, ``data`` in the
    repository that holds this package, ``data`` in the current folder.

    Raises:
        UserError: there is none; a folder that was named but holds no pack is never passed over.
    """
    for named, what in ((root, ""), (os.environ.get(ENVIRONMENT), f" (from {ENVIRONMENT})")):
        if named:
            found = _pack_in(Path(named))
            if found is None:
                raise UserError(
                    f"no embedded data in {named}{what}: the folder must hold manifest.csv; "
                    "name the folder data/ of the ecstfl repository"
                )
            return found
    for folder in (Path(__file__).resolve().parents[2] / "data", Path.cwd() / "data"):
        found = _pack_in(folder)
        if found is not None:
            return found
    raise UserError(
        "the embedded data was not found; run inside the ecstfl repository, or set "
        f"{ENVIRONMENT} to its folder data/"
    )


def _pack_in(folder: Path) -> Path | None:
    for candidate in (folder, folder / "data"):
        if (candidate / "manifest.csv").is_file():
            return candidate
    return None


def read_manifest(root: str | Path | None = None) -> list[dict[str, str]]:
    """Return all rows of ``manifest.csv`` as text, in order (``data/README.md`` explains them).

    Raises:
        UserError: no pack, or the manifest is damaged.
    """
    path = find_data(root) / "manifest.csv"
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read {path}: {error}; restore it from the repository") from None
    missing = [c for c in _COLUMNS if not rows or c not in rows[0]]
    if missing:
        raise UserError(f"{path} has no column {missing[0]!r}; restore it from the repository")
    return rows


def read_checksums(root: Path) -> dict[str, str]:
    """Return file -> SHA-256 from ``SHA256SUMS``.

    Raises:
        UserError: the list is missing or damaged.
    """
    path = root / "SHA256SUMS"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise UserError(
            f"{path} is missing or unreadable; restore it from the repository"
        ) from None
    sums = {}
    for number, line in enumerate(lines, start=1):
        match = _SHA256.fullmatch(line)
        if match is None:
            raise UserError(f"{path}, line {number} is damaged; restore it from the repository")
        sums[match[2]] = match[1]
    return sums


def _check(root: Path, file: str, sums: dict[str, str]) -> None:
    """Raise UserError unless the file is there and is what the list says."""
    path = root / file
    if file not in sums:
        raise UserError(f"{path} is not in {root / 'SHA256SUMS'}; restore both from the repository")
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        raise UserError(f"{path} is missing; restore it from the repository") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    if found != sums[file]:
        raise UserError(f"{path} is damaged (wrong SHA-256); restore it from the repository")


def open_embedded(
    root: str | Path | None = None,
    split: str = "default",
    prior: str = "balanced",
    verify: bool = True,
) -> ClipSet:
    """Open the embedded data.

    Args:
        root: folder of the pack; see :func:`find_data`.
        split: "default", or "wild" (other identities, full difficulty, for stress tests).
        prior: "balanced", or "longtail": the subset with DFEW's class proportions
            (2445 1894 2669 2173 1469 145 902), where UAR and WAR part ways.
        verify: read every file and compare its SHA-256 (a fraction of a second).

    Returns:
        A clip set with five identity-disjoint folds; groups are identities.

    Raises:
        UserError: no pack, unknown split or prior, a missing or damaged file (named).
    """
    for what, asked, known in (("split", split, SPLITS), ("prior", prior, PRIORS)):
        if asked not in known:
            raise UserError(
                f"unknown {what} {asked!r} of the embedded data: use {' or '.join(known)}"
            )
    folder = find_data(root)
    sums = read_checksums(folder)
    _check(folder, "manifest.csv", sums)
    rows = [
        row
        for row in read_manifest(folder)
        if row["split"] == split and (prior == "balanced" or row["longtail"] == "1")
    ]
    if not rows:
        raise UserError(f"{folder / 'manifest.csv'} lists no clip of split {split!r}")
    clips = []
    for row in rows:
        if verify:
            _check(folder, row["file"], sums)
        elif not (folder / row["file"]).is_file():
            raise UserError(f"{folder / row['file']} is missing; restore it from the repository")
        clips.append(
            Clip(
                id=row["clip"],
                source=folder / row["file"],
                label=label_index(row["label"]),
                group=row["identity"],
                fold=int(row["fold"]),
                sha256=row["sha256"],
                votes=tuple(int(row[column]) for column in _VOTES if column in row),
            )
        )
    counts = [sum(c.label == k for c in clips) for k in range(len(CLASSES))]
    notes = (
        "rendered faces: results say nothing about accuracy on real faces",
        f"{len(clips)} clips of {len({c.group for c in clips})} identities, split {split}, "
        f"prior {prior}: " + ", ".join(f"{n} {k}" for k, n in zip(CLASSES, counts, strict=True)),
    )
    name = "embedded" if split == "default" else split
    name += f"-{prior}" if prior != "balanced" else ""
    return ClipSet(name=name, clips=tuple(clips), synthetic=True, notes=notes)


def load_truth(root: str | Path | None = None) -> Truth:
    """Load the per-frame truth of all clips of the pack (about 1 s).

    Raises:
        UserError: no pack, or ``truth.npz`` is missing or damaged.
    """
    folder = find_data(root)
    _check(folder, "truth.npz", read_checksums(folder))
    try:
        with np.load(folder / "truth.npz", allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {folder / 'truth.npz'}: {error}") from None
    return Truth(arrays)
