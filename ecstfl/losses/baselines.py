"""Losses to compare EC-STFL with, all called as ``loss(embeddings, labels) -> scalar``.

====================  =====================================================================
name                  source
====================  =====================================================================
center                Wen et al., ECCV 2016, Eqs 2-4: 1/2 sum_i ||x_i - c_{y_i}||^2
contrastive-center    Qi & Su, ICIP 2017 (arXiv 1707.07391):
                      1/2 sum_i ||x_i - c_{y_i}||^2 / (sum_{j != y_i} ||x_i - c_j||^2 + delta)
supcon                Khosla et al., NeurIPS 2020; pytorch-metric-learning's SupConLoss
triplet               Schroff et al., CVPR 2015; pytorch-metric-learning's TripletMarginLoss
====================  =====================================================================

Contrastive-center is the nearest relative of the patent's form: the same ratio, with learned class
centres in the place of the batch's own samples, and squared distances. Center and
contrastive-center grow with the batch (a sum, as published); the other two do not.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from ecstfl.errors import UserError
from ecstfl.losses.checks import check_batch, check_labels

BASELINES: Final = ("center", "contrastive-center", "supcon", "triplet")
"""Names that `build_baseline` knows."""


def _wide(embeddings: Tensor) -> Tensor:
    return embeddings if embeddings.dtype == torch.float64 else embeddings.float()


class CenterLoss(nn.Module):
    """Center loss: 1/2 sum_i ||x_i - c_{y_i}||^2, centres following their class.

    Centres are no parameters: after each training batch c_j moves by
    alpha * sum_{y_i = j} (x_i - c_j) / (1 + |{y_i = j}|) (Eq. 4). They start at 0. In
    evaluation mode they stay.

    Args:
        classes: number of classes.
        dim: d of the embeddings.
        alpha: 0..1, speed of the centres; 0.5 as published.

    Raises:
        ValueError: classes or dim below 1, alpha outside 0..1.
    """

    def __init__(self, classes: int, dim: int, alpha: float = 0.5) -> None:
        super().__init__()
        _check_sizes(classes, dim)
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha: expected 0..1, got {alpha}")
        self.alpha = alpha
        self.register_buffer("centers", torch.zeros(classes, dim))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Scalar loss of (n, d) embeddings and (n,) labels 0..classes-1."""
        _check_all(embeddings, labels, self.centers)
        with torch.autocast(device_type=embeddings.device.type, enabled=False):
            x, labels = _wide(embeddings), labels.long()
            away = x - self.centers.to(x)[labels]
            loss = 0.5 * (away * away).sum()
            if self.training:
                with torch.no_grad():
                    moved = self.centers.new_zeros(self.centers.shape)
                    moved.index_add_(0, labels, away.to(moved))
                    count = torch.bincount(labels, minlength=len(moved)).to(moved)
                    # out of place: the graph of this batch still needs the old centres
                    self.centers = self.centers + self.alpha * moved / (1 + count)[:, None]
        return loss


class ContrastiveCenterLoss(nn.Module):
    """Contrastive-center loss; its centres are parameters and need to be in the optimiser.

    Args:
        classes: number of classes.
        dim: d of the embeddings.
        delta: > 0, keeps the denominator from 0; 1 as published.
        seed: of the normal start of the centres.

    Raises:
        ValueError: classes or dim below 1, delta not above 0.
    """

    def __init__(self, classes: int, dim: int, delta: float = 1.0, seed: int = 0) -> None:
        super().__init__()
        _check_sizes(classes, dim)
        if not delta > 0:
            raise ValueError(f"delta: expected a number > 0, got {delta}")
        self.delta = delta
        generator = torch.Generator().manual_seed(seed)
        self.centers = nn.Parameter(torch.randn(classes, dim, generator=generator))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Scalar loss of (n, d) embeddings and (n,) labels 0..classes-1."""
        _check_all(embeddings, labels, self.centers)
        with torch.autocast(device_type=embeddings.device.type, enabled=False):
            x, labels = _wide(embeddings), labels.long()
            # one class at a time, by differences: (n, classes) squared distances
            square = torch.stack(
                [((x - c) ** 2).sum(dim=1) for c in self.centers.to(x)],
                dim=1,
            )
            own = nn.functional.one_hot(labels, len(self.centers)).bool()
            above = torch.where(own, square, 0).sum(dim=1)
            below = torch.where(own, 0, square).sum(dim=1)
            return 0.5 * (above / (below + self.delta)).sum()


class _Library(nn.Module):
    """A pytorch-metric-learning loss behind the checks and the precision of this package."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Scalar loss of (n, d) embeddings and (n,) labels."""
        check_batch(embeddings, labels)
        with torch.autocast(device_type=embeddings.device.type, enabled=False):
            return self.loss(_wide(embeddings), labels)


def _check_sizes(classes: int, dim: int) -> None:
    if classes < 1 or dim < 1:
        raise ValueError(f"classes and dim: expected both >= 1, got {classes} and {dim}")


def _check_all(embeddings: Tensor, labels: Tensor, centers: Tensor) -> None:
    check_batch(embeddings, labels)
    check_labels(labels, len(centers))
    if embeddings.shape[1] != centers.shape[1]:
        raise ValueError(
            f"embeddings: expected d = {centers.shape[1]} (as the centres), "
            f"got {embeddings.shape[1]}"
        )
    if embeddings.device != centers.device:
        raise ValueError(
            f"embeddings: expected device {centers.device} (as the centres), "
            f"got {embeddings.device}"
        )


def build_baseline(name: str, classes: int, dim: int, *, seed: int = 0) -> nn.Module:
    """Build a loss to compare with; each is called as ``loss(embeddings, labels)``.

    Supcon (temperature 0.1) and triplet (margin 0.2, squared L2 distances) scale the features to
    length 1.

    Args:
        name: one of `BASELINES`.
        classes: number of classes (center, contrastive-center).
        dim: d of the embeddings (center, contrastive-center).
        seed: see `ContrastiveCenterLoss`.

    Raises:
        ValueError: unknown name.
        UserError: supcon and triplet need pytorch-metric-learning, which is not installed.
    """
    if name not in BASELINES:
        raise ValueError(f"name: expected one of {', '.join(BASELINES)}, got {name!r}")
    if name == "center":
        return CenterLoss(classes, dim)
    if name == "contrastive-center":
        return ContrastiveCenterLoss(classes, dim, seed=seed)
    try:
        from pytorch_metric_learning import distances, losses
    except ImportError as error:
        raise UserError(
            f"the loss {name!r} comes from pytorch-metric-learning, which is not installed: "
            "pip install 'ecstfl[cousins]'"
        ) from error
    if name == "supcon":
        return _Library(losses.SupConLoss(temperature=0.1))
    # said aloud, because the library's defaults scale features to length 1 without a word
    squared = distances.LpDistance(normalize_embeddings=True, p=2, power=2)
    return _Library(losses.TripletMarginLoss(margin=0.2, distance=squared))
