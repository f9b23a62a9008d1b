"""One batch over many processes: gather features with their gradients.

EC-STFL compares every sample with every other, so a loss on each rank's own samples is not the
loss of the whole batch. With `gather` every rank holds the whole batch and computes the same
loss L. Going back, the gradients of all ranks are summed: a rank's features then receive
(ranks x dL/dx), and `DistributedDataParallel`, which averages the gradients of the weights over
the ranks, arrives at exactly dL/dw of one process with the whole batch.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable


def is_distributed() -> bool:
    """Whether a process group of more than one rank is running."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


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
        rank = dist.get_rank()
        start = sum(ctx.sizes[:rank])
        return grad[start : start + ctx.sizes[rank]], None


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
    if not is_distributed():
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
