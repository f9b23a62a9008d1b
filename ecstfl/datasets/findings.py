"""What a reader saw in a folder: the usable clips, and everything that is not as it should be.

Every reader surveys first and opens second, so that ``open_...`` (one sentence, then stop) and
``ecstfl data doctor`` (everything that is wrong, in one report) can never disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ecstfl.datasets.clipset import ClipSet
from ecstfl.errors import UserError
from ecstfl.video.files import VIDEO_SUFFIXES

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True)
class Finding:
    """One thing that differs from what the data set should be.

    Attributes:
        kind: short stable name (``missing-clip``, ``fold-overlap``, ...); listed in docs/data.md.
        severity: ``error`` = results would be wrong or impossible, the reader refuses;
            ``warning`` = usable, but say so beside the results; ``info`` = worth knowing.
        message: one sentence: what, where, what to do.
        items: the clips or files concerned, all of them.
    """

    kind: str
    severity: Severity
    message: str
    items: tuple[str, ...] = ()


@dataclass(frozen=True)
class Survey:
    """What a reader found under a root.

    Attributes:
        clipset: the clips that are there and usable, in a fixed order.
        findings: what is wrong or unusual, worst first.
        layout: which variant of the layout was recognised, in words.
        published_classes: clips per class as published (7 numbers), or None.
        published_folds: test clips per fold as published, or None.
    """

    clipset: ClipSet
    findings: tuple[Finding, ...] = ()
    layout: str = ""
    published_classes: tuple[int, ...] | None = None
    published_folds: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        order = {"error": 0, "warning": 1, "info": 2}
        ordered = tuple(sorted(self.findings, key=lambda f: order[f.severity]))
        object.__setattr__(self, "findings", ordered)

    def of(self, kind: str) -> tuple[Finding, ...]:
        """Return the findings of one kind."""
        return tuple(f for f in self.findings if f.kind == kind)


def opened(survey: Survey, allow: Iterable[str] = ()) -> ClipSet:
    """Return the survey's clips, with its warnings as notes; refuse when something is wrong.

    Args:
        survey: what a reader found.
        allow: kinds of errors to let through (they become notes).

    Raises:
        UserError: the first error found, and how many more there are.
    """
    allowed = frozenset(allow)
    errors = [f for f in survey.findings if f.severity == "error" and f.kind not in allowed]
    if errors:
        more = ""
        if len(errors) > 1:
            more = f" (and {len(errors) - 1} more: run `ecstfl data doctor`)"
        raise UserError(errors[0].message + more)
    if not len(survey.clipset):
        raise UserError(f"data set {survey.clipset.name}: no usable clips were found")
    said = tuple(f.message for f in survey.findings if f.severity != "info")
    return replace(survey.clipset, notes=survey.clipset.notes + said)


def existing_folder(root: Path | str, name: str) -> Path:
    """Return ``root`` as a path.

    Raises:
        UserError: it is not a folder.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise UserError(f"data set {name}: {folder} is not a folder; check --root")
    return folder


def videos_below(top: Path) -> list[Path]:
    """Return every video file below a folder, by path."""
    return sorted(p for p in top.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES)


Noticed = tuple[tuple[str, Severity, Sequence[str], str], ...]
"""What a reader noticed: (kind, severity, items, what the items are), also without items."""


def findings_of(name: str, top: Path, noticed: Noticed) -> list[Finding]:
    """Turn lists of things noticed into findings; an empty list is none.

    Args:
        name: of the data set, as in sentences.
        top: its folder, named in errors; not in warnings, which become notes beside results.
        noticed: see :data:`Noticed`.
    """
    found = []
    for kind, severity, items, message in noticed:
        if items:
            where = str(top) if severity == "error" else name
            found.append(Finding(kind, severity, f"{where}: {message}: {few(items)}", tuple(items)))
    return found


def unfinished(root: Path) -> tuple[Finding, ...]:
    """Report downloads that were cut off (``*.part`` files below ``root``)."""
    parts = tuple(sorted(p.relative_to(root).as_posix() for p in root.rglob("*.part")))
    if not parts:
        return ()
    return (
        Finding(
            "half-downloaded",
            "error",
            f"{root} holds {len(parts)} unfinished download(s), first {parts[0]}: run "
            "`ecstfl data get` again to finish, or delete them",
            parts,
        ),
    )


def leaking_groups(
    clipset: ClipSet, places: Mapping[str, str] | None = None
) -> tuple[Finding, ...]:
    """Report groups (people, films) whose clips are tested in more than one fold.

    Args:
        clipset: the clips.
        places: clip id -> where it is listed (file and line), for the sentence.
    """
    folds: dict[str, dict[int, str]] = {}  # group -> fold -> its first clip
    for clip in clipset:
        if clip.group and clip.fold is not None:
            folds.setdefault(clip.group, {}).setdefault(clip.fold, clip.id)
    leaking = tuple(sorted(group for group, seen in folds.items() if len(seen) > 1))
    if not leaking:
        return ()
    first = [
        f"{clip} in fold {fold}" + (f" ({places[clip]})" if places and clip in places else "")
        for fold, clip in list(folds[leaking[0]].items())[:2]
    ]
    text = (
        f"data set {clipset.name}: {len(leaking)} group(s) are in more than one fold: "
        f"{few(leaking)} (first: {' and '.join(first)}); training and test would share them, "
        "results would be inflated"
    )
    return (Finding("group-across-folds", "error", text, leaking),)


def too_few_folds(clipset: ClipSet, cure: str) -> tuple[Finding, ...]:
    """Report a set whose clips are all in one fold: nothing would be left to train on."""
    if len(clipset.folds) != 1:
        return ()
    text = (
        f"data set {clipset.name}: all {len(clipset)} clips are in fold {clipset.folds[0]}, which "
        f"leaves none to train on; {cure}"
    )
    return (Finding("one-fold", "error", text, (str(clipset.folds[0]),)),)


def few(items: Iterable[str], most: int = 5) -> str:
    """Join the first items of a list for a sentence: ``a, b, c and 7 more``."""
    known = list(items)
    head = ", ".join(known[:most])
    return head if len(known) <= most else f"{head} and {len(known) - most} more"
