"""Figures of lesson 01: classes, folds, leaks, and what is known about a rendered clip.

Plain functions of plain values; each returns a figure whose title says what is to be seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ecstfl.datasets.embedded import ClipTruth
from ecstfl.figures.style import COLOURS
from ecstfl.labels import CLASSES
from lessonkit.leakage import leaking

_HATCHES: Final = ("", "///", "...")
_LINES: Final = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))

UNIT_NAMES: Final = {
    "AU1": "inner brows up",
    "AU2": "outer brows up",
    "AU4": "brows down",
    "AU5": "upper lids up",
    "AU6": "cheeks up",
    "AU7": "lids tight",
    "AU9": "nose wrinkled",
    "AU10": "upper lip up",
    "AU12": "lip corners pulled up",
    "AU14": "dimples",
    "AU15": "lip corners down",
    "AU16": "lower lip down",
    "AU17": "chin up",
    "AU18": "lips puckered",
    "AU20": "lips stretched",
    "AU22": "lips funnelled",
    "AU23": "lips tight",
    "AU24": "lips pressed",
    "AU25": "lips apart",
    "AU26": "jaw dropped",
    "AU27": "mouth wide open",
    "AU45": "blink",
    "AU64": "eyes down",
}
"""Action units of the rendered faces (Facial Action Coding System), in plain words."""


def class_shares(rows: Mapping[str, Sequence[int]]) -> Figure:
    """Draw the share of each class in several sets of clips, with the counts above the bars.

    Args:
        rows: name -> clips per class, in the order of ``CLASSES``.
    """
    figure = Figure(figsize=(10, 3.9), dpi=96, layout="constrained")
    axis = figure.subplots()
    place, width = np.arange(len(CLASSES)), 0.8 / len(rows)
    for k, (name, counts) in enumerate(rows.items()):
        share = 100 * np.asarray(counts) / np.sum(counts)
        shift = (k - (len(rows) - 1) / 2) * width
        bars = axis.bar(
            place + shift,
            share,
            width,
            color=(COLOURS[1], COLOURS[4], COLOURS[0])[k % 3],
            hatch=_HATCHES[k % 3],
            edgecolor="white",
            label=f"{name} ({np.sum(counts):,} clips)",
        )
        axis.bar_label(bars, [f"{c}" for c in counts], fontsize=7.5, padding=2)
    axis.set_xticks(place, CLASSES)
    axis.set(ylabel="share of the clips (percent)", ylim=(0, 27))
    axis.legend(fontsize=9, ncols=len(rows), loc="upper center")
    ratios = [max(c) / min(c) for c in rows.values()]
    worst = int(np.argmax(ratios))
    counts = list(rows.values())[worst]
    axis.set_title(
        f"{list(rows)[worst]}: {ratios[worst]:.0f} times more {CLASSES[int(np.argmax(counts))]} "
        f"than {CLASSES[int(np.argmin(counts))]} clips"
    )
    return figure


def fold_maps(
    groups: np.ndarray, labels: np.ndarray, plans: Mapping[str, np.ndarray], shown: int = 12
) -> Figure:
    """Draw who is tested in which fold, for several ways of dealing; the number is the fold.

    Args:
        groups: (n,) person of each clip.
        labels: (n,) 0..6; each person shows each expression at most once.
        plans: name -> (n,) fold of each clip, 1..5.
        shown: rows drawn: the first so many people.
    """
    people = list(dict.fromkeys(np.asarray(groups).tolist()))[:shown]
    figure = Figure(figsize=(5.2 * len(plans), 0.27 * shown + 1.5), dpi=96, layout="constrained")
    axes = figure.subplots(1, len(plans), sharey=True, squeeze=False)[0]
    shades = ("#FFFFFF", "#56B4E9", "#F0E442", "#0072B2", "#333333")
    leaks = []
    for axis, (name, folds) in zip(axes, plans.items(), strict=True):
        for row, person in enumerate(people):
            for i in np.flatnonzero(np.asarray(groups) == person):
                shade = shades[(int(folds[i]) - 1) % len(shades)]
                axis.add_patch(Rectangle((labels[i], row), 1, 1, fc=shade, ec="0.4", lw=0.5))
                ink = "white" if sum(to_rgb(shade)) < 1.3 else "black"
                axis.text(
                    labels[i] + 0.5,
                    row + 0.5,
                    f"{folds[i]}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color=ink,
                )
        leaks.append(int(leaking(groups, folds).sum()))
        axis.set(xlim=(0, len(CLASSES)), ylim=(len(people), 0))
        axis.set_xticks(np.arange(len(CLASSES)) + 0.5, CLASSES, fontsize=8)
        axis.set_title(f"{name}: {leaks[-1]:,} of {len(groups):,} clips leak", size=10)
        axis.set_xlabel("expression (the number in a cell is the fold that tests it)", fontsize=9)
    axes[0].set_yticks(np.arange(len(people)) + 0.5, people, fontsize=8)
    axes[0].set_ylabel(f"person (the first {len(people)})", fontsize=9)
    figure.suptitle("A row of one colour is a person whom the model has never seen", size=11)
    return figure


def leak_gains(rows: Mapping[str, Mapping[str, tuple[float, Sequence[float]]]]) -> Figure:
    """Draw scores with folds by person beside scores with folds that ignore people.

    Args:
        rows: design -> model -> (accuracy with folds by person, accuracies of several draws of
            folds that ignore people), each 0..1.
    """
    models = list(dict.fromkeys(model for row in rows.values() for model in row))
    figure = Figure(figsize=(9.5, 0.62 * len(rows) * len(models) + 1.5), dpi=96)
    figure.set_layout_engine("constrained")
    axis = figure.subplots()
    gains, ticks = [], []
    for d, (design, row) in enumerate(rows.items()):
        for m, (model, (honest, free)) in enumerate(row.items()):
            y = d * (len(models) + 0.6) + m
            mean, first = 100 * float(np.mean(free)), not gains
            gains.append(mean - 100 * honest)
            axis.plot([100 * honest, mean], [y, y], color="0.6", lw=2, zorder=1)
            axis.plot(
                100 * honest,
                y,
                "o",
                ms=9,
                color=COLOURS[1],
                label="folds by person" if first else None,
            )
            axis.plot(
                100 * np.asarray(free),
                np.full(len(free), y),
                "D",
                ms=6,
                mfc="none",
                color=COLOURS[3],
                label="folds that ignore people (each draw)" if first else None,
            )
            axis.annotate(
                f"{gains[-1]:+.1f}",
                (max(100 * honest, 100 * max(free)), y),
                xytext=(9, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
            )
            ticks.append((y, f"{design}\n{model}"))
    axis.axvline(100 / len(CLASSES), color="0.4", lw=1, ls=":", label="chance")
    axis.set_yticks([y for y, _ in ticks], [text for _, text in ticks], fontsize=9)
    axis.invert_yaxis()
    axis.set(xlabel="right labels (percent; rendered data, true landmarks)", xlim=(10, 101))
    axis.legend(loc="lower center", bbox_to_anchor=(0.4, 1.08), ncols=3, fontsize=9, frameon=False)
    axis.set_title(
        f"Ignoring people changes the score by {min(gains):+.0f} to {max(gains):+.0f} points: "
        "it depends on the set and the model",
        size=11,
    )
    return figure


def strongest_units(truth: ClipTruth, names: Sequence[str], count: int = 5) -> list[int]:
    """Return the units that move most in a clip (blinks left out), strongest first."""
    reach = truth.units.max(axis=0) - truth.units.min(axis=0)
    reach[[i for i, name in enumerate(names) if name in ("AU45", "AU64")]] = -1
    return np.argsort(-reach, kind="stable")[:count].tolist()


def apex(truth: ClipTruth) -> int:
    """Return the number of the visible frame whose units are farthest from their smallest."""
    travel = (truth.units - truth.units.min(axis=0)).sum(axis=1)
    return int(np.where(truth.visible, travel, -1).argmax())


def _draw_face(axis: Axes, frame: np.ndarray, truth: ClipTruth, t: int) -> None:
    axis.imshow(frame)
    axis.axis("off")
    axis.set_autoscale_on(False)  # a box may leave the frame; the picture keeps its size
    if truth.visible[t]:
        x0, y0, x1, y1 = truth.box[t]
        axis.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec="white", lw=2.4))
        axis.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec="black", lw=1))
        axis.scatter(*truth.landmarks[t].T, s=4, c="white", edgecolors="black", linewidths=0.4)


def _draw_units(axis: Axes, truth: ClipTruth, names: Sequence[str]) -> list[int]:
    chosen = strongest_units(truth, names)
    for k, unit in enumerate(chosen):
        name = names[unit]
        axis.plot(
            truth.units[:, unit],
            color=COLOURS[(1, 3, 5, 0, 6)[k % 5]],
            ls=_LINES[k % len(_LINES)],
            lw=1.8,
            label=f"{name} {UNIT_NAMES.get(name, '')}",
        )
    axis.set(xlabel="frame (25 a second)", ylabel="intensity of the unit (1 = full)")
    axis.set(xlim=(-0.5, len(truth.units) - 0.5), ylim=(-0.05, 1.8))
    axis.legend(fontsize=8, loc="upper center", ncols=3)
    for gone in np.flatnonzero(~truth.visible):
        axis.axvspan(gone - 0.5, gone + 0.5, color="0.85")
    return chosen


def clip_moment(
    frames: np.ndarray, truth: ClipTruth, names: Sequence[str], t: int, what: str = "a clip"
) -> Figure:
    """Draw frame t with its true box and landmarks beside the action units over time.

    Args:
        frames: (T, H, W, 3) uint8.
        truth: of this clip.
        names: of the units.
        t: number of the frame, counted from 0; numbers past the end show the last frame.
        what: name of the clip, for the title.
    """
    t = min(t, len(frames) - 1)
    figure = Figure(figsize=(10, 3.7), dpi=96, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.9))
    _draw_face(left, frames[t], truth, t)
    strongest = _draw_units(right, truth, names)[0]
    right.axvline(t, color="0.3", lw=1)
    value = truth.units[t, strongest]
    seen = "" if truth.visible[t] else ", no face to be seen"
    figure.suptitle(
        f"{what}, frame {t} of {len(frames)}: {names[strongest]} "
        f"({UNIT_NAMES.get(names[strongest], '')}) at {value:.2f}{seen}"
    )
    return figure


def clip_moments(
    frames: np.ndarray, truth: ClipTruth, names: Sequence[str], what: str, shown: int = 5
) -> Figure:
    """Draw :func:`clip_moment` at several frames: the still twin of its slider."""
    figure = Figure(figsize=(10, 5.4), dpi=90, layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.5))
    when = np.linspace(0, len(frames) - 1, shown).round().astype(int)
    for axis, t in zip(top.subplots(1, shown), when, strict=True):
        _draw_face(axis, frames[t], truth, int(t))
        axis.set_title(f"frame {t}", size=9)
    axis = bottom.subplots()
    strongest = _draw_units(axis, truth, names)[0]
    for t in when:
        axis.axvline(t, color="0.6", lw=0.8)
    peak = int(truth.units[:, strongest].argmax())
    figure.suptitle(
        f"{what}: {names[strongest]} ({UNIT_NAMES.get(names[strongest], '')}) moves most, "
        f"{truth.units[:, strongest].min():.2f} to {truth.units[peak, strongest]:.2f}"
    )
    return figure
