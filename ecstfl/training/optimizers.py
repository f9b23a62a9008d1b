"""How the weights move: which optimiser takes which of them, and the learning rate over a run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim import AdamW, Optimizer

from ecstfl.runs.config import OptimConfig


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
    """Return the optimisers of network and loss by name: AdamW for all."""
    # fused: one pass over the weights instead of seven. It rounds in another order, so fp32 runs,
    # some of which are landed to the digit, keep the plain one.
    fused = config.precision == "bf16"
    groups = weight_groups(model, loss, config.weight_decay)
    return {"adamw": AdamW(groups, lr=config.lr, fused=fused)}


def weight_groups(model: nn.Module, loss: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Decay kernels and matrices; biases and BatchNorm's scales have nothing to shrink to.

    Class centres that are learned follow the embeddings: they have a group without decay.
    """
    kernels = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    centres = list(loss.parameters())
    return [*groups, {"params": centres, "weight_decay": 0.0}] if centres else groups
