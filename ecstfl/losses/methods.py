"""The table's methods: cross-entropy joined by EC-STFL or by one of its cousins.

Every method is called in the same way and reports the same parts, so that one training loop
serves all, and EC-STFL's value and the within/between ratio can be compared across methods.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from ecstfl.errors import UserError, one_of
from ecstfl.losses.baselines import COUSINS, cousin
from ecstfl.losses.ec_stfl import FORMS, JointLoss, constant, weight_at

METHODS = ("softmax", "ec-stfl", *COUSINS)
"""Names of the methods, as in :class:`LossConfig`."""


@dataclass(frozen=True)
class LossConfig:
    """L = CE + weight * EC-STFL (claim 4), or a cousin in its place.

    Attributes:
        method: ``softmax`` (cross-entropy alone), ``ec-stfl``, or one of
            :data:`ecstfl.losses.baselines.COUSINS`.
        form: which published definition of EC-STFL, see :mod:`ecstfl.losses.ec_stfl`; no other
            method has forms.
        weight: the patent's lambda, >= 0; forced to 0 for ``softmax``. Not comparable between
            methods.
        warmup: share of the training, 0..1, over which lambda rises in a line from 0.
    """

    method: str = "softmax"
    form: str = "patent"
    weight: float = 0.0
    warmup: float = 0.0

    def __post_init__(self) -> None:
        one_of("method", self.method, METHODS)
        one_of("form", self.form, FORMS)
        if not 0 <= self.weight < math.inf:
            raise UserError(
                f"the weight lambda must not be negative, and a number, got {self.weight}"
            )
        if self.method not in ("softmax", "ec-stfl") and self.form != "patent":
            raise UserError(f"{self.method} has no forms, got form {self.form!r}")
        if self.method == "softmax" and self.weight:
            raise UserError(f"softmax-only training has weight 0, got {self.weight}")
        if not 0 <= self.warmup <= 1:
            raise UserError(f"warm-up is a share of the training, 0 to 1, got {self.warmup}")
        if self.warmup and not self.weight:
            raise UserError(f"a weight of 0 has nothing to warm up, got warmup {self.warmup}")


def method_names(method: LossConfig) -> tuple[str, ...]:
    """Return what a method is called on the command line, from the widest name to the narrowest.

    ``ec-stfl``, ``ec-stfl:patent``, ``ec-stfl:patent:0.1``; ``center``, ``center:1e-05``.
    """
    if method.method == "softmax":
        return ("softmax",)
    form = f"ec-stfl:{method.form}" if method.method == "ec-stfl" else method.method
    return tuple(dict.fromkeys((method.method, form, f"{form}:{method.weight:g}")))


class CousinJointLoss(nn.Module):
    """L = CE + weight * cousin, in the place of EC-STFL.

    Args:
        name: one of :data:`ecstfl.losses.baselines.COUSINS`.
        weight: lambda >= 0; not comparable between methods (center loss is a sum over the
            batch of squared distances; the paper's lambda for it is 1e-4).
        classes: number of classes.
        dim: d of the embeddings.
        seed: of the first class centres, where they are drawn.
        schedule: progress 0..1 -> factor >= 0 on lambda, as in `JointLoss`.

    Raises:
        ValueError: unknown name, negative or non-finite weight.
        UserError: the cousin comes from a package that is not installed.
    """

    def __init__(
        self,
        name: str,
        weight: float,
        classes: int,
        dim: int,
        seed: int = 0,
        *,
        schedule: Callable[[float], float] = constant,
    ) -> None:
        super().__init__()
        self.weight = float(weight)
        self.schedule = schedule
        self.set_progress(0.0)
        self.softmax = JointLoss(weight=0.0)  # cross-entropy, EC-STFL only measured
        self.cousin = cousin(name, classes, dim, seed=seed)

    def set_progress(self, progress: float) -> None:
        """As :meth:`ecstfl.losses.ec_stfl.JointLoss.set_progress`."""
        self.current_weight = weight_at(self.weight, self.schedule, progress)

    def forward(
        self, logits: Tensor, embeddings: Tensor, labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """As :meth:`ecstfl.losses.ec_stfl.JointLoss.forward`, with one more part, ``cousin``.

        ``cousin`` is not multiplied by lambda; ``ec_stfl`` (patent form) is measured and does
        not reach the gradient.
        """
        ce, parts = self.softmax(logits, embeddings, labels)
        loss = self.cousin(embeddings, labels)
        total = ce + self.current_weight * loss if self.current_weight else ce
        return total, parts | {"cousin": loss.detach()}

    def counts(self) -> dict[str, int]:
        """As :meth:`ecstfl.losses.ec_stfl.ECSTFLLoss.counts`."""
        return self.softmax.counts()

    def reset_counts(self) -> None:
        """As :meth:`ecstfl.losses.ec_stfl.ECSTFLLoss.reset_counts`."""
        self.softmax.reset_counts()


MethodLoss = JointLoss | CousinJointLoss


def build_method(
    config: LossConfig,
    classes: int,
    dim: int,
    seed: int,
    *,
    schedule: Callable[[float], float] = constant,
) -> MethodLoss:
    """Build the joint loss of a configuration.

    Every method has ``set_progress(progress)``, which sets the lambda of the moment,
    ``current_weight``; ``schedule=warmup(0.0, 0.25)`` raises it from 0 over the first quarter.

    Args:
        config: method, form and weight.
        classes: number of classes.
        dim: d of the tapped embeddings.
        seed: of what the loss draws; the global generator is left alone.
        schedule: progress 0..1 -> factor on lambda.

    Raises:
        UserError: the method comes from a package that is not installed.
    """
    if config.method in ("softmax", "ec-stfl"):
        return JointLoss(weight=config.weight, form=config.form, schedule=schedule)
    return CousinJointLoss(config.method, config.weight, classes, dim, seed, schedule=schedule)
