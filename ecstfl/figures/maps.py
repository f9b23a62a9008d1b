"""Maps of the feature space by UMAP: a pair side by side, and the same map many times over.

One map of one training shows what its seed and settings made of it. In the grid every row is
another neighbour count (few: local structure, many: the large picture) and every column another
training of the same method, or, where there is only one, another seed of the map. What does not
stay from panel to panel is not in the data. UMAP's orientation and size mean nothing; the numbers
beside the maps are measured in the embedding and do not depend on any map.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from types import ModuleType

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.linalg import orthogonal_procrustes

from ecstfl.figures.class_names import name_classes
from ecstfl.figures.style import COLOURS, MARKERS, marks, plain_style, title_of
from ecstfl.labels import CLASSES
from ecstfl.runs.run_folder import Run

NEIGHBOURS = (5, 15, 50)
MAP_SEEDS = (0, 1, 2)
FEWEST = 4
"""Clips that UMAP can start from: with three or fewer its first step has no solution."""

Pair = tuple[tuple[Run, Run], tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]
"""(run, run), (features, features) of two methods."""


def why_no_map(features: np.ndarray) -> str:
    """Return why features (n, d) cannot be mapped, empty where they can."""
    if len(features) < FEWEST:
        return f"{len(features)} clip(s): UMAP maps {FEWEST} or more"
    if not np.isfinite(features).all():
        return "some features are not finite"
    try:
        _import_umap()
    except Exception as error:  # a broken installation may raise anything
        return (
            f"umap-learn cannot be imported ({type(error).__name__}: {error}); ecstfl doctor helps"
        )
    return ""


def umap_map(features: np.ndarray, seed: int = 0, neighbours: int = 15) -> np.ndarray:
    """Map features (n, d) to the plane (n, 2) with UMAP; the same seed gives the same map.

    ``neighbours`` is cut to n - 1; see :func:`why_no_map` for features that have no map.
    """
    threads = torch.get_num_threads()
    with warnings.catch_warnings():
        # umap-learn announces that a fixed seed means one thread, which is what we want.
        warnings.filterwarnings("ignore", message="n_jobs value")
        warnings.filterwarnings("ignore", category=FutureWarning)
        reducer = _import_umap().UMAP(
            n_neighbors=min(neighbours, len(features) - 1), random_state=seed, n_jobs=1
        )
        try:
            points = reducer.fit_transform(features.astype(np.float32))
        finally:
            # Numba's pool, once started, gives torch as many threads as there are cores, and a
            # training's last digits depend on their number.
            torch.set_num_threads(threads)
        return np.asarray(points, dtype=np.float64)


def _import_umap() -> ModuleType:
    """Import umap-learn, which compiles for seconds, so only where a map is drawn."""
    return importlib.import_module("umap")


def laid_onto(reference: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Centre a map (n, 2), bring it to unit size, and turn or mirror it onto a reference (n, 2).

    Its size is its own, never that which fits best: least squares would shrink the second map
    the more the less it agrees with the first, and a smaller cloud looks like tighter classes.
    """

    def unit(x: np.ndarray) -> np.ndarray:
        x = x - x.mean(axis=0)
        return x / (np.linalg.norm(x) or 1.0)

    reference, points = unit(reference), unit(points)
    return points @ orthogonal_procrustes(points, reference)[0]


@plain_style()
def umap_pair(
    runs: tuple[Run, Run], features: tuple[dict[str, np.ndarray], dict[str, np.ndarray]]
) -> Figure:
    """Draw the embeddings of the same test clips under two trainings, side by side.

    Both maps use the same settings and seed. UMAP's orientation and size mean nothing, so the
    second map is turned and mirrored onto the first, both have unit size, and both share axes.
    The three numbers below each map are measured in the full embedding, not on the map.
    """
    labels = features[0]["labels"].astype(int)
    raw = [umap_map(f["embeddings"]) for f in features]
    maps = [laid_onto(raw[0], points) for points in raw]
    figure = Figure(figsize=(11, 5.9), layout="constrained")
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    for axis, run, points in zip(axes, runs, maps, strict=True):
        _scatter(axis, points, labels, size=26, edge=0.4)
        axis.set_title(title_of(run), fontsize=12)
        axis.set_xlabel(
            f"{measures(run)}\n(in the embedding)   WAR {100 * run['war']:.1f} %  "
            f"UAR {100 * run['uar']:.1f} %"
        )
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    figure.suptitle(f"Embedding before the classifier, mapped by UMAP\n{marks(runs)}", fontsize=11)
    name_classes(figure, list(zip(axes, maps, strict=True)), labels, COLOURS, fontsize=10)
    return figure


def measures(run: Run) -> str:
    """Return the cluster measures of a run, taken in its embedding, in one line."""
    clusters = run["clusters"]
    if clusters is None:
        return "cluster measures not defined: one clip a class"
    return (
        f"within / between {clusters['within_between']:.2f} · silhouette "
        f"{clusters['silhouette']:.2f} · {clusters['k']}-NN purity {clusters['purity']:.2f}"
    )


@plain_style()
def umap_grid(
    pairs: Sequence[Pair],
    neighbours: Sequence[int] = NEIGHBOURS,
    map_seeds: Sequence[int] = MAP_SEEDS,
) -> Figure:
    """Draw one map for each method, neighbour count and seed.

    All maps of a figure share UMAP's settings but the ones varied. Each is turned or mirrored onto
    the first of its row and fills its panel, because orientation and size mean nothing.

    Args:
        pairs: trainings of two methods on the same held-out clips, in the same order of clips.
            Of several pairs each gives a column to each method, mapped with ``map_seeds[0]``;
            a single pair is mapped with every seed of ``map_seeds``.
        neighbours: UMAP's ``n_neighbors``, one row each; cut to n - 1 for n clips.
        map_seeds: seeds of UMAP.

    Raises:
        ValueError: no pairs, or pairs of other clips.
    """
    if not pairs:
        raise ValueError("expected at least one pair of runs, got none")
    first = pairs[0][1][0]
    for _, features in pairs:
        if any(not np.array_equal(f["ids"], first["ids"]) for f in features):
            raise ValueError("expected pairs of the same held-out clips, got different ids")
    labels = first["labels"].astype(int)
    several = len(pairs) > 1
    columns = [
        (runs[side], features[side], seed)
        for side in (0, 1)
        for runs, features in pairs
        for seed in (map_seeds[:1] if several else map_seeds)
    ]
    counts = list(dict.fromkeys(min(k, len(labels) - 1) for k in neighbours))
    figure = Figure(figsize=(2.5 * len(columns), 2.5 * len(counts) + 1.7), layout="constrained")
    axes = figure.subplots(len(counts), len(columns), squeeze=False)
    panels = []
    for row, k in zip(axes, counts, strict=True):
        maps = [umap_map(f["embeddings"], seed, k) for _, f, seed in columns]
        panels += [
            (axis, laid_onto(maps[0], points)) for axis, points in zip(row, maps, strict=True)
        ]
        row[0].set_ylabel(f"{k} neighbours", fontsize=10)
    for axis, points in panels:
        _scatter(axis, points, labels, size=11, edge=0.2)
    for axis, (run, _, seed) in zip(axes[0], columns, strict=True):
        what = f"training seed {run['config']['seed']}" if several else f"map seed {seed}"
        numbers = measures(run).replace(" / ", "/").replace(" · ", "\n")
        axis.set_title(f"{title_of(run)}\n{what}\n{numbers}", fontsize=8)
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    figure.suptitle(
        f"{marks([run for runs, _ in pairs for run in runs])}\n"
        "above each column: measures in the embedding, whatever its map looks like",
        fontsize=10,
    )
    name_classes(figure, panels, labels, COLOURS, fontsize=6.5)
    return figure


def _scatter(axis: Axes, points: np.ndarray, labels: np.ndarray, size: float, edge: float) -> None:
    for c, name in enumerate(CLASSES):
        chosen = points[labels == c]
        if len(chosen):
            axis.scatter(
                *chosen.T, s=size, c=COLOURS[c], marker=MARKERS[c], linewidths=edge,
                edgecolors="white", label=name, zorder=2,
            )  # fmt: skip
    axis.set_xticks([])
    axis.set_yticks([])
