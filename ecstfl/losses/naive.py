"""The three published forms of EC-STFL in plain Python loops: slow, and readable next to them.

Nothing here is shared with ``ecstfl.losses.ec_stfl``: no tensor, no vectorisation, no trick. Each
function is the formula, symbol by symbol, and the tests hold the fast code against it. Features are
lists of lists of floats ``x[i][k]`` (n samples of d numbers), labels a list ``y[i]``.

Sources: patent CN112101119A claim 3; Jiang et al., ACM MM 2020, Eq. 9; the 2024 release.
"""

from __future__ import annotations

from collections.abc import Sequence

Features = Sequence[Sequence[float]]
Labels = Sequence[int]


def distance(x_i: Sequence[float], x_j: Sequence[float], p: float) -> float:
    """||x_i - x_j|| of order p, 1 or 2."""
    if p == 1:
        return sum(abs(a - b) for a, b in zip(x_i, x_j, strict=True))
    return sum((a - b) ** 2 for a, b in zip(x_i, x_j, strict=True)) ** 0.5


def same_class(y: Labels, i: int) -> list[int]:
    """N{x_i}: the samples with the label of i, i itself included."""
    return [j for j in range(len(y)) if y[j] == y[i]]


def other_classes(y: Labels, i: int) -> list[int]:
    """The samples not in N{x_i}."""
    return [j for j in range(len(y)) if y[j] != y[i]]


def numerator(x: Features, y: Labels, i: int, p: float) -> float:
    """Sum over j in N_i of d_ij / |N_i|."""
    n_i = same_class(y, i)
    return sum(distance(x[i], x[j], p) / len(n_i) for j in n_i)


def denominator(x: Features, y: Labels, i: int, p: float) -> float:
    """Sum over j not in N_i of d_ij / |N_j|."""
    return sum(distance(x[i], x[j], p) / len(same_class(y, j)) for j in other_classes(y, i))


def patent(x: Features, y: Labels, p: float = 2) -> float:
    """Claim 3: the sum over i of one ratio each. A ratio without a denominator is left out."""
    loss = 0.0
    for i in range(len(x)):
        below = denominator(x, y, i, p)
        if below > 0:
            loss += numerator(x, y, i, p) / below
    return loss


def paper(x: Features, y: Labels, p: float = 2) -> float:
    """Eq. 9: one ratio of two double sums; 0 without a denominator."""
    above = sum(numerator(x, y, i, p) for i in range(len(x)))
    below = sum(denominator(x, y, i, p) for i in range(len(x)))
    return above / below if below > 0 else 0.0


def released(x: Features, y: Labels, p: float = 1) -> float:
    """The 2024 release: mean distance within, times the sum of inverse distances between."""
    n = len(x)
    loss = 0.0
    for i in range(n):
        negatives = other_classes(y, i)
        inverse = sum(1 / (distance(x[i], x[j], p) + 1e-6) for j in negatives)
        loss += numerator(x, y, i, p) * inverse / (len(negatives) + 1)
    return loss / n**2


LOSS = {"patent": patent, "paper": paper, "released": released}
"""Form name -> naive value."""
