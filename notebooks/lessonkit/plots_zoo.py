"""Figures of lesson 09: what networks cost, and where other losses draw the same points.

Plain functions of plain values; each returns a matplotlib figure whose title says what is to be
seen, with numbers computed from what is drawn. Classes differ by colour *and* marker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter
from torch import Tensor

from ecstfl.errors import UserError
from ecstfl.figures.style import COLOURS, MARKERS
from ecstfl.losses.baselines import BASELINES, build_baseline
from ecstfl.losses.ec_stfl import ec_stfl_loss
from ecstfl.losses.report import within_between_ratio
from lessonkit.costs import NetworkCost
from lessonkit.plots_formula import scatter_classes, toy_points

Loss = Callable[[Tensor, Tensor], Tensor]


def costs(rows: Sequence[NetworkCost], title: str) -> Figure:
    """Draw multiply-adds against parameters, both on log scales."""
    figure = Figure(figsize=(7.6, 4.4), dpi=84, layout="constrained")
    axis = figure.subplots()
    for k, row in enumerate(rows):
        x, y = row.parameters / 1e6, row.multiply_adds / 1e9
        axis.plot(
            x,
            y,
            (*MARKERS, "*")[k % 8],
            color=(*COLOURS, "0.2")[k % 8],
            ms=10,
            mec="0.2",
            mew=0.6,
        )
        near = [
            other
            for other in rows[:k]
            if 0.8 < other.parameters / row.parameters < 1.25
            and 0.8 < other.multiply_adds / row.multiply_adds < 1.25
        ]
        left = len(near) % 2 == 1  # two names do not fit at the same side
        axis.annotate(
            row.title,
            (x, y),
            xytext=(-9 if left else 9, -4),
            textcoords="offset points",
            ha="right" if left else "left",
            fontsize=9,
        )
    axis.set(
        xscale="log",
        yscale="log",
        xlabel="parameters (millions, log scale)",
        ylabel="multiply-adds a clip (thousand millions, log scale)",
    )
    for one in (axis.xaxis, axis.yaxis):
        one.set_major_locator(LogLocator(10, (1, 2, 5)))
        one.set_major_formatter(ScalarFormatter())
        one.set_minor_formatter(NullFormatter())
    low, high = axis.get_xlim()
    axis.set_xlim(low / 1.6, high * 1.5)  # room for the names
    low, high = axis.get_ylim()
    axis.set_ylim(low / 1.1, high * 1.2)
    axis.set_title(title, fontsize=11)
    return figure


def published_gains(rows: Mapping[str, tuple[float, float]], spread: float, title: str) -> Figure:
    """Draw printed scores of networks without and with EC-STFL.

    Args:
        rows: network -> (WAR without, WAR with), percent.
        spread: standard deviation between two equal trainings, points; drawn as a bar.
        title: what is to be seen.
    """
    figure = Figure(figsize=(8.2, 4.2), dpi=84, layout="constrained")
    axis = figure.subplots()
    for place, (before, after) in enumerate(rows.values()):
        axis.plot([before, after], [place, place], color="0.5", lw=1.5, zorder=1)
        axis.plot(before, place, "o", color="white", mec="black", ms=8)
        axis.plot(after, place, "s", color=COLOURS[1], ms=8)
        axis.annotate(
            f"{after - before:+.2f}",
            (after, place),
            xytext=(9, -4),
            textcoords="offset points",
            fontsize=9,
        )
    at = min(before for before, _ in rows.values())
    axis.errorbar(at, len(rows), xerr=spread, color=COLOURS[3], capsize=4, lw=2)
    axis.set_yticks(range(len(rows) + 1), [*rows, "one training,\n± sd (estimated)"])
    axis.set_ylim(len(rows) + 0.6, -0.7)
    axis.plot([], [], "o", color="white", mec="black", ms=8, label="softmax only")
    axis.plot([], [], "s", color=COLOURS[1], ms=8, label="with EC-STFL")
    axis.legend(fontsize=9, loc="lower right")
    axis.set(xlabel="WAR on DFEW as printed (percent)")
    axis.margins(x=0.12)
    axis.set_title(title, fontsize=11)
    return figure


def toy_losses(x: Tensor, y: Tensor) -> dict[str, Loss]:
    """Return EC-STFL and its cousins for 2-D points; class centres lie at the classes' means.

    Losses from a package that is not installed are left out.

    Args:
        x: (n, 2) points, where the centres are taken from.
        y: (n,) labels 0..6.
    """
    losses: dict[str, Loss] = {"EC-STFL (patent)": ec_stfl_loss}
    means = torch.stack(
        [x[y == c].mean(dim=0) if (y == c).any() else x[:0].sum(0) for c in range(7)]
    )
    present = torch.unique(y)
    for name in BASELINES:
        try:
            # only the classes that are there: an absent class's centre would push for nothing
            made = build_baseline(name, len(present), x.shape[1]).to(x.dtype).eval()
        except UserError:
            continue
        if hasattr(made, "centers"):
            made.centers.data = means[present].clone()
        made.requires_grad_(False)
        losses[name] = lambda x, y, made=made: made(x, torch.searchsorted(present, y))
    return losses


def pull(loss: Loss, x: Tensor, y: Tensor) -> tuple[float, Tensor]:
    """Return a loss and its negative gradient (n, 2): where each point is drawn."""
    x = x.detach().clone().requires_grad_()
    value = loss(x, y)
    return value.item(), -torch.autograd.grad(value, x)[0]


def turning_share(x: Tensor, arrows: Tensor) -> float:
    """Return the share, 0..1, of the squared pull that goes around the origin, not along it."""
    out = (arrows * x / x.norm(dim=1, keepdim=True)).sum(dim=1)
    return float(1 - out.square().sum() / arrows.square().sum())


def inward_share(x: Tensor, y: Tensor, arrows: Tensor) -> float:
    """Return the mean cosine, -1..1, between the pull and the way to the own class's mean."""
    own = torch.stack([x[y == label].mean(dim=0) for label in y])
    return float(torch.nn.functional.cosine_similarity(arrows, own - x, dim=1).mean())


def loss_arrows(separation: float = 1.5, spread: float = 0.7, seed: int = 0) -> Figure:
    """Draw where EC-STFL and its cousins draw the same toy points.

    In each panel the longest arrow has the same length, and lengths are square roots of pulls, so
    that weak ones show: directions compare, sizes do not.

    Args:
        separation: distance of each class from the centre, > 0.
        spread: standard deviation within a class, > 0.
        seed: of the points.
    """
    x, y = toy_points(separation, spread, seed=seed)
    x = x + torch.tensor([1.0, 0.5], dtype=x.dtype)  # off the origin, which some losses see
    losses = toy_losses(x, y)
    columns = 3
    lines = -(-len(losses) // columns)
    figure = Figure(figsize=(9.6, 3.5 * lines + 0.6), dpi=84, layout="constrained")
    axes = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    middle = (x.max(dim=0).values + x.min(dim=0).values) / 2
    reach = float((x - middle).abs().max()) + 0.7
    for axis, (name, loss) in zip(axes, losses.items(), strict=False):
        value, arrows = pull(loss, x, y)
        length = arrows.norm(dim=1, keepdim=True)
        drawn = arrows / (length * length.max()).sqrt().clamp_min(1e-30)
        scatter_classes(axis, x.numpy(), y.numpy(), 45)
        axis.quiver(
            *x.numpy().T,
            *(0.9 * drawn).numpy().T,
            angles="xy",
            scale_units="xy",
            scale=1,
            width=0.008,
            color="0.2",
            zorder=4,
        )
        axis.plot(0, 0, "+", color="black", ms=10)
        for way, at in zip(("x", "y"), middle.tolist(), strict=True):
            axis.set(**{f"{way}lim": (at - reach, at + reach)})
        axis.set_aspect("equal")
        axis.set_title(
            f"{name}: {value:.3g}\nto own mean {inward_share(x, y, arrows):.2f} · "
            f"around + {100 * turning_share(x, arrows):.0f} %",
            fontsize=9,
        )
    for axis in axes[len(losses) :]:
        axis.axis("off")
    axes[0].set_ylabel("feature 2 (arb. unit)")
    axes[min(len(losses), len(axes)) - 1].set_xlabel("feature 1 (arb. unit)")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(
        f"The same {len(x)} points, {len(losses)} losses: center goes to the own mean alone, "
        "losses on unit length only around the origin (+)",
        fontsize=11,
    )
    return figure


def descend(
    make: Callable[[Tensor, Tensor], Loss], x: Tensor, y: Tensor, steps: int, stride: float
) -> Tensor:
    """Move points down a loss; the farthest mover goes ``stride`` each step.

    Args:
        make: gives the loss for points as they are now (centres follow their class).
        x: (n, 2) start.
        y: (n,) labels.
        steps: how many.
        stride: length of the longest move of a step.
    """
    for _ in range(steps):
        _, arrows = pull(make(x, y), x, y)
        longest = arrows.norm(dim=1).max()
        if longest > 0:
            x = x + stride * arrows / longest
    return x


def class_spread(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Return (mean distance to the own class's mean, mean distance between the class means)."""
    classes = torch.unique(y)
    means = torch.stack([x[y == c].mean(dim=0) for c in classes])
    own = means[torch.searchsorted(classes, y)]
    between = torch.pdist(means).mean() if len(means) > 1 else torch.tensor(0.0)
    return float((x - own).norm(dim=1).mean()), float(between)


def after_descent(ends: Mapping[str, Tensor], start: Tensor, y: Tensor) -> Figure:
    """Draw where the toy points end under each loss, beside where they began.

    Args:
        ends: loss -> (n, 2).
        start: (n, 2).
        y: (n,) labels.
    """
    panels = {"start": start, **ends}
    columns = 3
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(9.6, 3.3 * lines + 0.6), dpi=84, layout="constrained")
    axes = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    within, between = class_spread(start, y)
    told = {}
    for axis, (name, x) in zip(axes, panels.items(), strict=False):
        scatter_classes(axis, x.numpy(), y.numpy(), 32)
        axis.plot(0, 0, "+", color="black", ms=8)
        w, b = class_spread(x, y)
        told[name] = (w / within, b / between)
        ratio = within_between_ratio(x, y).item()
        axis.set_title(
            f"{name}: ratio {ratio:.2f}\n"
            f"within × {w / within:.2f}, between means × {b / between:.2f}",
            fontsize=9.5,
        )
        axis.set_aspect("equal")
    for axis in axes[len(panels) :]:
        axis.axis("off")
    axes[0].set_ylabel("feature 2 (arb. unit)")
    axes[len(panels) - 1].set_xlabel("feature 1 (arb. unit)")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False)
    farthest = max(ends, key=lambda name: told[name][1])
    figure.suptitle(
        f"Center loss gathers (within × {told['center'][0]:.2f}) and does not part "
        f"(× {told['center'][1]:.2f}); {farthest} parts most (× {told[farthest][1]:.2f})",
        fontsize=11,
    )
    return figure


def what_it_sees(
    losses: Mapping[str, Callable[[Tensor, Tensor], Loss]], x: Tensor, y: Tensor
) -> dict:
    """Return loss -> relative change of its value when the points are moved, turned or enlarged.

    Args:
        losses: name -> function of points that gives the loss (centres follow the points).
        x: (n, 2).
        y: (n,) labels.
    """
    a = np.radians(40)
    turn = torch.tensor([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]], dtype=x.dtype)
    changed = {"moved by 3": x + 3, "turned by 40°": x @ turn, "3 times larger": 3 * x}
    table = {}
    for name, make in losses.items():
        before = make(x, y)(x, y).item()
        table[name] = {how: abs(make(z, y)(z, y).item() / before - 1) for how, z in changed.items()}
    return table
