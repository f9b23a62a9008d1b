"""How the weights move: which optimiser takes which of them, and the learning rate over a run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn
from torch.optim import AdamW, Optimizer

from ecstfl.runs.config import OptimConfig
from ecstfl.training.muon import Muon


def learning_rate(step: int, steps: int, peak: float, share: float = 0.3) -> float:
    """One cycle: up from peak/25 over a share of the steps, then down a cosine to ~0."""
    rise = max(1, round(share * steps))
    if step < rise:
        low = peak / 25
        return low + (peak - low) * (1 - math.cos(math.pi * step / rise)) / 2
    return peak * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise))) / 2


def set_learning_rates(optimizers: Iterable[Optimizer], step: int, steps: int, rise: float) -> None:
    """Set the rate of a step: each optimiser has its own peak, all follow one cycle."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, optimizer.defaults["lr"], rise)


def build_optimizers(
    model: nn.Module, loss: nn.Module, config: OptimConfig
) -> dict[str, Optimizer]:
    """Return the optimisers of network and loss by name; every parameter is in one of them.

    ``adamw`` takes everything. With ``optimizer="muon"`` Muon takes the matrices and kernels
    inside the network, and leaves biases, BatchNorm, class centres and the classifier to AdamW.

    Raises:
        UserError: Muon finds nothing to orthogonalise.
    """
    inner = inner_weights(model) if config.optimizer == "muon" else []
    # fused: one pass over the weights instead of seven. It rounds in another order, so fp32 runs,
    # some of which are landed to the digit, keep the plain one.
    fused = config.precision == "bf16"
    groups = weight_groups(model, loss, config.weight_decay, inner)
    optimizers: dict[str, Optimizer] = {"adamw": AdamW(groups, lr=config.lr, fused=fused)}
    if config.optimizer == "muon":
        optimizers["muon"] = Muon(inner, lr=config.muon_lr, weight_decay=config.weight_decay)
    return optimizers


def inner_weights(model: nn.Module) -> list[nn.Parameter]:
    """Return matrices and kernels but the last, which is the classifier's."""
    return [p for p in model.parameters() if p.ndim > 1][:-1]


def weight_groups(
    model: nn.Module, loss: nn.Module, decay: float, without: Sequence[nn.Parameter] = ()
) -> list[dict[str, Any]]:
    """Decay kernels and matrices; biases and BatchNorm's scales have nothing to shrink to.

    Class centres that are learned follow the embeddings: they have a group without decay. What
    another optimiser takes is left out.
    """
    taken = set(map(id, without))
    kernels = [p for p in model.parameters() if p.ndim > 1 and id(p) not in taken]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    centres = list(loss.parameters())
    return [*groups, {"params": centres, "weight_decay": 0.0}] if centres else groups
