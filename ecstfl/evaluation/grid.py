"""Tables as text: one grid of cells, written as Markdown, CSV, or to fit a terminal."""

from __future__ import annotations

import csv
import io
import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Grid:
    """A head and lines of plain text below it.

    Attributes:
        head: names of the columns; the first names the lines.
        lines: as many cells each as the head.
        kinds: what each line is (``result``, ``difference``, ``published``), for Markdown's
            italics; empty where all are alike.
    """

    head: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    kinds: tuple[str, ...] = ()

    def markdown(self) -> str:
        """Render with numbers to the right; what others have published is in italics."""
        rows = [self.head, ("---", *("---:" for _ in self.head[1:]))]
        for line, kind in zip(self.lines, self.kinds or ("",) * len(self.lines), strict=True):
            quoted = kind == "published"
            rows.append(tuple(f"*{cell}*" if cell and quoted else cell for cell in line))
        text = ["| " + " | ".join(row) + " |" for row in rows]
        return "\n".join([text[0], text[1].replace(" ", ""), *text[2:]])

    def fitted(self, width: int) -> str:
        """Render as Markdown where that is no wider; else each line as a paragraph of its cells."""
        wide = self.markdown()
        if max(map(len, wide.splitlines())) <= width:
            return wide
        paragraphs = []
        for name, *cells in self.lines:
            told = [
                f"{head} {cell}".replace(" ", "\0")  # what belongs together stays on one line
                for head, cell in zip(self.head[1:], cells, strict=True)
                if cell
            ]
            indent = {"initial_indent": "  ", "subsequent_indent": "  "}
            filled = textwrap.fill("; ".join(told), max(width, 40), **indent)
            paragraphs.append(f"{textwrap.fill(name, max(width, 40))}\n{filled}")
        return "\n".join(paragraphs).replace("\0", " ")


@dataclass(frozen=True)
class Page:
    """Grids, and sentences between them, with notes below."""

    parts: tuple[Grid | str, ...]
    notes: tuple[str, ...] = ()

    def markdown(self) -> str:
        """Render for files and README."""
        return self.fitted(10**6)

    def fitted(self, width: int) -> str:
        """Render for a terminal of so many columns."""
        parts = [part if isinstance(part, str) else part.fitted(width) for part in self.parts]
        if self.notes:
            parts.append("\n".join(f"- {note}" for note in self.notes))
        return "\n\n".join(parts) + "\n"


def to_csv(head: Sequence[str], rows: Iterable[Sequence[object]], digits: int = 6) -> str:
    """Render for spreadsheets: floats with so many digits, nothing for NaN."""

    def plain(value: object) -> object:
        if isinstance(value, float):
            return "" if math.isnan(value) else f"{value:.{digits}f}"
        return value

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([plain(value) for value in row] for row in rows)
    return out.getvalue()
