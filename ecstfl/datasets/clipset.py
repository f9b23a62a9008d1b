"""A set of labelled clips: what every reader returns and everything downstream uses.

Data flow: **video** -> faces -> clips -> batches -> features -> metrics -> figures.
A reader (one short function per data set) turns a folder on disk into a :class:`ClipSet`;
nothing after it knows where the clips came from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ecstfl.errors import UserError
from ecstfl.labels import CLASSES, N_CLASSES


@dataclass(frozen=True)
class Clip:
    """One video with its label.

    Attributes:
        id: unique within its set, safe as a file name.
        source: a video file, or a folder of numbered images.
        label: 0..6 in the order of ``CLASSES``; ``None`` when unknown (prediction).
        group: whoever must not stand on both sides of a split (identity, actor, film).
        fold: 1..k, the fold in which this clip is *tested*; ``None`` when not assigned.
        sha256: of the source file, when the set publishes one; checked on reading. Where it
            publishes none, :func:`ecstfl.clips.checksums.with_checksums` fills it in.
        votes: how many raters chose each class, in the order of ``CLASSES``; empty where no votes
            are read.
    """

    id: str
    source: Path
    label: int | None = None
    group: str = ""
    fold: int | None = None
    sha256: str | None = None
    votes: tuple[int, ...] = ()


@dataclass(frozen=True)
class ClipSet:
    """Clips of one data set, in a fixed order.

    Attributes:
        name: short name, as on the command line (``embedded``, ``dfew``, ...).
        clips: the clips; ids are unique.
        synthetic: True when the frames are rendered; every table and figure then says so.
        notes: sentences that belong beside any result (what is missing, what differs).
        aligned: True when the frames are cropped, aligned faces already; looking for faces in
            them again is not needed (``PreprocessConfig(alignment="none")``).
    """

    name: str
    clips: tuple[Clip, ...]
    synthetic: bool = False
    notes: tuple[str, ...] = ()
    aligned: bool = False

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for clip in self.clips:
            if clip.id in seen:
                raise UserError(f"data set {self.name}: clip id {clip.id!r} occurs twice")
            seen.add(clip.id)
            if clip.label is not None and not 0 <= clip.label < N_CLASSES:
                raise UserError(
                    f"data set {self.name}: clip {clip.id!r} has label {clip.label}, "
                    f"expected 0..{N_CLASSES - 1} ({', '.join(CLASSES)})"
                )

    def __len__(self) -> int:
        return len(self.clips)

    def __iter__(self) -> Iterator[Clip]:
        return iter(self.clips)

    @property
    def ids(self) -> tuple[str, ...]:
        """Clip ids, in order."""
        return tuple(clip.id for clip in self.clips)

    @property
    def labels(self) -> np.ndarray:
        """(n,) int64, 0..6.

        Raises:
            UserError: a clip has no label.
        """
        unlabelled = [clip.id for clip in self.clips if clip.label is None]
        if unlabelled:
            raise UserError(f"data set {self.name}: clip {unlabelled[0]!r} has no label")
        return np.array([clip.label for clip in self.clips], dtype=np.int64)

    @property
    def groups(self) -> np.ndarray:
        """(n,) str: the identity (actor, film) of each clip."""
        return np.array([clip.group for clip in self.clips])

    @property
    def folds(self) -> tuple[int, ...]:
        """The fold numbers that occur, ascending."""
        return tuple(sorted({clip.fold for clip in self.clips if clip.fold is not None}))

    def subset(self, keep: Sequence[bool] | np.ndarray) -> ClipSet:
        """Return the clips where ``keep`` (n,) is true, in the same order."""
        return replace(self, clips=tuple(c for c, k in zip(self.clips, keep, strict=True) if k))

    def split(self, fold: int) -> tuple[ClipSet, ClipSet]:
        """Return (train, test) for one fold; no group stands on both sides.

        Raises:
            UserError: there is no such fold, or a group is found on both sides (leakage).
        """
        if fold not in self.folds:
            known = ", ".join(map(str, self.folds)) or "none"
            raise UserError(f"data set {self.name} has no fold {fold}; its folds: {known}")
        test = np.array([clip.fold == fold for clip in self.clips])
        shared = {c.group for c in self.subset(test)} & {c.group for c in self.subset(~test)}
        shared.discard("")
        if shared:
            raise UserError(
                f"data set {self.name}, fold {fold}: group {min(shared)!r} is in training and "
                "in test; results would be inflated. Reassign the folds by group."
            )
        return self.subset(~test), self.subset(test)
