"""Numbers that others have printed, with where. Nothing here was measured by this project."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedRow:
    """One row of a printed table on DFEW, in percent.

    Attributes:
        method: as printed.
        recalls: Happy, Sad, Neutral, Angry, Surprise, Disgust, Fear.
        uar: unweighted average recall.
        war: weighted average recall.
        source: where it is printed.
    """

    method: str
    recalls: tuple[float, ...]
    uar: float
    war: float
    source: str


PATENT_TABLE_1 = (
    PublishedRow(
        "C3D",
        (75.17, 39.49, 55.11, 62.49, 45.00, 1.38, 20.51),
        42.74,
        53.54,
        "CN112101119A, Table 1",
    ),
    PublishedRow(
        "C3D, EC-STFL",
        (75.87, 49.26, 54.81, 61.53, 45.95, 3.45, 24.83),
        45.10,
        55.50,
        "CN112101119A, Table 1",
    ),
)
"""The claim that this project reproduces: five folds of DFEW pooled, no seed, no interval."""
