"""The loss of training, L = L_S + lambda L_EC-STFL (claim 4), and lambda over the training."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from ecstfl import distributed
from ecstfl.losses.checks import check_labels
from ecstfl.losses.ec_stfl import ECSTFLLoss

Schedule = Callable[[float], float]
"""Progress of the training, 0..1 -> factor >= 0 on lambda."""


def constant(progress: float) -> float:
    """Schedule of lambda that leaves it as it is."""
    return 1.0


def warmup(start: float = 0.0, end: float = 0.1) -> Schedule:
    """Schedule of lambda: 0 until ``start``, then linear to 1 at ``end`` (parts of training).

    Raises:
        ValueError: not 0 <= start < end <= 1.
    """
    if not 0 <= start < end <= 1:
        raise ValueError(f"warmup: expected 0 <= start < end <= 1, got {start} and {end}")
    return lambda progress: min(1.0, max(0.0, (progress - start) / (end - start)))


class JointLoss(nn.Module):
    """L = L_S + lambda L_EC-STFL (claim 4; paper, Eq. 10), or with a baseline in its place.

    Args:
        weight: lambda >= 0; 0 trains on the softmax loss alone, and nothing of EC-STFL reaches
            the gradient. Not comparable across forms, batch sizes or losses (docs/loss.md).
        form: ``patent``, ``paper`` or ``released``.
        p: order of the norm; ``None`` takes the published one.
        baseline: another loss of (embeddings, labels) that takes EC-STFL's place, see
            :mod:`ecstfl.losses.baselines`. EC-STFL is then measured, and does not reach the
            gradient.
        schedule: factor on lambda over the training; see `set_progress`, `warmup`.
        gather: all losses over the batch of all `torch.distributed` ranks.

    Raises:
        ValueError: negative or non-finite weight, unknown form or norm.
    """

    def __init__(
        self,
        weight: float = 0.0,
        form: str = "patent",
        *,
        p: float | None = None,
        baseline: nn.Module | None = None,
        schedule: Schedule = constant,
        gather: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= weight < float("inf"):
            raise ValueError(f"weight (lambda): expected a finite number >= 0, got {weight}")
        self.weight = float(weight)
        self.schedule = schedule
        self.gather = gather
        self.ec_stfl = ECSTFLLoss(form, p=p)
        self.baseline = baseline
        self.set_progress(0.0)

    def set_progress(self, progress: float) -> None:
        """Tell how much of the training is done, 0..1: sets ``current_weight`` by the schedule.

        Raises:
            ValueError: progress outside 0..1, or the schedule gives a negative or non-finite
                factor.
        """
        if not 0 <= progress <= 1:
            raise ValueError(f"progress: expected 0..1, got {progress}")
        factor = float(self.schedule(progress))
        if not 0 <= factor < float("inf"):
            raise ValueError(f"schedule({progress}): expected a finite factor >= 0, got {factor}")
        self.current_weight = self.weight * factor

    def extra_repr(self) -> str:
        """Lambda, as printed."""
        return f"weight={self.weight:g}, gather={self.gather}"

    def forward(
        self, logits: Tensor, embeddings: Tensor, labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Joint loss of one batch.

        Args:
            logits: (n, classes), before the softmax.
            embeddings: (n, d), output of the tapped layer.
            labels: (n,) integers 0..classes-1.

        Returns:
            Total (scalar, with gradient) and its parts without gradient: ``ce``, ``ec_stfl``,
            ``ratio`` (mean within / mean between distance) and, where there is one, ``baseline``.
            No part is multiplied by lambda.

        Raises:
            ValueError: as `ec_stfl_loss`, or logits of another shape.
        """
        if logits.ndim != 2 or len(logits) != len(labels):
            raise ValueError(
                f"logits: expected shape ({len(labels)}, classes), got {tuple(logits.shape)}"
            )
        # cross entropy would skip -100 in silence, and stop a GPU at any other wrong label
        check_labels(labels, logits.shape[1], f" for {logits.shape[1]} logits")
        if self.gather:
            logits, embeddings, labels = map(distributed.gather, (logits, embeddings, labels))
        ce = self._cross_entropy(logits, labels)
        trained = self.current_weight > 0 and self.baseline is None
        measured = embeddings if trained else embeddings.detach()
        loss, ratio = self.ec_stfl.measure(measured, labels)
        parts = {"ce": ce.detach(), "ec_stfl": loss.detach(), "ratio": ratio}
        if self.baseline is not None:
            loss = self.baseline(embeddings, labels)
            parts["baseline"] = loss.detach()
        return ce + self.current_weight * loss if self.current_weight else ce, parts

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Softmax loss in float32 or wider, outside autocast."""
        with torch.autocast(device_type=logits.device.type, enabled=False):
            logits = logits if logits.dtype == torch.float64 else logits.float()
            return functional.cross_entropy(logits, labels.long())

    def counts(self) -> dict[str, int]:
        """As `ECSTFLLoss.counts`."""
        return self.ec_stfl.counts()

    def reset_counts(self) -> None:
        """As `ECSTFLLoss.reset_counts`."""
        self.ec_stfl.reset_counts()
