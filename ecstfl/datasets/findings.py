"""What a reader found in a folder: the usable clips, and everything that is not as it should be.

Every reader inspects first and opens second, so that ``open_...`` (one sentence, then stop) and
``ecstfl data doctor`` (everything that is wrong, in one report) can never disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ecstfl.datasets.clipset import ClipSet
from ecstfl.errors import UserError
from ecstfl.video.files import is_litter, is_video

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

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", plain(self.message))
        object.__setattr__(self, "items", tuple(map(plain, self.items)))


@dataclass(frozen=True)
class Inspection:
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


def usable_clips(inspection: Inspection, allow: Iterable[str] = ()) -> ClipSet:
    """Return the clips, with the warnings as notes; refuse when something is wrong.

    Args:
        inspection: what a reader found.
        allow: kinds of errors to let through (they become notes).

    Raises:
        UserError: the first error found, and how many more there are.
    """
    allowed = frozenset(allow)
    errors = [f for f in inspection.findings if f.severity == "error" and f.kind not in allowed]
    if errors:
        more = ""
        if len(errors) > 1:
            more = f" (and {len(errors) - 1} more: run `ecstfl data doctor`)"
        raise UserError(errors[0].message + more)
    clipset = inspection.clipset
    if not len(clipset):
        raise UserError(f"data set {clipset.name}: no usable clips were found")
    said = tuple(f.message for f in inspection.findings if f.severity != "info")
    return replace(clipset, notes=clipset.notes + said)


def listed(
    kind: str, severity: Severity, where: Path | str, what: str, items: Sequence[str]
) -> tuple[Finding, ...]:
    """Return ``where: what: a, b, c and 7 more`` as a finding, or none when there are no items.

    ``where`` is the folder in errors, the data set's name in warnings: they become notes beside
    results, which name no place on this machine.
    """
    if not items:
        return ()
    return (Finding(kind, severity, f"{where}: {what}: {few(items)}", tuple(items)),)


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
    """Return every video file below a folder, by path; litter is left out at any depth."""
    videos = sorted(path for path in top.rglob("*") if is_video(path))
    return [p for p in videos if not any(map(is_litter, p.relative_to(top).parts))]


def few(items: Iterable[str], most: int = 5) -> str:
    """Join the first items of a list for a sentence: ``a, b, c and 7 more``."""
    known = list(items)
    head = ", ".join(known[:most])
    return head if len(known) <= most else f"{head} and {len(known) - most} more"


def plain(text: str) -> str:
    """Spell out the bytes of file names that are not UTF-8, so that any file can hold the text."""
    return text.encode(errors="backslashreplace").decode()
