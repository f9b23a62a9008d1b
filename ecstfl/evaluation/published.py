"""Numbers that others have printed, with where. Nothing here was measured by this project."""

from __future__ import annotations

from dataclasses import dataclass

from ecstfl.labels import N_CLASSES


@dataclass(frozen=True)
class PublishedRow:
    """One row of a printed table on DFEW, in percent.

    Attributes:
        method: as printed.
        recalls: Happy, Sad, Neutral, Angry, Surprise, Disgust, Fear; empty where only the two
            averages are known.
        uar: unweighted average recall.
        war: weighted average recall.
        source: where it is printed.
    """

    method: str
    recalls: tuple[float, ...]
    uar: float
    war: float
    source: str


def _rows(source: str, text: str) -> tuple[PublishedRow, ...]:
    """Read lines of a method, its recalls if there are any, UAR and WAR."""
    found = []
    for line in text.strip().splitlines():
        method, numbers = line.strip().split("  ", 1)
        *recalls, uar, war = map(float, numbers.split())
        assert len(recalls) in (0, N_CLASSES)
        found.append(PublishedRow(method, tuple(recalls), uar, war, source))
    return tuple(found)


PATENT_TABLE_1 = _rows(
    "CN112101119A, Table 1",
    """
    C3D                       75.17 39.49 55.11 62.49 45.00  1.38 20.51  42.74 53.54
    C3D, EC-STFL              75.87 49.26 54.81 61.53 45.95  3.45 24.83  45.10 55.50
    """,
)
"""The claim that this project reproduces: five folds of DFEW pooled, no seed, no interval."""

_PAPER = "Jiang et al., DFEW, ACM MM 2020, comparison tables"

PAPER_ROWS = PATENT_TABLE_1 + _rows(
    _PAPER,
    """
    C3D, center loss          75.62 44.67 54.18 63.14 42.21  2.07 22.17  43.44 54.17
    P3D                       74.85 43.40 54.18 60.42 50.99  0.69 23.28  43.97 54.47
    R3D18                     79.67 39.07 57.66 50.39 48.26  3.45 21.06  42.79 53.22
    3D ResNet18               73.13 48.26 50.51 64.75 50.10  0.00 26.39  44.73 54.98
    I3D-RGB                   78.61 44.19 56.69 55.87 45.88  2.07 20.51  43.40 54.27
    VGG11+LSTM                76.89 37.65 58.04 60.70 43.70  0.00 19.73  42.39 53.70
    ResNet18+LSTM             78.00 40.65 53.77 56.83 45.00  4.14 21.62  42.86 53.08
    3D ResNet18, center loss  78.49 44.30 54.89 58.40 52.35  0.69 25.28  44.91 55.48
    3D ResNet18, EC-STFL      79.18 49.05 57.85 60.98 46.15  2.76 21.51  45.35 56.51
    """,
)
"""Every row that is printed with its recalls; the first two are the patent's."""

PAPER_EC_STFL_SCORES = _rows(
    _PAPER,
    """
    P3D, EC-STFL               45.22 56.48
    R3D18, EC-STFL             45.05 56.19
    I3D-RGB, EC-STFL           45.05 56.19
    VGG11+LSTM, EC-STFL        44.78 56.25
    ResNet18+LSTM, EC-STFL     43.60 54.72
    """,
)
"""EC-STFL on the paper's other networks; two rows are the same."""

LAMBDA_SWEEP = {
    1: 53.99,
    3: 54.04,
    5: 54.04,
    10: 53.78,
    15: 54.42,
    20: 54.51,
    30: 54.25,
    50: 53.40,
    80: 55.28,
    100: 54.55,
}
"""Paper, Figs 5 and 6: WAR of C3D + EC-STFL on fold 1, by lambda, in percent."""

SAME_SETTING = {"C3D": (53.78, 56.17), "3D ResNet18": (57.71, 53.78)}
"""Paper, Figs 5 and 6: WAR on fold 1 of lambda 10, batch 24, as each figure plots it."""
