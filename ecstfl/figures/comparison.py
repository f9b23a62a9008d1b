"""Figures of a finished comparison: the UMAP pair, confusion matrices, learning curves.

Every figure is written as PNG and SVG with a JSON sidecar that names its runs, and carries the
marks of its data (synthetic, profile) in the picture itself. Classes differ by colour *and*
marker, so that the maps can be read in greyscale and by colour-blind readers.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import seaborn
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.linalg import orthogonal_procrustes

from ecstfl.evaluation.table import METHOD_NAMES
from ecstfl.figures.class_names import name_classes
from ecstfl.files import atomic_write, write_json
from ecstfl.labels import CLASSES
from ecstfl.runs.run_folder import Run

# Okabe and Ito's colours, which keep apart under the common kinds of colour blindness.
COLOURS = ("#E69F00", "#0072B2", "#999999", "#D55E00", "#56B4E9", "#009E73", "#CC79A7")
MARKERS = ("o", "v", "s", "X", "^", "P", "D")


def marks(runs: Sequence[Run]) -> str:
    """Return the line that stands over every figure of these runs."""
    parts = []
    if any(run["synthetic"] for run in runs):
        parts.append("SYNTHETIC: rendered clips")
    configs = [run["config"] for run in runs]
    held_out = "validation" if configs[0]["evaluate"] == "validation" else "test"
    folds = _listed("fold", [c["fold"] for c in configs])
    parts.append(f"{configs[0]['profile']} profile, {held_out} {folds}")
    clips = {c["fold"]: run["n_held_out"] for c, run in zip(configs, runs, strict=True)}
    seeds = _listed("seed", [c["seed"] for c in configs])
    parts.append(f"n = {sum(clips.values())} clips, {seeds}")
    return " · ".join(parts)


def _listed(what: str, numbers: Sequence[int]) -> str:
    """Return e.g. ``fold 1``, ``folds 1-5``, ``seeds 0, 2``."""
    known = sorted(set(numbers))
    if len(known) == 1:
        return f"{what} {known[0]}"
    if len(known) > 2 and known == list(range(known[0], known[-1] + 1)):
        return f"{what}s {known[0]}-{known[-1]}"
    return f"{what}s {', '.join(map(str, known))}"


def title_of(run: Run) -> str:
    """Return a short name of the run's method."""
    loss = run["config"]["loss"]
    if loss["method"] == "softmax":
        return "softmax only"
    if loss["method"] != "ec-stfl":
        return f"{METHOD_NAMES[loss['method']]} (λ = {loss['weight']:g})"
    return f"EC-STFL ({loss['form']} form, λ = {loss['weight']:g})"


def umap_map(features: np.ndarray, seed: int = 0, neighbours: int = 15) -> np.ndarray:
    """Map features (n, d) to the plane (n, 2) with UMAP; the same seed gives the same map."""
    threads = torch.get_num_threads()
    with warnings.catch_warnings():
        # umap-learn announces that a fixed seed means one thread, which is what we want.
        warnings.filterwarnings("ignore", message="n_jobs value")
        warnings.filterwarnings("ignore", category=FutureWarning)
        import umap  # compiles for seconds on import, so only where a map is drawn

        reducer = umap.UMAP(
            n_neighbors=min(neighbours, len(features) - 1), random_state=seed, n_jobs=1
        )
        try:
            points = reducer.fit_transform(features.astype(np.float32))
        finally:
            # Numba's pool, once started, gives torch as many threads as there are cores, and a
            # training's last digits depend on their number.
            torch.set_num_threads(threads)
        return np.asarray(points, dtype=np.float64)


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
        for c, name in enumerate(CLASSES):
            chosen = points[labels == c]
            if not len(chosen):
                continue
            axis.scatter(
                chosen[:, 0],
                chosen[:, 1],
                s=26,
                c=COLOURS[c],
                marker=MARKERS[c],
                linewidths=0.4,
                edgecolors="white",
                label=name,
                zorder=2,
            )
        axis.set_title(title_of(run), fontsize=12)
        axis.set_xlabel(
            f"{measures(run)}\n(in the embedding)   WAR {100 * run['war']:.1f} %  "
            f"UAR {100 * run['uar']:.1f} %"
        )
        axis.set_xticks([])
        axis.set_yticks([])
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


def confusion_pair(runs: Sequence[Run]) -> Figure:
    """Draw the confusion matrix of each run with integer counts; colour is the share of the row."""
    panels = [
        (f"{title_of(run)}: {100 * run['war']:.1f} % of the clips right", run["confusion"])
        for run in runs
    ]
    return _confusions(panels, marks(runs))


def confusion_pooled(runs: Sequence[Run]) -> Figure:
    """Draw one confusion matrix a method: the sum over its folds and seeds.

    With several seeds the integers count predictions: each clip was predicted once a seed.
    """
    methods: dict[str, list[Run]] = {}
    for run in runs:
        methods.setdefault(title_of(run), []).append(run)
    panels = []
    for name, group in methods.items():
        counts = sum(np.array(run["confusion"]) for run in group)
        right, total = int(np.trace(counts)), int(counts.sum())
        panels.append((f"{name}\n{right} of {total} right, {100 * right / total:.1f} %", counts))
    return _confusions(panels, marks(runs))


def _confusions(panels: Sequence[tuple[str, Any]], line: str) -> Figure:
    columns = 2 if len(panels) == 4 else min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(5.6 * columns, 5.2 * rows + 0.3), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    for axis, (title, confusion) in zip(axes, panels, strict=False):
        counts = np.array(confusion)
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        seaborn.heatmap(
            share,
            ax=axis,
            annot=counts,
            fmt="d",
            cmap="Blues",
            vmin=0,
            vmax=1,
            cbar=False,
            square=True,
            xticklabels=CLASSES,
            yticklabels=CLASSES,
            linewidths=0.5,
        )
        axis.set_title(title, fontsize=12)
        axis.set_xlabel("recognised as")
        axis.set_ylabel("shown")
        axis.tick_params(axis="x", rotation=40)
        axis.tick_params(axis="y", rotation=0)
    figure.suptitle(line, fontsize=10)
    return figure


def learning_curves(runs: Sequence[Run]) -> Figure:
    """Draw cross-entropy, accuracy and the within/between ratio over the epochs.

    The curve of the held-out fold is drawn only; the last epoch is the result whatever it shows.
    """
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    loss, accuracy, ratio = figure.subplots(1, 3)
    for run, style, colour in zip(runs, ("-", "--", ":", "-."), COLOURS[1::2], strict=False):
        history, name = run["history"], title_of(run)
        epochs = [r["epoch"] for r in history]
        loss.plot(epochs, [r["ce"] for r in history], style, color=colour, label=name)
        train = [100 * r["train_war"] for r in history]
        accuracy.plot(epochs, train, style, color=colour, alpha=0.5, label=f"{name}: training")
        scored = [(r["epoch"], 100 * r["held_out_war"]) for r in history if "held_out_war" in r]
        accuracy.plot(
            *zip(*scored, strict=True),
            style,
            color=colour,
            marker="o",
            ms=4,
            label=f"{name}: held out",
        )
        ratio.plot(epochs, [r["ratio"] for r in history], style, color=colour, label=name)
    loss.set(title="Cross-entropy on training batches", xlabel="epoch", ylabel="nats")
    _curve_end(loss)
    accuracy.axhline(100 / len(CLASSES), color="0.6", lw=1)
    accuracy.set(title="Accuracy (line: chance)", xlabel="epoch", ylabel="WAR, %", ylim=(0, 100))
    accuracy.legend(fontsize=8)
    ratio.set(
        title="Within / between class distances, training",
        xlabel="epoch",
        ylabel="ratio (lower: tighter classes)",
    )
    _curve_end(ratio)
    for axis in (loss, accuracy, ratio):
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.suptitle(marks(runs), fontsize=10)
    return figure


def _curve_end(axis: Axes) -> None:
    axis.set_ylim(0, 1.1 * axis.get_ylim()[1])
    axis.legend(fontsize=8)


def up_to_date(path: Path, runs: Sequence[Run]) -> bool:
    """Tell whether ``path``.png, .svg and .json exist and were drawn from exactly these runs."""
    try:
        sidecar = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        return (
            sidecar["runs"] == [run["name"] for run in runs]
            and path.with_suffix(".png").exists()
            and path.with_suffix(".svg").exists()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def save_figure(figure: Figure, path: Path, runs: Sequence[Run], command: str) -> list[Path]:
    """Write ``path`` as .png and .svg with a .json sidecar; return the three paths.

    The sidecar names the runs, the commit of the code that made them (a list where they differ),
    and the command.

    The files hold no date, so that the same runs give the same bytes.
    """
    written = []
    for suffix, metadata in ((".png", {"Software": None}), (".svg", {"Date": None})):
        buffer = BytesIO()
        with matplotlib.rc_context({"svg.hashsalt": "ecstfl", "svg.fonttype": "none"}):
            figure.savefig(buffer, format=suffix[1:], dpi=130, metadata=metadata)
        with atomic_write(path.with_suffix(suffix)) as file:
            file.write(buffer.getvalue())
        written.append(path.with_suffix(suffix))
    commits = sorted({run["provenance"]["commit"] or "unknown" for run in runs})
    sidecar = {
        "runs": [run["name"] for run in runs],
        "commit": commits[0] if len(commits) == 1 else commits,
        "synthetic": any(run["synthetic"] for run in runs),
        "command": command,
    }
    write_json(path.with_suffix(".json"), sidecar)
    return [*written, path.with_suffix(".json")]
