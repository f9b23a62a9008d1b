"""Figures of the lessons: plain functions of plain values, for sliders and for still pages.

Each returns a matplotlib figure whose title says what is to be seen; the number in a title is
computed from what is drawn. Nothing here trains or reads files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecstfl.figures.style import COLOURS, MARKERS
from ecstfl.labels import CLASSES
from ecstfl.losses.ec_stfl import ec_stfl_loss
from ecstfl.losses.report import within_between_ratio

_TOY_CLASSES = (0, 1, 3)  # Happy, Sad, Angry: as in the figures of results


def toy_points(
    separation: float = 2.0, spread: float = 0.6, per_class: int = 5, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return 2-D points of three classes around the corners of a triangle.

    Args:
        separation: distance of each corner from the centre, >= 0.
        spread: standard deviation within a class, >= 0.
        per_class: points of each class.
        seed: of the draws; the same seed moves the same points when a slider moves.

    Returns:
        (3 * per_class, 2) float64 features and (3 * per_class,) labels 0, 1, 3.
    """
    draws = torch.randn(
        3, per_class, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    angle = torch.arange(3, dtype=torch.float64) * (2 * math.pi / 3) + math.pi / 2
    corners = separation * torch.stack([angle.cos(), angle.sin()], dim=1)
    x = (corners[:, None] + spread * draws).reshape(-1, 2)
    return x, torch.tensor(_TOY_CLASSES).repeat_interleave(per_class)


def descent(x: torch.Tensor, y: torch.Tensor, form: str = "patent") -> tuple[float, torch.Tensor]:
    """Return the loss and its negative gradient (n, 2): where each point is drawn."""
    x = x.detach().clone().requires_grad_()
    loss = ec_stfl_loss(x, y, form)
    return loss.item(), -torch.autograd.grad(loss, x)[0]


def scatter_classes(axis: Axes, x: np.ndarray, y: np.ndarray, size: float = 55) -> None:
    """Draw points x (n, 2) of classes y (n,) with each class's colour, marker and name."""
    for c in np.unique(y):
        axis.scatter(
            *x[y == c].T,
            s=size,
            c=COLOURS[c],
            marker=MARKERS[c],
            edgecolors="white",
            linewidths=0.6,
            label=CLASSES[c],
            zorder=3,
        )


def _arrows(axis: Axes, x: torch.Tensor, y: torch.Tensor, form: str, limit: float) -> float:
    loss, pull = descent(x, y, form)
    longest = pull.norm(dim=1).max().item()
    same = y[:, None] == y
    within = ((x[:, None] - x).norm(dim=-1) * same).sum() / same.sum()
    arrow = (pull * (within / longest if longest else 0)).numpy()
    scatter_classes(axis, x.numpy(), y.numpy())
    axis.quiver(
        *x.numpy().T,
        *arrow.T,
        angles="xy",
        scale_units="xy",
        scale=1,
        width=0.006,
        color="0.25",
        zorder=4,
    )
    axis.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    return loss


def loss_field(
    separation: float = 2.0, spread: float = 0.6, form: str = "patent", seed: int = 0
) -> Figure:
    """Draw the toy points with the direction in which the loss draws each of them.

    The longest arrow is as long as the mean distance within classes.
    """
    x, y = toy_points(separation, spread, seed=seed)
    figure = Figure(figsize=(6.2, 5.4), dpi=96, layout="constrained")
    axis = figure.subplots()
    loss = _arrows(axis, x, y, form, 4.5)
    ratio = within_between_ratio(x, y).item()
    axis.set_title(f"{form} form: loss {loss:.3g}, within / between {ratio:.2f}")
    axis.set(xlabel="feature 1 (arbitrary unit)", ylabel="feature 2 (arbitrary unit)")
    axis.legend(loc="lower right", fontsize=9)
    return figure


def loss_fields(form: str = "patent") -> Figure:
    """Draw :func:`loss_field` at nine settings: the still twin of its sliders."""
    figure = Figure(figsize=(9, 9), dpi=90, layout="constrained")
    axes = figure.subplots(3, 3, sharex=True, sharey=True)
    losses = []
    for row, spread in zip(axes, (0.2, 0.6, 1.2), strict=True):
        for axis, separation in zip(row, (0.5, 1.5, 3.0), strict=True):
            x, y = toy_points(separation, spread)
            losses.append(_arrows(axis, x, y, form, 5.5))
            axis.set_title(f"separation {separation}, spread {spread}: {losses[-1]:.3g}", size=10)
    figure.supxlabel("feature 1 (arbitrary unit)")
    figure.supylabel("feature 2 (arbitrary unit)")
    figure.suptitle(
        f"The {form} form is small when classes are tight and far apart: "
        f"{min(losses):.3g} to {max(losses):.3g}"
    )
    axes[0, 0].legend(loc="upper left", fontsize=8)
    return figure


def follow_gradient(
    x: torch.Tensor, y: torch.Tensor, steps: int, rate: float, form: str = "patent"
) -> list[torch.Tensor]:
    """Move the points down the loss, as if they were the network's output; keep their scale.

    The forms of patent and paper do not see scale, so the points are brought back to their
    first root-mean-square radius after each step.

    Returns:
        ``steps + 1`` tensors (n, 2), the first being ``x`` centred.
    """
    path = [x - x.mean(dim=0)]
    radius = path[0].norm()
    for _ in range(steps):
        new = path[-1] + rate * descent(path[-1], y, form)[1]
        new = new - new.mean(dim=0)
        path.append(new * (radius / new.norm()))
    return path


def gradient_path(path: Sequence[torch.Tensor], y: torch.Tensor, shown: Sequence[int]) -> Figure:
    """Draw points on their way down the loss, one panel for each step in ``shown``."""
    figure = Figure(figsize=(2.7 * len(shown), 3.5), dpi=96, layout="constrained")
    axes = figure.subplots(1, len(shown), sharex=True, sharey=True, squeeze=False)[0]
    limit = 1.1 * max(float(path[k].abs().max()) for k in shown)
    ratios = []
    for axis, step in zip(axes, shown, strict=True):
        scatter_classes(axis, path[step].numpy(), y.numpy(), 40)
        ratios.append(within_between_ratio(path[step], y).item())
        axis.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
        axis.set_title(f"step {step}: ratio {ratios[-1]:.2f}", size=10)
        axis.set_xlabel("feature 1 (arb. unit)")
    axes[0].set_ylabel("feature 2 (arb. unit)")
    figure.suptitle(
        "Following the arrows alone clusters the classes: within / between "
        f"{ratios[0]:.2f} → {ratios[-1]:.2f}"
    )
    return figure


def form_sizes(sizes: Mapping[str, float], weight: float, cross_entropy: float) -> Figure:
    """Draw weight * loss of each form beside the cross-entropy of a network that guesses."""
    figure = Figure(figsize=(7, 3.4), dpi=96, layout="constrained")
    axis = figure.subplots()
    values = [weight * size for size in sizes.values()]
    bars = axis.barh(list(sizes), values, color=[COLOURS[1], COLOURS[0], COLOURS[5]])
    axis.bar_label(bars, [f"{value:.2g}" for value in values], padding=4)
    axis.axvline(
        cross_entropy, color="0.2", lw=1.2, label=f"cross-entropy of a guess: {cross_entropy:.2f}"
    )
    axis.legend(loc="lower right", fontsize=9)
    axis.set(xscale="log", xlim=(min(values) / 2, max(values) * 3))
    axis.invert_yaxis()
    axis.set_xlabel(f"λ · loss at λ = {weight:g} (nats beside the cross-entropy; log scale)")
    span = max(values) / min(values)
    axis.set_title(f"One λ, three losses: their sizes span a factor of {span:.0f}")
    return figure


def prior_scores(counts: Sequence[int], rows: Mapping[str, tuple[float, float]]) -> Figure:
    """Draw clips per class, and (UAR, WAR) in percent of some classifiers on them."""
    figure = Figure(figsize=(10, 3.6), dpi=96, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.1, 1))
    bars = left.bar(CLASSES, counts, color=COLOURS)
    left.bar_label(bars, fontsize=9)
    left.set(ylabel="clips", ylim=(0, 1.12 * max(counts)))
    left.set_title(f"DFEW has {max(counts) / min(counts):.0f} times more Neutral than Disgust")
    left.tick_params(axis="x", labelsize=9)
    place = np.arange(len(rows))
    for shift, index, name in ((-0.2, 0, "UAR"), (0.2, 1, "WAR")):
        values = [value[index] for value in rows.values()]
        drawn = right.bar(place + shift, values, 0.38, label=name, color=COLOURS[1 - index])
        right.bar_label(drawn, [f"{v:.1f}" for v in values], fontsize=9)
    right.set_xticks(place, list(rows))
    right.set(ylabel="percent", ylim=(0, 66))
    right.legend(loc="upper left")
    right.set_title("WAR rewards saying Neutral, UAR does not")
    return figure


def hit_gain(before: Sequence[int], after: Sequence[int]) -> Figure:
    """Draw the change of right answers per class between two rows of integers."""
    change = np.asarray(after) - np.asarray(before)
    largest = int(change.argmax())
    figure = Figure(figsize=(8, 3.6), dpi=96, layout="constrained")
    axis = figure.subplots()
    bars = axis.bar(CLASSES, change, color=[COLOURS[5] if c >= 0 else COLOURS[3] for c in change])
    axis.bar_label(bars, [f"{c:+d}" for c in change], padding=2)
    axis.axhline(0, color="0.3", lw=0.8)
    axis.margins(y=0.15)
    axis.set_ylabel("clips more (or fewer) right")
    axis.set_title(
        f"{CLASSES[largest]} alone gives {change[largest]} of the {change.sum():+d} clips"
    )
    return figure


def repeated_luck(gains: np.ndarray, claimed: float, sd: float) -> Figure:
    """Draw simulated gains of a method that does nothing, and the gain that is claimed."""
    share = float((gains >= claimed).mean())
    figure = Figure(figsize=(8, 3.6), dpi=96, layout="constrained")
    axis = figure.subplots()
    width = max(abs(gains).max(), claimed) * 1.05
    bin_width = width / 20  # an edge lies on the claim, so that no bar has two colours
    bins = claimed + bin_width * np.arange(-math.ceil(2 * width / bin_width), 40)
    axis.hist(gains[gains < claimed], bins, color="0.7", label="smaller than the claim")
    axis.hist(gains[gains >= claimed], bins, color=COLOURS[3], label="as large, or larger")
    axis.axvline(claimed, color="0.2", lw=1.2, label=f"claimed: {claimed:.2f}")
    axis.set(xlabel="gain in WAR (points)", ylabel="simulated pairs", xlim=(-width, width))
    axis.legend(fontsize=9)
    axis.set_title(
        f"No effect at all, seeds with sd {sd:.1f}: a gain of {claimed:.2f} or more "
        f"in {100 * share:.0f} % of pairs",
        size=11,
    )
    return figure


def lambda_curve(weights: Sequence[float], scores: Sequence[float], sd: float) -> Figure:
    """Draw a published score against λ with the spread between equal runs as a band."""
    values = np.asarray(scores)
    figure = Figure(figsize=(8, 3.6), dpi=96, layout="constrained")
    axis = figure.subplots()
    axis.axhspan(values.mean() - sd, values.mean() + sd, color=COLOURS[4], alpha=0.25)
    axis.annotate(
        f"mean ± {sd:.1f} (sd between equal runs)",
        (weights[0], values.mean() + sd),
        va="top",
        xytext=(0, -3),
        textcoords="offset points",
        fontsize=9,
    )
    axis.plot(weights, values, "o-", color=COLOURS[1])
    axis.set(xscale="log", xlabel="λ (log scale)", ylabel="WAR, fold 1 (percent)")
    axis.set_xticks(weights, [f"{w:g}" for w in weights])
    axis.minorticks_off()
    inside = int((abs(values - values.mean()) <= sd).sum())
    axis.set_title(f"{inside} of {len(values)} points lie within one sd of a flat line")
    return figure


def recall_intervals(rows: Mapping[str, Sequence[tuple[float, float, float]]]) -> Figure:
    """Draw recalls of each class with intervals, in percent: (value, low, high) for each class."""
    figure = Figure(figsize=(9, 3.8), dpi=96, layout="constrained")
    axis = figure.subplots()
    place = np.arange(len(CLASSES))
    widths = []
    for k, (name, values) in enumerate(rows.items()):
        value, low, high = np.array(values).T
        widths.append(high - low)
        axis.errorbar(
            place + 0.18 * (k - (len(rows) - 1) / 2),
            value,
            [value - low, high - value],
            fmt="os"[k % 2],
            capsize=3,
            color=COLOURS[(3, 1)[k % 2]],
            label=name,
        )
    axis.set_xticks(place, CLASSES)
    axis.set(ylabel="recall, 95 % interval (percent)", ylim=(-2, 85))
    axis.legend()
    apart = [
        CLASSES[c]
        for c in place
        if max(v[c][1] for v in rows.values()) > min(v[c][2] for v in rows.values())
    ]
    axis.set_title(
        f"The intervals come apart for {', '.join(apart) or 'no class'} only"
        if len(apart) < len(CLASSES)
        else "The intervals come apart for every class"
    )
    return figure


def filmstrip(
    rows: Mapping[str, np.ndarray], title: str, *, ticks: Mapping[str, Sequence[str]] | None = None
) -> Figure:
    """Draw several clips (T, H, W, 3) uint8 as rows of frames.

    Args:
        rows: name -> frames; rows may differ in length.
        title: what is to be seen.
        ticks: name -> a short text under each frame.
    """
    longest = max(len(frames) for frames in rows.values())
    figure = Figure(figsize=(min(13.0, 0.78 * longest + 1.2), 1.15 * len(rows) + 0.5), dpi=96)
    axes = figure.subplots(len(rows), longest, squeeze=False)
    for row, (name, frames) in zip(axes, rows.items(), strict=True):
        for k, axis in enumerate(row):
            axis.axis("off")
            if k < len(frames):
                axis.imshow(frames[k])
                if ticks and name in ticks:
                    axis.set_title(ticks[name][k], fontsize=7, pad=2, y=-0.28)
        row[0].set_title(name, fontsize=9, loc="left", pad=3)
    figure.suptitle(title, fontsize=11)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.84, bottom=0.05, wspace=0.04, hspace=0.45)
    return figure


def interpolated_pixel(
    frames: np.ndarray, curves: Mapping[str, tuple[np.ndarray, np.ndarray]], title: str
) -> Figure:
    """Draw one pixel over time: its frames, and curves laid through them.

    Args:
        frames: (n,) values of the pixel, 0..255.
        curves: name -> (time in frames, counted from 1; value).
        title: what is to be seen.
    """
    figure = Figure(figsize=(8.5, 3.6), dpi=96, layout="constrained")
    axis = figure.subplots()
    for k, (name, (when, value)) in enumerate(curves.items()):
        axis.plot(when, value, label=name, color=COLOURS[(1, 0, 5)[k % 3]], lw=1.6)
    axis.plot(np.arange(1, len(frames) + 1), frames, "ko", ms=5, label="frames of the clip")
    axis.set(xlabel="time (frame of the clip)", ylabel="brightness of one pixel (0..255)")
    axis.legend(fontsize=9)
    axis.set_title(title)
    return figure
