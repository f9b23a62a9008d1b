"""What the printed table says when its percentages are turned back into clips.

A recall with two decimals and a class of at most 2,669 clips leave exactly one integer, so the
whole table can be counted again: do the averages follow from the recalls, do the confusion
matrices sum, from which clips does the gain come, how sure can one be of it knowing only how
many clips each model got right, and where does the paper contradict itself?

All rates here are in percent, as printed, except p-values and the overlap counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ecstfl.evaluation.published import (
    FIGURE_3_C3D,
    FIGURE_3_EC_STFL,
    FOLD_1_CLIPS,
    LAMBDA_SWEEP,
    PAPER_EC_STFL_SCORES,
    PAPER_ROWS,
    PATENT_TABLE_1,
    SAME_SETTING,
    PublishedRow,
    PublishedScore,
)
from ecstfl.labels import CLASSES, DFEW_COUNTS
from ecstfl.metrics.intervals import Interval
from ecstfl.metrics.recognition import recalls, uar, war

COUNTS = np.array(DFEW_COUNTS)


# ---- from percentages to clips -----------------------------------------------------------------


def decode(percent: float, clips: int, decimals: int = 2) -> int:
    """Return the one number of clips whose share of ``clips`` rounds to ``percent``.

    A value exactly between two roundings is accepted for both.

    Raises:
        ValueError: no integer fits, or more than one does.
    """
    half = 0.5 * 10.0**-decimals + 1e-9
    low = math.ceil(clips * (percent - half) / 100)
    high = math.floor(clips * (percent + half) / 100)
    fitting = list(range(max(low, 0), min(high, clips) + 1))
    if len(fitting) != 1:
        got = f"{len(fitting)}, from {fitting[0]} to {fitting[-1]}" if fitting else "none"
        raise ValueError(
            f"expected one number of {clips} clips that prints as {percent:.{decimals}f} %, "
            f"got {got}"
        )
    return fitting[0]


def decode_hits(percents: Sequence[float], counts: Sequence[int] = DFEW_COUNTS) -> np.ndarray:
    """Turn printed recalls (c,) into numbers of right clips (c,), int64.

    Raises:
        ValueError: as :func:`decode`, or lengths differ.
    """
    if len(percents) != len(counts):
        raise ValueError(f"expected {len(counts)} recalls, got {len(percents)}")
    return np.array([decode(p, n) for p, n in zip(percents, counts, strict=True)])


def decode_confusion(
    percents: Sequence[Sequence[float]], counts: Sequence[int] = DFEW_COUNTS
) -> np.ndarray:
    """Turn a printed confusion matrix (c, c), percent of each row, into clips (c, c).

    Raises:
        ValueError: an entry has no integer, or a row does not sum to its class.
    """
    matrix = np.array(
        [[decode(p, n) for p in row] for row, n in zip(percents, counts, strict=True)]
    )
    for name, row, n in zip(CLASSES, matrix, counts, strict=False):
        if row.sum() != n:
            raise ValueError(f"row {name}: expected {n} clips, got {row.sum()}")
    return matrix


def averages(hits: np.ndarray, counts: Sequence[int] = DFEW_COUNTS) -> tuple[float, float]:
    """Return (UAR, WAR) in percent, computed from right clips (c,)."""
    hits, counts = np.asarray(hits), np.asarray(counts)
    return float(100 * (hits / counts).mean()), float(100 * hits.sum() / counts.sum())


@dataclass(frozen=True)
class RowAudit:
    """A printed row, counted again.

    Attributes:
        method: as printed.
        hits: right clips of each class.
        uar, war: recomputed from the clips, in percent.
        printed_uar, printed_war: as printed.
    """

    method: str
    hits: tuple[int, ...]
    uar: float
    war: float
    printed_uar: float
    printed_war: float

    @property
    def agrees(self) -> bool:
        """Both averages round to what is printed."""
        pairs = ((self.uar, self.printed_uar), (self.war, self.printed_war))
        return all(abs(computed - printed) <= 0.005 + 1e-9 for computed, printed in pairs)


def audit_row(row: PublishedRow, counts: Sequence[int] = DFEW_COUNTS) -> RowAudit:
    """Count a printed row again.

    Raises:
        ValueError: a recall is not a number of clips.
    """
    hits = decode_hits(row.recalls, counts)
    return RowAudit(row.method, tuple(map(int, hits)), *averages(hits, counts), row.uar, row.war)


@dataclass(frozen=True)
class MatrixAudit:
    """A confusion matrix against the row of the table that it should belong to.

    Attributes:
        sums: each row sums to the class's clips.
        diagonal: the diagonal is the row's right clips.
        uar, war: computed from the matrix, in percent.
        predicted: how often each class is said at all; DFEW's 145 Disgust clips are hardly
            ever called so.
    """

    sums: bool
    diagonal: bool
    uar: float
    war: float
    predicted: tuple[int, ...]


def audit_matrix(
    matrix: Sequence[Sequence[int]], row: PublishedRow, counts: Sequence[int] = DFEW_COUNTS
) -> MatrixAudit:
    """Compare a confusion matrix (c, c), rows the truth, with class counts and a printed row."""
    confusion = np.asarray(matrix)
    expected = np.asarray(row.recalls)
    return MatrixAudit(
        sums=bool((confusion.sum(axis=1) == np.asarray(counts)).all()),
        diagonal=bool((np.abs(100 * recalls(confusion) - expected) <= 0.005 + 1e-9).all()),
        uar=100 * uar(confusion),
        war=100 * war(confusion),
        predicted=tuple(map(int, confusion.sum(axis=0))),
    )


# ---- how sure is the gain ----------------------------------------------------------------------


def wilson(hits: int, clips: int, level: float = 0.95) -> Interval:
    """Wilson's interval of a share of independent clips, in percent.

    Raises:
        ValueError: not 0 <= hits <= clips, or no clips.
    """
    if clips < 1 or not 0 <= hits <= clips:
        raise ValueError(f"expected 0 <= hits <= clips and clips >= 1, got {hits} of {clips}")
    z = stats.norm.ppf((1 + level) / 2)
    share = hits / clips
    centre = (share + z * z / (2 * clips)) / (1 + z * z / clips)
    reach = z * math.sqrt(share * (1 - share) / clips + z * z / (4 * clips**2))
    reach /= 1 + z * z / clips
    return Interval(100 * share, 100 * (centre - reach), 100 * (centre + reach))


@dataclass(frozen=True)
class Overlaps:
    """Clips of each class (c,) that both models get right, which no table prints.

    Attributes:
        most: as many as the hits allow: the better model's errors are a subset. The gain looks
            as sure as it can.
        chance: as if the two were right independently within a class (not rounded).
        fewest: as few as the hits allow. The gain looks as unsure as it can.
    """

    most: np.ndarray
    chance: np.ndarray
    fewest: np.ndarray


def overlaps(
    first: Sequence[int], second: Sequence[int], counts: Sequence[int] = DFEW_COUNTS
) -> Overlaps:
    """Bound the overlap of two models' right clips (c,) by the clips of each class (c,).

    Raises:
        ValueError: hits outside 0..counts.
    """
    a, b, n = (np.asarray(x) for x in (first, second, counts))
    if (np.minimum(a, b) < 0).any() or (np.maximum(a, b) > n).any():
        raise ValueError(f"expected hits within 0..{n.tolist()}, got {a.tolist()}, {b.tolist()}")
    return Overlaps(np.minimum(a, b), a * b / n, np.maximum(0, a + b - n))


def gain_interval(
    first: Sequence[int],
    second: Sequence[int],
    both: np.ndarray,
    metric: str = "war",
    counts: Sequence[int] = DFEW_COUNTS,
    level: float = 0.95,
) -> Interval:
    """Interval of ``second - first`` in points, for a given overlap of the right clips.

    Normal approximation, classes of fixed size, clips independent. Clips of one film are not,
    and the seed of the training is not in it: the true interval is wider.

    Args:
        first: right clips of each class (c,).
        second: right clips of each class (c,).
        both: clips that both get right (c,), see :func:`overlaps`.
        metric: ``uar`` or ``war``.
        counts: clips of each class (c,).
        level: coverage, in (0, 1).

    Raises:
        ValueError: unknown metric.
    """
    if metric not in ("uar", "war"):
        raise ValueError(f"expected metric 'uar' or 'war', got {metric!r}")
    a, b, n = (np.asarray(x, dtype=np.float64) for x in (first, second, counts))
    share = np.full(len(n), 1 / len(n)) if metric == "uar" else n / n.sum()
    gain = (b - a) / n
    differ = (a + b - 2 * np.asarray(both)) / n  # share of a class on which the models differ
    value = float((share * gain).sum())
    spread = math.sqrt(float((share**2 * (differ - gain**2) / n).sum()))
    reach = float(stats.norm.ppf((1 + level) / 2)) * spread
    return Interval(100 * value, 100 * (value - reach), 100 * (value + reach))


def mcnemar_bounds(
    first: Sequence[int], second: Sequence[int], counts: Sequence[int] = DFEW_COUNTS
) -> dict[str, tuple[int, int, float]]:
    """McNemar's exact test for every overlap that the printed hits allow.

    Returns:
        For ``most``, ``chance`` and ``fewest`` common right clips: (clips only ``first`` gets
        right, clips only ``second`` gets right, two-sided p).
    """
    found = {}
    both = overlaps(first, second, counts)
    for name, overlap in (
        ("most", both.most),
        ("chance", np.rint(both.chance).astype(int)),
        ("fewest", both.fewest),
    ):
        only_first = int((np.asarray(first) - overlap).sum())
        only_second = int((np.asarray(second) - overlap).sum())
        differ = only_first + only_second
        p = stats.binomtest(only_first, differ, 0.5).pvalue if differ else 1.0
        found[name] = (only_first, only_second, float(p))
    return found


# ---- contradictions ----------------------------------------------------------------------------


def run_spread(pairs: Mapping[str, tuple[float, float]] = SAME_SETTING) -> float:
    """Standard deviation of one run, in points, from pairs of runs of one setting.

    Pooled over the pairs: sqrt(mean(d^2) / 2). With two pairs it is a rough number; it is also
    all that the paper gives.
    """
    differences = np.array([a - b for a, b in pairs.values()])
    return float(np.sqrt((differences**2).mean() / 2))


def duplicates(scores: Sequence[PublishedScore]) -> list[tuple[str, str]]:
    """Return pairs of methods whose UAR and WAR are printed alike, in order."""
    return [
        (a.method, b.method)
        for i, a in enumerate(scores)
        for b in scores[i + 1 :]
        if (a.uar, a.war) == (b.uar, b.war)
    ]


def homogeneity(percents: Sequence[float], clips: int) -> tuple[float, float]:
    """Chi-squared test that several accuracies on ``clips`` clips each are one.

    The runs share their test clips and so differ less than independent samples would: the p is
    too large to prove that they are the same, but a large one says that the curve shows nothing
    beyond what counting clips would.

    Returns:
        (chi-squared, p).
    """
    hits = np.array([decode(p, clips) for p in percents])
    result = stats.chi2_contingency(np.stack([hits, clips - hits]), correction=False)
    return float(result.statistic), float(result.pvalue)


@dataclass(frozen=True)
class Finding:
    """One result of the audit.

    Attributes:
        name: short, unique.
        holds: the print is consistent with itself here.
        text: one or two sentences with the numbers.
    """

    name: str
    holds: bool
    text: str


def gains(first: PublishedRow, second: PublishedRow) -> dict[str, int]:
    """Return right clips of ``second`` minus those of ``first``, by class."""
    difference = decode_hits(second.recalls) - decode_hits(first.recalls)
    return dict(zip(CLASSES, map(int, difference), strict=True))


def findings() -> tuple[Finding, ...]:
    """Audit the patent's Table 1 and what the paper prints around it."""
    baseline, claimed = PATENT_TABLE_1
    first, second = decode_hits(baseline.recalls), decode_hits(claimed.recalls)
    return (
        _rows(),
        _matrices(baseline, claimed),
        _gain(baseline, claimed),
        _intervals(first, second),
        _tests(first, second),
        _same_setting(claimed.war - baseline.war),
        _identical(),
        _sweep(),
    )


def _rows() -> Finding:
    audits = [audit_row(row) for row in PAPER_ROWS]
    off = [a for a in audits if not a.agrees]
    text = f"All {len(audits)} rows are whole clips"
    for a in off:
        text += (
            f"; {a.method} prints {a.printed_uar:.2f} / {a.printed_war:.2f} where its clips give "
            f"{a.uar:.2f} / {a.war:.2f}"
        )
    return Finding("averages", not off, text + ".")


def _matrices(baseline: PublishedRow, claimed: PublishedRow) -> Finding:
    audits = [
        audit_matrix(FIGURE_3_C3D, baseline),
        audit_matrix(FIGURE_3_EC_STFL, claimed),
    ]
    disgust = CLASSES.index("Disgust")
    said = " and ".join(str(a.predicted[disgust]) for a in audits)
    good = all(a.sums and a.diagonal for a in audits)
    return Finding(
        "confusion matrices",
        good,
        f"Both matrices of Fig. 3 {'sum to' if good else 'do NOT match'} the classes and Table 1; "
        f"the {COUNTS[disgust]} Disgust clips are matched by {said} predictions of Disgust.",
    )


def _gain(baseline: PublishedRow, claimed: PublishedRow) -> Finding:
    by_class = gains(baseline, claimed)
    order = sorted(by_class.items(), key=lambda item: -item[1])
    return Finding(
        "gain",
        True,
        f"The gain of {claimed.war - baseline.war:.2f} points WAR is {sum(by_class.values()):+d} "
        f"of {COUNTS.sum()} clips: " + ", ".join(f"{name} {n:+d}" for name, n in order) + ".",
    )


def _intervals(first: np.ndarray, second: np.ndarray) -> Finding:
    both = overlaps(first, second)
    parts = []
    for metric in ("war", "uar"):
        wide = gain_interval(first, second, both.fewest, metric)
        tight = gain_interval(first, second, both.most, metric)
        parts.append(
            f"{metric.upper()} {tight.value:+.2f}, 95 % between [{tight.low:.2f}, "
            f"{tight.high:.2f}] at best and [{wide.low:.2f}, {wide.high:.2f}] at worst"
        )
    return Finding(
        "intervals",
        True,
        "; ".join(parts) + " (independent clips, one training: the spread of seeds is not in it).",
    )


def _tests(first: np.ndarray, second: np.ndarray) -> Finding:
    bounds = mcnemar_bounds(first, second)
    words = [
        f"{only_second} against {only_first} clips, p = {p:.1e} ({name} in common)"
        for name, (only_first, only_second, p) in bounds.items()
    ]
    return Finding("McNemar", True, "Given the hits alone: " + "; ".join(words) + ".")


def _same_setting(claimed: float) -> Finding:
    words = [f"{net} {a:.2f} and {b:.2f}" for net, (a, b) in SAME_SETTING.items()]
    worst = max(abs(a - b) for a, b in SAME_SETTING.values())
    return Finding(
        "same setting",
        False,
        f"Figs 5 and 6 plot lambda 10, batch 24 twice: {', '.join(words)} % WAR on fold 1. Two "
        f"runs of one setting lie up to {worst:.2f} points apart (standard deviation of a run "
        f"about {run_spread():.1f}); the claimed gain is {claimed:.2f}.",
    )


def _identical() -> Finding:
    same = duplicates(PAPER_EC_STFL_SCORES)
    text = "; ".join(f"{a} and {b} are printed with the same UAR and WAR" for a, b in same)
    return Finding("identical rows", not same, (text or "No two rows are alike") + ".")


def _sweep() -> Finding:
    values = list(LAMBDA_SWEEP.values())
    chi, p = homogeneity(values, FOLD_1_CLIPS)
    best = max(LAMBDA_SWEEP, key=LAMBDA_SWEEP.__getitem__)
    return Finding(
        "lambda",
        True,
        f"Over lambda {min(LAMBDA_SWEEP)} to {max(LAMBDA_SWEEP)} the WAR of fold 1 lies between "
        f"{min(values):.2f} and {max(values):.2f} (best at {best}); chi-squared {chi:.1f} on "
        f"{len(values) - 1} degrees, p = {p:.2f}: no effect of lambda is visible.",
    )
