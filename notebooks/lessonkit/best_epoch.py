"""Best-epoch bias: how many points come from choosing the epoch by its score on the test fold.

Training here always ends with its last epoch. Reporting the best of all test scores instead is
common and looks harmless; it adds points to every method, and not the same to each. This figure
shows how many, from the test scores that ``run.json`` keeps for the learning curves. The fold
is scored every few epochs only, so what is shown is the least that peeking would have brought:
looking more often can only find a higher score.

``python -m lessonkit.best_epoch RESULTS FOREST.json FIGURE`` draws it as ``FIGURE`` (.png, .svg and
.json), of the runs in the results folder that another figure, the forest plot for example, shows.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecstfl.evaluation.rows import baseline_of, by_row, row_names
from ecstfl.figures.files import save_figure
from ecstfl.figures.style import COLOURS, marks, plain_style
from ecstfl.runs.config import RunConfig, from_dict
from ecstfl.runs.run_folder import Run, read_run

METRICS = ("war", "uar")


@dataclass(frozen=True)
class BestEpoch:
    """One run: its last epoch and the best of the scored ones, in [0, 1].

    Attributes:
        fold: held-out fold.
        seed: of the training.
        last: score of the last epoch, which is the run's result.
        best: highest score among the scored epochs, the last included; never below ``last``.
        best_epoch: the first epoch that reached it.
        looks: how many epochs were scored.
    """

    fold: int
    seed: int
    last: float
    best: float
    best_epoch: int
    looks: int

    @property
    def gain(self) -> float:
        """What peeking adds, >= 0."""
        return self.best - self.last


@dataclass(frozen=True)
class MethodBestEpochs:
    """All runs of one method.

    Attributes:
        method: the table's name for it.
        runs: in the order of fold and seed.
        claims: difference to softmax-only, mean over the common folds and seeds, in [-1, 1]:
            (both by their last epoch, both by their best, only the method by its best), the best
            among the epochs that were scored in both; None for softmax-only itself or where no
            twin was run.
    """

    method: str
    runs: tuple[BestEpoch, ...]
    claims: tuple[float, float, float] | None


def best_epoch(run: Run, metric: str = "war", among: Container[int] | None = None) -> BestEpoch:
    """Compare the last epoch of a run with its best scored one.

    Args:
        run: contents of ``run.json``.
        metric: ``war`` or ``uar``.
        among: epochs to look at, the last one too; default: all that were scored.

    Raises:
        ValueError: unknown metric, or the run has no score of its last epoch.
    """
    if metric not in METRICS:
        raise ValueError(f"expected metric 'uar' or 'war', got {metric!r}")
    name, history = f"held_out_{metric}", run["history"]
    scored = [
        (record[name], -record["epoch"])
        for record in history
        if name in record and (among is None or record["epoch"] in among)
    ]
    if not scored or name not in history[-1]:
        raise ValueError(f"run {run['name']}: expected a score of the last epoch, got none")
    best, epoch = max(scored)
    config = run["config"]
    return BestEpoch(config["fold"], config["seed"], history[-1][name], best, -epoch, len(scored))


def collect_best_epochs(runs: Sequence[Run], metric: str = "war") -> list[MethodBestEpochs]:
    """Group runs by method, in the order of the runs.

    Raises:
        ValueError: as :func:`best_epoch`.
        UserError: a run was written by another version.
    """
    by_config = {from_dict(RunConfig, run["config"]): run for run in runs}
    rows = by_row(list(by_config))
    names = row_names(list(rows))
    placed = {
        key: {(c.fold, c.seed): by_config[c] for c in configs} for key, configs in rows.items()
    }
    found = []
    for key in rows:
        baseline = baseline_of(key, rows)
        claims = None if baseline is None else _claims(placed[key], placed[baseline], metric)
        ordered = tuple(best_epoch(placed[key][place], metric) for place in sorted(placed[key]))
        found.append(MethodBestEpochs(names[key], ordered, claims))
    return found


def _scored(run: Run, metric: str) -> set[int]:
    return {record["epoch"] for record in run["history"] if f"held_out_{metric}" in record}


def _claims(
    ours: dict[tuple[int, int], Run], plain: dict[tuple[int, int], Run], metric: str
) -> tuple[float, float, float] | None:
    pairs = []
    for place in sorted(ours.keys() & plain.keys()):
        # who is scored more often would be ahead for that reason alone
        common = _scored(ours[place], metric) & _scored(plain[place], metric)
        a, b = (best_epoch(side[place], metric, common) for side in (ours, plain))
        pairs.append((a.last - b.last, a.best - b.best, a.best - b.last))
    if not pairs:
        return None
    last, best, one_sided = np.mean(pairs, axis=0)
    return float(last), float(best), float(one_sided)


@plain_style()
def best_epoch_bias(runs: Sequence[Run], metric: str = "war") -> Figure:
    """Draw last and best epoch of every run, what peeking adds, and the claims it would allow.

    Raises:
        ValueError: as :func:`best_epoch`.
    """
    methods = collect_best_epochs(runs, metric)
    count = sum(len(m.runs) for m in methods)
    height = 2.6 + max(0.16 * count + 0.3 * len(methods), 0.8 * len(methods), 2.2)
    figure = Figure(figsize=(13, height), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(5, 4, 4))
    _dumbbells(left, methods, metric)
    _gains(middle, methods)
    _claim_panel(right, methods, metric)
    figure.suptitle(f"{marks(runs)}\n{_looks(methods)}", fontsize=10)
    return figure


def _looks(methods: Sequence[MethodBestEpochs]) -> str:
    looks = sorted({p.looks for m in methods for p in m.runs})
    n = " to ".join(str(x) for x in dict.fromkeys((looks[0], looks[-1])))
    told = (
        f"{n} epochs of each run were scored on the held-out fold: "
        "peeking at every epoch would find at least as much"
    )
    if len(looks) > 1 and any(m.claims is not None for m in methods):
        told += "\nclaims compare such epochs as were scored in both runs of a pair"
    return told


def _colour(number: int) -> str:
    return "0.35" if number == 0 else COLOURS[(2 * number - 1) % len(COLOURS)]


def _dumbbells(axis: Axes, methods: Sequence[MethodBestEpochs], metric: str) -> None:
    y, ticks = 0.0, []
    for number, method in enumerate(methods):
        colour, start = _colour(number), y
        for p in method.runs:
            last, best = 100 * p.last, 100 * p.best
            axis.plot([last, best], [y, y], "-", color=colour, lw=1.5, zorder=1)
            axis.plot(best, y, "o", mfc="white", mec=colour, mew=1.5, ms=7, zorder=2)
            axis.plot(last, y, "o", color=colour, ms=4.5, zorder=3)
            y += 1
        ticks.append((start + y - 1) / 2)
        y += 1.5
    axis.set_yticks(ticks, [m.method.replace(", ", ",\n", 1) for m in methods])
    axis.set_ylim(y - 1.2, -1)
    axis.plot([], [], "o", color="0.2", ms=4.5, label="last epoch: the result")
    axis.plot([], [], "o", mfc="white", mec="0.2", mew=1.5, ms=7, label="best epoch by peeking")
    axis.legend(fontsize=8, loc="best")
    axis.grid(axis="x", color="0.9")
    axis.set(title="Each run (a line a fold and seed)", xlabel=f"{metric.upper()}, %")


def _gains(axis: Axes, methods: Sequence[MethodBestEpochs]) -> None:
    for number, method in enumerate(methods):
        gains = 100 * np.array([p.gain for p in method.runs])
        colour, y = _colour(number), len(methods) - 1 - number
        spread = np.linspace(-0.16, 0.16, len(gains)) if len(gains) > 1 else np.zeros(1)
        axis.plot(gains, y + spread, "o", mfc="white", mec=colour, ms=5, zorder=2)
        axis.plot([gains.mean()] * 2, [y - 0.3, y + 0.3], color=colour, lw=4, zorder=3)
        axis.annotate(
            f"mean {gains.mean():+.1f}, up to {gains.max():+.1f}", (gains.mean(), y + 0.3),
            (2, 2), textcoords="offset points", fontsize=9, fontweight="bold",
        )  # fmt: skip
    axis.set_yticks([])
    axis.set_ylim(-0.6, len(methods) - 0.25)
    most = max(100 * p.gain for method in methods for p in method.runs)
    axis.set_xlim(-0.08 * max(most, 1), 1.35 * max(most, 1))
    axis.axvline(0, color="0.25", lw=1)
    axis.grid(axis="x", color="0.9")
    axis.set(title="What peeking adds", xlabel="percent points (dot: a run)")


def _claim_panel(axis: Axes, methods: Sequence[MethodBestEpochs], metric: str) -> None:
    kinds = (
        ("both by their last epoch", "o", "black"),
        ("both by peeking", "s", "white"),
        ("only this one by peeking", "^", "white"),
    )
    shown = [value for method in methods if method.claims is not None for value in method.claims]
    losing = sum(shown) < 0  # then the room is left of zero
    for number, method in enumerate(methods):
        y = len(methods) - 1 - number
        if method.claims is None:
            axis.annotate(
                "the baseline" if number == 0 else "no twin", (0, y), (-4 if losing else 4, 0),
                textcoords="offset points", va="center", fontsize=9, color="0.35",
                ha="right" if losing else "left",
            )  # fmt: skip
            continue
        colour = _colour(number)
        for shift, value, (_, marker, face) in zip(
            (0.22, 0, -0.22), method.claims, kinds, strict=True
        ):
            full = colour if face == "black" else "white"
            axis.plot(100 * value, y + shift, marker, mfc=full, mec=colour, mew=1.6, ms=8)
            axis.annotate(
                f"{100 * value:+.1f}", (100 * value, y + shift), (8, 0),
                textcoords="offset points", va="center", fontsize=9,
            )  # fmt: skip
    for name, marker, face in kinds:
        full = "0.2" if face == "black" else "white"
        axis.plot([], [], marker, mfc=full, mec="0.2", mew=1.6, ms=8, label=name)
    axis.legend(fontsize=8, loc="upper right")
    axis.axvline(0, color="0.25", lw=1)
    axis.margins(x=0.3)
    axis.grid(axis="x", color="0.9")
    axis.set_yticks([])
    axis.set_ylim(-0.6, len(methods) - 0.25)
    axis.set(
        title=f"{metric.upper()} gain one could claim",
        xlabel="percent points, mean over folds and seeds",
    )


def main(results: str, sidecar: str, figure: str) -> None:
    """Draw the figure of the runs that another figure of the same results shows."""
    names = json.loads(Path(sidecar).read_text(encoding="utf-8"))["runs"]
    shown = [run for name in names if (run := read_run(Path(results) / "runs" / name)) is not None]
    save_figure(best_epoch_bias(shown), Path(figure), shown, "python -m lessonkit.best_epoch")


if __name__ == "__main__":
    main(*sys.argv[1:])
