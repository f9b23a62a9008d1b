"""The network's training step as ``torch.compile`` writes it, on a GPU as CUDA graphs if asked.

Only forward and backward of the network are compiled: augmentation, losses and optimiser are small
beside them, and scoring stays as it is, so that a network is judged by the same operators whoever
trained it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from ecstfl.errors import UserError
from ecstfl.models.tap import Tap
from ecstfl.training.parallel import crew

Tapped = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Clips (n, 3, T, S, S) -> (logits (n, classes), embeddings (n, d))."""

_MODES: Final = {"on": None, "graphs": "reduce-overhead"}


def compiled(tap: Tap, how: str, device: str) -> Tapped:
    """Return a tapped network as it is called in training.

    Args:
        tap: of the network in training; it must stay open.
        how: one of :data:`ecstfl.runs.config.COMPILES`.
        device: ``cpu`` or ``cuda``.

    Returns:
        ``tap`` itself for ``off``. Else a function that compiles when it first meets a batch size
        (an epoch has two: the last batch is smaller) and raises UserError when that fails, for
        example for want of a C++ compiler.

    Raises:
        UserError: graphs without a GPU, or several processes train one run.
    """
    if how == "off":
        return tap
    if how == "graphs" and device != "cuda":
        raise UserError("CUDA graphs need a GPU: on the CPU use --compile on, or leave it out")
    if not crew().alone:
        raise UserError("--compile is for one process: leave it out under torchrun")
    network = torch.compile(tap, mode=_MODES[how], dynamic=False)

    def run(clips: Tensor) -> tuple[Tensor, Tensor]:
        if how == "graphs":
            torch.compiler.cudagraph_mark_step_begin()  # the last step's outputs may be overwritten
        try:
            return network(clips)
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"torch.compile failed: {reason}; leave --compile out") from error

    return run
