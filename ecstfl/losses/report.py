"""What one batch looks like to the loss, in numbers that can be compared across forms and sizes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ecstfl.losses import engine
from ecstfl.losses.checks import check_batch
from ecstfl.losses.ec_stfl import check_form


@torch.no_grad()
def within_between_ratio(embeddings: Tensor, labels: Tensor, *, p: float = 2.0) -> Tensor:
    """Mean distance within classes over mean distance between classes: free of n, C and scale.

    The one number that can be compared across forms, batch sizes and weights: 0 when every
    class is a point, about 1 when labels say nothing about the features.

    Args:
        embeddings: (n, d) features.
        labels: (n,) integers.
        p: order of the norm, 1 or 2.

    Returns:
        Scalar float32 >= 0 without gradient; 1 (no separation) where it is not defined: one
        class only, no two samples of one class, or all samples at one point.

    Raises:
        ValueError: as `ec_stfl_loss`.
    """
    p = check_form("patent", p)
    check_batch(embeddings, labels)
    return engine.within_between(engine.run(embeddings, labels, "patent", p)[1])


@dataclass(frozen=True)
class BatchReport:
    """What one batch looks like to the loss.

    Attributes:
        n: batch size.
        classes: classes present, C.
        alone: samples without a partner of their class (numerator 0).
        left_out: terms without a denominator; n when ``classes`` is 1.
        loss: value of the form asked for.
        size_free: the loss without its dependence on n and C: patent loss * (C-1)/n, paper
            loss * (C-1); both about d_within/d_between. ``None`` for the released form, whose
            value depends on the scale of the features too.
        ratio: `within_between_ratio`.
    """

    n: int
    classes: int
    alone: int
    left_out: int
    loss: float
    size_free: float | None
    ratio: float


@torch.no_grad()
def batch_report(
    embeddings: Tensor, labels: Tensor, form: str = "patent", *, p: float | None = None
) -> BatchReport:
    """Describe one batch; arguments and errors as `ec_stfl_loss`."""
    p = check_form(form, p)
    check_batch(embeddings, labels)
    loss, sums = engine.run(embeddings, labels, form, p)
    counts = torch.unique(labels, return_counts=True)[1]
    n, classes = len(labels), len(counts)
    factor = {"patent": (classes - 1) / n, "paper": classes - 1}.get(form)
    return BatchReport(
        n=n,
        classes=classes,
        alone=int((counts == 1).sum()),
        left_out=int((sums.b <= 0).sum()),
        loss=loss.item(),
        size_free=None if factor is None else loss.item() * factor,
        ratio=within_between_ratio(embeddings, labels).item(),
    )
