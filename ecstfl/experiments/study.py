"""Find the recipe: vary one setting at a time, on validation folds only.

What does EC-STFL need in order to help, and does it? Each axis changes one setting of a profile
and keeps all others. Where the setting concerns the network or its training and not only the
loss, softmax-only is trained under it too, so that a point is always a *difference to
softmax-only under the same setting*. Test folds are in no part of any run (``evaluate`` is
``validation``), so nothing that is chosen here has seen a test clip.

A study is resumable and shares the run directories' rules with the table: the same setting is
trained once, whatever axes it is on. The long-tailed prior is another data set, not an axis:
give ``--data embedded-longtail``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.figure import Figure

from ecstfl.clips.checksums import with_checksums
from ecstfl.clips.preprocess_set import preprocess
from ecstfl.datasets.clipset import ClipSet
from ecstfl.errors import UserError
from ecstfl.evaluation.one_class import ratios_without
from ecstfl.evaluation.table import baseline_of, by_row, paired_difference
from ecstfl.experiments.profiles import CENTER, Profile, plan_runs, select_clips
from ecstfl.experiments.reproduce import choose_device
from ecstfl.figures.comparison import COLOURS, marks, save_figure
from ecstfl.files import atomic_write
from ecstfl.losses.methods import LossConfig
from ecstfl.metrics.intervals import Interval
from ecstfl.runs.config import RunConfig
from ecstfl.runs.places import Places, check_results
from ecstfl.runs.run_folder import Run, finished_run, read_features
from ecstfl.training.estimate import estimate_minutes
from ecstfl.training.train_all import train_all

# The forms differ in size by a factor of about the batch (patent to paper) and of 100 (patent to
# released): the weights are chosen so that lambda times the loss runs over the same range.
WEIGHTS = {
    "patent": (0.01, 0.03, 0.1, 0.3, 1.0),
    "paper": (0.3, 1.0, 3.0, 10.0, 30.0),  # 10 is the paper's
    "released": (1.0, 3.0, 10.0, 30.0, 100.0),  # 10 is the released code's
}
# Center loss is a sum over clips and dimensions, so it is large: at 1e-3 a run learned nothing.
CENTER_WEIGHTS = (1e-5, 1e-4, 1e-3)


@dataclass(frozen=True)
class Trial:
    """One point of an axis.

    Attributes:
        axis: what is varied, as a reader names it.
        value: this point's value, as a tick label.
        setting: the run that is tried, with fold 0 and seed 0 for any fold and seed.
    """

    axis: str
    value: str
    setting: RunConfig


Axis = Callable[[RunConfig], list[Trial]]


def _weights(axis: str, losses: Sequence[LossConfig]) -> Axis:
    return lambda base: [
        Trial(axis, f"{loss.weight:g}", replace(base, loss=loss)) for loss in losses
    ]


def _of_loss(axis: str, name: str, values: Sequence) -> Axis:
    return lambda base: [
        Trial(axis, f"{v:g}", replace(base, loss=replace(base.loss, **{name: v}))) for v in values
    ]


def _of_training(axis: str, name: str, values: Callable[[int], Sequence[int]]) -> Axis:
    return lambda base: [
        Trial(axis, f"{v:g}", replace(base, optim=replace(base.optim, **{name: v})))
        for v in values(getattr(base.optim, name))
    ]


def _taps(base: RunConfig) -> list[Trial]:
    names = ("relu7", "fc7", "relu6") if base.backbone.name == "c3d" else (base.backbone.tap,)
    return [
        Trial("tapped layer", tap, replace(base, backbone=replace(base.backbone, tap=tap)))
        for tap in names
    ]


def _widths(base: RunConfig) -> list[Trial]:
    width = base.backbone.width
    return [
        Trial("width", f"{w}", replace(base, backbone=replace(base.backbone, width=w)))
        for w in (max(1, width // 2), width, 2 * width)
    ]


def _sampler(base: RunConfig) -> list[Trial]:
    # 3 of each of the 7 classes is the batch nearest to 24 that every class shares evenly.
    even = replace(base.optim, per_class=3, batch=21)
    return [
        Trial("batches", "plain", base),
        Trial("batches", "3 per class", replace(base, optim=even)),
    ]


def _people(base: RunConfig) -> list[Trial]:
    # As many steps for a third of the people: three times the epochs.
    longer = replace(base.optim, epochs=3 * base.optim.epochs)
    return [
        Trial("people to train on", "40", replace(base, train_groups=40, optim=longer)),
        Trial("people to train on", "all", base),
    ]


def _cousins(base: RunConfig) -> list[Trial]:
    losses = [CENTER]
    losses += [LossConfig(name, weight=0.1) for name in ("contrastive-center", "supcon", "triplet")]
    return [Trial("other losses", loss.method, replace(base, loss=loss)) for loss in losses]


AXES: dict[str, Axis] = {
    **{
        form: _weights(f"lambda, {form} form", [LossConfig("ec-stfl", form, w) for w in weights])
        for form, weights in WEIGHTS.items()
    },
    "center": _weights(
        "lambda, center loss", [LossConfig("center", weight=w) for w in CENTER_WEIGHTS]
    ),
    "warmup": _of_loss("warm-up of lambda, share of training", "warmup", (0.0, 0.25, 0.5, 1.0)),
    "tap": _taps,
    "sampler": _sampler,
    "batch": _of_training("batch", "batch", lambda b: (b // 2, b, 2 * b)),
    "epochs": _of_training("epochs", "epochs", lambda e: (e // 2, e, 2 * e)),
    "people": _people,
    "width": _widths,
    "cousins": _cousins,
}


def plan_study(
    profile: Profile,
    clipset: ClipSet,
    axes: Sequence[str],
    *,
    folds: tuple[int, ...] | None = None,
    seeds: tuple[int, ...] | None = None,
) -> tuple[list[Trial], list[RunConfig]]:
    """Expand axes into trials and into the runs that they need, softmax-only included.

    Args:
        profile: the settings that stay; its first EC-STFL method is the one that axes other than
            lambda's are tried with.
        clipset: labelled clips with folds, before preprocessing.
        axes: names from :data:`AXES`.
        folds: *test* folds that are left out in turn; the following fold is scored.
        seeds: default: the profile's.

    Returns:
        The trials in the order of the axes, and each run once, seed by seed and fold by fold.

    Raises:
        UserError: an unknown axis, or a profile without EC-STFL.
    """
    for name in axes:
        if name not in AXES:
            raise UserError(f"unknown axis {name!r} of the study: use some of {', '.join(AXES)}")
    method = next((m for m in profile.methods if m.method == "ec-stfl"), None)
    if method is None:
        raise UserError(f"the {profile.name} profile has no EC-STFL method to study")
    templates = plan_runs(
        replace(profile, methods=(method,)),
        clipset,
        folds=folds,
        seeds=seeds,
        evaluate="validation",
    )
    base = replace(templates[0], fold=0, seed=0)
    trials = [trial for name in axes for trial in AXES[name](base)]
    settings = list(dict.fromkeys(s for t in trials for s in (_softmax(t.setting), t.setting)))
    runs = [replace(s, fold=c.fold, seed=c.seed) for c in templates for s in settings]
    return trials, runs


def _softmax(setting: RunConfig) -> RunConfig:
    """Return the softmax-only twin: one for all taps, which change nothing that it learns."""
    tap = "relu7" if setting.backbone.name == "c3d" else setting.backbone.tap
    return replace(setting, loss=LossConfig(), backbone=replace(setting.backbone, tap=tap))


@dataclass(frozen=True)
class Point:
    """What a trial gave.

    Attributes:
        trial: the point of its axis.
        war: (k,) of its k finished runs, in [0, 1]; ``softmax_war`` of the twins'.
        softmax_war: see ``war``.
        uar: likewise.
        within_between: (k,) in the tapped features of the held-out clips; NaN where undefined.
        one_aside: (k,) the same with one class set aside, that which leaves most of it: what falls
            here too is not the work of a single class. See :mod:`ecstfl.evaluation.one_class`.
        difference: WAR against softmax-only on the clips that both scored, with its interval over
            people (and seeds, when there are several), in [-1, 1].
    """

    trial: Trial
    war: tuple[float, ...]
    softmax_war: tuple[float, ...]
    uar: tuple[float, ...]
    within_between: tuple[float, ...]
    one_aside: tuple[float, ...]
    difference: Interval


def collect(places: Places, trials: Sequence[Trial], runs: Sequence[RunConfig]) -> list[Point]:
    """Return the points of which a run and its softmax-only twin are finished."""
    rows = by_row(list(runs))
    points = []
    for trial in trials:
        baseline = baseline_of(trial.setting, rows)
        if baseline is None:
            continue
        difference = paired_difference(places.results, rows[trial.setting], rows[baseline])
        if difference is None:
            continue
        finished, twins = (_by_place(places, rows[key]) for key in (trial.setting, baseline))
        both = [place for place in finished if place in twins]
        ours, theirs = [finished[place] for place in both], [twins[place] for place in both]
        points.append(
            Point(
                trial,
                tuple(run["war"] for run in ours),
                tuple(run["war"] for run in theirs),
                tuple(run["uar"] for run in ours),
                tuple(
                    run["clusters"]["within_between"] if run["clusters"] else float("nan")
                    for run in ours
                ),
                tuple(_one_aside(places, run) for run in ours),
                difference.war,
            )
        )
    return points


def _one_aside(places: Places, run: Run) -> float:
    """Return the largest within/between that is left when one class is set aside."""
    features = read_features(places.results / "runs" / run["name"])
    left = ratios_without(features["embeddings"], features["labels"])[1:]
    return float(np.nanmax(left)) if np.isfinite(left).any() else float("nan")


def _by_place(places: Places, configs: Sequence[RunConfig]) -> dict[tuple[int, int], Run]:
    """Return the finished runs by (fold, seed), to pair those of two methods."""
    found = {(c.fold, c.seed): finished_run(places.results, c) for c in configs}
    return {place: run for place, run in found.items() if run is not None}


def study(
    profile: Profile,
    clipset: ClipSet,
    places: Places,
    axes: Sequence[str],
    *,
    folds: tuple[int, ...] | None = None,
    seeds: tuple[int, ...] | None = None,
    workers: int = 1,
    device: str = "auto",
    train: bool = True,
    command: str = "ecstfl study",
    say: Callable[[str], None] = print,
) -> list[Point]:
    """Train what is missing of a study and write ``study.csv``, ``study.md`` and its figure.

    Args:
        profile, clipset, axes, folds, seeds: see :func:`plan_study`.
        places: where to read and write.
        workers: runs trained side by side.
        device: ``auto``, ``cpu`` or ``cuda``.
        train: False draws what is finished and trains nothing.
        command: recorded beside the figure.
        say: prints one line.

    Raises:
        UserError: as :func:`ecstfl.experiments.reproduce.reproduce`, or nothing is finished yet.
    """
    device = choose_device(device)
    clipset = with_checksums(select_clips(profile, clipset), places.cache)
    trials, configs = plan_study(profile, clipset, axes, folds=folds, seeds=seeds)
    check_results(places.results, configs[0])
    todo = [c for c in configs if finished_run(places.results, c) is None]
    say(f"Plan: {len(configs)} validation runs, {len(configs) - len(todo)} of them finished")
    if todo and train:
        prepared = preprocess(clipset, profile.preprocess, places.cache)
        minutes = estimate_minutes(todo, prepared, workers, device)
        say(f"Training {len(todo)} runs, {workers} at a time on {device}; about {minutes:.0f} min")
        train_all(todo, clipset, prepared, places, workers=workers, device=device)
    points = collect(places, trials, configs)
    if not points:
        raise UserError(f"no trial of this study is finished in {places.results}")
    runs = [run for c in configs if (run := finished_run(places.results, c)) is not None]
    for name, text in {"study.csv": to_csv(points), "study.md": markdown(points)}.items():
        with atomic_write(places.results / name) as file:
            file.write(text.encode())
        say(f"  {places.results / name}")
    for path in save_figure(draw(points, runs), places.figures / "study", runs, command):
        say(f"  {path}")
    return points


def to_csv(points: Sequence[Point]) -> str:
    """One row a trial: n, mean and sd of its measures, and the difference with its interval."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = ("war", "uar", "within_between", "one_aside", "softmax_war")
    head = [f"{n}_{s}" for n in names for s in ("mean", "sd")]
    writer.writerow(["axis", "value", "n", *head, "difference", "low", "high"])
    for point in points:
        row = [point.trial.axis, point.trial.value, str(len(point.war))]
        for name in names:
            row += [f"{x:.4f}" for x in _mean_sd(getattr(point, name))]
        gain = point.difference
        writer.writerow([*row, *(f"{x:.4f}" for x in (gain.value, gain.low, gain.high))])
    return out.getvalue()


def markdown(points: Sequence[Point]) -> str:
    """Render for the documentation: percent, 95 % intervals in brackets.

    "One class aside" is within/between without that class without which it is largest.
    """
    lines = [
        "| axis | value | n | WAR, % | softmax-only, % | difference [95 %] | within / between "
        "| one class aside |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for p in points:
        gain = [100 * x for x in (p.difference.value, p.difference.low, p.difference.high)]
        cells = (
            p.trial.axis,
            p.trial.value,
            f"{len(p.war)}",
            f"{100 * np.mean(p.war):.1f}",
            f"{100 * np.mean(p.softmax_war):.1f}",
            f"{gain[0]:+.1f} [{gain[1]:+.1f}, {gain[2]:+.1f}]",
            f"{np.mean(p.within_between):.2f}",
            f"{np.mean(p.one_aside):.2f}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _mean_sd(values: Sequence[float]) -> tuple[float, float]:
    array = np.array(values)
    return float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else float("nan")


def draw(points: Sequence[Point], runs: Sequence[Run]) -> Figure:
    """One column an axis: recognition above, the difference to softmax-only below.

    More than four axes go on in further rows, so that the picture stays as wide as a page.
    """
    axes = list(dict.fromkeys(p.trial.axis for p in points))
    columns = min(len(axes), 4)
    bands = -(-len(axes) // columns)
    size = (max(7.0, 2.6 * columns), 0.7 + 5.7 * bands)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(2 * bands, columns, squeeze=False)
    for kind in (0, 1):  # all WARs on one scale, all differences on another
        for part in grid[kind::2].flat[1:]:
            part.sharey(grid[kind, 0])
    for place in range(len(axes), bands * columns):
        for part in _pair(grid, place):
            part.remove()
    for place, axis in enumerate(axes):
        chosen = [p for p in points if p.trial.axis == axis]
        at = np.arange(len(chosen))
        above, below = _pair(grid, place)
        for values, shift, marker, colour, label in (
            ("softmax_war", -0.1, "s", "0.45", "softmax only"),
            ("war", 0.1, "o", COLOURS[1], "with the loss"),
        ):
            for x, point in zip(at, chosen, strict=True):
                runs_war = 100 * np.array(getattr(point, values))
                above.plot([x + shift] * len(runs_war), runs_war, marker, color=colour, ms=4)
            means = [100 * np.mean(getattr(p, values)) for p in chosen]
            above.plot(at + shift, means, "-", color=colour, marker=marker, ms=4, label=label)
        gains = 100 * np.array(
            [[p.difference.value, p.difference.low, p.difference.high] for p in chosen]
        )
        spread = np.abs(gains[:, 1:] - gains[:, :1]).T
        below.axhline(0, color="0.45", lw=1)
        below.errorbar(at, gains[:, 0], spread, fmt="o", color=COLOURS[1], capsize=3)
        above.set_title(axis, fontsize=9)
        for part in (above, below):
            part.set_xticks(at, [p.trial.value for p in chosen], rotation=30, fontsize=8)
            part.set_xlim(-0.5, len(chosen) - 0.5)
        counts = list(dict.fromkeys(len(p.war) for p in chosen))
        if len(counts) == 1:
            below.set_xlabel(f"{counts[0]} run(s) a point", fontsize=8)
        else:  # a point of one fold is not to be read like one of five
            of_each = ", ".join(f"{len(p.war)} at {p.trial.value}" for p in chosen)
            below.set_xlabel(f"runs: {of_each}", fontsize=8)
        if place % columns:
            for part in (above, below):
                part.tick_params(labelleft=False)
        else:
            above.set_ylabel("WAR on the validation fold, %")
            below.set_ylabel("difference to softmax only,\npoints, with 95 % interval")
    grid[0, 0].legend(fontsize=8)
    figure.suptitle(f"{_finding(points)}\n{marks(runs)}", fontsize=10)
    return figure


def _pair(grid: np.ndarray, place: int) -> np.ndarray:
    """Return the two axes, above and below, of the axis at ``place``."""
    band, column = divmod(place, grid.shape[1])
    return grid[2 * band : 2 * band + 2, column]


def _finding(points: Sequence[Point]) -> str:
    """Say what the intervals allow to be said; a setting on several axes counts once."""
    tried = {p.trial.setting: p.difference for p in points}.values()
    above = sum(difference.low > 0 for difference in tried)
    below = sum(difference.high < 0 for difference in tried)
    return (
        f"Of {len(tried)} settings tried, {above} did better than softmax only and {below} worse, "
        "by intervals that leave out zero"
    )
