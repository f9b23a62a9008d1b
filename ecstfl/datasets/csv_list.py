"""Your own clips, listed in a CSV: a header, and paths relative to the CSV file.

::

    path,label,group,fold
    videos/clip1.mp4,Happy,anna,1

``label`` is a class name, a synonym or DFEW's number 1..7; ``group`` is whoever must not stand on
both sides of a split; ``id`` and ``sha256`` may be given. Separators may be commas, semicolons or
tabs, the text UTF-8, UTF-16 or Windows' Latin alphabet (what spreadsheets write), and paths may
have been written on Windows.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from ecstfl.datasets.clipset import Clip, ClipSet
from ecstfl.datasets.findings import Finding, Inspection, few
from ecstfl.datasets.folder import label_of, safe_id, unique_ids
from ecstfl.datasets.folds import with_folds
from ecstfl.errors import UserError


def inspect_csv(path: Path | str) -> Inspection:
    """Look through a CSV of clips and list what is not as it should be.

    Raises:
        UserError: the file cannot be read or has no ``path,label`` header.
    """
    table = Path(path)
    clips, findings, places = listed_clips(table)
    clipset = ClipSet("csv", tuple(clips))
    without = tuple(clip.id for clip in clipset if clip.fold is None)
    if without and len(without) < len(clips):
        text = (
            f"{places[without[0]]}: {len(without)} of {len(clips)} clips have no fold, the others "
            f"have: {few(without)}"
        )
        findings.append(Finding("fold-missing", "error", text, without))
    return with_folds(clipset, tuple(findings), f"listed in {table}", places)


def listed_clips(
    table: Path, need_labels: bool = True
) -> tuple[list[Clip], list[Finding], dict[str, str]]:
    """Read the lines of a CSV.

    Args:
        table: the file.
        need_labels: refuse lines without a label.

    Returns:
        (clips with unique ids, what is wrong with which line, id -> file and line).

    Raises:
        UserError: the file cannot be read, has no such header, or no line at all.
    """
    clips: list[Clip] = []
    lines: list[int] = []
    findings: list[Finding] = []
    seen: dict[str, tuple[Clip, int]] = {}  # real path -> first clip, line
    for line, cells in _rows(table, {"path", "label"} if need_labels else {"path"}):
        where, written = f"{table}, line {line}", cells["path"]

        def found(kind: str, why: str, where: str = where, written: str = written) -> None:
            severity = "warning" if kind == "name-twice" else "error"
            findings.append(Finding(kind, severity, f"{where}: {why}", (written,)))

        source = _find(table.parent, written)
        if source is None:
            hint = ""
            if "\\" in written or written[1:2] == ":":
                hint = "; this path was written on Windows: give it relative to the CSV file"
            found("missing-clip", f"no such file {written!r}{hint}")
            continue
        label = None
        try:
            if cells.get("label") or need_labels:
                label = label_of(cells["label"])
        except UserError as problem:
            found("label-range", str(problem))
            continue
        fold = cells.get("fold", "")
        if fold and (not fold.isdecimal() or int(fold) < 1):
            found("bad-row", f"fold {fold!r} is not a number from 1")
            continue
        clip = Clip(
            safe_id(cells.get("id") or written.removeprefix("./").replace("../", "")),
            source,
            label,
            unicodedata.normalize("NFC", cells.get("group", "")),
            int(fold) if fold else None,
            cells.get("sha256") or None,
        )
        earlier, first = seen.setdefault(os.path.realpath(source), (clip, line))
        if earlier is clip:
            clips.append(clip)
            lines.append(line)
        elif earlier.label != clip.label:
            found("label-conflict", f"{written} has two labels (first on line {first})")
        elif earlier.fold != clip.fold:
            found("fold-overlap", f"{written} is in two folds (first on line {first})")
        else:  # becomes a note beside results, which name no folder of this machine
            place = f"{table.name}, line {line}"
            found("name-twice", f"{written} is listed again (first on line {first})", place)
    if not clips and not findings:
        raise UserError(f"{table} lists no clips")
    clips = list(unique_ids(clips))
    places = {c.id: f"{table}, line {n}" for c, n in zip(clips, lines, strict=True)}
    return clips, findings, places


def _rows(table: Path, needed: set[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, column -> text without blanks around it)."""
    text = _decoded(table)
    skipped = text.startswith("sep=")  # Excel's own first line
    if skipped:
        text = text.partition("\n")[2]
    head = text.split("\n", 1)[0]
    reader = csv.DictReader(
        io.StringIO(text, newline=""),
        delimiter=max(",;\t", key=head.count),  # the comma where there is none
        restval="",
    )
    try:
        header = [name.strip().lower() for name in reader.fieldnames or ()]
        if not needed <= set(header):
            columns = "path,label and optionally group" if "label" in needed else "path"
            raise UserError(
                f"{table}, line 1: expected the columns {columns},fold, got "
                f"{','.join(header) or 'nothing'}"
            )
        reader.fieldnames = header
        for row in reader:
            cells = {name: row[name].strip() for name in header}
            for name in {"label", "fold"} & cells.keys():
                cells[name] = re.sub(r"^(\d+)\.0$", r"\1", cells[name])  # 1.0, as pandas writes
            yield reader.line_num + skipped, cells
    except csv.Error as problem:
        raise UserError(f"{table}: cannot be read ({problem})") from None


def _decoded(table: Path) -> str:
    """Read text in whatever encoding a spreadsheet wrote."""
    try:
        data = table.read_bytes()
    except OSError as problem:
        raise UserError(f"{table}: cannot be read ({problem.strerror})") from None
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    else:
        encodings = ["utf-8-sig", "cp1252", "latin-1"]
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise UserError(f"{table}: cannot be read (damaged {encodings[0].upper()})")


def _find(home: Path, written: str) -> Path | None:
    """Find a listed file, also by its Windows path or in the other forms of its letters."""
    if not written:
        return None
    names = [written, written.replace("\\", "/")]
    names += [unicodedata.normalize(form, names[1]) for form in ("NFC", "NFD")]
    return next((home / name for name in names if os.path.exists(home / name)), None)
