"""Figures of lesson 04: points in the plane, and where the loss draws them."""

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
