"""What one epoch adds up to: the mean loss and its terms, the training accuracy, or divergence."""

from __future__ import annotations

from torch import Tensor

from ecstfl.errors import UserError
from ecstfl.runs.config import RunConfig


class Meter:
    """Sums over the clips of an epoch.

    They stay on the device until the epoch's end: reading one would wait for the GPU each step.
    """

    def __init__(self, config: RunConfig, epoch: int) -> None:
        self._config, self._epoch = config, epoch
        self._sums: dict[str, Tensor | float] = {}
        self._right: Tensor | int = 0
        self._clips = 0

    def add(self, loss: Tensor, terms: dict[str, Tensor], logits: Tensor, labels: Tensor) -> None:
        """Count a part of a batch: loss and terms () are means over its n clips."""
        n = len(labels)
        for name, value in {"loss": loss.detach(), **terms}.items():
            self._sums[name] = self._sums.get(name, 0.0) + value.double() * n
        self._right = self._right + (logits.detach().argmax(1) == labels).sum()
        self._clips += n

    def record(self) -> dict[str, float]:
        """Return means over the clips, ``train_war`` in 0..1, and the epoch, counted from 1."""
        means = {name: float(total) / self._clips for name, total in self._sums.items()}
        return means | {"epoch": self._epoch + 1, "train_war": int(self._right) / self._clips}

    def stop_unless_finite(self, step: int, *tensors: Tensor) -> None:
        """End the run with a sentence when a tensor holds NaN or infinity.

        Raises:
            UserError: it does.
        """
        if all(bool(tensor.isfinite().all()) for tensor in tensors):
            return
        done = self._epoch
        kept = f"the checkpoint of epoch {done} is kept" if done else "no epoch was finished"
        raise UserError(
            f"{self._config.name}: the loss became NaN or infinite at epoch {self._epoch + 1}, "
            f"step {step + 1}; {kept}; try a lower lr or a lower weight"
        )
