"""Figures of lesson 04: points in the plane, and where the loss draws them."""

from __future__ import annotations

import math
from collections.abc import Mapping

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
