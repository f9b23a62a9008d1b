"""From stored clips to logits and embeddings in a training step, on one process or several.

:func:`training_views` augments, :func:`network_in_training` runs the network: in the precision of
the run, compiled if asked, each process its own rows. What comes out are the logits and tapped
embeddings of the whole batch, because EC-STFL compares every clip with every other.

Only forward and backward of the network are compiled: augmentation, losses and optimiser are small
beside them, and scoring stays as it is, so that a network is judged by the same operators whoever
trained it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Final

import torch
from torch import Tensor, nn

from ecstfl.clips.augment import AugmentConfig, training_view
from ecstfl.distributed import gather, local_rows, world_size
from ecstfl.errors import UserError
from ecstfl.models.tap import Tap
from ecstfl.runs.config import RunConfig
from ecstfl.training.data_parallel import replicated
from ecstfl.training.malloc import keep_freed_memory

Network = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Views (n, 3, T, S, S) -> (logits (n, classes), embeddings (n, d))."""

_MODES: Final = {"on": None, "graphs": "reduce-overhead"}


def training_views(stored: Tensor, config: AugmentConfig, draws: torch.Generator) -> Tensor:
    """Draw one random view of each clip (n, T, H, W, 3) uint8: (n, 3, frames, size, size) float.

    Of several processes each makes its own rows, as one process would have made them.
    """
    return training_view(stored, config, draws, local_rows(len(stored)))


@contextlib.contextmanager
def network_in_training(model: nn.Module, config: RunConfig, device: str) -> Iterator[Network]:
    """Yield the function that a training step calls: views -> logits and tapped embeddings.

    Args:
        model: its parameters are trained.
        config: precision, tap and compilation.
        device: ``cpu`` or ``cuda``.

    Raises:
        UserError: it cannot be compiled here, or this CPU cannot run an LSTM in bfloat16.
    """
    _check_bfloat16(model, config, device)
    if device == "cpu":
        keep_freed_memory()
    with Tap(*replicated(model, config.backbone.tap)) as tap:
        run = compiled(tap, config.optim.compile, device)

        def network(views: Tensor) -> tuple[Tensor, Tensor]:
            with torch.autocast(device, torch.bfloat16, enabled=config.optim.precision == "bf16"):
                logits, embeddings = run(views)
            return gather(logits), gather(embeddings)

        yield network


def _check_bfloat16(model: nn.Module, config: RunConfig, device: str) -> None:
    """Refuse an LSTM in bfloat16 where the CPU has no units for it: oneDNN has no such kernel."""
    if config.optim.precision != "bf16" or device != "cpu":
        return
    lstm = any(isinstance(part, nn.LSTM) for part in model.modules())
    if lstm and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        raise UserError(
            f"{config.backbone.name} has an LSTM, which this CPU cannot train in bfloat16: "
            "give --precision fp32"
        )


def compiled(tap: Tap, how: str, device: str) -> Network:
    """Return a tapped network through ``torch.compile``, on a GPU as CUDA graphs if asked.

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
    if world_size() > 1:
        raise UserError("--compile is for one process: leave it out under torchrun")
    network = torch.compile(tap, mode=_MODES[how], dynamic=False)

    def run(views: Tensor) -> tuple[Tensor, Tensor]:
        if how == "graphs":
            torch.compiler.cudagraph_mark_step_begin()  # the last step's outputs may be overwritten
        try:
            return network(views)
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"torch.compile failed: {reason}; leave --compile out") from error

    return run
