"""Your own clips: a folder per expression.

::

    root/happy/clip1.mp4              one video per clip
    root/happy/anna/clip1.mp4         the same, in a folder per person (the group)
    root/happy/anna/clip2/0001.jpg    or a folder of numbered images per clip
    root/anna/happy/clip1.mp4         the person outside works as well

A folder is named like a class, a synonym (``ecstfl.labels.SYNONYMS``) or, when all folders in
``root`` are, DFEW's number 1..7. Without folds, stratified group folds are made. ``preprocess``
finds clips by the same function, so all commands say the same of a folder.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ecstfl.datasets.clipset import Clip, ClipSet
from ecstfl.datasets.findings import Finding, Inspection, existing_folder, few, plain
from ecstfl.datasets.folds import with_folds
from ecstfl.errors import UserError
from ecstfl.labels import CLASSES, N_CLASSES, label_index
from ecstfl.video.files import find_sources

PassedOver = list[tuple[Path, str]]
"""(path, why it is not a clip)."""


def inspect_folder(root: Path | str) -> Inspection:
    """Look through ``root/<label>/...`` and list what is not as it should be.

    Raises:
        UserError: not a folder, or nothing in it that could be a clip.
    """
    top = existing_folder(root, "folder")
    found, passed = clips_below(top)
    clips, unknown = [], set()
    for clip in found:
        if clip.label is not None:
            clips.append(clip)
        elif clip.source == top or (clip.source.parent == top and clip.source.is_file()):
            passed.append((clip.source, "in no folder of an expression"))
        else:
            unknown.add(clip.source.relative_to(top).parts[0])
    findings = passed_over(passed, top)
    if unknown:
        text = (
            f"{top}: folder(s) {few(sorted(unknown))} are not expressions; name them "
            f"{', '.join(CLASSES)}"
        )
        findings += (Finding("unknown-label", "error", text, tuple(sorted(unknown))),)
    elif not clips:
        said = f" ({findings[0].message})" if findings else ""
        raise UserError(
            f"{top} holds no clips; expected {top.name}/<expression>/*.mp4 with folders named "
            f"{', '.join(CLASSES)}{said}"
        )
    clipset = ClipSet("folder", unique_ids(clips))
    return with_folds(clipset, findings, f"one folder per expression below {top}")


def clips_below(top: Path) -> tuple[list[Clip], PassedOver]:
    """Find every video and frame folder below a folder (litter is passed over in silence).

    The label is that of the outermost folder named like an expression, or of ``top`` itself. The
    group is the folder below that one, or else what lies between it and ``top``.

    Returns:
        (clips in the order of their paths, with label or None and ids not yet unique, what was
        passed over and why).
    """
    sources, passed = find_sources(top)
    folders = {s: () if s == top else s.relative_to(top).parts[:-1] for s in sorted(sources)}
    firsts = {parts[0] for parts in folders.values() if parts}
    numbered = all(re.fullmatch(f"[1-{N_CLASSES}]", f) or _label(f) is not None for f in firsts)
    clips = []
    for source, parts in folders.items():
        label, group = _label_and_group(parts, numbered)
        if label is None and source != top and source.is_dir() and _label(source.name) is not None:
            reason = "pictures right in the folder of an expression; give each clip its folder"
            passed.append((source, reason))
            continue
        if label is None and (label := _label(top.name)) is not None:
            group = _group(parts[0]) if parts else ""
        name = top.name if source == top else source.relative_to(top).as_posix()
        clips.append(Clip(safe_id(name), source, label, group))
    return clips, passed


def passed_over(passed: PassedOver, top: Path) -> tuple[Finding, ...]:
    """Report what is in a folder and is not a clip: a warning, so that every command says it."""
    if not passed:
        return ()
    shown = [(p.relative_to(top).as_posix() if p != top else ".", why) for p, why in passed]
    text = f"{len(passed)} other files passed over: {few(f'{p} ({why})' for p, why in shown)}"
    return (Finding("not-a-video", "warning", text, tuple(p for p, _ in shown)),)


def label_of(written: str) -> int:
    """Turn a class name, a synonym or DFEW's number 1..7 into a label 0..6.

    Raises:
        UserError: it is none of them.
    """
    text = written.strip()
    if not re.fullmatch(r"-?\d+", text):
        return label_index(text)
    if not 1 <= int(text) <= N_CLASSES:
        raise UserError(
            f"unknown expression {text}: numbers are DFEW's 1 {CLASSES[0]} ... "
            f"{N_CLASSES} {CLASSES[-1]}"
        )
    return int(text) - 1


def safe_id(name: str) -> str:
    """Turn a path into an id: safe as a file name on any system, letters of any script kept."""
    one = unicodedata.normalize("NFC", name).replace("/", "__").replace("\\", "__")
    return re.sub(r"[^\w.+-]", "_", one).strip(".") or "clip"


def unique_ids(clips: Sequence[Clip]) -> tuple[Clip, ...]:
    """Drop the endings of ids where that keeps them apart; number what is still equal."""
    stems = [re.sub(r"\.\w{1,5}$", "", clip.id) or clip.id for clip in clips]
    counts = Counter(stems)
    used: set[str] = set()
    result = []
    for stem, clip in zip(stems, clips, strict=True):
        name = unique = stem if counts[stem] == 1 else clip.id
        number = 2
        while unique in used:
            unique, number = f"{name}_{number}", number + 1
        used.add(unique)
        result.append(replace(clip, id=unique))
    return tuple(result)


def _label(folder: str) -> int | None:
    """The label of a folder named like an expression, without numbers."""
    try:
        return label_index(folder)
    except UserError:
        return None


def _label_and_group(folders: tuple[str, ...], numbered: bool) -> tuple[int | None, str]:
    """Read the folders between ``top`` and a clip, outermost first."""
    for depth, name in enumerate(folders):
        label = label_of(name) if numbered and depth == 0 else _label(name)
        if label is not None:
            inner = folders[depth + 1 : depth + 2]
            return label, _group(inner[0] if inner else "/".join(folders[:depth]))
    return None, ""


def _group(folder: str) -> str:
    """Name a group by its folder; systems write the letters of one name in two forms."""
    return plain(unicodedata.normalize("NFC", folder))
