"""Figures of lesson 02: faces found, frames kept, landmarks against the truth, mouths in crops.

Plain functions of plain values; each returns a figure whose title says what is to be seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ecstfl.faces import align
from ecstfl.faces.detection import Detection
from ecstfl.figures.style import COLOURS
from lessonkit import mouth

POINT_NAMES: Final = ("left eye", "right eye", "nose", "mouth left", "mouth right")
"""The five points; left and right are those of the image."""


def _box(axis: Axes, box: np.ndarray, colour: str, style: str = "-") -> None:
    x0, y0, x1, y1 = box
    for width, ink in ((3.2, "black"), (1.7, colour)):
        axis.add_patch(
            Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec=ink, lw=width, ls=style)
        )


def found_faces(
    frames: Sequence[np.ndarray],
    found: Sequence[Detection | None],
    boxes: Sequence[np.ndarray],
    overlaps: Sequence[float],
) -> Figure:
    """Draw frames with the face that was found (solid) and the true box (dashed).

    Args:
        frames: (H, W, 3) uint8 each.
        found: the detection in each frame, or None.
        boxes: true box of each, (4,) x0 y0 x1 y1.
        overlaps: intersection over union of both, 0..1; 0 where nothing was found.
    """
    figure = Figure(figsize=(2.05 * len(frames), 2.9), dpi=90, layout="constrained")
    for axis, frame, face, true, shared in zip(
        figure.subplots(1, len(frames), squeeze=False)[0],
        frames,
        found,
        boxes,
        overlaps,
        strict=True,
    ):
        axis.imshow(frame)
        axis.axis("off")
        axis.set_autoscale_on(False)
        _box(axis, true, "white", (0, (4, 3)))
        if face is not None:
            _box(axis, face.bbox, COLOURS[0])
            axis.scatter(*face.points5.T, s=22, c=COLOURS[4], edgecolors="black", linewidths=0.8)
        score = "nothing found" if face is None else f"score {face.score:.2f}"
        axis.set_title(f"{score}\noverlap {shared:.2f}", size=9)
    hits = sum(face is not None for face in found)
    mean = float(np.mean([s for s, f in zip(overlaps, found, strict=True) if f is not None] or [0]))
    figure.suptitle(
        f"{hits} of {len(frames)} rendered faces found; found (solid) and true box (dashed) "
        f"overlap by {mean:.2f}",
        size=11,
    )
    return figure


def coverage_rows(
    rows: Mapping[str, tuple[np.ndarray, np.ndarray]], minimum: float = 0.5
) -> Figure:
    """Draw in which frames a face is to be seen, and in which one was found.

    Args:
        rows: clip -> (visible (T,) bool, found (T,) bool).
        minimum: least coverage of a clip that is kept.
    """
    figure = Figure(figsize=(9.5, 0.46 * len(rows) + 1.3), dpi=96, layout="constrained")
    axis = figure.subplots()
    false, missed, least = 0, 0, 1.0
    for y, (visible, found) in enumerate(rows.values()):
        x = np.arange(len(visible))
        axis.bar(x, 0.8, 1.0, y - 0.4, color=np.where(visible, "0.8", "white"), ec="0.55", lw=0.6)
        axis.plot(x[found], np.full(found.sum(), y), "o", ms=5, color=COLOURS[1])
        axis.plot(x[found & ~visible], np.full((found & ~visible).sum(), y), "kx", ms=9, mew=2)
        coverage = found.mean()
        least = min(least, coverage)
        kept = "kept" if coverage >= minimum else "left out"
        axis.text(len(visible) + 0.2, y, f"coverage {coverage:.0%}: {kept}", va="center", size=9)
        false += int((found & ~visible).sum())
        missed += int((~found & visible).sum())
    longest = max(len(visible) for visible, _ in rows.values())
    axis.set_yticks(np.arange(len(rows)), list(rows), fontsize=9)
    axis.set(xlabel="frame (25 a second)", xlim=(-0.8, longest + 6.5), ylim=(len(rows) - 0.4, -0.6))
    axis.set_xticks(np.arange(0, longest, 5))
    axis.set_title(
        f"Grey: a face is to be seen; dot: one was found. Missed {missed}, "
        f"found where there is none (cross) {false}",
        size=11,
    )
    return figure


def landmark_errors(errors: np.ndarray, yaw: np.ndarray) -> Figure:
    """Draw the error of each of the five points, and the mean error against the head's yaw.

    Args:
        errors: (n, 5) distance from the true point, percent of the face box's side.
        yaw: (n,) degrees.
    """
    figure = Figure(figsize=(10, 3.7), dpi=96, layout="constrained")
    left, right = figure.subplots(1, 2)
    parts = left.boxplot(errors, whis=(5, 95), showfliers=False, patch_artist=True, widths=0.6)
    for box in parts["boxes"]:
        box.set(facecolor=COLOURS[4], alpha=0.6)
    for line in parts["medians"]:
        line.set(color="black", lw=1.6)
    left.set_xticks(np.arange(1, 6), POINT_NAMES, fontsize=9)
    left.set(ylabel="error (percent of the face's side)", ylim=(0, None))
    means = errors.mean(axis=0)
    left.set_title(
        f"Best: {POINT_NAMES[int(means.argmin())]} ({means.min():.1f} %), "
        f"worst: {POINT_NAMES[int(means.argmax())]} ({means.max():.1f} %)",
        size=10,
    )
    turn, mean = np.abs(yaw), errors.mean(axis=1)
    right.plot(turn, mean, ".", ms=3, color="0.7", zorder=1)
    edges = np.quantile(turn, np.linspace(0, 1, 6))
    place, value = [], []
    for low, high in pairwise(edges):
        chosen = (turn >= low) & (turn <= high)
        place.append(turn[chosen].mean())
        value.append(mean[chosen].mean())
    right.plot(place, value, "o-", color=COLOURS[3], lw=2, label="mean of a fifth of the frames")
    right.set(xlabel="yaw of the head (degrees, either side)", ylabel="mean error (percent)")
    right.set_ylim(0, 1.05 * float(np.quantile(mean, 0.995)))
    right.legend(fontsize=9)
    way = "grows" if value[-1] > value[0] else "does not grow"
    right.set_title(
        f"The error {way} with the turn of the head: {value[0]:.1f} to {value[-1]:.1f} %", size=10
    )
    return figure


def mean_faces(before: np.ndarray, after: np.ndarray, size: int = 112) -> Figure:
    """Draw the average of several faces before and after alignment.

    Args:
        before: (n, S, S, 3) uint8: whole frames, scaled.
        after: (n, S, S, 3) uint8: aligned crops.
        size: side of the crops in pixels, for the template's points.
    """
    figure = Figure(figsize=(7.4, 4.1), dpi=96, layout="constrained")
    for axis, stack, name in zip(
        figure.subplots(1, 2),
        (before, after),
        ("whole frames, scaled", "aligned: five points on the template"),
        strict=True,
    ):
        axis.imshow(stack.mean(axis=0).astype(np.uint8))
        axis.set_title(name, size=10)
        axis.set(xlabel="x (pixels of the crop)", ylabel="y (pixels of the crop)")
    axis.scatter(*align.template(size).T, s=40, c="white", edgecolors="black", marker="o")
    ratio = contrast(after) / contrast(before)
    figure.suptitle(
        f"The average of {len(after)} rendered faces is a face only when they are aligned\n"
        f"({ratio:.1f} times the contrast within the mean picture)",
        size=11,
    )
    return figure


def contrast(stack: np.ndarray) -> float:
    """Return the standard deviation over the pixels of the mean picture of (n, H, W, 3)."""
    return float(stack.mean(axis=0).mean(axis=-1).std())


def crops(
    frames: np.ndarray, landmarks: np.ndarray, alignment: str, size: int = 112
) -> tuple[np.ndarray, np.ndarray]:
    """Cut every frame of a clip by an alignment.

    Args:
        frames: (n, H, W, 3) uint8.
        landmarks: (n, 68, 2) pixels.
        alignment: one of :data:`ecstfl.faces.align.ALIGNMENTS`.
        size: side of the crops.

    Returns:
        (n, size, size, 3) uint8 crops and the (n, 2, 3) matrices, frame to crop.
    """
    if alignment == "none":
        matrix = align.fit_matrix(*frames.shape[1:3], size)
        matrices = np.repeat(matrix[None], len(frames), axis=0)
    else:
        matrices = align.alignment_matrices(landmarks, size, alignment=alignment)
    sample = align.supersampling(matrices)
    cut = [align.warp(f, m, size, sample) for f, m in zip(frames, matrices, strict=True)]
    return np.stack(cut), matrices


def _tremble(landmarks: np.ndarray, noise: float) -> np.ndarray:
    """Add the same draw of noise, in pixels of the frame, whatever its size."""
    return landmarks + noise * np.random.default_rng(0).normal(size=landmarks.shape)


def mouth_in_crop(
    frames: np.ndarray,
    landmarks: np.ndarray,
    alignment: str = "points5",
    noise: float = 0.0,
    shown: int = 6,
) -> Figure:
    """Draw a clip in its crops by one alignment, and where the true mouth lies in them.

    Args:
        frames: (n, H, W, 3) uint8.
        landmarks: (n, 68, 2) true landmarks, pixels.
        alignment: one of :data:`ecstfl.faces.align.ALIGNMENTS`.
        noise: standard deviation of noise on the landmarks that are fitted, pixels of the frame.
        shown: crops drawn.
    """
    cut, matrices = crops(frames, _tremble(landmarks, noise), alignment)
    figure = Figure(figsize=(10, 4.4), dpi=92, layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.25))
    when = np.linspace(0, len(frames) - 1, shown).round().astype(int)
    path = mouth.mouth_path(landmarks, matrices)
    for axis, t in zip(top.subplots(1, shown), when, strict=True):
        _crop(axis, cut[t], path[t], f"frame {t}", alignment != "none")
    axis = bottom.subplots()
    _mouth_curves(axis, path - path.mean(axis=0), mouth.mouth_opening(landmarks, matrices))
    figure.suptitle(
        f"{alignment}: the middle of the mouth travels {mouth.travel(path):.2f} pixels "
        f"in the crop (noise {noise:.1f})"
    )
    return figure


def _crop(
    axis: Axes, picture: np.ndarray, middle: np.ndarray, title: str, aligned: bool = True
) -> None:
    axis.imshow(picture)
    axis.axis("off")
    if aligned:  # the height at which the template has the corners of the mouth
        height = align.template(picture.shape[0])[3:, 1].mean()
        axis.axhline(height, color="white", lw=0.9, ls="--")
    axis.scatter(*middle, s=26, c=COLOURS[0], edgecolors="black", linewidths=0.8)
    axis.set_title(title, size=9)


def _mouth_curves(axis: Axes, path: np.ndarray, opening: np.ndarray) -> None:
    axis.plot(path[:, 1], "o-", ms=3, color=COLOURS[1], label="place of its middle (down is +)")
    axis.plot(opening - opening.min(), "s--", ms=3, color=COLOURS[3], label="opening of the lips")
    axis.set(xlabel="frame (25 a second)", ylabel="change (pixels of the crop)", ylim=(-8, 22))
    axis.axhline(0, color="0.7", lw=0.8, zorder=0)
    axis.legend(fontsize=8, loc="upper right")


def mouth_in_crops(
    frames: np.ndarray, landmarks: np.ndarray, alignments: Sequence[str], shown: int = 5
) -> Figure:
    """Draw :func:`mouth_in_crop` for several alignments: the still twin of its switch."""
    when = np.linspace(0, len(frames) - 1, shown).round().astype(int)
    figure = Figure(figsize=(10, 1.7 * len(alignments) + 0.6), dpi=80, layout="constrained")
    axes = figure.subplots(
        len(alignments), shown + 1, squeeze=False, width_ratios=(*([1] * shown), 2.6)
    )
    told = {}
    for k, (row, alignment) in enumerate(zip(axes, alignments, strict=True)):
        cut, matrices = crops(frames, landmarks, alignment)
        path = mouth.mouth_path(landmarks, matrices)
        told[alignment] = mouth.travel(path)
        for axis, t in zip(row[:-1], when, strict=True):
            _crop(axis, cut[t], path[t], f"frame {t}" if k == 0 else "", alignment != "none")
        row[0].set_title(f"{alignment}: frame {when[0]}" if k == 0 else alignment, size=9)
        _mouth_curves(row[-1], path - path.mean(axis=0), mouth.mouth_opening(landmarks, matrices))
        row[-1].set_title(f"travel {told[alignment]:.2f} pixels", size=9)
        row[-1].tick_params(labelsize=8)
        row[-1].set_ylabel("change (pixels)", fontsize=8)
        if k < len(alignments) - 1:
            row[-1].set_xlabel("")
        if k > 0:
            row[-1].get_legend().remove()
    low, high = min(told, key=told.get), max(told, key=told.get)
    figure.suptitle(
        f"One rendered mouth: it travels {told[low]:.2f} pixels in the crop after {low}, "
        f"{told[high]:.2f} after {high}",
        size=11,
    )
    return figure


def alignment_tradeoff(rows: Mapping[str, tuple[float, float, float]]) -> Figure:
    """Draw what each alignment keeps of the mouth's motion beside what it makes of noise.

    Args:
        rows: alignment -> (share kept of a jaw drop, share kept of a smile, crop pixels of
            trembling for each pixel of noise).
    """
    figure = Figure(figsize=(10, 3.5), dpi=96, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
    place, names = np.arange(len(rows)), list(rows)
    table = np.array(list(rows.values()))
    for k, (name, hatch) in enumerate((("jaw drop", ""), ("smile", "///"))):
        bars = left.bar(
            place + 0.4 * (k - 0.5),
            100 * table[:, k],
            0.38,
            color=COLOURS[(1, 4)[k]],
            hatch=hatch,
            edgecolor="white",
            label=name,
        )
        left.bar_label(bars, [f"{100 * v:.0f}" for v in table[:, k]], fontsize=9)
    left.set_xticks(place, names)
    left.set(ylabel="motion of the mouth kept (percent)", ylim=(0, 139))
    left.legend(fontsize=9, ncols=2, loc="upper center")
    worst = int(table[:, 0].argmin())
    left.set_title(f"{names[worst]} keeps {100 * table[worst, 0]:.0f} % of a jaw drop", size=10)
    bars = right.bar(place, table[:, 2], 0.55, color=COLOURS[3])
    right.bar_label(bars, [f"{v:.2f}" for v in table[:, 2]], fontsize=9)
    right.set_xticks(place, names)
    right.set(ylabel="trembling of the crop's corners\n(pixels for each pixel of noise)")
    right.margins(y=0.15)
    shaky = int(table[:, 2].argmax())
    right.set_title(
        f"{names[shaky]} trembles {table[shaky, 2] / np.delete(table[:, 2], shaky).max():.1f} "
        "times as much as the next",
        size=10,
    )
    return figure
