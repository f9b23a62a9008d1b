"""DFEW: dynamic facial expressions in the wild, as its authors hand it out.

DFEW is given to university staff on signed request (https://dfew-dataset.github.io/) and may
not be passed on; this module only reads a copy that you already have. Layouts that are known::

    EmoLabel_DataSplit/test(single-labeled)/set_1.csv ... set_5.csv      video_name,label
    Clip/clip_224x224_16f/00001/1.jpg ... 16.jpg     faces, brought to 16 frames by the authors
    Clip/clip_224x224/00001/00001_00001.jpg ...      faces, all frames
    Clip/original/1.mp4                              film clips as cut

and the variants met in the wild: folders called ``test_single-labeled``, media in a doubled
folder (``clip_224x224/clip_224x224``) or without ``Clip/``, the labels 0..6 under the same
header, and the layout of the authors' training code (``label/single_testset_1.csv`` with
``data/00001/00001_00001.jpg``). The five test sets say everything: training set k is what lies
outside test set k, so the files that list it again are not read.

Sources: Jiang et al., "DFEW", ACM MM 2020, section 4 (class counts); the authors' repository
jiangxingxun/DFEW (order of the labels); counts of the test folds: the published split files.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal, NamedTuple

from ecstfl.datasets.clipset import Clip, ClipSet
from ecstfl.datasets.findings import Finding, Inspection, Severity, existing_folder, few
from ecstfl.errors import UserError
from ecstfl.labels import CLASSES, DFEW_COUNTS, N_CLASSES
from ecstfl.video.files import is_image, is_video

Version = Literal["clip_224x224_16f", "clip_224x224", "original"]

VERSIONS: Final = ("clip_224x224_16f", "clip_224x224", "original")
"""Which media to read when several are there: what the published baselines were fed comes first."""

FOLDS: Final = (1, 2, 3, 4, 5)
FOLD_COUNTS: Final = (2341, 2341, 2340, 2339, 2336)
"""Test clips of fold 1..5 (sum 11,697)."""

LAST_ID: Final = 16372
"""DFEW numbers its clips 1..16372; 11,697 of them carry a single label."""


class Row(NamedTuple):
    """One line of a split file: test fold, clip number, label as written, file and line."""

    fold: int
    number: int
    written: int
    where: str


def inspect_dfew(root: Path | str, version: Version | None = None) -> Inspection:
    """Look through a copy of DFEW and list everything that is not as published.

    Args:
        root: folder that holds ``EmoLabel_DataSplit`` and ``Clip``.
        version: which media; None takes the first of :data:`VERSIONS` that is there.

    Returns:
        A set named ``dfew`` (other kinds than the first: ``dfew-original``, ...), so that
        results are told apart. Clips in the order of their numbers, ids ``00001``..``16372``,
        labels 0..6, the official folds 1..5. DFEW names neither actors nor films, so every clip
        is a group of its own.

    Raises:
        UserError: there are no split files or no media at all under ``root``.
    """
    top = _find_top(existing_folder(root, "dfew"))
    findings: list[Finding] = []
    rows = _read_splits(top, findings)
    labels, folds = _join(rows, findings)
    media, chosen, layout = _find_media(top, version, findings)
    clips = [Clip(_id(n), media[n], labels[n], fold=folds[n]) for n in sorted(labels) if n in media]
    lost = sorted(set(labels) - set(media))
    if lost:
        where = next(row.where for row in rows if row.number == lost[0])
        text = (
            f"DFEW: {len(lost)} of {len(labels)} listed clips have no media in {chosen}: "
            f"{few(map(_id, lost))} (first listed in {where}); unpack every part of the download"
        )
        findings.append(_finding("missing-clip", "error", text, lost))
    extra = sorted(set(media) - set(labels))
    if extra:
        text = (
            f"{len(extra)} clips have media but stand in no split file (in the full DFEW these are "
            "the 4,675 clips without a single label)"
        )
        findings.append(_finding("unlisted-clip", "info", text, extra))
    _check_counts(labels, folds, findings)
    # the three kinds of clips are three experiments: results of one must not pass for another's
    name = "dfew" if chosen == VERSIONS[0] else f"dfew-{chosen}"
    notes = (f"DFEW read from {chosen}, {len(clips)} single-labelled clips, official folds.",)
    return Inspection(
        ClipSet(name, tuple(clips), notes=notes, aligned=chosen != "original"),
        tuple(findings),
        layout=layout,
        published_classes=DFEW_COUNTS,
        published_folds=FOLD_COUNTS,
    )


def _id(number: int) -> str:
    return f"{number:05d}"


def _finding(kind: str, severity: Severity, message: str, numbers: Iterable[int]) -> Finding:
    return Finding(kind, severity, message, tuple(map(_id, numbers)))


def _find_top(root: Path) -> Path:
    """Accept DFEW's own folder, or a folder that holds it."""
    if any((root / mark).is_dir() for mark in ("EmoLabel_DataSplit", "label")):
        return root
    inside = [d for d in sorted(root.iterdir()) if (d / "EmoLabel_DataSplit").is_dir()]
    if len(inside) == 1:
        return inside[0]
    raise UserError(
        f"data set dfew: {root} does not hold EmoLabel_DataSplit; point --root at the folder "
        "with EmoLabel_DataSplit and Clip in it"
    )


def _read_splits(top: Path, findings: list[Finding]) -> list[Row]:
    """Read the five test sets in any known layout; lines that make no sense become findings."""
    rows: list[Row] = []
    absent = []
    for fold in FOLDS:
        path = _split_file(top, fold)
        if path is None:
            absent.append(f"test set {fold}")
        else:
            rows += _read_split(path, fold, findings)
    if len(absent) == len(FOLDS):
        raise UserError(
            f"data set dfew: no split files under {top}; expected "
            "EmoLabel_DataSplit/test(single-labeled)/set_1.csv ... set_5.csv"
        )
    if absent:
        text = (
            f"{top}: split files are missing: {few(absent)}; the five official folds need all "
            "five test sets"
        )
        findings.append(Finding("missing-csv", "error", text, tuple(absent)))
    return rows


def _split_file(top: Path, fold: int) -> Path | None:
    splits = top / "EmoLabel_DataSplit"
    for folder in sorted(splits.iterdir()) if splits.is_dir() else ():
        plain = re.sub(r"[^a-z]", "", folder.name.lower()).replace("labelled", "labeled")
        path = folder / f"set_{fold}.csv"
        if plain == "testsinglelabeled" and path.is_file():
            return path
    path = top / "label" / f"single_testset_{fold}.csv"
    return path if path.is_file() else None


def _read_split(path: Path, fold: int, findings: list[Finding]) -> list[Row]:
    """Read ``video_name,label``."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise UserError(f"{path}: cannot be read ({problem})") from None
    rows = []
    for line, cells in enumerate(csv.reader(text.splitlines()), start=1):
        if not cells or (line == 1 and not cells[0].strip().isdigit()):
            continue  # the header, or an empty line
        where = f"{path.parent.name}/{path.name}, line {line}"
        kind, item = "", where
        try:
            number, written = int(Path(cells[0].strip()).stem), int(cells[1].strip())
        except (ValueError, IndexError):
            kind, why = "bad-row", f"{','.join(cells)!r} is not video_name,label"
        else:
            if not 1 <= number <= LAST_ID:
                kind, item = "unknown-id", str(number)
                why = f"clip {number} is not one of DFEW's 1..{LAST_ID}"
            elif not 0 <= written <= N_CLASSES:
                kind, item = "label-range", _id(number)
                why = f"label {written} of clip {_id(number)} is outside 1..{N_CLASSES}"
        if kind:
            findings.append(Finding(kind, "error", f"{where}: {why}", (item,)))
        else:
            rows.append(Row(fold, number, written, where))
    return rows


def _first_label(rows: list[Row], findings: list[Finding]) -> int:
    """Tell whether the labels begin at 1, as published, or at 0."""
    example = {row.written: row for row in reversed(rows)}
    zero, seven = example.get(0), example.get(N_CLASSES)
    if zero and seven:
        text = (
            f"{zero.where} has label 0 and {seven.where} has label {N_CLASSES}: labels are "
            "either 1..7 or 0..6, never both"
        )
        findings.append(_finding("label-range", "error", text, (zero.number, seven.number)))
    elif zero:
        text = "DFEW: labels run 0..6 instead of the published 1..7; read as 0 Happy ... 6 Fear"
        findings.append(Finding("label-offset", "warning", text))
    elif not seven and rows:
        text = (
            "the test sets use neither label 0 nor label 7, so 0..6 and 1..7 cannot be told "
            "apart; published DFEW uses 1..7"
        )
        findings.append(Finding("label-ambiguous", "error", text))
    return 0 if zero and not seven else 1


def _join(rows: list[Row], findings: list[Finding]) -> tuple[dict[int, int], dict[int, int]]:
    """Return clip number -> label 0..6, and -> test fold; each must be said once."""
    first = _first_label(rows, findings)
    known: dict[int, Row] = {}
    pairs = [(known.setdefault(row.number, row), row) for row in rows]
    for kind, what, wrong in (
        (
            "fold-overlap",
            "test folds must be disjoint",
            [p for p in pairs if p[0].fold != p[1].fold],
        ),
        (
            "label-conflict",
            "one clip, one label",
            [p for p in pairs if p[0].written != p[1].written],
        ),
    ):
        if wrong:
            one, two = wrong[0]
            text = (
                f"{len(wrong)} clip(s) are listed twice, {_id(one.number)} in {one.where} (label "
                f"{one.written}) and in {two.where} (label {two.written}): {what}"
            )
            findings.append(_finding(kind, "error", text, [row.number for _, row in wrong]))
    sound = {n: row for n, row in known.items() if 0 <= row.written - first < N_CLASSES}
    return (
        {n: row.written - first for n, row in sound.items()},
        {n: row.fold for n, row in sound.items()},
    )


def _find_media(
    top: Path, version: Version | None, findings: list[Finding]
) -> tuple[dict[int, Path], str, str]:
    """Choose the media folder; return clip number -> media, the kind, and the layout in words."""
    if version is not None and version not in VERSIONS:
        raise UserError(f"data set dfew: unknown layout {version!r}: use {', '.join(VERSIONS)}")
    there: dict[str, Path] = {}
    for name in VERSIONS:
        places = [top / "Clip" / name, top / "clip" / name, top / name]
        if name == "clip_224x224":
            places.append(top / "data")  # the layout of the authors' training code
        for folder in places:
            if folder.is_dir():  # perhaps unpacked into a folder of its own name
                there[name] = folder / name if (folder / name).is_dir() else folder
                break
    if version is not None and version not in there:
        known = ", ".join(there) or "none"
        raise UserError(f"data set dfew: no {version} under {top}; found: {known}")
    if not there:
        raise UserError(
            f"data set dfew: no media under {top}; expected one of "
            + ", ".join(f"Clip/{name}" for name in VERSIONS)
        )
    chosen = version or next(iter(there))
    folder = there[chosen]
    media: dict[int, Path] = {}
    twice = []
    for entry in sorted(folder.iterdir()):
        frames = entry.is_dir() and any(map(is_image, entry.iterdir()))
        if not entry.stem.isdigit() or not (frames or is_video(entry)):
            continue
        if media.setdefault(int(entry.stem), entry) != entry:
            twice.append(entry.name)
    if twice:
        text = (
            f"{folder.name}: {few(twice)} stand for a clip number that occurs twice; the first by "
            "name is read"
        )
        findings.append(Finding("name-twice", "warning", text, tuple(twice)))
    listed = ", ".join(f"{name} in {path.relative_to(top)}" for name, path in there.items())
    return media, chosen, f"reading {folder.relative_to(top)}; present: {listed}"


def _check_counts(labels: dict[int, int], folds: dict[int, int], findings: list[Finding]) -> None:
    """Compare clips per class and per test fold with the published protocol."""
    classes, tested = Counter(labels.values()), Counter(folds.values())
    for kind, what, rows in (
        (
            "class-counts",
            "clips per class",
            [
                (name, classes[k], n)
                for k, (name, n) in enumerate(zip(CLASSES, DFEW_COUNTS, strict=True))
            ],
        ),
        (
            "fold-counts",
            "test clips per fold",
            [(f"fold {k}:", tested[k], n) for k, n in zip(FOLDS, FOLD_COUNTS, strict=True)],
        ),
    ):
        off = tuple(
            f"{name} {have} (published {want})" for name, have, want in rows if have != want
        )
        if off:
            text = (
                f"{what} differ from the published protocol: {', '.join(off)}; results are not "
                "comparable with published tables"
            )
            findings.append(Finding(kind, "warning", text, off))
