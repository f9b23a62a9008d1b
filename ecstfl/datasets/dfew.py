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
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal, NamedTuple

from ecstfl.datasets.clipset import Clip, ClipSet
from ecstfl.datasets.dfew_votes import read_votes
from ecstfl.datasets.findings import (
    Finding,
    Inspection,
    Severity,
    existing_folder,
    few,
    usable_clips,
)
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
    """One line of a split file: clip number, label as written, file and line."""

    number: int
    written: int
    where: str


Tables = dict[tuple[str, int], list[Row]]
"""(``train`` or ``test``, fold) -> lines."""


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
    return usable_clips(inspect_dfew(root, version), allow)


def inspect_dfew(root: Path | str, version: str | None = None) -> Inspection:
    """Look through a copy of DFEW and list everything that is not as published.

    Raises:
        UserError: there are no split files or no media at all under ``root``.
    """
    top = _find_top(existing_folder(root, "dfew"))
    findings: list[Finding] = []
    tables = _read_splits(top, findings)
    labels, folds, listed = _join(tables, findings)
    _check_splits(tables, labels, folds, findings)
    media, chosen, layout = _find_media(top, version, findings)
    clips = [
        Clip(_id(n), media[n], labels[n], fold=folds.get(n)) for n in sorted(labels) if n in media
    ]
    lost = sorted(set(labels) - set(media))
    if lost:
        text = (
            f"DFEW: {len(lost)} of {len(labels)} listed clips have no media in {chosen}: "
            f"{few(map(_id, lost))} (first listed in {listed[lost[0]]}); unpack every part of the "
            "download"
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
    _check_votes(top, labels, findings)
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


def _read_splits(top: Path, findings: list[Finding]) -> Tables:
    """Read the split files of any known layout; lines that make no sense become findings."""
    tables: Tables = {}
    absent = []
    for part in ("train", "test"):
        for fold in FOLDS:
            path = _split_file(top, part, fold)
            if path is None:
                absent.append(f"{part} set {fold}")
            else:
                tables[part, fold] = _read_split(path, findings)
    if not tables:
        raise UserError(
            f"data set dfew: no split files under {top}; expected "
            "EmoLabel_DataSplit/test(single-labeled)/set_1.csv ... set_5.csv"
        )
    if absent:
        needed = absent[-1].startswith("test")
        text = (
            f"{top if needed else 'DFEW'}: split files are missing: {few(absent, 10)}; the five "
            "official folds need all five test sets"
        )
        severity = "error" if needed else "warning"
        findings.append(Finding("missing-csv", severity, text, tuple(absent)))
    return tables


def _split_file(top: Path, part: str, fold: int) -> Path | None:
    splits = top / "EmoLabel_DataSplit"
    for folder in sorted(splits.iterdir()) if splits.is_dir() else ():
        plain = re.sub(r"[^a-z]", "", folder.name.lower()).replace("labelled", "labeled")
        path = folder / f"set_{fold}.csv"
        if plain == f"{part}singlelabeled" and path.is_file():
            return path
    path = top / "label" / f"single_{part}set_{fold}.csv"
    return path if path.is_file() else None


def _read_split(path: Path, findings: list[Finding]) -> list[Row]:
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
            rows.append(Row(number, written, where))
    return rows


def _first_labels(tables: Tables, findings: list[Finding]) -> dict[tuple[str, int], int]:
    """Tell for each file whether its labels begin at 1, as published, or at 0.

    A file that uses 0 cannot be 1..7 and a file that uses 7 cannot be 0..6; a file that uses
    neither follows the others.
    """
    firsts: dict[tuple[str, int], int] = {}
    for key, rows in tables.items():
        example = {row.written: row for row in reversed(rows)}
        zero, seven = example.get(0), example.get(N_CLASSES)
        if zero and seven:
            text = (
                f"{zero.where} has label 0 and {seven.where} has label {N_CLASSES}: labels are "
                "either 1..7 or 0..6, never both"
            )
            numbers = (zero.number, seven.number)
            findings.append(_finding("label-range", "error", text, numbers))
        if zero or seven:
            firsts[key] = 1 if seven else 0
    known = set(firsts.values())
    unsure = [key for key, rows in tables.items() if key not in firsts and rows]
    if unsure and len(known) != 1:
        text = (
            "{} set {} uses neither label 0 nor label 7, so 0..6 and 1..7 cannot be told apart; "
            "published DFEW uses 1..7"
        ).format(*unsure[0])
        items = tuple(f"{part} set {fold}" for part, fold in unsure)
        findings.append(Finding("label-ambiguous", "error", text, items))
    shifted = tuple(f"{part} set {fold}" for (part, fold), first in firsts.items() if first == 0)
    if shifted:
        text = (
            f"labels run 0..6 instead of the published 1..7 in {few(shifted, 10)}; read as 0 "
            "Happy ... 6 Fear"
        )
        findings.append(Finding("label-offset", "warning", text, shifted))
    rest = known.pop() if len(known) == 1 else 1
    return {key: firsts.get(key, rest) for key in tables}


def _join(
    tables: Tables, findings: list[Finding]
) -> tuple[dict[int, int], dict[int, int], dict[int, str]]:
    """Join the tables: clip number -> label 0..6, -> test fold, -> where it is listed first."""
    firsts = _first_labels(tables, findings)
    labels: dict[int, int] = {}
    places: dict[int, str] = {}
    folds: dict[int, int] = {}
    clashes: dict[int, str] = {}
    overlaps: dict[int, str] = {}
    for (part, fold), rows in tables.items():
        for number, written, where in rows:
            label = written - firsts[part, fold]
            if not 0 <= label < N_CLASSES:
                continue  # reported as a mix of 0 and 7
            known, place = labels.setdefault(number, label), places.setdefault(number, where)
            if known != label:
                clashes.setdefault(
                    number, f"{CLASSES[known]} in {place} and {CLASSES[label]} in {where}"
                )
            if part == "test" and (other := folds.setdefault(number, fold)) != fold:
                overlaps.setdefault(number, f"in test sets {other} and {fold} ({where})")
    for kind, found, why in (
        ("label-conflict", clashes, "one clip, one label"),
        ("fold-overlap", overlaps, "test folds must be disjoint"),
    ):
        for number, said in list(found.items())[:1]:
            text = f"clip {_id(number)} is {said}; {len(found)} such clip(s), {why}"
            findings.append(_finding(kind, "error", text, sorted(found)))
    return labels, folds, places


def _check_splits(
    tables: Tables, labels: dict[int, int], folds: dict[int, int], findings: list[Finding]
) -> None:
    """Every clip must be tested once, and training set k be the clips outside test set k."""
    untested = sorted(set(labels) - set(folds))
    if untested and all(("test", fold) in tables for fold in FOLDS):
        text = (
            f"{len(untested)} clips are in a training set but in no test set: "
            f"{few(map(_id, untested))}"
        )
        findings.append(_finding("untested-clip", "warning", text, untested))
    everyone = {row.number for (part, _), rows in tables.items() if part == "test" for row in rows}
    for fold in FOLDS:
        if ("train", fold) not in tables or ("test", fold) not in tables:
            continue
        train = {row.number: row.where for row in tables["train", fold]}
        test = {row.number for row in tables["test", fold]}
        both = sorted(train.keys() & test)
        if both:
            text = (
                f"{train[both[0]]}: clip {_id(both[0])} is in training and in test of fold "
                f"{fold}; {len(both)} such clip(s), results would be inflated"
            )
            findings.append(_finding("train-test-overlap", "error", text, both))
        left = sorted(everyone - test - train.keys())
        if left:
            text = (
                f"fold {fold}: {len(left)} clips are in neither the training nor the test set: "
                f"{few(map(_id, left))}; they are trained on here"
            )
            findings.append(_finding("train-incomplete", "warning", text, left))


def _find_media(
    top: Path, version: str | None, findings: list[Finding]
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


def _check_votes(top: Path, labels: dict[int, int], findings: list[Finding]) -> None:
    """The label must be the expression most annotators chose."""
    places = (top / folder / "annotation.xlsx" for folder in ("Annotation", "annotation", "."))
    path = next((path for path in places if path.is_file()), None)
    if path is None:
        return
    try:
        votes = read_votes(path)
    except UserError as problem:
        findings.append(Finding("votes-unread", "info", str(problem), (str(path),)))
        return
    against = [
        number
        for number, label in sorted(labels.items())
        if (counts := votes.get(_id(number))) and counts[label] < max(counts)
    ]
    if against:
        text = (
            f"{path.name}: for {len(against)} clip(s) most annotators chose another expression "
            f"than the label: {few(map(_id, against))}"
        )
        findings.append(_finding("votes-disagree", "warning", text, against))
