"""DFEW: dynamic facial expressions in the wild, as its authors hand it out.

DFEW is given to university staff on signed request (https://dfew-dataset.github.io/) and may
not be passed on; this module only reads a copy that you already have. Layouts that are known::

    EmoLabel_DataSplit/train(single-labeled)/set_1.csv ... set_5.csv     video_name,label
    EmoLabel_DataSplit/test(single-labeled)/set_1.csv ... set_5.csv
    Clip/clip_224x224_16f/00001/1.jpg ... 16.jpg     faces, brought to 16 frames by the authors
    Clip/clip_224x224/00001/00001_00001.jpg ...      faces, all frames
    Clip/original/1.mp4                              film clips as cut
    Annotation/annotation.xlsx                       votes of the ten annotators

and the variants met in the wild: folders called ``train_single-labeled``, media in a doubled
folder (``clip_224x224/clip_224x224``) or without ``Clip/``, the labels 0..6 under the same
header, and the layout of the authors' training code (``label/single_trainset_1.csv`` with
``data/00001/00001_00001.jpg``).

Sources: Jiang et al., "DFEW", ACM MM 2020, section 4 (class counts); the authors' repository
jiangxingxun/DFEW (order of the labels); counts of the test folds: the published split files.
"""

from __future__ import annotations

import csv
import re
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from ecstfl.datasets.clipset import Clip, ClipSet
from ecstfl.datasets.findings import (
    Finding,
    Survey,
    existing_folder,
    few,
    opened,
)
from ecstfl.errors import UserError
from ecstfl.labels import CLASSES, DFEW_COUNTS, N_CLASSES
from ecstfl.video.files import IMAGE_SUFFIXES, VIDEO_SUFFIXES

Version = Literal["clip_224x224_16f", "clip_224x224", "original"]

VERSIONS: Final = ("clip_224x224_16f", "clip_224x224", "original")
"""Which media to read when several are there: what the published baselines were fed comes first."""

FOLDS: Final = (1, 2, 3, 4, 5)
FOLD_COUNTS: Final = (2341, 2341, 2340, 2339, 2336)
"""Test clips of fold 1..5 (sum 11,697)."""

LAST_ID: Final = 16372
"""DFEW numbers its clips 1..16372; 11,697 of them carry a single label."""

SHORTEST: Final = 16
"""Frames below which a clip counts as short; 14 published clips are."""


@dataclass(frozen=True)
class _Row:
    """One line of a split file: clip number, label as written, and where it stands."""

    number: int
    written: int
    where: str


def open_dfew(
    root: Path | str,
    version: Version | None = None,
    missing: Literal["error", "drop"] = "error",
) -> ClipSet:
    """Read DFEW's single-labelled clips with their official five folds.

    Args:
        root: folder that holds ``EmoLabel_DataSplit`` and ``Clip``.
        version: which media; None takes the first of :data:`VERSIONS` that is there.
        missing: ``error`` refuses a copy in which listed clips have no media; ``drop`` leaves
            them out and says so in the notes.

    Returns:
        A set named ``dfew`` (other kinds than the first: ``dfew-original``, ...), so that
        results are told apart. Clips in the order of their numbers, ids ``00001``..``16372``,
        labels 0..6, folds 1..5. DFEW names neither actors nor films, so every clip is a group
        of its own.

    Raises:
        UserError: wrong root, or something that would make results wrong (overlapping folds,
            labels out of range, contradicting labels, missing clips).
    """
    allow = ("missing-clip",) if missing == "drop" else ()
    return opened(survey_dfew(root, version), allow)


def survey_dfew(root: Path | str, version: str | None = None) -> Survey:
    """Look through a copy of DFEW and list everything that is not as published.

    Raises:
        UserError: there are no split files or no media at all under ``root``.
    """
    top = _find_top(existing_folder(root, "dfew"))
    findings: list[Finding] = []
    tables = {
        (part, fold): _split_file(top, part, fold) for part in ("train", "test") for fold in FOLDS
    }
    if not any(tables.values()):
        raise UserError(
            f"data set dfew: no split files under {top}; expected "
            "EmoLabel_DataSplit/test(single-labeled)/set_1.csv ... set_5.csv"
        )
    absent = [f"{part} set {fold}" for (part, fold), path in tables.items() if path is None]
    if absent:
        needed = any(word.startswith("test") for word in absent)
        findings.append(
            Finding(
                "missing-csv",
                "error" if needed else "warning",
                f"{top if needed else 'DFEW'}: split files are missing: {few(absent, 10)}; the "
                "five official folds need all five test sets",
                tuple(absent),
            )
        )
    rows = {key: _read_split(path, findings) for key, path in tables.items() if path is not None}
    labels, folds, listed = _labels_and_folds(rows, findings)
    _check_train(rows, findings)

    media, chosen, layout = _find_media(top, version, findings)
    clips, lost = [], []
    for number in sorted(labels):
        source = media.get(number)
        if source is None or (source.is_dir() and not _has_image(source)):
            lost.append(f"{number:05d}")
            continue
        clips.append(
            Clip(
                id=f"{number:05d}",
                source=source,
                label=labels[number],
                fold=folds.get(number),
            )
        )
    if lost:
        findings.append(
            Finding(
                "missing-clip",
                "error",
                f"DFEW: {len(lost)} of {len(labels)} listed clips have no media in {chosen}: "
                f"{few(lost)} (first listed in {listed[int(lost[0])]}); unpack every part of the "
                "download",
                tuple(lost),
            )
        )
    extra = sorted(set(media) - set(labels))
    if extra:
        findings.append(
            Finding(
                "unlisted-clip",
                "info",
                f"{len(extra)} clips have media but stand in no split file (in the full DFEW "
                "these are the 4,675 clips without a single label)",
                tuple(f"{n:05d}" for n in extra),
            )
        )
    _check_counts(labels, folds, findings)
    _check_votes(top, labels, findings)
    # the three kinds of clips are three experiments: results of one must not pass for another's
    name = "dfew" if chosen == VERSIONS[0] else f"dfew-{chosen}"
    notes = (f"DFEW read from {chosen}, {len(clips)} single-labelled clips, official folds.",)
    return Survey(
        ClipSet(name, tuple(clips), notes=notes, aligned=chosen != "original"),
        tuple(findings),
        layout=layout,
        published_classes=DFEW_COUNTS,
        published_folds=FOLD_COUNTS,
    )


def read_votes(root: Path | str) -> dict[str, tuple[float, ...]]:
    """Read how many annotators chose each expression, from ``annotation.xlsx``.

    Needs openpyxl (``pip install "ecstfl[xlsx]"``); formulas are not evaluated.

    Args:
        root: DFEW's folder; the first ``annotation.xlsx`` below ``Annotation`` or the root.

    Returns:
        Clip id -> seven vote counts in the order of ``CLASSES``. Empty when there is no file.

    Raises:
        UserError: openpyxl is not installed, or the columns are not understood.
    """
    top = _find_top(existing_folder(root, "dfew"))
    path = _annotation_file(top)
    if path is None:
        return {}
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise UserError(
            f'{path}: reading votes needs openpyxl; install it with pip install "ecstfl[xlsx]"'
        ) from None
    try:
        with zipfile.ZipFile(path) as packed:
            size = sum(info.file_size for info in packed.infolist())
        if size > _LARGEST_SHEET:
            raise UserError(f"{path}: unpacks to {size / 1e9:.1f} GB, too large to be the votes")
        book = load_workbook(path, read_only=True, data_only=True)
    except UserError:
        raise
    except Exception as problem:  # openpyxl raises many kinds for a damaged file
        raise UserError(f"{path}: cannot be read as a spreadsheet ({problem})") from None
    try:
        lines = book.worksheets[0].iter_rows(values_only=True)
        header = [str(cell or "").strip().lower() for cell in next(lines, ())]
        columns = [_column(header, name, path) for name in CLASSES]
        key = next((i for i, h in enumerate(header) if h in _ID_HEADERS), 0)
        votes = {}
        for line, row in enumerate(lines, start=2):
            if not row or row[key] is None:
                continue
            try:
                number = int(Path(str(row[key])).stem)
                counts = tuple(float(row[c] or 0) for c in columns)
            except (ValueError, IndexError, TypeError):
                raise UserError(f"{path}, row {line}: not a clip number with votes") from None
            votes[f"{number:05d}"] = counts
        return votes
    finally:
        book.close()


_LARGEST_SHEET = 256 << 20
_ID_HEADERS = frozenset({"order", "video_name", "video", "id", "name", "clip", "index"})


def _column(header: list[str], name: str, path: Path) -> int:
    """Find the vote column of a class; the published header reads like ``1happy``."""
    for index, title in enumerate(header):
        if re.fullmatch(rf"\d?[ ._-]*{name.lower()}", title):
            return index
    raise UserError(f"{path}: no column for {name} in its first row ({', '.join(header)})")


def _annotation_file(top: Path) -> Path | None:
    for folder in ("Annotation", "annotation", "."):
        path = top / folder / "annotation.xlsx"
        if path.is_file():
            return path
    return None


def _find_top(root: Path) -> Path:
    """Accept DFEW's own folder, or a folder that holds it."""
    marks = ("EmoLabel_DataSplit", "label")
    if any((root / mark).is_dir() for mark in marks):
        return root
    inside = [d for d in sorted(root.iterdir()) if (d / "EmoLabel_DataSplit").is_dir()]
    if len(inside) == 1:
        return inside[0]
    raise UserError(
        f"data set dfew: {root} does not hold EmoLabel_DataSplit; point --root at the folder "
        "with EmoLabel_DataSplit and Clip in it"
    )


def _split_file(top: Path, part: str, fold: int) -> Path | None:
    """Find the csv of one part of one fold in any known layout."""
    splits = top / "EmoLabel_DataSplit"
    if splits.is_dir():
        for folder in sorted(splits.iterdir()):
            plain = re.sub(r"[^a-z]", "", folder.name.lower()).replace("labelled", "labeled")
            path = folder / f"set_{fold}.csv"
            if plain == f"{part}singlelabeled" and path.is_file():
                return path
    path = top / "label" / f"single_{part}set_{fold}.csv"
    return path if path.is_file() else None


def _read_split(path: Path, findings: list[Finding]) -> list[_Row]:
    """Read ``video_name,label``; lines that make no sense become findings with their number."""
    rows: list[_Row] = []
    short = f"{path.parent.name}/{path.name}"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise UserError(f"{path}: cannot be read ({problem})") from None
    for line, cells in enumerate(csv.reader(text.splitlines()), start=1):
        if not cells or (line == 1 and not cells[0].strip().isdigit()):
            continue  # the header, or an empty line
        where = f"{short}, line {line}"
        try:
            number, written = int(Path(cells[0].strip()).stem), int(cells[1].strip())
        except (ValueError, IndexError):
            findings.append(
                Finding(
                    "bad-row",
                    "error",
                    f"{where}: {','.join(cells)!r} is not video_name,label",
                    (where,),
                )
            )
            continue
        if not 1 <= number <= LAST_ID:
            findings.append(
                Finding(
                    "unknown-id",
                    "error",
                    f"{where}: clip {number} is not one of DFEW's 1..{LAST_ID}",
                    (str(number),),
                )
            )
            continue
        if not 0 <= written <= N_CLASSES:
            findings.append(
                Finding(
                    "label-range",
                    "error",
                    f"{where}: label {written} of clip {number:05d} is outside 1..{N_CLASSES}",
                    (f"{number:05d}",),
                )
            )
            continue
        rows.append(_Row(number, written, where))
    return rows


def _labels_and_folds(
    rows: dict[tuple[str, int], list[_Row]], findings: list[Finding]
) -> tuple[dict[int, int], dict[int, int], dict[int, str]]:
    """Join the tables: clip number -> label 0..6, -> test fold, -> where it is listed.

    A file that uses 0 cannot be 1..7 and a file that uses 7 cannot be 0..6; a file that uses
    neither follows the others.
    """
    firsts: dict[tuple[str, int], int | None] = {}
    for key, table in rows.items():
        used = {row.written for row in table}
        if {0, N_CLASSES} <= used:
            zero = next(r for r in table if r.written == 0)
            seven = next(r for r in table if r.written == N_CLASSES)
            findings.append(
                Finding(
                    "label-range",
                    "error",
                    f"{zero.where} has label 0 and {seven.where} has label {N_CLASSES}: labels "
                    "are either 1..7 or 0..6, never both",
                    (f"{zero.number:05d}", f"{seven.number:05d}"),
                )
            )
            firsts[key] = 1
        else:
            firsts[key] = 0 if 0 in used else 1 if N_CLASSES in used else None
    sure = {first for first in firsts.values() if first is not None}
    rest = sure.pop() if len(sure) == 1 else None
    unsure = [key for key, first in firsts.items() if first is None and rows[key]]
    if unsure and rest is None:
        part, fold = unsure[0]
        findings.append(
            Finding(
                "label-ambiguous",
                "error",
                f"{part} set {fold} uses neither label 0 nor label 7, so 0..6 and 1..7 cannot "
                "be told apart; published DFEW uses 1..7",
                tuple(f"{p} set {f}" for p, f in unsure),
            )
        )
    shifted = [f"{part} set {fold}" for (part, fold), first in firsts.items() if first == 0]
    if shifted:
        findings.append(
            Finding(
                "label-offset",
                "warning",
                f"labels run 0..6 instead of the published 1..7 in {few(shifted, 10)}; read as "
                "0 Happy ... 6 Fear",
                tuple(shifted),
            )
        )

    labels: dict[int, int] = {}
    first_seen: dict[int, str] = {}
    folds: dict[int, int] = {}
    clashes: dict[int, str] = {}
    overlaps: dict[int, str] = {}
    for (part, fold), table in rows.items():
        first = firsts[part, fold]
        offset = first if first is not None else (rest if rest is not None else 1)
        for row in table:
            label = row.written - offset
            if not 0 <= label < N_CLASSES:
                continue  # reported above as a mix of 0 and 7
            known = labels.setdefault(row.number, label)
            origin = first_seen.setdefault(row.number, row.where)
            if known != label:
                clashes.setdefault(
                    row.number,
                    f"clip {row.number:05d} is {CLASSES[known]} in {origin} and {CLASSES[label]} "
                    f"in {row.where}",
                )
            if part == "test":
                other = folds.setdefault(row.number, fold)
                if other != fold:
                    overlaps.setdefault(
                        row.number,
                        f"clip {row.number:05d} is in test sets {other} and {fold} ({row.where})",
                    )
    for kind, found, why in (
        ("label-conflict", clashes, "one clip, one label"),
        ("fold-overlap", overlaps, "test folds must be disjoint"),
    ):
        if found:
            first_one = next(iter(found.values()))
            findings.append(
                Finding(
                    kind,
                    "error",
                    f"{first_one}; {len(found)} such clip(s), {why}",
                    tuple(f"{number:05d}" for number in sorted(found)),
                )
            )
    untested = sorted(set(labels) - set(folds))
    if untested and all(("test", fold) in rows for fold in FOLDS):
        findings.append(
            Finding(
                "untested-clip",
                "warning",
                f"{len(untested)} clips are in a training set but in no test set: "
                f"{few(f'{n:05d}' for n in untested)}",
                tuple(f"{n:05d}" for n in untested),
            )
        )
    return labels, folds, first_seen


def _check_train(rows: dict[tuple[str, int], list[_Row]], findings: list[Finding]) -> None:
    """Training set k must be exactly the clips outside test set k."""
    everyone = {row.number for (part, _), table in rows.items() if part == "test" for row in table}
    for fold in FOLDS:
        if ("train", fold) not in rows or ("test", fold) not in rows:
            continue
        train = {row.number: row.where for row in rows["train", fold]}
        test = {row.number for row in rows["test", fold]}
        both = sorted(train.keys() & test)
        if both:
            findings.append(
                Finding(
                    "train-test-overlap",
                    "error",
                    f"{train[both[0]]}: clip {both[0]:05d} is in training and in test of fold "
                    f"{fold}; {len(both)} such clip(s), results would be inflated",
                    tuple(f"{n:05d}" for n in both),
                )
            )
        left = sorted(everyone - test - train.keys())
        if left:
            findings.append(
                Finding(
                    "train-incomplete",
                    "warning",
                    f"fold {fold}: {len(left)} clips are in neither the training nor the test "
                    f"set: {few(f'{n:05d}' for n in left)}; they are trained on here",
                    tuple(f"{n:05d}" for n in left),
                )
            )


def _find_media(
    top: Path, version: str | None, findings: list[Finding]
) -> tuple[dict[int, Path], str, str]:
    """Choose the media folder and index it by clip number."""
    there: dict[str, Path] = {}
    for name in VERSIONS:
        for folder in (top / "Clip" / name, top / "clip" / name, top / name):
            if (folder / name).is_dir():  # unpacked into a folder of its own name
                there[name] = folder / name
                break
            if folder.is_dir():
                there[name] = folder
                break
    if (top / "data").is_dir() and "clip_224x224" not in there:
        there["clip_224x224"] = top / "data"
    if version is not None and version not in VERSIONS:
        raise UserError(f"data set dfew: unknown layout {version!r}: use {', '.join(VERSIONS)}")
    if version is not None and version not in there:
        known = ", ".join(there) or "none"
        raise UserError(f"data set dfew: no {version} under {top}; found: {known}")
    if not there:
        raise UserError(
            f"data set dfew: no media under {top}; expected one of "
            + ", ".join(f"Clip/{name}" for name in VERSIONS)
        )
    chosen = version or next(name for name in VERSIONS if name in there)
    folder = there[chosen]
    media: dict[int, Path] = {}
    twice = []
    for entry in sorted(folder.iterdir()):
        usable = entry.suffix.lower() in VIDEO_SUFFIXES or entry.is_dir()
        if not usable or not entry.stem.isdigit():
            continue
        if media.setdefault(int(entry.stem), entry) != entry:
            twice.append(entry.name)
    if twice:
        findings.append(
            Finding(
                "name-twice",
                "warning",
                f"{folder.name}: {few(twice)} stand for a clip number that occurs twice; the first "
                "by name is read",
                tuple(twice),
            )
        )
    listed = ", ".join(f"{name} in {path.relative_to(top)}" for name, path in there.items())
    return media, chosen, f"reading {folder.relative_to(top)}; present: {listed}"


def _has_image(folder: Path) -> bool:
    return any(entry.suffix.lower() in IMAGE_SUFFIXES for entry in folder.iterdir())


def _check_counts(labels: dict[int, int], folds: dict[int, int], findings: list[Finding]) -> None:
    """Compare clips per class and per test fold with the published protocol."""
    per_class = Counter(labels.values())
    found = tuple(per_class[c] for c in range(N_CLASSES))
    if found != DFEW_COUNTS:
        off = [
            f"{name} {have} (published {want})"
            for name, have, want in zip(CLASSES, found, DFEW_COUNTS, strict=True)
            if have != want
        ]
        findings.append(
            Finding(
                "class-counts",
                "warning",
                f"clips per class differ from the published protocol: {', '.join(off)}; results "
                "are not comparable with published tables",
                tuple(off),
            )
        )
    per_fold = Counter(folds.values())
    found = tuple(per_fold[f] for f in FOLDS)
    if found != FOLD_COUNTS:
        off = [
            f"fold {fold}: {have} (published {want})"
            for fold, have, want in zip(FOLDS, found, FOLD_COUNTS, strict=True)
            if have != want
        ]
        findings.append(
            Finding(
                "fold-counts",
                "warning",
                f"test clips per fold differ from the published protocol: {', '.join(off)}",
                tuple(off),
            )
        )


def _check_votes(top: Path, labels: dict[int, int], findings: list[Finding]) -> None:
    """The label must be the expression most annotators chose."""
    path = _annotation_file(top)
    if path is None:
        return
    try:
        votes = read_votes(top)
    except UserError as problem:
        findings.append(Finding("votes-unread", "info", str(problem), (str(path),)))
        return
    against = []
    for number, label in labels.items():
        counts = votes.get(f"{number:05d}")
        if counts and counts[label] < max(counts):
            against.append(f"{number:05d}")
    if against:
        findings.append(
            Finding(
                "votes-disagree",
                "warning",
                f"{path.name}: for {len(against)} clip(s) most annotators chose another "
                f"expression than the label: {few(against)}",
                tuple(sorted(against)),
            )
        )
