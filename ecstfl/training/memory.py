"""Out of memory: recognise it in all its spellings, and find the batch that would have fitted."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ecstfl.clips.cache import StoredClips
from ecstfl.datasets.clipset import ClipSet
from ecstfl.distributed import world_size
from ecstfl.errors import UserError
from ecstfl.runs.config import RunConfig
from ecstfl.training.trial import trial_steps

Run = dict[str, Any]

_SPELLINGS = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "could not create a memory object",  # oneDNN
    "could not create a primitive",  # oneDNN, whose kernels need memory of their own
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory ran out, on the CPU or the GPU."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _SPELLINGS)


def fitting_batch(step: Callable[[int], None], batch: int) -> int:
    """Return the largest of batch/2, batch/4, ..., 2 for which ``step`` goes through, or 0.

    Args:
        step: one training step with so many clips; whatever it makes must be gone afterwards.
        batch: the size that did not fit.

    Raises:
        Exception: what ``step`` raises, unless it is memory running out.
    """
    while batch > 2:
        batch = max(2, batch // 2)
        try:
            step(batch)
            return batch
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        _free()
    return 0


def explain_out_of_memory(train: Callable[..., Run]) -> Callable[..., Run]:
    """Let a training that runs out of memory end in a sentence, with the batch that would fit."""

    @functools.wraps(train)
    def run(
        config: RunConfig,
        clipset: ClipSet,
        clips: np.ndarray | StoredClips,
        results: Path,
        *,
        device: str = "cpu",
        **options: Any,
    ) -> Run:
        try:
            return train(config, clipset, clips, results, device=device, **options)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        # outside the except clause: there, the failed step would still hold its memory
        _free()
        raise UserError(
            f"{config.name}: out of memory at batch {config.optim.batch}"
            + _advice(config, clips, device)
        )

    return run


def _advice(config: RunConfig, clips: np.ndarray | StoredClips, device: str) -> str:
    batch = config.optim.batch
    if world_size() > 1:  # a trial step would wait for the others
        return f" over {world_size()} processes; try --batch {batch // 2}"

    def step(batch: int) -> None:
        smaller = replace(config, optim=replace(config.optim, batch=batch, accumulate=1))
        trial_steps(smaller, clips, device, 2)

    fits = fitting_batch(step, batch)
    if fits:
        return (
            f"; a batch of {fits} would fit (--batch {fits}; another batch is another experiment)"
        )
    return "; not even a batch of 2 fits: take a smaller width, fewer frames or more memory"


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
