"""What the user points at, as a clip set: video files, folders of them, CSV manifests."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ecstfl.datasets.clipset import Clip, ClipSet
from ecstfl.errors import UserError
from ecstfl.labels import CLASSES, N_CLASSES, label_index
from ecstfl.video.files import find_sources

Skipped = list[tuple[Path, str]]
"""(path, why it is not a clip)."""


def clipset_from_inputs(inputs: Sequence[Path | str]) -> tuple[ClipSet, Skipped]:
    """Turn paths into one clip set.

    A ``.csv`` is a manifest: a header with ``path`` and, if wanted, ``label`` (a class name or
    DFEW's number 1..7), ``group``, ``fold``, ``id``; paths are relative to the manifest. A
    folder is searched for videos and frame folders; one that holds only images is a clip. The
    label of a clip found in a folder is that of the nearest folder named like a class.
    Anything else is taken for a video file, whatever its name.

    Returns:
        (clips with unique ids, what was passed over and why).

    Raises:
        UserError: no input, an input that does not exist, a manifest that cannot be read, or no
            clip at all.
    """
    if not inputs:
        raise UserError("nothing to prepare: give a video, a folder or a CSV manifest")
    found: list[tuple[str, Clip]] = []
    skipped: Skipped = []
    for path in map(Path, inputs):
        if path.suffix.lower() == ".csv":
            found += [(clip.id, clip) for clip in _from_manifest(path)]
        elif path.is_dir():
            sources, passed = find_sources(path)
            skipped += passed
            for source in sources:
                name = path.name if source == path else source.relative_to(path).as_posix()
                label = _label_of_folder(source, path)
                found.append((_safe(name), Clip(_safe(name), source, label)))
        elif path.exists() or path.is_symlink():
            found.append((_safe(path.name), Clip(_safe(path.name), path)))
        else:
            raise UserError(f"{path} does not exist")
    if not found:
        where = ", ".join(map(str, inputs))
        raise UserError(f"no video and no frame folder in {where}")
    return ClipSet("videos", _with_unique_ids([clip for _, clip in found])), skipped


def _from_manifest(path: Path) -> list[Clip]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            names = [name.strip().lower() for name in reader.fieldnames or ()]
            if "path" not in names:
                raise UserError(f"{path}: its header has no column 'path' (found: {names})")
            reader.fieldnames = names
            clips = []
            for row in reader:
                cells = {k: (v or "").strip() for k, v in row.items() if isinstance(k, str)}
                where = f"{path} line {reader.line_num}"
                if not cells["path"]:
                    raise UserError(f"{where}: the path is empty")
                clips.append(_from_row(cells, path.parent, where))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read manifest {path}: {error}") from error
    if not clips:
        raise UserError(f"manifest {path} has no rows")
    return clips


def _from_row(cells: dict[str, str], home: Path, where: str) -> Clip:
    label = fold = None
    if text := cells.get("label", ""):
        try:
            label = int(text) - 1 if text.isdecimal() else label_index(text)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        if not 0 <= label < N_CLASSES:
            raise UserError(f"{where}: label {text}: numbers are DFEW's, 1..{N_CLASSES}")
    if text := cells.get("fold", ""):
        if not text.isdecimal() or int(text) < 1:
            raise UserError(f"{where}: fold {text!r} is not a number from 1")
        fold = int(text)
    return Clip(
        _safe(cells.get("id") or cells["path"]),
        home / cells["path"],
        label,
        cells.get("group", ""),
        fold,
        cells.get("sha256") or None,
    )


def _label_of_folder(source: Path, top: Path) -> int | None:
    """The label of the nearest folder (up to and with ``top``) named like a class."""
    known = {name.lower(): i for i, name in enumerate(CLASSES)}
    for folder in source.parents:
        if folder.name.lower() in known:
            return known[folder.name.lower()]
        if folder == top:
            break
    return None


def _safe(name: str) -> str:
    """A path as an id: safe as a file name on any system, letters of any script kept."""
    return (
        re.sub(r"[^\w.+-]", "_", name.replace("/", "__").replace("\\", "__")).strip(".") or "clip"
    )


def _with_unique_ids(clips: list[Clip]) -> tuple[Clip, ...]:
    """Drop the endings of ids where that keeps them apart; number what is still equal."""
    stems = [re.sub(r"\.\w{1,5}$", "", clip.id) or clip.id for clip in clips]
    counts = Counter(stems)
    names = [s if counts[s] == 1 else clip.id for s, clip in zip(stems, clips, strict=True)]
    used: set[str] = set()
    result = []
    for name, clip in zip(names, clips, strict=True):
        unique, number = name, 2
        while unique in used:
            unique, number = f"{name}_{number}", number + 1
        used.add(unique)
        result.append(Clip(unique, clip.source, clip.label, clip.group, clip.fold, clip.sha256))
    return tuple(result)
