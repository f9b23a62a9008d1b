"""The UMAP map many times over: other seeds, other neighbour counts, both methods.

One map of one training shows what its seed and settings made of it. Here every row is another
neighbour count (few: local structure, many: the large picture) and every column another training
of the same method, or, where there is only one, another seed of the map. What does not stay from
panel to panel is not in the data. The numbers above the columns are measured in the embedding and
do not depend on any map.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecstfl.figures.class_names import name_classes
from ecstfl.figures.comparison import COLOURS, MARKERS, laid_onto, marks, title_of, umap_map
from ecstfl.labels import CLASSES
from ecstfl.runs.run_folder import Run

NEIGHBOURS = (5, 15, 50)
MAP_SEEDS = (0, 1, 2)

Pairs = Sequence[tuple[tuple[Run, Run], tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]]
"""((run, run), (features, features)) of two methods, one entry a training seed."""


def umap_grid(
    pairs: Pairs, neighbours: Sequence[int] = NEIGHBOURS, map_seeds: Sequence[int] = MAP_SEEDS
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
        _panel(axis, points, labels)
    for axis, (run, _, seed) in zip(axes[0], columns, strict=True):
        what = f"training seed {run['config']['seed']}" if several else f"map seed {seed}"
        axis.set_title(f"{title_of(run)}\n{what}\n{_numbers(run)}", fontsize=8)
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    figure.suptitle(
        f"{marks([run for runs, _ in pairs for run in runs])}\n"
        "above each column: measures in the embedding, whatever its map looks like",
        fontsize=10,
    )
    name_classes(figure, panels, labels, COLOURS, fontsize=6.5)
    return figure


def _panel(axis: Axes, points: np.ndarray, labels: np.ndarray) -> None:
    for c, name in enumerate(CLASSES):
        chosen = points[labels == c]
        if not len(chosen):
            continue
        axis.scatter(
            *chosen.T, s=11, c=COLOURS[c], marker=MARKERS[c], linewidths=0.2, edgecolors="white",
            label=name,
        )  # fmt: skip
    axis.set_xticks([])
    axis.set_yticks([])


def _numbers(run: Run) -> str:
    clusters = run["clusters"]
    if clusters is None:
        return "one clip a class: no measures"
    return (
        f"within/between {clusters['within_between']:.2f}\n"
        f"silhouette {clusters['silhouette']:.2f}\n"
        f"{clusters['k']}-NN purity {clusters['purity']:.2f}"
    )
