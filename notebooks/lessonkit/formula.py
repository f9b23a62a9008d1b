"""What lesson 04 compares: loop and package, three ways to a gradient, a fraction upside down."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ecstfl.losses import naive
from ecstfl.losses.ec_stfl import FORMS, ec_stfl_loss


def loop_and_package(n: int, seed: int = 0) -> dict[str, float]:
    """Return the largest difference of plain loop and package for each form, on random features.

    Args:
        n: clips.
        seed: of the draws.
    """
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 16, generator=draw, dtype=torch.float64)
    y = torch.randint(0, 7, (n,), generator=draw)
    return {
        form: abs(ec_stfl_loss(x, y, form).item() - naive.LOSS[form](x.tolist(), y.tolist()))
        for form in FORMS
    }


def gradients(x: Tensor, y: Tensor, h: float = 1e-5) -> dict[str, float]:
    """Compare three ways to the gradient of the patent's form, with the package's closed form.

    Args:
        x: (n, d) float64 features.
        y: (n,) labels.
        h: step of the finite differences.

    Returns:
        Largest differences: of autograd through every step of the formula, and of central
        differences of the plain loop.
    """
    leaf = x.detach().clone().requires_grad_()
    (closed,) = torch.autograd.grad(ec_stfl_loss(leaf, y), leaf)
    i, j = torch.triu_indices(len(x), len(x), 1)
    d = torch.zeros(len(x), len(x), dtype=x.dtype)
    d[i, j] = torch.pdist(leaf)  # each pair once, no clip with itself
    d = d + d.T
    same = y[:, None] == y
    size = same.sum(1)
    value = ((d * same).sum(1) / size / (d * ~same / size).sum(1)).sum()
    (by_autograd,) = torch.autograd.grad(value, leaf)
    by_steps = torch.zeros_like(x)
    for row, column in np.ndindex(*x.shape):
        step = torch.zeros_like(x)
        step[row, column] = h
        above, below = (naive.patent((x + s).tolist(), y.tolist()) for s in (step, -step))
        by_steps[row, column] = (above - below) / (2 * h)
    return {
        "autograd": (by_autograd - closed).abs().max().item(),
        "finite differences": (by_steps - closed).abs().max().item(),
    }


def upside_down(x: Tensor, y: Tensor) -> Tensor:
    """Return the fraction as the paper's Eqs. 6 to 8 print it: different labels above, equal below.

    Args:
        x: (n, d) features.
        y: (n,) labels.
    """
    d = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    same = y[:, None] == y
    size = same.sum(dim=1)
    return (d * ~same / size).sum() / (d * same / size).sum()
