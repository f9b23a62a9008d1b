"""Out of memory: recognised in all its spellings, and told in a sentence."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from ecstfl.errors import UserError
from ecstfl.runs.config import RunConfig

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


def explain_out_of_memory(train: Callable[..., Run]) -> Callable[..., Run]:
    """Let a training that runs out of memory end in a sentence that says what to try."""

    @functools.wraps(train)
    def run(config: RunConfig, *arguments: Any, **options: Any) -> Run:
        try:
            return train(config, *arguments, **options)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        batch = config.optim.batch
        advice = "take a smaller width, fewer frames or more memory"
        if batch > 2:
            advice = f"try --batch {batch // 2} (another batch is another experiment), or {advice}"
        raise UserError(f"{config.name}: out of memory at batch {batch}; {advice}")

    return run
