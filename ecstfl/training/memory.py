"""Out of memory: recognise it in all its spellings, and find the batch that would have fitted."""

from __future__ import annotations

import gc
from collections.abc import Callable

import torch

from ecstfl.errors import UserError
from ecstfl.runs.config import RunConfig

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


def out_of_memory(config: RunConfig, step: Callable[[int], None]) -> UserError:
    """Return the sentence for a run that ran out of memory, with the batch that would fit.

    Call it outside the ``except`` clause: there, the failed step's tensors are still alive.
    """
    _free()
    fits = fitting_batch(step, config.optim.batch)
    advice = (
        f"a batch of {fits} would fit (--batch {fits}; another batch is another experiment)"
        if fits
        else "not even a batch of 2 fits: take a smaller width, fewer frames or more memory"
    )
    return UserError(f"{config.name}: out of memory at batch {config.optim.batch}; {advice}")


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
