"""What a printed table of this field can carry: pairs of rows, and what a fair report must say.

All numbers are those of :mod:`ecstfl.evaluation.published`, each with its source. The sums are
:mod:`lessonkit.audit`'s; lesson 11 lets a student do them by hand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ecstfl.evaluation.published import PAPER_ROWS, PublishedRow
from ecstfl.labels import CLASSES, DFEW_COUNTS
from lessonkit.audit import decode_hits, gain_interval, overlaps

_ROWS: Final = {row.method: row for row in PAPER_ROWS}


@dataclass(frozen=True)
class Comparison:
    """Two printed rows on the same clips, the second said to be better."""

    first: PublishedRow
    second: PublishedRow

    @property
    def claim(self) -> str:
        """What the table says, in a sentence, with its source."""
        return (
            f"{self.second.method} has WAR {self.second.war:.2f}, {self.first.method} "
            f"{self.first.war:.2f}: {self.second.war - self.first.war:+.2f} points "
            f"({self.second.source})"
        )


COMPARISONS: Final = {
    f"{second} against {first}".replace(", ", " + "): Comparison(_ROWS[first], _ROWS[second])
    for first, second in (
        ("C3D", "C3D, EC-STFL"),
        ("C3D", "C3D, center loss"),
        ("C3D, center loss", "C3D, EC-STFL"),
        ("3D ResNet18", "3D ResNet18, EC-STFL"),
        ("3D ResNet18", "3D ResNet18, center loss"),
        ("3D ResNet18, center loss", "3D ResNet18, EC-STFL"),
    )
}
"""Pairs of rows that are printed with all recalls, by name."""


@dataclass(frozen=True)
class Facts:
    """What follows from two printed rows without any assumption but independent clips.

    Attributes:
        gains: clips more right, by class (7,).
        total: of all classes.
        low, high: worst-case 95 % interval of the gain in WAR, in points.
    """

    gains: tuple[int, ...]
    total: int
    low: float
    high: float


def facts(comparison: Comparison) -> Facts:
    """Decode both rows to whole clips and bound the difference of their WAR."""
    first, second = (decode_hits(row.recalls) for row in (comparison.first, comparison.second))
    fewest = overlaps(first, second).fewest
    interval = gain_interval(first, second, fewest, "war")
    gains = tuple(int(gain) for gain in second - first)
    return Facts(gains, sum(gains), interval.low, interval.high)


LIMITS: Final = ("seed", "training", "trained", "run", "independent", "spread")
"""Words by one of which a report names what the table leaves out."""

_TOO_MUCH: Final = r"\bprove[sdn]?\b|\bsignificant|\bclearly\b|\bwithout doubt\b|\bcertain"


def missing(text: Any, comparison: Comparison) -> list[str]:
    """Return what a report on a comparison lacks, or has too much of; numbers may be rounded.

    ``gain`` (in clips), ``clips`` (of how many), ``interval`` (both ends), ``loser`` (a class that
    loses, where one does), ``limit`` (what the table leaves out), ``too much`` (it claims more than
    the table carries), ``length`` (40 to 200 words).

    Args:
        text: the paragraph.
        comparison: what it reports on.
    """
    text = str(text).replace("−", "-").replace("–", " ")
    numbers = [float(n.replace(",", "")) for n in re.findall(r"-?\d[\d,]*(?:\.\d+)?", text)]
    found = facts(comparison)

    def named(value: float, within: float) -> bool:
        return any(abs(abs(number) - abs(value)) <= within for number in numbers)

    low = text.lower()
    losers = [name for name, gain in zip(CLASSES, found.gains, strict=True) if gain < 0]
    lacks = {
        "gain": not named(found.total, 0.01),
        "clips": not named(sum(DFEW_COUNTS), 0.01),
        "interval": not (named(found.low, 0.06) and named(found.high, 0.06)),
        "loser": bool(losers) and not any(name.lower() in low for name in losers),
        "limit": not any(word in low for word in LIMITS),
        "too much": re.search(_TOO_MUCH, low) is not None,
        "length": not 40 <= len(text.split()) <= 200,
    }
    return [name for name, lacking in lacks.items() if lacking]


def table(comparison: Comparison) -> str:
    """Return the two rows as printed, in percent, with the clips of each class."""
    head = f"{'':26s}" + "".join(f"{name:>10s}" for name in (*CLASSES, "UAR", "WAR"))
    lines = [head, f"{'clips':26s}" + "".join(f"{n:10d}" for n in DFEW_COUNTS)]
    for row in (comparison.first, comparison.second):
        values = np.array([*row.recalls, row.uar, row.war])
        lines.append(f"{row.method:26s}" + "".join(f"{v:10.2f}" for v in values))
    return "\n".join(lines)
