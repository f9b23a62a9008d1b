"""Muon: steps of equal length in every direction of a weight matrix.

A gradient matrix is mostly a few strong directions. Gradient descent follows these and hardly
moves along the others. Muon keeps the directions and makes their lengths equal: it takes the
momentum M = U S V' of a weight matrix (its singular value decomposition) and steps along U V'.

1. momentum:          M <- momentum * M + (1 - momentum) * gradient
2. look ahead:        G  = momentum * M + (1 - momentum) * gradient      (Nesterov)
3. equal lengths:     O  = U V' of G, nearly (see :func:`orthogonalise`)
4. step:              W <- W - lr * sqrt(max(1, rows / columns)) * O

It is meant for matrices inside a network. A convolution kernel (out, in, k, k, k) is the matrix
out x (in * k^3) that it multiplies each window with. Biases, BatchNorm's weights and the
classifier are left to AdamW.

Source: Keller Jordan and others, *Muon: An optimizer for hidden layers in neural networks* (2024),
https://kellerjordan.github.io/posts/muon. ``torch.optim.Muon`` does the same in bfloat16, for
two-dimensional weights only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from ecstfl.errors import UserError

STEPS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""The polynomial a s + b s^3 + c s^5 that lifts small singular values fastest (Jordan)."""


def orthogonalise(matrix: Tensor) -> Tensor:
    """Return U V' of a matrix U S V', nearly: singular values come out near 1 (about 0.7 to 1.2).

    Newton-Schulz does it with products alone. Y is the matrix scaled to norm 1; then five times
    Y <- (a I + b Y Y' + c (Y Y')^2) Y, which sends each singular value s to a s + b s^3 + c s^5.
    Every step needs the long side of Y only for Y Y'. So S = Y Y', which is small, is carried
    along in its place, the factors are collected in P, and Y is multiplied once, at the end.

    Args:
        matrix: (rows, columns), float32 or float64.

    Returns:
        (rows, columns); zeros for a matrix of zeros.
    """
    if len(matrix) > matrix.shape[1]:
        return orthogonalise(matrix.T).T  # Y Y' is the smaller of the two squares
    a, b, c = COEFFICIENTS
    y = matrix / matrix.norm().clamp(min=1e-7)
    eye = torch.eye(len(y), dtype=y.dtype, device=y.device)
    s, p = y @ y.T, eye
    for _ in range(STEPS):
        q = a * eye + b * s + c * (s @ s)
        p = q @ p
        s = q @ s @ q
    return p @ y


class Muon(torch.optim.Optimizer):
    """Muon for the matrices and kernels of a network; see the head of this file.

    Args:
        params: weights of two or more dimensions, or groups of them as ``torch.optim`` takes
            them. A kernel is read as a matrix with one row an output channel.
        lr: length of a step, > 0. Not comparable with AdamW's: about 0.02.
        momentum: share of the past in each step, in [0, 1).
        weight_decay: each step first takes ``lr * weight_decay`` of the weights away.

    Raises:
        UserError: there is no weight, one has fewer than two dimensions, or a setting is out of
            range.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        if not 0 < lr < math.inf or not 0 <= momentum < 1 or not 0 <= weight_decay < math.inf:
            raise UserError(
                "Muon needs lr > 0, momentum in [0, 1) and weight_decay >= 0, "
                f"got {lr}, {momentum}, {weight_decay}"
            )
        params = list(params)
        if not params:
            raise UserError("Muon has nothing to orthogonalise: the list of weights is empty")
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.ndim < 2:
                    raise UserError(
                        "Muon orthogonalises matrices and kernels, got a weight of shape "
                        f"{tuple(weight.shape)}: leave it to AdamW"
                    )

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Take one step; a weight without a gradient stays where it is."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            lr, momentum, decay = group["lr"], group["momentum"], group["weight_decay"]
            for weight in group["params"]:
                gradient = weight.grad
                if gradient is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(gradient)
                average = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
                ahead = gradient.lerp(average, momentum).flatten(1)  # (rows, columns)
                update = orthogonalise(ahead).reshape(weight.shape)
                rows, columns = ahead.shape
                weight.mul_(1 - lr * decay)
                weight.add_(update, alpha=-lr * math.sqrt(max(1, rows / columns)))
        return loss
