"""What a run can be trained with: cross-entropy, joined by EC-STFL or by a baseline.

Every method is called in the same way and reports the same parts, so that one training loop
serves all, and EC-STFL's value and the within/between ratio can be compared across methods.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ecstfl.errors import UserError, one_of
from ecstfl.losses.baselines import BASELINES, build_baseline
from ecstfl.losses.ec_stfl import FORMS
from ecstfl.losses.joint import JointLoss, Schedule, constant

METHODS = ("softmax", "ec-stfl", *BASELINES)
"""Names of the methods, as in :class:`LossConfig`."""


@dataclass(frozen=True)
class LossConfig:
    """L = CE + weight * EC-STFL (claim 4), or a baseline in its place.

    Attributes:
        method: ``softmax`` (cross-entropy alone), ``ec-stfl``, or one of
            :data:`ecstfl.losses.baselines.BASELINES`.
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


def build_method(
    config: LossConfig, classes: int, dim: int, seed: int, *, schedule: Schedule = constant
) -> JointLoss:
    """Build the joint loss of a configuration.

    Args:
        config: method, form and weight.
        classes: number of classes.
        dim: d of the tapped embeddings.
        seed: of the first class centres, where they are drawn; the global generator is left alone.
        schedule: factor on lambda over the training; ``warmup(0.0, 0.25)`` raises it from 0 over
            the first quarter.

    Raises:
        UserError: the method comes from a package that is not installed.
    """
    if config.method in ("softmax", "ec-stfl"):
        return JointLoss(config.weight, config.form, schedule=schedule)
    baseline = build_baseline(config.method, classes, dim, seed=seed)
    return JointLoss(config.weight, baseline=baseline, schedule=schedule)
