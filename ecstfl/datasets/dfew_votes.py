"""DFEW's ``annotation.xlsx``: how many of ten annotators chose each expression."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any, Final

from ecstfl.errors import UserError
from ecstfl.labels import CLASSES

LARGEST_SHEET: Final = 256 << 20
"""Bytes beyond which a spreadsheet is not unpacked."""

_ID_HEADERS = frozenset({"order", "video_name", "video", "id", "name", "clip", "index"})


def read_votes(path: Path) -> dict[str, tuple[float, ...]]:
    """Read the votes; formulas are not evaluated.

    Needs openpyxl (``pip install "ecstfl[xlsx]"``).

    Returns:
        Clip id (``00001``) -> seven vote counts in the order of ``CLASSES``.

    Raises:
        UserError: openpyxl is not installed, or the file is not understood.
    """
    book = _open(path)
    try:
        lines = book.worksheets[0].iter_rows(values_only=True)
        header = [str(cell or "").strip().lower() for cell in next(lines, ())]
        columns = []
        for name in CLASSES:  # the published header reads like ``1happy``
            title = re.compile(rf"\d?[ ._-]*{name.lower()}")
            column = next((i for i, h in enumerate(header) if title.fullmatch(h)), None)
            if column is None:
                raise UserError(f"{path}: no column for {name} in row 1 ({', '.join(header)})")
            columns.append(column)
        key = next((i for i, h in enumerate(header) if h in _ID_HEADERS), 0)
        votes = {}
        for line, row in enumerate(lines, start=2):
            if not row or row[key] is None:
                continue
            try:
                number = int(Path(str(row[key])).stem)
                votes[f"{number:05d}"] = tuple(float(row[c] or 0) for c in columns)
            except (ValueError, IndexError, TypeError):
                raise UserError(f"{path}, row {line}: not a clip number with votes") from None
        return votes
    finally:
        book.close()


def _open(path: Path) -> Any:
    """Open a workbook whose unpacked size is known to be harmless."""
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise UserError(
            f'{path}: reading votes needs openpyxl; install it with pip install "ecstfl[xlsx]"'
        ) from None
    try:
        with zipfile.ZipFile(path) as packed:
            size = sum(info.file_size for info in packed.infolist())
        if size <= LARGEST_SHEET:
            return load_workbook(path, read_only=True, data_only=True)
    except Exception as problem:  # openpyxl raises many kinds for a damaged file
        raise UserError(f"{path}: cannot be read as a spreadsheet ({problem})") from None
    raise UserError(f"{path}: unpacks to {size / 1e9:.1f} GB, too large to be the votes")
