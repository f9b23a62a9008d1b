"""Several processes, one training: who am I, who writes, and how all meet (torchrun, DDP).

    torchrun --nproc-per-node 2 -m ecstfl train --profile full --device cpu
    torchrun --nproc-per-node 4 -m ecstfl train --profile paper --device cuda

Each process takes its share of every batch through the network. EC-STFL compares every sample
with every other, so a loss on each rank's own samples is not the loss of the whole batch: with
:func:`gather` every rank holds the whole batch and computes the same loss L. Going back, the
gradients of all ranks are summed: a rank's features then receive (ranks x dL/dx), and
``DistributedDataParallel``, which averages the gradients of the weights over the ranks, arrives
at exactly dL/dw of one process with the whole batch.

The main process (rank 0) alone writes, prints and decides. With one process everything here does
nothing, so that nobody else needs to ask how many there are.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final, ParamSpec, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from ecstfl.errors import UserError

TIMEOUT: Final = timedelta(hours=12)
"""How long a process waits for another, which may be preparing clips all alone."""

P = ParamSpec("P")
R = TypeVar("R")


def world_size() -> int:
    """Return how many processes train together: 1 without torchrun."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return which of them this is, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


def is_main_process() -> bool:
    """Whether this is the process that writes, prints and decides."""
    return rank() == 0


def barrier() -> None:
    """Wait until every process has come here."""
    if world_size() > 1:
        dist.barrier()


def broadcast(choice: bool) -> bool:
    """Return the main process's choice in every process."""
    if world_size() == 1:
        return choice
    answer = torch.tensor([int(choice)], device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.broadcast(answer, 0)
    return bool(answer)


def main_process_only(function: Callable[P, R]) -> Callable[P, R | None]:
    """Let a function do nothing, and return None, in all processes but the main one."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R | None:
        return function(*args, **kwargs) if is_main_process() else None

    return run


@contextlib.contextmanager
def main_process_first() -> Iterator[None]:
    """Let the main process go through a block before the others: it fills a cache, they read it."""
    if not is_main_process():
        barrier()
    yield
    if is_main_process():
        barrier()


def local_rows(n: int) -> slice:
    """Return which rows of a batch of ``n`` this process takes; sizes differ by one at most."""
    return slice(rank() * n // world_size(), (rank() + 1) * n // world_size())


@contextlib.contextmanager
def process_group(device: str) -> Iterator[None]:
    """Join the processes that ``torchrun`` started; without it, do nothing.

    Args:
        device: ``cpu`` (gloo) or ``cuda`` (NCCL, one GPU a process).

    Raises:
        UserError: more processes than GPUs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    if device == "cuda":
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            raise UserError(
                f"process {local + 1} on this machine has no GPU of its own: "
                f"use --nproc-per-node {torch.cuda.device_count()}"
            )
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield
    finally:
        leave_process_group()


def leave_process_group() -> None:
    """Leave the group, after every replica of the network that nobody needs.

    A replica holds the group. Freed after it, the replica ends gloo's threads while it holds
    Python's lock; a thread that is letting go of a tensor wants that lock, and both wait for ever.
    """
    gc.collect()
    dist.destroy_process_group()


def _collect(x: Tensor, sizes: list[int]) -> Tensor:
    """Rows of all ranks in the order of ranks; ``sizes`` rows each."""
    padded = x.new_zeros(max(sizes), *x.shape[1:])
    padded[: len(x)] = x
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])


class _Gather(torch.autograd.Function):
    """All ranks' rows forward; the sum of all ranks' gradients backward."""

    @staticmethod
    def forward(ctx, x: Tensor, sizes: list[int]) -> Tensor:  # noqa: ANN001
        ctx.sizes = sizes
        return _collect(x, sizes)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:  # noqa: ANN001
        grad = grad.contiguous().clone()
        dist.all_reduce(grad)
        start = sum(ctx.sizes[: rank()])
        return grad[start : start + ctx.sizes[rank()]], None


def gather(x: Tensor) -> Tensor:
    """Rows of every rank, in the order of ranks, with gradients.

    Ranks may hold different numbers of rows. Every rank must call it, forward and (where rows
    need gradients) backward: a rank that leaves one out keeps the others waiting.
    Without a process group, or with one rank, ``x`` comes back as it is.

    Args:
        x: (n_r, ...) on rank r; equal trailing sizes and dtype everywhere. Integers (labels)
            are gathered without gradients.

    Returns:
        (n_0 + ... + n_k, ...) on every rank.

    Raises:
        ValueError: trailing sizes differ between ranks (raised on every rank).
    """
    if world_size() == 1:
        return x
    mine = torch.tensor([len(x), *x.shape[1:]], device=x.device)
    # compare the number of dimensions first: shapes of unlike length cannot be gathered
    rank_dims = [torch.empty_like(mine[:1]) for _ in range(dist.get_world_size())]
    dist.all_gather(rank_dims, torch.tensor([x.ndim], device=x.device))
    dims = [int(value) for value in rank_dims]
    if len(set(dims)) > 1:
        raise ValueError(f"gather: expected equal dimensions on all ranks, got {dims}")
    gathered = [torch.empty_like(mine) for _ in dims]
    dist.all_gather(gathered, mine)
    shapes = [tuple(value.tolist()) for value in gathered]
    if len({shape[1:] for shape in shapes}) > 1:
        raise ValueError(f"gather: expected equal trailing sizes on all ranks, got {shapes}")
    sizes = [int(shape[0]) for shape in shapes]
    return _Gather.apply(x, sizes) if x.is_floating_point() else _collect(x, sizes)
