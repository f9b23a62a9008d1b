"""Your own clips: a folder per expression, or a CSV.

Folder::

    root/happy/clip1.mp4              one video per clip
    root/happy/anna/clip1.mp4         the same, in a folder per person (the group)
    root/happy/anna/clip2/0001.jpg    or a folder of numbered images per clip

CSV with a header, paths relative to the CSV file::

    path,label,group,fold
    videos/clip1.mp4,Happy,anna,1

``label`` is a class name (or a common synonym) or DFEW's number 1..7. ``group`` is whoever must
not stand on both sides of a split. Without folds, stratified group folds are made.
"""

from __future__ import annotations

import csv
import os
import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from ecstfl.datasets.clipset import Clip, ClipSet
from ecstfl.datasets.findings import (
    Finding,
    Survey,
    existing_folder,
    few,
    leaking_groups,
    opened,
)
from ecstfl.errors import UserError
from ecstfl.labels import CLASSES, N_CLASSES, label_index
from ecstfl.video.files import IMAGE_SUFFIXES, VIDEO_SUFFIXES

SYNONYMS: Final = {
    "happiness": "Happy",
    "joy": "Happy",
    "sadness": "Sad",
    "anger": "Angry",
    "surprised": "Surprise",
    "disgusted": "Disgust",
    "fearful": "Fear",
}
"""Names accepted besides ``CLASSES``."""

N_FOLDS: Final = 5


def open_folder(root: Path | str, folds: int = N_FOLDS) -> ClipSet:
    """Read ``root/<label>/...`` (see the module); folds are made by :func:`assign_folds`.

    Raises:
        UserError: not a folder, no video in it, or a sub-folder that is not an expression.
    """
    return opened(survey_folder(root, folds))


def open_csv(path: Path | str, folds: int = N_FOLDS) -> ClipSet:
    """Read clips listed in a CSV (see the module); folds are made when it has none.

    Raises:
        UserError: a line is wrong (told with its number), or folds leak.
    """
    return opened(survey_csv(path, folds))


def survey_folder(root: Path | str, folds: int = N_FOLDS) -> Survey:
    """Look through ``root/<label>/...`` and list what is not as it should be.

    Raises:
        UserError: not a folder, or nothing in it that could be a clip.
    """
    top = existing_folder(root, "folder")
    clips: list[Clip] = []
    findings: list[Finding] = []
    unknown, other = [], []
    for folder in sorted(d for d in top.iterdir() if d.is_dir() and not d.name.startswith(".")):
        try:
            label = _label(folder.name)
        except UserError:
            unknown.append(folder.name)
            continue
        for source, group in _sources(folder, other):
            clips.append(Clip(_safe_id(source.relative_to(top)), source, label, group))
    if unknown:
        findings.append(
            Finding(
                "unknown-label",
                "error",
                f"{top}: folder(s) {few(unknown)} are not expressions; name them "
                f"{', '.join(CLASSES)}",
                tuple(unknown),
            )
        )
    if other:
        shown = [p.relative_to(top).as_posix() for p in other]
        findings.append(
            Finding("not-a-video", "info", f"{len(other)} other files: {few(shown)}", tuple(shown))
        )
    if not clips and not unknown:
        raise UserError(
            f"{top} holds no clips; expected {top.name}/<expression>/*.mp4 with folders named "
            f"{', '.join(CLASSES)}"
        )
    clipset = ClipSet("folder", _unique(clips))
    return _with_folds(clipset, findings, folds, f"one folder per expression below {top}")


def survey_csv(path: Path | str, folds: int = N_FOLDS) -> Survey:
    """Look through a CSV of clips and list what is not as it should be.

    Raises:
        UserError: the file cannot be read or has no ``path,label`` header.
    """
    table = Path(path)
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise UserError(f"{table}: cannot be read ({problem})") from None
    reader = csv.DictReader(text.splitlines(), restkey="", restval="")
    header = [name.strip().lower() for name in reader.fieldnames or ()]
    if not {"path", "label"} <= set(header):
        raise UserError(
            f"{table}, line 1: expected the columns path,label and optionally group,fold, got "
            f"{','.join(header) or 'nothing'}"
        )
    reader.fieldnames = header
    findings: list[Finding] = []
    clips: list[Clip] = []
    seen: dict[Path, tuple[Clip, int]] = {}
    lines: list[int] = []
    for row in reader:
        line = reader.line_num
        where = f"{table}, line {line}"
        cells = {name: str(row[name] or "").strip() for name in header}
        written = cells["path"]
        source = table.parent / written
        if not written or not source.exists():
            text = f"{where}: no such file {written!r}"
            findings.append(Finding("missing-clip", "error", text, (written,)))
            continue
        try:
            label = _label(cells["label"])
            fold = _fold(cells.get("fold", ""))
        except UserError as problem:
            kind = "label-range" if "expression" in str(problem) else "bad-row"
            findings.append(Finding(kind, "error", f"{where}: {problem}", (written,)))
            continue
        clip = Clip(_safe_id(Path(written)), source, label, cells.get("group", ""), fold)
        earlier, first = seen.setdefault(source.resolve(), (clip, line))
        if earlier is not clip:
            kind, severity, text = "name-twice", "warning", "is listed again"
            if earlier.label != clip.label:
                kind, severity, text = "label-conflict", "error", "has two labels"
            elif earlier.fold != clip.fold:
                kind, severity, text = "fold-overlap", "error", "is in two folds"
            place = where if severity == "error" else f"{table.name}, line {line}"
            text = f"{place}: {written} {text} (first on line {first})"
            findings.append(Finding(kind, severity, text, (written,)))
            continue
        clips.append(clip)
        lines.append(line)
    if not clips and not findings:
        raise UserError(f"{table} lists no clips")
    clipset = ClipSet("csv", _unique(clips))
    places = {c.id: f"{table}, line {n}" for c, n in zip(clipset, lines, strict=True)}
    without = [c.id for c in clipset if c.fold is None]
    if without and len(without) < len(clips):
        text = f"{len(without)} of {len(clips)} clips have no fold, the others have: {few(without)}"
        text = f"{places[without[0]]}: {text}"
        findings.append(Finding("fold-missing", "error", text, tuple(without)))
    return _with_folds(clipset, findings, folds, f"listed in {table}", places)


def assign_folds(clipset: ClipSet, folds: int = N_FOLDS) -> ClipSet:
    """Give every clip a test fold: classes spread evenly, no group on both sides.

    scikit-learn's ``StratifiedGroupKFold`` with a fixed seed; a clip without a group is a group
    of its own.

    Args:
        clipset: labelled clips.
        folds: how many; fewer when there are fewer groups.

    Raises:
        UserError: all clips belong to one group, so no split is possible.
    """
    groups = np.array([c.group or f"\0{i}" for i, c in enumerate(clipset)])
    count = min(folds, len(set(groups)))
    if count < 2:
        raise UserError(
            f"data set {clipset.name}: all {len(clipset)} clips belong to one group; give at "
            "least two groups (people, films) or none"
        )
    splitter = StratifiedGroupKFold(n_splits=count, shuffle=True, random_state=0)
    labels = clipset.labels
    if min(Counter(labels.tolist()).values()) >= count:
        parts = list(splitter.split(labels, labels, groups))
    else:
        # scikit-learn warns, or refuses when every class is rarer than the number of folds;
        # a rare class then simply misses from some folds, which the survey says
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            try:
                parts = list(splitter.split(labels, labels, groups))
            except ValueError:
                order = {g: i for i, g in enumerate(dict.fromkeys(groups))}
                index = np.array([order[g] % count for g in groups])
                parts = [(None, np.flatnonzero(index == k)) for k in range(count)]
    fold = np.zeros(len(clipset), dtype=int)
    for number, (_, test) in enumerate(parts, start=1):
        fold[test] = number
    # a fold can come out empty when one group dominates: number the others without a gap
    renumber = {int(f): i for i, f in enumerate(sorted(set(fold.tolist())), start=1)}
    clips = tuple(replace(c, fold=renumber[int(f)]) for c, f in zip(clipset, fold, strict=True))
    return replace(clipset, clips=clips)


def _with_folds(
    clipset: ClipSet,
    findings: list[Finding],
    folds: int,
    layout: str,
    places: Mapping[str, str] | None = None,
) -> Survey:
    """Make folds when there are none, and say what about groups and classes is doubtful."""
    labels = [clip.label for clip in clipset]
    absent = [CLASSES[c] for c in range(N_CLASSES) if c not in labels]
    if absent:
        text = f"no clips of {', '.join(absent)}"
        findings.append(Finding("class-missing", "warning", text, tuple(absent)))
    groupless = [clip.id for clip in clipset if not clip.group]
    if groupless:
        findings.append(
            Finding(
                "no-groups",
                "warning",
                f"{len(groupless)} of {len(clipset)} clips have no group: if one person is in "
                "several clips, training and test share that person and results are inflated",
                tuple(groupless),
            )
        )
    findings.extend(leaking_groups(clipset, places))
    if len(clipset) and not clipset.folds and not any(f.severity == "error" for f in findings):
        clipset = assign_folds(clipset, folds)
        made = len(clipset.folds)
        note = f"{made} stratified group folds made here (scikit-learn, seed 0)."
        clipset = replace(clipset, notes=(*clipset.notes, note))
        rare = [
            CLASSES[c]
            for c in sorted(set(labels))
            if len({clip.fold for clip in clipset if clip.label == c}) < made
        ]
        if rare:
            text = f"{', '.join(rare)}: too few clips or groups to be in each of {made} folds"
            findings.append(Finding("class-not-in-every-fold", "warning", text, tuple(rare)))
    return Survey(clipset, tuple(findings), layout=layout)


def _sources(folder: Path, other: list[Path]) -> list[tuple[Path, str]]:
    """List (clip, group) below one expression's folder."""
    found: list[tuple[Path, str]] = []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and not _is_frames(entry):
            for inner in sorted(entry.iterdir()):
                if inner.is_dir() or inner.suffix.lower() in VIDEO_SUFFIXES:
                    found.append((inner, entry.name))
                else:
                    other.append(inner)
        elif entry.is_dir() or entry.suffix.lower() in VIDEO_SUFFIXES:
            found.append((entry, ""))
        else:
            other.append(entry)
    return found


def _is_frames(folder: Path) -> bool:
    """A folder of images is one clip; a folder of anything else is a group."""
    return any(entry.suffix.lower() in IMAGE_SUFFIXES for entry in folder.iterdir())


def _label(written: str) -> int:
    """Turn a class name, a synonym or DFEW's number 1..7 into a label 0..6."""
    text = written.strip()
    if re.fullmatch(r"-?\d+", text):
        if not 1 <= int(text) <= N_CLASSES:
            raise UserError(
                f"unknown expression {text}: numbers are DFEW's 1 {CLASSES[0]} ... "
                f"{N_CLASSES} {CLASSES[-1]}"
            )
        return int(text) - 1
    return label_index(SYNONYMS.get(text.lower(), text))


def _fold(written: str) -> int | None:
    """Turn the fold column into a number from 1, or None when empty."""
    if not written:
        return None
    if not written.isdigit() or int(written) < 1:
        raise UserError(f"fold {written!r} is not a number from 1")
    return int(written)


def _safe_id(path: Path) -> str:
    """Turn a relative path into an id that is safe as a file name."""
    joined = "__".join(part for part in path.parts if part not in (os.sep, "..", "."))
    stem = joined.removesuffix(path.suffix) if path.suffix.lower() in VIDEO_SUFFIXES else joined
    return re.sub(r"[^A-Za-z0-9_-]", "_", stem).strip("_") or "clip"


def _unique(clips: Sequence[Clip]) -> tuple[Clip, ...]:
    """Number ids that became equal (``a b.mp4`` and ``a-b.mp4`` may collide)."""
    used: set[str] = set()
    result = []
    for clip in clips:
        name, number = clip.id, 2
        while name in used:
            name = f"{clip.id}_{number}"
            number += 1
        used.add(name)
        result.append(replace(clip, id=name))
    return tuple(result)
