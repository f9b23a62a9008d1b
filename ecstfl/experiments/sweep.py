"""Choose lambda without looking at a test clip: train over a range of weights, score validation.

For each weight, fold and seed one run is trained with ``evaluate="validation"``: the fold after
the test fold is held out of the training folds and scored; the test fold is in neither part.
The paper's own sweep (its Fig. 5) was drawn on the test fold.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ecstfl.clips.preprocess import preprocess, with_checksums
from ecstfl.datasets.clipset import ClipSet
from ecstfl.experiments.profiles import Profile, plan_runs, select_clips
from ecstfl.experiments.reproduce import choose_device
from ecstfl.figures.comparison import COLOURS, save_figure
from ecstfl.files import atomic_write
from ecstfl.runs.config import LossConfig, RunConfig
from ecstfl.runs.places import Places, check_results
from ecstfl.runs.run_folder import finished_run
from ecstfl.training.estimate import estimate_minutes
from ecstfl.training.train_all import train_all


@dataclass(frozen=True)
class Point:
    """One weight of one form, over its folds and seeds.

    Attributes:
        form: ``softmax`` for weight 0, else the form of EC-STFL.
        weight: lambda.
        war: (k,) of the k runs, in [0, 1]; likewise ``uar``.
        uar: see ``war``.
        within_between: (k,) in the tapped features of the held-out clips.
    """

    form: str
    weight: float
    war: tuple[float, ...]
    uar: tuple[float, ...]
    within_between: tuple[float, ...]


def plan_sweep(
    profile: Profile,
    clipset: ClipSet,
    weights: Sequence[float],
    forms: Sequence[str] = ("patent",),
    *,
    folds: tuple[int, ...] | None = None,
    seeds: tuple[int, ...] | None = None,
) -> list[RunConfig]:
    """Expand weights and forms into validation runs; weight 0 is softmax-only, once."""
    methods = [LossConfig("softmax")]
    methods += [LossConfig("ec-stfl", form, w) for form in forms for w in weights if w > 0]
    profile = replace(profile, methods=tuple(methods))
    return plan_runs(profile, clipset, folds=folds, seeds=seeds, evaluate="validation")


def sweep(
    profile: Profile,
    clipset: ClipSet,
    places: Places,
    weights: Sequence[float],
    forms: Sequence[str] = ("patent",),
    *,
    folds: tuple[int, ...] | None = None,
    seeds: tuple[int, ...] | None = None,
    workers: int = 1,
    device: str = "auto",
    command: str = "ecstfl sweep",
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Train the sweep (finished runs are reused) and write ``sweep.csv`` and its figure.

    Raises:
        UserError: as :func:`ecstfl.experiments.reproduce.reproduce`.
    """
    device = choose_device(device)
    clipset = with_checksums(select_clips(profile, clipset), places.cache)
    configs = plan_sweep(profile, clipset, weights, forms, folds=folds, seeds=seeds)
    check_results(places.results, configs[0])
    todo = [c for c in configs if finished_run(places.results, c) is None]
    say(f"Plan: {len(configs)} validation runs, {len(configs) - len(todo)} of them finished")
    if todo:
        prepared = preprocess(clipset, profile.preprocess, places.cache)
        minutes = estimate_minutes(todo, prepared, workers, device)
        say(f"Training {len(todo)} runs, {workers} at a time on {device}; about {minutes:.0f} min")
        train_all(todo, clipset, prepared, places, workers=workers, device=device)
    points = collect(places.results, configs)
    with atomic_write(places.results / "sweep.csv") as file:
        file.write(to_csv(points).encode())
    runs = [run for c in configs if (run := finished_run(places.results, c)) is not None]
    written = [places.results / "sweep.csv"]
    written += save_figure(draw(points, configs[0]), places.figures / "sweep", runs, command)
    for path in written:
        say(f"  {path}")
    return written


def collect(results: Path, configs: Sequence[RunConfig]) -> list[Point]:
    """Group the finished runs by form and weight, in the order of the plan."""
    groups: dict[tuple[str, float], list[dict]] = {}
    for config in configs:
        run = finished_run(results, config)
        if run is None:
            continue
        form = "softmax" if config.loss.method == "softmax" else config.loss.form
        groups.setdefault((form, config.loss.weight), []).append(run)
    return [
        Point(
            form,
            weight,
            tuple(run["war"] for run in runs),
            tuple(run["uar"] for run in runs),
            tuple(
                run["clusters"]["within_between"] if run["clusters"] else float("nan")
                for run in runs
            ),
        )
        for (form, weight), runs in groups.items()
    ]


def to_csv(points: Sequence[Point]) -> str:
    """One row a point: n, mean and standard deviation of WAR, UAR and within/between."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = ("war", "uar", "within_between")
    writer.writerow(["form", "weight", "n", *(f"{n}_{s}" for n in names for s in ("mean", "sd"))])
    for point in points:
        row: list[str] = [point.form, f"{point.weight:g}", str(len(point.war))]
        for name in names:
            values = np.array(getattr(point, name))
            sd = values.std(ddof=1) if len(values) > 1 else float("nan")
            row += [f"{values.mean():.4f}", f"{sd:.4f}"]
        writer.writerow(row)
    return out.getvalue()


def draw(points: Sequence[Point], config: RunConfig) -> Figure:
    """Draw every run as a dot and the mean as a line, softmax-only as a band across."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    forms = list(dict.fromkeys(p.form for p in points if p.form != "softmax"))
    baseline = next((p for p in points if p.form == "softmax"), None)
    for axis, name, scale in ((left, "war", 100), (right, "within_between", 1)):
        if baseline is not None:
            values = scale * np.array(getattr(baseline, name))
            axis.axhspan(values.min(), values.max(), color="0.88", zorder=0)
            axis.axhline(values.mean(), color="0.4", label="softmax only (band: its runs)")
        for form, colour in zip(forms, COLOURS[1::2], strict=False):
            chosen = [p for p in points if p.form == form]
            weights = [p.weight for p in chosen]
            means = [scale * np.mean(getattr(p, name)) for p in chosen]
            axis.plot(weights, means, "-", color=colour, label=f"EC-STFL, {form} form: mean")
            for point in chosen:
                values = scale * np.array(getattr(point, name))
                axis.plot([point.weight] * len(values), values, "o", color=colour, ms=5, alpha=0.6)
        axis.set_xscale("log")
        axis.set_xlabel("λ")
    left.set(ylabel="WAR on the validation fold, %", title="Recognition")
    right.set(
        ylabel="within / between distances", title="Tightness of the classes (lower: tighter)"
    )
    left.legend(fontsize=8)
    marks = "SYNTHETIC: rendered clips · " if config.synthetic else ""
    figure.suptitle(
        f"{marks}{config.profile} profile, validation fold; each dot is one run "
        f"({len(points[0].war)} a weight)",
        fontsize=10,
    )
    return figure
