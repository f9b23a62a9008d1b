"""Figures of lesson 08: maps of the feature space, what they bend, and measures beside them.

Plain functions of plain values; each returns a matplotlib figure whose title says what is to be
seen, with numbers computed from what is drawn. Classes differ by colour *and* marker.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.spatial import procrustes
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from ecstfl.figures.maps import laid_onto, umap_map
from ecstfl.figures.style import COLOURS, MARKERS
from ecstfl.labels import CLASSES
from ecstfl.metrics.clusters import cluster_measures

_STYLES = ("o", "v", "s", "X", "^", "P", "D", "<", ">", "*")


def mapped(x: np.ndarray, seed: int = 0, neighbours: int = 15) -> np.ndarray:
    """Map features (n, d) to (n, 2) by ``ecstfl.figures.maps.umap_map``, without its warning.

    With few neighbours the graph falls into pieces; a lesson that wants just that needs no word.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Graph is not fully connected")
        return umap_map(x, seed, neighbours)


def aligned(maps: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Turn and mirror maps (n, 2) of unit size onto the first one, rows in pairs.

    UMAP's orientation and size mean nothing, so only what is left after this may be compared.
    """
    return [laid_onto(maps[0], points) for points in maps]


def map_difference(one: np.ndarray, other: np.ndarray) -> float:
    """Return what is left after turning and scaling, 0 (the same map) to 1 (nothing in common)."""
    return float(procrustes(one, other)[2])


def _classes(axis: Axes, points: np.ndarray, labels: np.ndarray, size: float) -> None:
    for c in np.unique(labels):
        axis.scatter(
            *points[labels == c].T,
            s=size,
            c=COLOURS[c],
            marker=MARKERS[c],
            edgecolors="white",
            linewidths=0.35,
            label=CLASSES[c],
        )
    axis.set(xticks=[], yticks=[])


def _legend(figure: Figure, axis: Axes) -> None:
    handles, names = axis.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)


def map_pair(
    maps: Mapping[str, np.ndarray], labels: np.ndarray, notes: Sequence[str], title: str
) -> Figure:
    """Draw maps of the same clips under two trainings with common axes and colours.

    Args:
        maps: name -> (n, 2); the second is laid onto the first.
        labels: (n,) 0..6.
        notes: below each map, a line.
        title: what is to be seen.
    """
    figure = Figure(figsize=(9.6, 5.2), dpi=84, layout="constrained")
    axes = figure.subplots(1, len(maps), sharex=True, sharey=True)
    for axis, name, points, note in zip(
        axes, maps, aligned(list(maps.values())), notes, strict=True
    ):
        _classes(axis, points, labels, 26)
        axis.set_title(name, fontsize=11)
        axis.set_xlabel(f"UMAP 1 (no unit)\n{note}")
    axes[0].set_ylabel("UMAP 2 (no unit)")
    _legend(figure, axes[0])
    figure.suptitle(title, fontsize=12)
    return figure


def map_grid(
    maps: Mapping[int, Mapping[int, np.ndarray]], labels: np.ndarray, title: str
) -> Figure:
    """Draw one feature space mapped again and again.

    Args:
        maps: neighbours -> seed -> (n, 2); all are laid onto the first.
        labels: (n,) 0..6.
        title: what is to be seen.
    """
    rows, columns = len(maps), len(next(iter(maps.values())))
    flat = [points for row in maps.values() for points in row.values()]
    figure = Figure(figsize=(2.9 * columns, 2.6 * rows + 0.8), dpi=80, layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    placed = iter(aligned(flat))
    for row, (neighbours, by_seed) in zip(axes, maps.items(), strict=True):
        for axis, seed in zip(row, by_seed, strict=True):
            _classes(axis, next(placed), labels, 13)
            if axis in axes[0]:
                axis.set_title(f"seed {seed}", fontsize=10)
        row[0].set_ylabel(f"{neighbours} neighbours", fontsize=10)
    _legend(figure, axes[0, 0])
    axes[-1, columns // 2].set_xlabel("UMAP 1 (no unit); the other axis is UMAP 2", fontsize=9)
    figure.suptitle(title, fontsize=12)
    return figure


def islands(points: np.ndarray, space: np.ndarray, number: int, seed: int = 0) -> tuple:
    """Look for ``number`` clusters on a map with k-means, and ask the space about them.

    Args:
        points: (n, 2) map.
        space: (n, d) what was mapped.
        number: of clusters.
        seed: of k-means.

    Returns:
        Cluster of each point (n,), silhouette on the map, silhouette in the space.
    """
    found = KMeans(number, n_init=5, random_state=seed).fit_predict(points)
    on_map, inside = silhouette_score(points, found), silhouette_score(space, found)
    return found, float(on_map), float(inside)


def noise_maps(
    maps: Mapping[int, np.ndarray], space: np.ndarray, number: int = 7, seed: int = 0
) -> Figure:
    """Draw maps of noise, with the clusters that k-means finds on them.

    Args:
        maps: neighbours -> (n, 2).
        space: (n, d) the noise itself.
        number: of clusters to look for.
        seed: of k-means.
    """
    figure = Figure(figsize=(3.4 * len(maps), 3.9), dpi=84, layout="constrained")
    axes = figure.subplots(1, len(maps), squeeze=False)[0]
    direct = KMeans(number, n_init=5, random_state=seed).fit_predict(space)
    inside, best = float(silhouette_score(space, direct)), -1.0
    for axis, (neighbours, points) in zip(axes, maps.items(), strict=True):
        found, on_map, _ = islands(points, space, number, seed)
        best = max(best, on_map)
        for c in range(number):
            axis.scatter(
                *points[found == c].T,
                s=14,
                c=COLOURS[c % 7],
                marker=_STYLES[c % len(_STYLES)],
                edgecolors="white",
                linewidths=0.3,
            )
        axis.set(xticks=[], yticks=[], xlabel="UMAP 1 (no unit)")
        axis.set_title(f"{neighbours} neighbours\nsilhouette {on_map:.2f} here", fontsize=10)
    axes[0].set_ylabel("UMAP 2 (no unit)")
    figure.suptitle(
        f"Pure noise: {number} 'clusters' have silhouette {best:.2f} on a map; "
        f"in the space the best {number} have {inside:.2f}",
        fontsize=12,
    )
    return figure


def bent_sizes(space: np.ndarray, points: np.ndarray, cluster: np.ndarray) -> Figure:
    """Draw two clusters of different spread (seen on two of their axes) and their map.

    Args:
        space: (n, d).
        points: (n, 2) their map.
        cluster: (n,) 0 or 1.
    """
    figure = Figure(figsize=(8.4, 4.2), dpi=84, layout="constrained")
    axes = figure.subplots(1, 2)
    ratios = []
    for axis, x in zip(axes, (space, points), strict=True):
        for c, name in ((0, "narrow"), (1, "wide")):
            chosen = x[cluster == c]
            axis.scatter(
                *chosen[:, :2].T,
                s=16,
                c=COLOURS[(1, 0)[c]],
                marker="v" if c else "o",
                edgecolors="white",
                linewidths=0.3,
                label=name,
            )
        spread = [x[cluster == c].std(axis=0).mean() for c in (0, 1)]
        ratios.append(spread[1] / spread[0])
        axis.set_title(f"wide / narrow = {ratios[-1]:.1f}", fontsize=10)
    axes[0].set(xlabel="feature 1 (arb. unit)", ylabel="feature 2 (arb. unit)")
    axes[1].set(xlabel="UMAP 1 (no unit)", ylabel="UMAP 2 (no unit)", xticks=[], yticks=[])
    axes[0].legend(fontsize=9)
    figure.suptitle(
        f"One cluster is {ratios[0]:.0f} times wider; on the map it is {ratios[1]:.1f} times",
        fontsize=12,
    )
    return figure


def shepard(space: np.ndarray, points: np.ndarray, name: str, pairs: int = 3000) -> Figure:
    """Draw distance on the map against distance in the space, for some pairs of clips.

    Args:
        space: (n, d).
        points: (n, 2) their map.
        name: of the features.
        pairs: drawn at most; the rank correlation uses all.
    """
    far, near = pdist(space), pdist(points)
    rank = float(spearmanr(far, near).statistic)
    some = np.random.default_rng(0).permutation(len(far))[:pairs]
    figure = Figure(figsize=(6.2, 4.2), dpi=84, layout="constrained")
    axis = figure.subplots()
    axis.scatter(far[some], near[some], s=3, c="0.25", alpha=0.35, linewidths=0)
    middle = (far > np.quantile(far, 0.45)) & (far < np.quantile(far, 0.55))
    low, high = np.quantile(near[middle], [0.05, 0.95])
    at = float(np.median(far))
    axis.plot([at, at], [low, high], color=COLOURS[3], lw=3, solid_capstyle="butt")
    axis.annotate(
        "9 of 10 pairs of\nmiddling distance",
        (at, high),
        xytext=(6, 4),
        textcoords="offset points",
        color="0.1",
        fontsize=9,
        bbox={"boxstyle": "round,pad=0.2", "fc": "white", "ec": "none", "alpha": 0.8},
    )
    axis.set(xlabel="distance of two clips in the space", ylabel="distance on the map (no unit)")
    axis.set_title(
        f"{name}: equal distances come out {high / max(low, 1e-9):.0f}-fold apart "
        f"(rank correlation {rank:.2f})",
        fontsize=11,
    )
    return figure


def one_class_away(away: float = 20.0, seed: int = 0) -> Figure:
    """Draw seven overlapping classes, one of which is moved away, with three measures.

    Args:
        away: how far class Surprise is moved, in standard deviations of a class.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(7), 30)
    still = rng.normal(size=(210, 2)) + 0.6 * rng.normal(size=(7, 2))[labels]
    moved = still + away * np.array([1.0, 0.0]) * (labels == 4)[:, None]
    before, after = cluster_measures(still, labels), cluster_measures(moved, labels)
    figure = Figure(figsize=(7.6, 4.0), dpi=84, layout="constrained")
    axis = figure.subplots()
    for c in range(7):
        axis.scatter(
            *moved[labels == c].T,
            s=22,
            c=COLOURS[c],
            marker=MARKERS[c],
            edgecolors="white",
            linewidths=0.3,
            label=CLASSES[c],
        )
    axis.set(xlabel="feature 1 (class sd = 1)", ylabel="feature 2 (class sd = 1)", xlim=(-4.5, 26))
    axis.legend(fontsize=8, loc="upper right", ncols=2)
    axis.set_title(
        f"Only Surprise moves: within / between {before.within_between:.2f} → "
        f"{after.within_between:.2f},\nsilhouette {before.silhouette:.2f} → "
        f"{after.silhouette:.2f}, 10-NN purity {before.purity:.2f} → {after.purity:.2f}",
        fontsize=11,
    )
    return figure


def differences(
    rows: Mapping[str, Sequence[tuple[float, float, float]]],
    title: str,
    xlabel: str,
    digits: int = 3,
) -> Figure:
    """Draw differences with their intervals, one line for each pair of runs.

    Args:
        rows: what -> (value, low, high) of each pair of runs; each row has the same pairs.
        title: what is to be seen.
        xlabel: what is subtracted from what.
        digits: of the numbers beside the points.
    """
    lines = sum(map(len, rows.values()))
    figure = Figure(figsize=(8.4, 1.6 + 0.5 * lines), dpi=84, layout="constrained")
    axis = figure.subplots()
    place, ticks = 0, []
    for name, values in rows.items():
        for k, (value, low, high) in enumerate(values):
            clear = low > 0 or high < 0
            axis.errorbar(
                value,
                place,
                xerr=[[value - low], [high - value]],
                fmt="o" if clear else "s",
                mfc="black" if clear else "white",
                color="black",
                capsize=4,
            )
            axis.annotate(
                f"{value:+.{digits}f}",
                (value, place),
                xytext=(0, 7),
                textcoords="offset points",
                ha="center",
                fontsize=9,
            )
            ticks.append((place, name if len(values) == 1 else f"{name}, pair {k + 1}"))
            place += 1
    axis.axvline(0, color="0.6", lw=1)
    axis.set_yticks(*zip(*ticks, strict=True))
    axis.set_ylim(place - 0.4, -0.75)
    axis.set_xlabel(f"{xlabel}, 95 % interval over people\n(filled: 0 is outside)")
    axis.set_title(title, fontsize=11)
    return figure


def verdict(
    rows: Mapping[str, Sequence[tuple[float, float, float]]], better: Mapping[str, int]
) -> str:
    """Say in words which measures got better, which worse, and which cannot be told.

    Args:
        rows: measure -> (value, low, high) of each pair of runs; all must agree.
        better: measure -> -1 where smaller is better, 1 where larger is.
    """
    told: dict[str, list[str]] = {"better": [], "worse": [], "undecided": []}
    for name, values in rows.items():
        signed = [(better[name] * low, better[name] * high) for _, low, high in values]
        if all(min(pair) > 0 for pair in signed):
            told["better"].append(name)
        elif all(max(pair) < 0 for pair in signed):
            told["worse"].append(name)
        else:
            told["undecided"].append(name)
    parts = [f"{word}: {', '.join(names)}" for word, names in told.items() if names]
    return "; ".join(parts)
