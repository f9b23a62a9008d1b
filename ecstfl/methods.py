"""The table's methods: cross-entropy joined by EC-STFL or by one of its cousins.

Every method is called in the same way and reports the same parts, so that one training loop
serves all, and EC-STFL's value and the within/between ratio can be compared across methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from ecstfl.cousins import cousin
from ecstfl.loss import JointLoss

if TYPE_CHECKING:
    from ecstfl.config import LossConfig


class CousinJointLoss(nn.Module):
    """L = CE + weight * cousin, in the place of EC-STFL.

    Args:
        name: one of :data:`ecstfl.cousins.COUSINS`.
        weight: lambda >= 0; not comparable between methods (center loss is a sum over the
            batch of squared distances; the paper's lambda for it is 1e-4).
        classes: number of classes.
        dim: d of the embeddings.
        seed: of the first class centres, where they are drawn.

    Raises:
        ValueError: unknown name, negative or non-finite weight.
        UserError: the cousin comes from a package that is not installed.
    """

    def __init__(self, name: str, weight: float, classes: int, dim: int, seed: int = 0) -> None:
        super().__init__()
        if not 0 <= weight < float("inf"):
            raise ValueError(f"weight (lambda): expected a finite number >= 0, got {weight}")
        self.weight = float(weight)
        self.softmax = JointLoss(weight=0.0)  # cross-entropy, EC-STFL only measured
        self.cousin = cousin(name, classes, dim, seed=seed)

    def forward(
        self, logits: Tensor, embeddings: Tensor, labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """As :meth:`ecstfl.loss.JointLoss.forward`, with one more part, ``cousin``.

        ``cousin`` is not multiplied by lambda; ``ec_stfl`` (patent form) is measured and does
        not reach the gradient.
        """
        ce, parts = self.softmax(logits, embeddings, labels)
        loss = self.cousin(embeddings, labels)
        total = ce + self.weight * loss if self.weight else ce
        return total, parts | {"cousin": loss.detach()}

    def counts(self) -> dict[str, int]:
        """As :meth:`ecstfl.loss.ECSTFLLoss.counts`."""
        return self.softmax.counts()

    def reset_counts(self) -> None:
        """As :meth:`ecstfl.loss.ECSTFLLoss.reset_counts`."""
        self.softmax.reset_counts()


MethodLoss = JointLoss | CousinJointLoss


def build_method(config: LossConfig, classes: int, dim: int, seed: int) -> MethodLoss:
    """Build the joint loss of a configuration.

    Args:
        config: method, form and weight.
        classes: number of classes.
        dim: d of the tapped embeddings.
        seed: of what the loss draws; the global generator is left alone.

    Raises:
        UserError: the method comes from a package that is not installed.
    """
    if config.method in ("softmax", "ec-stfl"):
        return JointLoss(weight=config.weight, form=config.form)
    return CousinJointLoss(config.method, config.weight, classes, dim, seed)
